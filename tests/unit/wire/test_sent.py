import pytest

from gateway.wire import sent
from gateway.wire.sent import CannotJoin, Sent


class Pieces:
    """Fits `Told`: keeps what it reads, and refuses a piece that says `no`."""

    def __init__(self):
        self.seen = []

    @property
    def characters(self):
        return len(b"".join(self.seen))

    def read(self, pieces):
        self.seen += pieces
        if b"no" in pieces:
            raise CannotJoin

    def splicer(self):
        return tuple(self.seen)


def test_pieces_are_read_once_and_in_their_order(monkeypatch):
    monkeypatch.setattr(sent, "READ_EVERY_BYTES", 5)
    told = Pieces()
    so_far = Sent(told)

    so_far.add(b"abcd")
    assert told.seen == []
    so_far.add(b"e")
    assert told.seen == [b"abcd", b"e"]
    so_far.add(b"f")

    assert so_far.splicer() == (b"abcd", b"e", b"f")


@pytest.mark.parametrize("pieces", [[b"no"], [b"yes", b"no", b"yes"], [b"x" * 101]], ids=["first", "between", "long"])
def test_what_cannot_be_put_together_is_not_kept(monkeypatch, pieces):
    monkeypatch.setattr(sent, "READ_EVERY_BYTES", 1)
    monkeypatch.setattr(sent, "MAX_TEXT", 100)
    told = Pieces()
    so_far = Sent(told)

    for piece in pieces:
        so_far.add(piece)

    assert so_far.splicer() is None
    assert (so_far._told, so_far._pieces) == (None, [])
    assert len(told.seen) == len(pieces[:2])


def test_the_last_pieces_may_be_too_much():
    so_far = Sent(Pieces())

    so_far.add(b"no")

    assert so_far.splicer() is None
