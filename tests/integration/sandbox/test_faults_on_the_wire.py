import asyncio

import pytest

from gateway.sandbox.errors import ERRORS
from gateway.sandbox.faults import Fault
from gateway.sandbox.server import Sandbox
from tests.fakes.sandbox_fixture import running_sandbox
from tests.integration.sandbox.raw_client import CHAT, STREAM, ask, connect, receive, written
from tests.waits import PATIENCE_S

BOTH = pytest.mark.parametrize("body", [pytest.param(CHAT, id="json"), pytest.param(STREAM, id="stream")])


@pytest.mark.parametrize("name", list(ERRORS))
async def test_named_error_is_answered_and_then_all_is_well(name: str) -> None:
    async with running_sandbox() as sandbox:
        sandbox.script(name)

        spoilt, well = await ask(sandbox.url, STREAM), await ask(sandbox.url, STREAM)

        assert spoilt.status == ERRORS[name].status
        assert well.status == 200
        assert [seen.fault for seen in sandbox.log] == [name, None]


async def test_error_carries_the_delays_and_words_it_was_given() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script(Fault("rate_limited", retry_after="7", retry_after_ms="6500", delay_text="6.5s", status=430))

        received = await ask(sandbox.url, CHAT)

        assert received.status == 430
        assert received.headers["retry-after"] == "7"
        assert received.headers["retry-after-ms"] == "6500"
        assert str(received.error["message"]).endswith("Please try again in 6.5s.")


async def test_error_names_no_delay_unless_it_was_given_one() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("rate_limited")

        received = await ask(sandbox.url, CHAT)

        assert not {"retry-after", "retry-after-ms"} & set(received.headers)
        assert "try again" not in str(received.error["message"])


@BOTH
async def test_reset_before_headers_sends_nothing(body: object) -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("reset_before_headers")

        received = await ask(sandbox.url, body)

        assert received.was_reset
        assert received.data == b""
        assert sandbox.log[0].status is None


async def test_close_before_headers_ends_in_order() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("close_before_headers")

        received = await ask(sandbox.url, CHAT)

        assert (received.data, received.was_reset) == (b"", False)


async def test_garbage_instead_of_http() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("garbage_http")

        assert not (await ask(sandbox.url, CHAT)).data.startswith(b"HTTP")


async def test_reset_in_a_stream_comes_after_the_events_it_was_told() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script(Fault("reset_in_body", after=3))

        received = await ask(sandbox.url, STREAM)

        assert received.was_reset
        assert received.events == 3
        assert received.body.endswith(b"\n\n\r\n")
        assert sandbox.log[0].answer.count(b"data: ") == 3


async def test_reset_in_a_json_answer_comes_after_half_of_it() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("reset_in_body")

        received = await ask(sandbox.url, CHAT)

        assert received.was_reset
        assert 0 < len(received.body) < int(received.headers["content-length"])


async def test_fault_with_after_0_comes_right_behind_the_head() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script([Fault("reset_in_body", after=0), Fault("truncated", after=0)])

        cut, empty = await ask(sandbox.url, STREAM), await ask(sandbox.url, STREAM)

        assert (cut.status, cut.body, cut.was_reset) == (200, b"", True)
        assert (empty.status, empty.body, empty.was_reset) == (200, b"0\r\n\r\n", False)


async def test_truncation_is_clean_in_its_framing_and_lacks_its_end() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("truncated")

        received = await ask(sandbox.url, STREAM)

        assert received.is_finished
        assert received.events == 2
        assert b"[DONE]" not in received.data


async def test_truncated_json_is_whole_in_its_framing() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("truncated")

        received = await ask(sandbox.url, CHAT)

        assert len(received.body) == int(received.headers["content-length"])
        assert not received.body.rstrip().endswith(b"}")


async def test_truncated_chunk_ends_without_the_last_chunk_and_without_a_reset() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("truncated_chunk")

        received = await ask(sandbox.url, STREAM)

        assert not received.is_finished
        assert not received.was_reset


async def test_error_as_the_first_event() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script(Fault("stream_error", after=0, error="overloaded"))

        received = await ask(sandbox.url, STREAM)

        assert received.status == 200
        assert received.events == 1
        assert b"server_is_overloaded" in received.body
        assert received.is_finished


