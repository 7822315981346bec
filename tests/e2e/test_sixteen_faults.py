"""The public catalogue of sixteen faults that gateways are asked to survive, and what the caller of this one sees."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from gateway.sandbox.config import Behaviour
from gateway.sandbox.faults import Fault
from tests.e2e.conftest import Shared
from tests.emptied import Databases
from tests.fakes.gateway_fixture import connected, running_gateway
from tests.fakes.leap import LIMIT_S, over_silence
from tests.fakes.sandbox_fixture import running_sandbox

WORDS = "one two three"
LIMITS = {"first_token_timeout_s": LIMIT_S, "stall_timeout_s": LIMIT_S}
SILENT = {"stall_before_headers", "slow_first_token", "stall_in_body"}
BROKEN_CHUNK = 'data: {"choices": [{"delta": {"content": "x"\n\n'


@pytest.fixture(scope="module")
async def faulty_app(databases: Databases) -> AsyncIterator[Shared]:
    """`sk-a`, then `sk-b`, both with gpt-4; `sk-c` with gpt-4o, which gpt-4 falls back to."""
    url = await databases.take()
    async with running_sandbox() as upstream, connected(url) as registry:
        await registry.add_provider("openai", upstream.url, settings=LIMITS)
        await registry.add_route("gpt-4", fallbacks=["gpt-4o"])
        async with running_gateway(url) as gateway:
            await registry.add_account("sk-a", tier=0, supported_models=["gpt-4"])
            await registry.add_account("sk-b", tier=1, supported_models=["gpt-4"])
            await registry.add_account("sk-c", tier=2, supported_models=["gpt-4o"])
            await gateway.serves(accounts=3)
            yield Shared(gateway, upstream)
    await databases.give_back(url)


@pytest.fixture
async def faulty(faulty_app: Shared) -> Shared:
    gateway, sandbox = faulty_app
    for account_id in gateway.snapshot.accounts:
        gateway.service.board.clear(account_id)
    sandbox.reset()
    sandbox.refuse()
    await sandbox.accept()  # no idle connections: what fails on a kept one is sent again, unseen
    sandbox.behave("gpt-4", Behaviour(gap_s=0.03))
    return faulty_app


def events(content: bytes) -> list[Any]:
    lines = [line[6:] for line in content.split(b"\n\n") if line.startswith(b"data: ")]
    return [line.decode() if line == b"[DONE]" else msgspec.json.decode(line) for line in lines]


def told(content: bytes) -> str:
    found = [event for event in events(content) if event != "[DONE]"]
    assert len({event["id"] for event in found}) == 1  # one answer, whoever told it
    return "".join(choice["delta"].get("content") or "" for event in found for choice in event["choices"])


WHOLE = {  # fault → what the caller sees beside a whole answer and a 200
    "429 with Retry-After": (Fault("rate_limited", retry_after="20"), "another account's answer, without the wait"),
    "429 without Retry-After": (Fault("rate_limited"), "another account's answer"),
    "500 once": (Fault("server_error"), "another account's answer"),
    "persistent 503": (Fault("overloaded", times=None), "another account's answer, call after call"),
    "reset before headers": (Fault("reset_before_headers"), "another account's answer"),
    "silence": (Fault("stall_before_headers"), "another account's answer, after the limit for the first event"),
    "slow first token": (Fault("slow_first_token"), "another account's answer, after the same limit"),
    "cut": (Fault("reset_in_body", after=3), "one answer: the rest of it is told by another account"),
    "stall": (Fault("stall_in_body", after=3), "the same, after the stall limit"),
    "malformed chunk": (Fault("malformed_event", after=3, body=BROKEN_CHUNK), "the same; no half of an event"),
    "no [DONE]": (Fault("no_done"), "the [DONE] that was missing"),
}


@pytest.mark.parametrize(("fault", "sees"), WHOLE.values(), ids=WHOLE)
async def test_the_caller_sees_a_whole_answer(faulty, fault, sees):
    gateway, sandbox = faulty
    sandbox.script(msgspec.structs.replace(fault, key="sk-a"))

    for _ in range(3 if fault.times is None else 1):
        call = gateway.chat(WORDS, stream=True)
        answer = await (over_silence(sandbox, call, after=fault.after or 0) if fault.kind in SILENT else call)

        assert (answer.status_code, told(answer.content)) == (200, f"echo: {WORDS}"), sees
        assert events(answer.content)[-1] == "[DONE]"
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_silence_is_made_up_for_where_nothing_streams(database_url, registry):
    """Another account's answer: the silent one took all the time of the call, the other one has its own."""
    async with running_sandbox() as sandbox:
        await registry.add_provider("openai", sandbox.url, settings={"timeout_s": LIMIT_S})
        await registry.add_account("sk-a", tier=0)
        await registry.add_account("sk-b", tier=1)
        async with running_gateway(database_url) as gateway:
            await gateway.serves(accounts=2)
            sandbox.script(Fault("stall_before_headers", key="sk-a", model="gpt-4"))

            answer = await over_silence(sandbox, gateway.chat(WORDS))

    assert answer.status_code == 200
    assert answer.headers["x-gateway-attempts"] == "2"


