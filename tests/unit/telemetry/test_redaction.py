from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ids import Secret
from gateway.core.outcome import OutcomeKind
from gateway.telemetry.redaction import HIDDEN, MAX_TEXT, harmless, harmless_field, redacted

KEY = "sk-proj-Abc123_def-456ghi"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        pytest.param(f"key {KEY} refused", KEY, id="openai-key"),
        pytest.param("gw-0123456789abcdefghij", "gw-0123456789abcdefghij", id="client-key"),
        pytest.param("sk-ant-api03-xyzxyzxyz", "api03", id="anthropic-key"),
        pytest.param("Authorization: Bearer opaque.token", "opaque", id="bearer"),
        pytest.param("authorization=Basic dXNlcjpwYXNz", "dXNlcjpwYXNz", id="basic"),
        pytest.param('{"api_key": "plain words only"}', "plain words only", id="json-member"),
        pytest.param("{'client_secret': 'abc'}", "abc", id="repr-of-dict"),
        pytest.param("api_key=hunter2&x=1", "hunter2", id="query"),
        pytest.param("postgresql://user:hunter2@db:5432/x", "hunter2", id="dsn"),
        pytest.param("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJzdWIi", id="jwt"),
        pytest.param("-----BEGIN RSA PRIVATE KEY-----\nMIIEvQ\n-----END RSA PRIVATE KEY-----", "MIIEvQ", id="pem"),
        pytest.param("'-----BEGIN PRIVATE KEY-----\\nMIIEvQ cut", "MIIEvQ", id="half-a-pem"),
        pytest.param("AIzaSyA-1234567890abcdefghijk", "1234567890", id="google-key"),
        pytest.param("[SQL: insert]\n[parameters: ('hunter2',)]", "hunter2", id="sqlalchemy-parameters"),
        pytest.param("DETAIL:  Failing row contains (1, hunter2).", "hunter2", id="postgres-row"),
        pytest.param("Key (auth_data)=(hunter2) already exists.", "hunter2", id="postgres-unique"),
    ],
)
def test_credential_is_taken_out_of_text(text, secret):
    assert secret not in redacted(text)
    assert HIDDEN in redacted(text)


@pytest.mark.parametrize(
    "text",
    ["risk-assessment-model", "gpt-4o-2024-08-06", "input_tokens: 12", "task.crashed", "https://api.openai.com/v1", ""],
)
def test_harmless_text_stays_as_it_is(text):
    assert redacted(text) == text


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=6), st.text())
def test_an_api_key_never_gets_through_whatever_stands_behind_it(key, tail):
    assert f"sk-{key}" not in redacted(f"refused: sk-{key} {tail}")


def test_values_become_json_ready_and_lose_their_secrets():
    value = {"api_key": "x", "list": [Secret("abc"), KEY], "kind": OutcomeKind.OK, "deep": {"token": "y"}}

    assert harmless(value) == {"api_key": HIDDEN, "list": [HIDDEN, HIDDEN], "kind": "ok", "deep": {"token": HIDDEN}}


def test_known_types_read_well():
    assert harmless(b"body") == "<4 bytes>"
    assert harmless(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00+00:00"
    assert harmless(UUID(int=1)) == "00000000-0000-0000-0000-000000000001"
    assert harmless(1.5) == 1.5
    assert harmless(None) is None


def test_unknown_objects_are_shown_by_their_redacted_repr():
    assert harmless(ValueError(f"bad {KEY}")) == "ValueError('bad ***')"


def test_nesting_and_length_are_bounded():
    nested: list[object] = []
    for _ in range(50):
        nested = [nested]

    assert len(str(harmless(nested))) < 200
    assert len(str(harmless("x" * 10_000))) < MAX_TEXT + 50
    assert len(harmless(list(range(1_000)))) == 100


@pytest.mark.parametrize("name", ["api_key", "Authorization", "auth_data", "headers", "body", "set-cookie"])
def test_field_with_a_telling_name_is_hidden_whatever_it_holds(name):
    assert harmless_field(name, "innocent") == HIDDEN
