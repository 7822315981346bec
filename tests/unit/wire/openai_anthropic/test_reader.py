import pytest

from gateway.core.call import Usage
from gateway.core.outcome import ErrorBody
from gateway.wire.endpoints import find
from gateway.wire.openai_anthropic.reader import TranslatedReader
from gateway.wire.sse import DONE
from tests.unit.wire.openai_anthropic.samples import BEGIN_TEXT, HELLO, PING, STOP, event, start, text

CHAT = find("POST", "/chat/completions")


def reader(*, hides_usage=True) -> TranslatedReader:
    return TranslatedReader(CHAT, hides_usage=hides_usage, created=1)


@pytest.mark.parametrize("size", [1, 5, 1 << 20])
def test_what_is_known_of_a_translated_stream_is_known_as_of_any_other(size):
    read, stream = reader(), b"".join(HELLO)

    sent = b"".join(read.feed(stream[at : at + size]) for at in range(0, len(stream), size))

    assert sent.endswith(DONE)
    assert b'"usage"' not in sent
    assert (read.has_content, read.is_done, read.is_finished, read.is_broken) == (True, True, True, False)
    assert read.usage == Usage(35, 9, 20, cache_write_tokens=3)
    assert read.object_id == "msg_1"
    assert read.finish() == b""


def test_the_role_and_keep_alives_are_no_content():
    read = reader()

    read.feed(start() + BEGIN_TEXT + PING)

    assert (read.has_content, read.events) == (False, 1)


def test_usage_that_was_asked_for_goes_on():
    assert b'"usage"' in reader(hides_usage=False).feed(b"".join(HELLO))


def test_a_stream_without_its_stop_gets_its_end():
    read = reader(hides_usage=False)
    read.feed(b"".join(HELLO[:-1]))

    added = read.finish()

    assert added is not None
    assert b'"total_tokens":44' in added
    assert added.endswith(DONE)


def test_a_cut_stream_has_no_end():
    read = reader()
    read.feed(b"".join(HELLO[:4]))

    assert read.finish() is None


def test_a_lost_piece_breaks_the_stream():
    read = reader()
    sent = read.feed(start() + BEGIN_TEXT + text("a") + b'data: {"type":"content_block_delta","delta":{"t\n\n')

    assert b'"a"' in sent
    assert (read.is_broken, read.is_over, read.feed(STOP)) == (True, True, b"")


def test_what_comes_behind_the_end_breaks_nothing():
    read = reader()
    read.feed(b"".join(HELLO) + b'data: {"delta"\n\n')

    assert (read.is_done, read.is_broken) == (True, False)


def test_an_error_event_is_the_error():
    read = reader()
    read.feed(start() + event("error", error={"type": "overloaded_error", "message": "Overloaded"}))

    assert read.error == ErrorBody("Overloaded", "service_unavailable_error", "server_is_overloaded", is_readable=True)


def test_a_json_body_in_place_of_a_stream_is_read_at_its_end():
    read = reader()
    read.feed(b'{"type":"error","error":{"type":"api_error","message":"x"}}')

    assert read.finish() is None
    assert read.error == ErrorBody("x", "api_error", is_readable=True)
