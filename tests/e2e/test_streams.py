"""Streams: failures before and after the first content, slow readers, callers who hang up."""

import asyncio
import json

import msgspec
import pytest

from gateway.relay.clock import SystemClock
from gateway.sandbox.config import Behaviour
from gateway.sandbox.faults import Fault
from tests.e2e.raw import chat, post, raw
from tests.e2e.stream_faults import broken, unseen
from tests.fakes.gateway_fixture import until
from tests.fakes.leap import LIMIT_S, over_silence


async def streamed(gateway, content="one two three", **fields):
    return await gateway.chat(content, stream=True, **fields)


def events(answer):
    """The decoded events; `[DONE]` as it is."""
    lines = [line[6:] for line in answer.content.split(b"\n\n") if line.startswith(b"data: ")]
    return [line.decode() if line == b"[DONE]" else msgspec.json.decode(line) for line in lines]


def text_of(answer):
    deltas = [event["choices"][0]["delta"] for event in events(answer) if event != "[DONE]" and event.get("choices")]
    return "".join(delta.get("content") or "" for delta in deltas)


HALF_AN_EVENT = 'data: {"choices": [{"delta": {"content": "x"\n\n'
UNSEEN = unseen(1, HALF_AN_EVENT) | {"garbage-body": Fault("garbage_body")}
BROKEN = broken(3, HALF_AN_EVENT)


@pytest.mark.parametrize("fault", UNSEEN.values(), ids=UNSEEN)
async def test_a_failure_before_content_moves_to_another_account_unseen(shared, fault):
    pair, sandbox = shared
    sandbox.script(fault, key="sk-a")

    answer = await streamed(pair)

    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "2")
    assert text_of(answer) == "echo: one two three"
    assert events(answer)[-1] == "[DONE]"


async def test_an_error_about_the_call_as_first_event_is_a_400(shared):
    pair, sandbox = shared
    sandbox.script(Fault("stream_error", after=0, error="context_length_exceeded"))

    answer = await streamed(pair)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert len(sandbox.log) == 1


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
async def test_a_stream_that_breaks_is_told_to_its_end_by_another_account(shared, fault):
    pair, sandbox = shared
    sandbox.behave("gpt-4", Behaviour(gap_s=0.05))  # what broke within the first packet would not be seen at all
    sandbox.script(fault, key="sk-a")

    answer = await streamed(pair)

    assert text_of(answer) == "echo: one two three"
    assert events(answer)[-1] == "[DONE]"
    assert len({event["id"] for event in events(answer)[:-1]}) == 1
    assert [seen.key for seen in sandbox.log] == ["sk-a", "sk-b"]


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
async def test_a_stream_that_breaks_for_good_ends_with_an_error_and_no_done(shared, fault):
    pair, sandbox = shared
    sandbox.behave("gpt-4", Behaviour(gap_s=0.05))
    sandbox.script(fault)

    answer = await streamed(pair, store=True)

    assert answer.status_code == 200
    assert set(events(answer)[-1]) == {"error"}
    assert events(answer)[-1]["error"]["message"]
    assert b"[DONE]" not in answer.content
    assert len(sandbox.log) == 1


async def test_a_missing_done_is_added(shared):
    pair, sandbox = shared
    sandbox.script("no_done")

    answer = await streamed(pair)

    assert text_of(answer) == "echo: one two three"
    assert events(answer)[-1] == "[DONE]"


async def test_an_unreadable_event_without_words_is_left_out(shared):
    pair, sandbox = shared
    sandbox.script(Fault("malformed_event", after=2, body="data: <<noise>>\n\n"))

    answer = await streamed(pair)

    assert text_of(answer) == "echo: one two three"
    assert b"noise" not in answer.content
    assert events(answer)[-1] == "[DONE]"


async def test_silence_in_a_stream_ends_it_with_an_error(pair, registry, sandbox):
    await registry.execute("UPDATE providers SET settings = $1", json.dumps({"stall_timeout_s": LIMIT_S}))
    await until(lambda: pair.snapshot.providers["openai"].settings.stall_timeout_s == LIMIT_S, "the setting")
    sandbox.script(Fault("stall_in_body", after=3))

    answer = await over_silence(sandbox, streamed(pair, store=True), after=3)

    assert events(answer)[-1]["error"]["code"] == "upstream_timeout"
    await sandbox.wait_for(lambda log: log[0].is_hung_up)


