"""`python -m tests.simulation`, which plays millions of calls."""

import pytest

from tests.simulation.__main__ import play, read_plays, summary


@pytest.mark.parametrize("options", [(), ("--without-headers",)], ids=["headers", "none"])
def test_calls_are_divided_among_worlds_that_each_use_their_limits(options):
    plays = read_plays(["--accounts", "8", "--calls", "6000", "--worlds", "2", *options])
    played = [play(one) for one in plays]

    assert played[0][0] != played[1][0]  # another seed
    assert all(result.goodput >= 0.97 for result, _ in played)
    assert summary(plays, played, 1.5).startswith("6,000 calls in 2 worlds, 100 s of their time, 1.5 s of ours: ")
