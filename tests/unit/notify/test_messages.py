from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.outcome import OutcomeKind, Scope, ScopeKind
from gateway.core.parks import Park
from gateway.core.uses import Belief, Calls, Reading, Totals, Use
from gateway.notify.messages import read_message, write_messages

AT = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


def park(what: str = "gpt-4", *, holder: str = "a1", rest_s: float = 7.0) -> Park:
    return Park(
        scope=Scope(ScopeKind.HOLDER_MODEL, holder, what),
        reason=OutcomeKind.RATE_LIMITED,
        strikes=2,
        since_at=AT,
        until_at=AT + timedelta(seconds=rest_s),
        probe_at=AT + timedelta(seconds=rest_s / 2),
    )


def test_parks_and_recoveries_come_out_as_they_went_in() -> None:
    recovered = Scope(ScopeKind.ACCOUNT, "a2")

    messages = [read_message(text) for text in write_messages("me", parks=[park()], recoveries=[recovered])]

    assert [message.sender for message in messages if message] == ["me", "me"]
    assert [message.parks for message in messages if message] == [(park(),), ()]
    assert [message.recoveries for message in messages if message] == [(), (recovered,)]


def test_mark_of_a_credential_goes_along_and_older_releases_send_none() -> None:
    marked = msgspec.structs.replace(park(), credential_mark="aaaaaaaa01")
    (text,) = write_messages("me", parks=[marked])
    payload = msgspec.json.decode(text)
    payload["parks"][0].pop()

    now, older = read_message(text), read_message(msgspec.json.encode(payload).decode())

    assert now is not None
    assert older is not None
    assert (now.parks, older.parks) == ((marked,), (park(),))


def test_no_news_is_no_message() -> None:
    assert write_messages("me") == []


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=40)), max_size=120))
def test_every_payload_fits_and_nothing_is_lost(names: list[tuple[str, str]]) -> None:
    parks = [park(what, holder=holder) for what, holder in names]
    scopes = [one.scope for one in parks]

    payloads = write_messages("me", parks=parks, recoveries=scopes)

    assert all(len(payload.encode()) < 8000 for payload in payloads)
    messages = [message for payload in payloads if (message := read_message(payload))]
    assert [one for message in messages for one in message.parks] == parks
    assert [one for message in messages for one in message.recoveries] == scopes


def test_many_parks_are_split_and_keep_their_order() -> None:
    parks = [park(f"model-{number}", holder="group:openai:" + "g" * 50) for number in range(200)]

    payloads = write_messages("me", parks=parks)

    assert 2 < len(payloads) < 10
    assert all(len(payload) < 8000 for payload in payloads)
    assert [one for text in payloads if (message := read_message(text)) for one in message.parks] == parks


def test_a_scope_with_a_name_of_kilobytes_is_left_out_alone() -> None:
    payloads = write_messages("me", parks=[park("a"), park("b" * 9000), park("c")])

    assert [[one.scope.what for one in message.parks] for text in payloads if (message := read_message(text))] == [
        ["a", "c"]
    ]


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param("", id="empty"),
        pytest.param("accounts", id="no-json"),
        pytest.param("[]", id="no-object"),
        pytest.param("{}", id="no-version"),
        pytest.param('{"v":2,"from":"x","parks":[]}', id="later-version"),
        pytest.param('{"v":1}', id="no-sender"),
        pytest.param('{"v":1,"from":"x","parks":[["holder_model","a","b","odd",1,0,0,0,false]]}', id="unknown-reason"),
        pytest.param('{"v":1,"from":"x","recoveries":[["planet","a","b"]]}', id="unknown-kind"),
        pytest.param('{"v":1,"from":"x\ud800"}', id="surrogate"),
    ],
)
def test_what_this_release_cannot_read_is_none(payload: str) -> None:
    assert read_message(payload) is None


def test_a_field_of_a_later_release_is_ignored() -> None:
    (payload,) = write_messages("me", parks=[park()])

    message = read_message(payload.replace('{"v":1', '{"mood":"good","v":1'))

    assert message is not None
    assert message.parks == (park(),)


def test_uses_are_read_as_they_were_written():
    readings = (Reading("requests", 10.0, 3.0, 1.5, 0.25, is_success=True),)
    calls = Calls(1234, (40, 0), (900,), ((30, 1.5), (0, None)))
    uses = (
        Use(Scope(ScopeKind.HOLDER_MODEL, "a", "gpt-4"), Totals(7, 700, 70), 0.01, is_hungry=True, readings=readings),
        Use(Scope(ScopeKind.HOLDER_MODEL, "group:p:g", "gpt-5")),
        Use(Scope(ScopeKind.HOLDER_MODEL, "b", "gpt-4"), calls=calls, belief=Belief(2.5, 10, 4.0)),
    )

    (payload,) = write_messages("me", uses=uses)
    message = read_message(payload)

    assert message is not None
    assert (message.sender, message.uses, message.parks) == ("me", uses, ())


def test_uses_of_a_release_that_told_no_calls_are_read():
    scope = Scope(ScopeKind.HOLDER_MODEL, "a", "gpt-4")
    (payload,) = write_messages("me", uses=[Use(scope, Totals(7), calls=Calls(1), belief=Belief(2.5))])
    told = msgspec.json.decode(payload)
    told["uses"][0] = told["uses"][0][:7]

    message = read_message(msgspec.json.encode(told).decode())

    assert message is not None
    assert message.uses == (Use(scope, Totals(7)),)


def test_uses_of_a_release_that_told_scopes_alone_are_read():
    message = read_message('{"v":1,"from":"old","uses":[["holder_model","a","gpt-4"]]}')

    assert message is not None
    assert message.uses == (Use(Scope(ScopeKind.HOLDER_MODEL, "a", "gpt-4")),)
