import ast
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.telemetry.events import FIELDS, CallRecord, Event
from gateway.telemetry.redaction import harmless_field

GATEWAY = Path(__file__).parents[3] / "gateway"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def logged() -> Iterator[tuple[str, str, set[str]]]:
    """Place, event and fields of every `log.<level>(Event.X, field=...)` in the gateway's source."""
    for path in sorted(GATEWAY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=level),
                    args=[ast.Attribute(value=ast.Name(id="Event"), attr=event), *_],
                    keywords=keywords,
                ) if level in LEVELS:
                    place = f"{path.relative_to(GATEWAY.parent)}:{node.lineno}"
                    yield place, event, {keyword.arg for keyword in keywords if keyword.arg}


def test_source_is_searched_as_it_is_written():
    assert any(event == "TASK_CRASHED" for _, event, _ in logged())


def test_every_field_that_is_logged_is_declared():
    found = {
        f"{place} {event}: {sorted(missing)}"
        for place, event, fields in logged()
        if (missing := fields - FIELDS[Event[event]] - {"exc_info"})
    }

    assert not found


@pytest.mark.parametrize("event", list(Event))
def test_no_event_declares_a_field_that_is_never_shown(event):
    assert all(harmless_field(name, "shown") == "shown" for name in FIELDS[event])


def test_every_event_has_its_row_of_fields():
    assert set(FIELDS) == set(Event)
    assert all(event.count(".") == 1 for event in Event)


def test_a_call_record_is_encoded_under_its_event_name():
    assert CallRecord.__struct_config__.tag == Event.CALL_FINISHED
    assert msgspec.structs.fields(CallRecord)[0].name == "level"
