from datetime import UTC, datetime, timedelta

import pytest

from gateway.core.call import Call, Endpoint
from gateway.core.errors import NotAllowed, Unauthenticated
from gateway.core.ids import CallId, KeyId, ModelName
from gateway.core.snapshot import ClientKey, Snapshot
from gateway.ingress import caller
from gateway.ingress.caller import Callers, check_model, check_named
from tests.fakes.clock import FakeClock

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Digests:
    """A stand-in for the keyed hash, under two encryption keys; counts its work."""

    def __init__(self):
        self.asked = []

    def __call__(self, text):
        self.asked.append(text)
        return (b"new:" + text.encode(), b"old:" + text.encode())


def key(text, *, secret=b"new:", **fields):
    return ClientKey(id=KeyId(f"id-{text}"), name=text, owner="me", digest=secret + text.encode(), **fields)


def snapshot(*keys):
    return Snapshot(keys={row.digest: row for row in keys})


GOOD = key("gw-good")
OLD = key("gw-old", secret=b"old:")
EXPIRED = key("gw-expired", expires_at=NOW)
KEYS = snapshot(GOOD, OLD, EXPIRED)


def at(wall):
    return FakeClock(wall=wall, now=0.0)


def found(headers, *, needs_key=True, keys=KEYS, now=NOW):
    return Callers(Digests(), needs_key=needs_key).caller_of(headers, keys, at(now))


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer gw-good"},
        {b"authorization": b"bearer   gw-good "},
        {b"api-key": b"gw-good"},
        {b"x-api-key": b"gw-good"},
        {b"x-gateway-key": b"gw-good", b"authorization": b"Bearer sk-own"},
    ],
)
def test_key_is_found_wherever_clients_put_it(headers):
    assert found(headers) is GOOD


def test_key_hashed_under_an_older_encryption_key_is_found():
    assert found({b"authorization": b"Bearer gw-old"}) is OLD


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "didn't provide"),
        ({b"authorization": b"Bearer gw-wrong"}, "Incorrect"),
        ({b"authorization": b"Bearer "}, "Incorrect"),
        ({b"authorization": b"Bearer gw-expired"}, "expired"),
        ({b"x-gateway-key": b"gw-wrong", b"authorization": b"Bearer gw-good"}, "Incorrect"),
        ({b"authorization": b"Bearer \xff\xfe"}, "Incorrect"),
    ],
)
def test_callers_without_a_valid_key_are_told_why(headers, words):
    with pytest.raises(Unauthenticated) as refused:
        found(headers)

    assert words in refused.value.message
    assert "gw-wrong" not in refused.value.message


@pytest.mark.parametrize("headers", [{}, {b"authorization": b"Bearer sk-anything"}])
def test_while_calls_are_open_other_tokens_are_ignored(headers):
    assert found(headers, needs_key=False) is None
    assert found(headers, needs_key=False, keys=Snapshot()) is None


def test_valid_key_counts_even_while_calls_are_open():
    assert found({b"authorization": b"Bearer gw-good"}, needs_key=False) is GOOD


def test_key_is_valid_up_to_its_expiry():
    headers = {b"authorization": b"Bearer gw-expired"}

    assert found(headers, now=NOW - timedelta(seconds=1)) is EXPIRED


def test_key_is_hashed_once_per_snapshot_and_gone_with_it():
    digests = Digests()
    callers = Callers(digests, needs_key=True)
    headers = {b"authorization": b"Bearer gw-good"}

    for _ in range(3):
        callers.caller_of(headers, KEYS, at(NOW))
    hashed = len(digests.asked)
    with pytest.raises(Unauthenticated):
        callers.caller_of(headers, snapshot(OLD), at(NOW))

    assert hashed == 1


def test_remembered_key_still_expires():
    callers = Callers(Digests(), needs_key=True)
    headers = {b"authorization": b"Bearer gw-expired"}
    callers.caller_of(headers, KEYS, at(NOW - timedelta(seconds=1)))

    with pytest.raises(Unauthenticated, match="expired"):
        callers.caller_of(headers, KEYS, at(NOW))


def test_memory_of_keys_is_bounded_and_wrong_ones_are_not_kept(monkeypatch):
    monkeypatch.setattr(caller, "MAX_REMEMBERED", 3)
    keys = [key(f"gw-{number}") for number in range(10)]
    callers = Callers(Digests(), needs_key=False)

    for row in keys:
        assert callers.caller_of({b"api-key": row.name.encode()}, snapshot(*keys), at(NOW)) == row
    several = snapshot(*keys)
    for row in keys:
        assert callers.caller_of({b"api-key": row.name.encode()}, several, at(NOW)) is row
    for number in range(50):
        callers.caller_of({b"api-key": b"wrong-%d" % number}, several, at(NOW))

    assert len(callers._known) == 3


@pytest.mark.parametrize("model", ["gpt-4", "GPT-4o", "o3"])
def test_key_may_use_the_models_of_its_list(model):
    check_model(key("gw-x", models=("gpt-4*", "o3")), ModelName(model))


def test_key_without_a_list_may_use_all_and_so_may_callers_without_key():
    check_model(key("gw-x"), ModelName("anything"))
    check_model(None, ModelName("anything"))
    check_model(key("gw-x", models=("o3",)), None)


def test_other_models_are_refused():
    with pytest.raises(NotAllowed) as refused:
        check_model(key("gw-x", models=("gpt-4",)), ModelName("gpt-5"))

    assert (refused.value.status, refused.value.param, refused.value.code) == (403, "model", "model_not_allowed")


@pytest.mark.parametrize(
    ("name", "model", "is_refused"),
    [
        ("realtime.calls.create", None, True),
        ("realtime.calls.accept", None, True),
        ("realtime.calls.create", "gpt-4", False),
        ("evals.runs.create", None, False),
    ],
)
def test_a_session_names_its_model_where_a_key_has_some_alone(name, model, is_refused):
    call = Call(id=CallId("c"), endpoint=Endpoint(name=name, method="POST", path="/x"), model=model)

    check_named(None, call)
    check_named(key("gw-x"), call)
    if not is_refused:
        check_named(key("gw-x", models=("gpt-4",)), call)
        return
    with pytest.raises(NotAllowed) as refused:
        check_named(key("gw-x", models=("gpt-4",)), call)
    assert (refused.value.param, refused.value.code) == ("session.model", "model_not_allowed")
