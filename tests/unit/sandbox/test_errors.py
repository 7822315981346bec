import json

import pytest

from gateway.sandbox.errors import ERRORS, Names, masked_key, worded, write_error, write_error_event

NAMES = Names(model="gpt-4o", org="org-1", project="proj_1", key="sk-proj-0123456789abcd")


@pytest.mark.parametrize("name", list(ERRORS))
def test_error_is_worded_with_no_name_left_out(name: str) -> None:
    message = worded(ERRORS[name], NAMES)

    assert "{" not in message
    assert NAMES.key not in message


@pytest.mark.parametrize("name", [name for name, kind in ERRORS.items() if not kind.html])
def test_error_body_has_the_four_members(name: str) -> None:
    kind = ERRORS[name]

    error = json.loads(write_error(kind, worded(kind, NAMES)))["error"]

    assert list(error) == ["message", "type", "param", "code"]
    assert (error["type"], error["code"]) == (kind.type, kind.code)


def test_page_of_a_proxy_is_no_json() -> None:
    assert write_error(ERRORS["html_502"], ERRORS["html_502"].message).startswith(b"<html>")


def test_error_event_is_one_event() -> None:
    event = write_error_event(ERRORS["overloaded"], "Overloaded.\nSorry.")

    assert event.startswith(b'data: {"error":')
    assert event.count(b"\n") == 2


def test_message_that_holds_braces_of_a_caller_is_left_alone() -> None:
    kind = ERRORS["model_not_found"]

    assert worded(kind, Names(model="{org}")) == "The model `{org}` does not exist or you do not have access to it."


def test_short_key_shows_nothing() -> None:
    assert masked_key("sk-secret") == "*********"
