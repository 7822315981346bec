"""What two runs of one suite came to, test by test."""

import re
import xml.etree.ElementTree as ET  # written by our own pytest
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from sdk_mock import Asked


class Run(msgspec.Struct, frozen=True):
    """Test → why it failed; None: it passed. Skipped tests are left out."""

    tests: Mapping[str, str | None]

    @property
    def passed(self) -> int:
        return sum(why is None for why in self.tests.values())


def read_run(path: Path) -> Run:
    """From pytest's `--junitxml`."""
    tests: dict[str, str | None] = {}
    for case in ET.parse(path).getroot().iter("testcase"):  # noqa: S314  # as above
        if case.find("skipped") is not None:
            continue
        failed = case.find("failure") if case.find("failure") is not None else case.find("error")
        tests[f"{case.get('classname')}::{case.get('name')}"] = None if failed is None else failed.get("message", "")
    return Run(tests)


def lost(direct: Run, through: Run) -> dict[str, str]:
    """Tests that pass directly, and why they do not through the gateway."""
    return {
        name: through.tests.get(name, "did not run") or ""
        for name, why in direct.tests.items()
        if why is None and through.tests.get(name, "did not run") is not None
    }


def grouped(failures: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Failures of one cause together: the first line of what they say, without numbers and ids. The largest first."""
    causes: dict[str, list[str]] = {}
    for name, why in failures.items():
        cause = re.sub(r"req_\w+|\b\d+\b", "#", why.strip().partition("\n")[0])[:200]
        causes.setdefault(cause, []).append(name)
    return sorted(causes.items(), key=lambda cause: -len(cause[1]))


def read_journal(path: Path) -> Counter[Asked]:
    return Counter(msgspec.json.decode(line, type=Asked) for line in path.read_bytes().splitlines())


def differences(direct: Counter[Asked], through: Counter[Asked]) -> tuple[list[Asked], list[Asked]]:
    """(requests that the gateway did not send as they came, requests that nobody sent directly)."""
    return _each(direct - through), _each(through - direct)


def _each(asked: Counter[Asked]) -> list[Asked]:
    return sorted(asked, key=_place)


def _place(asked: Asked) -> tuple[str, str]:
    return asked.path, asked.method


def shown(asked: Iterable[Asked], most: int) -> str:
    return "\n".join(f"  {one.method} {one.path}?{one.query} {one.headers} {one.body[:300]}" for one in [*asked][:most])
