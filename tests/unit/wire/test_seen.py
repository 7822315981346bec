import pytest

from gateway.core.outcome import ErrorBody
from gateway.wire.seen import Seen


def test_nothing_has_been_seen_at_first():
    seen = Seen()

    assert not seen.is_over
    assert (seen.error, seen.usage, seen.object_id, seen.events, seen.left_out) == (None, None, None, 0, 0)
    assert (seen.has_content, seen.is_json) == (False, False)


@pytest.mark.parametrize(("fact", "value"), [("is_done", True), ("is_broken", True), ("error", ErrorBody())])
def test_an_end_a_break_and_an_error_end_the_reading(fact, value):
    seen = Seen()

    setattr(seen, fact, value)

    assert seen.is_over


@pytest.mark.parametrize("fact", ["has_content", "is_json"])
def test_content_alone_ends_nothing(fact):
    seen = Seen()

    setattr(seen, fact, True)

    assert not seen.is_over