async def test_the_first_event_arrives_long_before_the_last(shared):
    pair, sandbox = shared
    sandbox.behave("gpt-4", Behaviour(chunks=10, gap_s=0.05))

    async with raw(pair.port) as client:
        await client.send(post(chat(stream=True)))
        await client.until(b'"content":')

        assert sandbox.log[0].ended_at is None


async def test_a_caller_who_hangs_up_frees_the_upstream_and_blames_nobody(shared):
    pair, sandbox = shared
    sandbox.behave("gpt-4", Behaviour(chunks=1000, gap_s=0.05))
    async with raw(pair.port) as client:
        await client.send(post(chat(stream=True)))
        await client.until(b'"content":')

    await sandbox.wait_for(lambda log: log[0].is_hung_up)

    assert pair.service.board.in_flight_calls == 0
    assert [pair.service.board.status_of(account) for account in pair.snapshot.accounts] == [[], []]


async def test_a_caller_who_hangs_up_before_the_head_frees_the_upstream(shared):
    pair, sandbox = shared
    sandbox.script("stall_before_headers")
    async with raw(pair.port) as client:
        await client.send(post(chat()))
        await sandbox.wait_for(lambda log: len(log) == 1)

    await sandbox.wait_for(lambda log: log[0].is_hung_up)

    await until(lambda: pair.service.gate.calls == 0, "the end of the call")
    assert len(sandbox.log) == 1


async def test_a_slow_reader_slows_the_upstream_and_memory_stays_flat(shared):
    """An answer of 48 MB that nobody reads at first: what was sent is what the sockets hold (up to 10 MB each)."""
    pair, sandbox = shared
    sandbox.behave("gpt-4", Behaviour(chunks=400))
    async with raw(pair.port, buffer_bytes=100_000) as client:
        await client.send(post(chat("x" * 8_000_000, n=6, stream=True)))
        await client.until(b'"content":')
        await settled(lambda: len(sandbox.log[0].events))

        sent = sum(map(len, sandbox.log[0].events))
        assert sandbox.log[0].ended_at is None
        assert sent < 25_000_000
        assert (await pair.chat(model="gpt-4o")).status_code == 200

        assert (await client.rest_of_stream()).endswith(b"data: [DONE]\n\n")


async def settled(count, still_s=0.3):
    """Until `count()` has not changed for so long."""
    clock = SystemClock()
    last, since = count(), clock.now()
    while clock.now() < since + still_s:
        await clock.sleep(0.02)
        if count() != last:
            last, since = count(), clock.now()


async def test_many_streams_at_once_are_all_whole(shared):
    pair, sandbox = shared
    sandbox.behave("gpt-4", Behaviour(chunks=20, gap_s=0.005))

    answers = await asyncio.gather(*[streamed(pair, str(number)) for number in range(100)])

    assert {(answer.status_code, events(answer)[-1]) for answer in answers} == {(200, "[DONE]")}
    assert [text_of(answer).rstrip(".") for answer in answers] == [f"echo: {number}" for number in range(100)]


async def test_a_stream_where_the_provider_does_not_stream_is_refused(pair, registry, sandbox):
    await registry.execute("""UPDATE providers SET settings = '{"streaming": false}'""")
    await until(lambda: not pair.snapshot.providers["openai"].settings.streaming, "the setting")

    answer = await streamed(pair)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "stream")
    assert sandbox.log == []


async def test_a_drain_lets_a_running_stream_finish(pair, sandbox):
    sandbox.behave("gpt-4", Behaviour(chunks=10, gap_s=0.03))
    running = asyncio.create_task(streamed(pair))
    await sandbox.wait_for(lambda log: bool(log) and len(log[0].events) > 2)

    pair.server.should_exit = True
    answer = await running

    assert events(answer)[-1] == "[DONE]"
