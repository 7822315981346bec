import re
from pathlib import Path

import msgspec

from gateway.sandbox.config import Algorithm, LimitRule, SandboxConfig
from gateway.sandbox.control import Scripting
from gateway.sandbox.errors import ERRORS
from gateway.sandbox.faults import Fault, FaultKind

PAGE = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text()


def test_settings_file_of_the_page_can_be_used() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    config = msgspec.yaml.decode(text, type=SandboxConfig)

    assert config.limits[2] == LimitRule(model="o3*", requests=5, algorithm=Algorithm.FIXED, is_per_project=True)


def test_script_of_the_page_can_be_used() -> None:
    (text,) = re.findall(r"_sandbox/script -d '(.*?)'", PAGE, re.DOTALL)

    assert [fault.kind for fault in msgspec.json.decode(text, type=Scripting).faults] == [
        "rate_limited",
        "reset_in_body",
        "overloaded",
    ]


def test_every_fault_and_every_field_stands_on_the_page() -> None:
    names = [*ERRORS, *FaultKind, *Fault.__struct_fields__]

    assert [name for name in names if f"`{name}`" not in PAGE and f'"{name}"' not in PAGE] == []