async def test_error_in_the_middle_ends_the_stream_without_done() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script(Fault("stream_error", after=3))

        received = await ask(sandbox.url, STREAM)

        assert received.events == 4
        assert b"[DONE]" not in received.data


async def test_malformed_event_stands_among_the_others() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("malformed_event")

        received = await ask(sandbox.url, STREAM)

        assert b'{"content":"bro\n\n' in received.body
        assert b"[DONE]" in received.data


async def test_missing_done_is_all_that_is_missing() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("no_done")

        received = await ask(sandbox.url, STREAM)

        assert b'"finish_reason":"stop"' in received.data
        assert b"[DONE]" not in received.data
        assert received.is_finished


@pytest.mark.parametrize("kind", ["stall_before_headers", "stall_in_body", "slow_first_token"])
async def test_stall_goes_on_after_its_time(kind: str) -> None:
    async with running_sandbox() as sandbox:
        sandbox.script(Fault(kind, seconds=0.05))

        received = await ask(sandbox.url, STREAM)

        seen = sandbox.log[0]
        assert received.is_finished
        assert b"[DONE]" in received.data
        assert seen.ended_at is not None
        assert seen.ended_at - seen.at >= 0.05


@BOTH
async def test_stall_without_a_time_lasts_until_the_client_leaves(body: object) -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("stall_in_body")
        reader, writer = await connect(sandbox.url)
        writer.write(written(body))
        await reader.readuntil(b"\r\n\r\n")

        writer.close()
        await sandbox.wait_for(lambda log: log[0].is_hung_up)

        assert sandbox.log[0].ended_at is None


async def test_empty_body_is_a_200_with_nothing() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("empty_body")

        received = await ask(sandbox.url, STREAM)

        assert (received.status, received.body) == (200, b"")


async def test_garbage_body_is_a_200_that_cannot_be_read() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("garbage_body")

        received = await ask(sandbox.url, CHAT)

        assert (received.status, received.headers["content-type"]) == (200, "application/json")
        assert received.body.startswith(b"<<<")


async def test_json_error_with_200_on_a_stream() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script(Fault("json_error", error="insufficient_quota"))

        received = await ask(sandbox.url, STREAM)

        assert (received.status, received.headers["content-type"]) == (200, "application/json")
        assert received.error["code"] == "insufficient_quota"


async def test_raw_answer_is_sent_as_it_was_given() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script(Fault("raw", status=418, body="short and stout", headers={"Content-Type": "text/plain"}))

        received = await ask(sandbox.url, CHAT)

        assert (received.status, received.body) == (418, b"short and stout")
        assert received.headers["content-type"] == "text/plain"


async def test_slow_drip_sends_the_same_bytes_in_small_writes() -> None:
    async with running_sandbox() as sandbox:
        whole = await ask(sandbox.url, CHAT)
        sandbox.script(Fault("slow_drip", size=50, seconds=0.001))

        dripped = await ask(sandbox.url, CHAT)

        assert len(dripped.body) == len(whole.body)
        assert len(sandbox.log[1].events) > 10


async def test_refused_connections_are_accepted_again_on_the_same_port() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script("refuse")
        with pytest.raises(ConnectionRefusedError):
            await connect(sandbox.url)

        await sandbox.accept()

        assert (await ask(sandbox.url, CHAT)).status == 200


async def test_refusal_with_a_time_ends_by_itself() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script(Fault("refuse", seconds=0.01))

        assert await _first_answer(sandbox) == 200


async def test_refusal_closes_idle_connections() -> None:
    async with running_sandbox() as sandbox:
        reader, writer = await connect(sandbox.url)
        writer.write(written(CHAT))
        await sandbox.wait_for(lambda log: bool(log) and log[0].is_over)

        sandbox.refuse()

        await receive(reader)
        writer.close()
        assert sandbox.connections == 0


async def test_limit_refuses_a_call_and_leaves_its_fault_for_the_next() -> None:
    async with running_sandbox() as sandbox:
        sandbox.script([Fault("raw", status=429, body="{}"), "truncated"])

        refused, spoilt = await ask(sandbox.url, {"messages": []}), await ask(sandbox.url, STREAM)

        assert refused.status == 429
        assert sandbox.log[1].fault == "truncated"
        assert b"[DONE]" not in spoilt.data


async def _first_answer(sandbox: Sandbox) -> int:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return (await ask(sandbox.url, CHAT)).status
            except ConnectionRefusedError:
                continue