async def test_context_length_is_served_by_a_model_with_more_or_told_as_it_came(faulty):
    """The fallback's answer; where that is too short as well, the upstream's own 400, and no account is blamed."""
    gateway, sandbox = faulty
    sandbox.script(Fault("context_length_exceeded", model="gpt-4"))

    served = await gateway.chat(WORDS)
    sandbox.script(Fault("context_length_exceeded", times=None))
    refused = await gateway.chat(WORDS)

    assert (served.status_code, served.headers["x-gateway-model"]) == (200, "gpt-4o")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert not any(gateway.service.board.status_of(account_id) for account_id in gateway.snapshot.accounts)


async def test_a_content_filter_is_nobodys_fault_and_asked_of_nobody_else(faulty):
    """The upstream's own 400; an answer that the filter ended says so in its `finish_reason`."""
    gateway, sandbox = faulty
    sandbox.script("content_filter")

    refused = await gateway.chat(WORDS)
    sandbox.behave("gpt-4", Behaviour(finish_reason="content_filter"))
    ended = await gateway.chat(WORDS, stream=True)

    assert (refused.status_code, refused.headers["x-gateway-attempts"]) == (400, "1")
    assert events(ended.content)[-2]["choices"][0]["finish_reason"] == "content_filter"
    assert [seen.key for seen in sandbox.log] == ["sk-a", "sk-a"]


async def test_a_cut_is_never_continued_by_a_prefill_that_a_fallback_may_refuse(faulty):
    """One whole answer: the fallback is asked what the caller asked, not to go on from half an answer."""
    gateway, sandbox = faulty
    sandbox.script(Fault("reset_in_body", after=3, key="sk-a"))
    sandbox.script(Fault("server_error", key="sk-b", times=None))

    answer = await gateway.chat(WORDS, stream=True)

    assert told(answer.content) == f"echo: {WORDS}"
    assert sandbox.log[-1].key == "sk-c"
    asked = [msgspec.json.decode(seen.body)["messages"] for seen in sandbox.log]
    assert asked == [[{"role": "user", "content": WORDS}]] * len(asked)


async def test_a_flapping_primary_is_no_callers_business(faulty):
    """Twelve answers, whichever turn the first account is in."""
    gateway, sandbox = faulty
    sandbox.behave("gpt-4", Behaviour())
    sandbox.script(Fault("server_error", key="sk-a", times=None, pattern="x."))

    answers = [await gateway.chat(WORDS) for _ in range(12)]

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-gateway-attempts"] for answer in answers} <= {"1", "2"}


async def test_a_failover_is_charged_once_and_to_the_account_that_served(faulty):
    """The usage of the answer that was read, once; the account that served, by name; two attempts."""
    gateway, sandbox = faulty
    sandbox.behave("gpt-4", Behaviour())
    sandbox.script(Fault("server_error", key="sk-a"))

    answer = await gateway.chat(WORDS)

    labels = {str(account.id): account.label for account in gateway.snapshot.accounts.values()}
    assert labels[answer.headers["x-gateway-account"]] == "sk-b"
    assert answer.headers["x-gateway-attempts"] == "2"
    assert answer.json()["usage"]["completion_tokens"] == 4
    assert [seen.status for seen in sandbox.log] == [500, 200]
