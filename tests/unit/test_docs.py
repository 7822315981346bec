"""What the documentation says is there: links, error codes, functions, files; and nothing of anybody's machine."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gateway.core import errors as core_errors
from gateway.core.cooldown import RESTS
from gateway.core.errors import GatewayError
from gateway.settings_load import load_settings
from gateway.wire import refusals
from scripts import endpoints_doc

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = [ROOT / ".env.example", ROOT / "gateway.example.yaml"]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *EXAMPLES])
MARKDOWN = [page for page in PAGES if page.suffix == ".md"]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
FOREIGN = re.compile(
    r"/work/|/root\b|/home/(?!gateway\b)\w+|/Users/|/tmp/\w|pypi\.org|pythonhosted|registry\.npmjs|index-url|proxy\.golang"
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_links_lead_to_files_and_headings(page):
    broken = [target for target in LINK.findall(FENCE.sub("", page.read_text())) if not leads_somewhere(page, target)]

    assert broken == []


def leads_somewhere(page: Path, target: str) -> bool:
    if "://" in target:
        return True
    path, _, anchor = target.partition("#")
    place = (page.parent / path).resolve() if path else page
    if not place.exists() or not place.is_relative_to(ROOT):
        return False
    return not anchor or anchor in anchors(place.read_text())


def anchors(text: str) -> set[str]:
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(FENCE.sub("", text))}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_name_no_machine_and_no_registry(page):
    assert FOREIGN.findall(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_hold_nothing_that_looks_like_a_secret(page):
    assert re.findall(r"(?:sk-(?:proj-)?|gw-)[A-Za-z0-9]{20,}", page.read_text()) == []


# -- errors.md -------------------------------------------------------------------------------------------------------


def test_every_code_of_the_gateway_is_documented_and_no_other():
    assert documented_codes() == codes_in_source()


def documented_codes() -> set[str]:
    page = (ROOT / "docs" / "errors.md").read_text()
    section = page.partition("## Errors of the gateway itself")[2].partition("\n## ")[0]
    cells = [line.split("|")[2] for line in section.splitlines() if re.match(r"\| \d", line)]
    return {code for cell in cells for code in re.findall(r"`([a-z_]+)`", cell)}


def codes_in_source() -> set[str]:
    classes = error_classes()
    return {each.code for each in classes} | set(codes_of_calls({each.__name__ for each in classes})) | computed_codes()


def error_classes() -> list[type[GatewayError]]:
    return [each for each in vars(core_errors).values() if inspect.isclass(each) and issubclass(each, GatewayError)]


def codes_of_calls(names: set[str]) -> Iterator[str]:
    """The `code=` of every place that makes one of our errors; computed ones are allowed in `refusals` alone."""
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names):
                continue
            for code in (keyword.value for keyword in node.keywords if keyword.arg == "code"):
                if isinstance(code, ast.Constant):
                    yield str(code.value)
                else:
                    assert path.name == "refusals.py", f"{path}: a computed code is not documented"


def computed_codes() -> set[str]:
    return {
        *(refusals.too_small("p", value, 0).code for value in (-1, -1.5)),
        *(refusals.too_great("p", value, 0).code for value in (1, 1.5)),
        *(refusals.empty("p", kind).code for kind in ("array", "string")),
        *(refusals.too_long("p", kind, high=1, length=2).code for kind in ("array", "string")),
    }


def test_statuses_and_types_of_the_page_are_those_of_the_classes():
    lines = (ROOT / "docs" / "errors.md").read_text().splitlines()
    rows = [[cell.strip().strip("`") for cell in line.split("|")[1:4]] for line in lines if re.match(r"\| \d", line)]
    leaves = [each for each in error_classes() if not each.__subclasses__()]

    assert len(leaves) >= 10
    assert [each.code for each in leaves if [str(each.status), each.code, each.type] not in rows] == []


# -- operations.md, architecture.md, examples ------------------------------------------------------------------------


def test_every_reason_to_rest_is_explained_to_operators():
    page = (ROOT / "docs" / "operations.md").read_text()

    assert [kind.value for kind in RESTS if f"| `{kind.value}`" not in page] == []


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_functions_that_pages_name_exist(page):
    named = re.findall(r"`([a-z_/0-9]+)\.py:([A-Za-z_.]+)`", page.read_text())

    assert [f"{path}.py:{name}" for path, name in named if not exists(path, name)] == []


def exists(path: str, name: str) -> bool:
    file = ROOT / "gateway" / f"{path}.py"
    if not file.exists():
        return False
    found = importlib.import_module(f"gateway.{path.replace('/', '.')}")
    for part in name.split("."):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_files_that_pages_name_exist(page):
    named = re.findall(r"`((?:gateway|scripts|tests|docs|migrations)/[\w./-]*\w)`", page.read_text())

    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_decisions_have_their_form(page):
    titles = HEADING.findall(page.read_text())

    assert titles[0].startswith(page.name[:4])
    assert titles[1:] == ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]


def test_decisions_are_numbered_without_gaps_and_listed():
    numbers = [int(page.name[:4]) for page in DECISIONS]
    listed = (ROOT / "docs" / "architecture.md").read_text()

    assert numbers == list(range(1, len(numbers) + 1))
    assert [page.name for page in DECISIONS if f"decisions/{page.name}" not in listed] == []


def test_example_files_are_settings_that_can_be_used(tmp_path):
    (tmp_path / "gateway.yaml").write_text((ROOT / "gateway.example.yaml").read_text())
    uncommented = re.sub(r"^#(?=[A-Z_]+=\S)", "", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(f"{uncommented}GATEWAY_ADMIN_TOKEN=t\nOPENAI_KEY_RESEARCH=a\nOPENAI_KEY_PRODUCT=b\n")

    settings = load_settings({}, tmp_path)

    assert {"openai", "local"} <= settings.providers.keys()
    assert settings.providers["openai"].accounts[1].api_key.reveal() == "b"
    assert settings.server.host == "0.0.0.0"  # noqa: S104  # what the example says


def test_example_file_beside_the_service_is_no_layer_that_an_environment_must_name(tmp_path):
    (tmp_path / "gateway.example.yaml").write_text((ROOT / "gateway.example.yaml").read_text())

    assert load_settings({"GATEWAY_ENV": "staging"}, tmp_path).env == "staging"


def test_example_file_in_yaml_repeats_no_key():
    assert yaml.safe_load((ROOT / "gateway.example.yaml").read_text()).keys() == {
        "server", "waiting", "default_provider", "providers", "routes",
    }  # fmt: skip


def test_page_of_endpoints_is_what_the_table_says():
    assert endpoints_doc.PAGE.read_text() == endpoints_doc.rendered(), "run python -m scripts.endpoints_doc"
