"""A batch's file in parts: read and joined, they say what the file says as a whole."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.batch_upload import BatchPart
from gateway.core.errors import InvalidCall
from gateway.wire import batch_parts
from gateway.wire.batch_lines import BatchLines
from gateway.wire.batch_parts import PartReader, join

LINES = [
    b'{"custom_id":"a","body":{"model":"gpt-4","input":"hi"}}',
    b"",
    b'{"body":{"model":"gpt-4o","input":[{"type":"input_file","file_id":"file-1"}]}}',
    b"not json",
    b'{"body":{"model":"ft:gpt-4:o::1","previous_response_id":"resp_1"}}\r',
    b"[1]",
    b'{"body":{"model":"gpt-4","input":"said \\"file_id\\""}}',
]
FILES = st.lists(st.sampled_from(LINES), max_size=8).flatmap(
    lambda lines: st.sampled_from([b"\n".join(lines), b"\n".join(lines) + b"\n"])
)


def part_of(content: bytes, piece: int = 7) -> tuple[PartReader, BatchPart]:
    reader = PartReader()
    for at in range(0, len(content), piece):
        reader.feed(content[at : at + piece])
    return reader, reader.finish()


def said(*read: BatchLines) -> tuple[set[str], set[str]]:
    return {model for one in read for model in one.models}, {named.id for one in read for named in one.references}


def whole(file: bytes) -> BatchLines:
    lines = BatchLines()
    lines.feed(file)
    lines.finish()
    return lines


@given(FILES, st.lists(st.integers(0, 500), max_size=6), st.integers(1, 40))
def test_parts_say_what_the_file_says_however_it_is_cut(file: bytes, cuts: list[int], piece: int) -> None:
    places = [0, *sorted(cut % (len(file) + 1) for cut in cuts), len(file)]
    read = [part_of(file[start:end], piece) for start, end in pairwise(places)]
    joined, expected = BatchLines(), whole(file)
    for _, part in read:
        join(joined, part)
    joined.finish()

    readers = [reader.lines for reader, _ in read]
    assert said(joined, *readers) == said(expected)
    assert joined.lines == expected.lines
    is_unread = any(one.unread is not None for one in (joined, *readers))
    assert is_unread == (expected.unread is not None)


def test_a_line_is_numbered_as_it_stands_in_its_part_and_in_the_file() -> None:
    first, one = part_of(b"\n".join([LINES[0]] * 4) + b'\n{"body":{"model":"gpt-4","prev')
    second, two = part_of(b'ious_response_id":"resp_9"}}\n' + LINES[0] + b"\n" + LINES[2] + b"\n")
    joined = BatchLines()
    for part in (one, two):
        join(joined, part)

    assert (one.lines, two.lines) == (3, 2)
    assert first.lines.references == []
    assert [named.param for named in second.lines.references] == ["data[2].input[0].file_id"]
    assert [named.param for named in joined.references] == ["file[4].previous_response_id"]


def test_an_end_that_is_too_long_is_not_kept_and_refuses_whose_ids_are_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_parts, "MAX_END_BYTES", 10)

    for content in (b"x" * 11, b"x" * 11 + b"\nab", b"ab\n" + b"x" * 11):
        reader, part = part_of(content)

        assert b"x" not in part.first + part.last
        reader.check(is_owned=False)
        with pytest.raises(InvalidCall, match="Cut the file at line ends"):
            reader.check(is_owned=True)
    reader, part = part_of(b"x" * 10 + b"\n" + b"y" * 10)
    reader.check(is_owned=True)
    assert part == BatchPart(b"x" * 10, b"y" * 10, 0, has_line_end=True)
    assert part.held_bytes == 20


def test_a_whole_line_that_cannot_be_read_refuses_whose_ids_are_guarded() -> None:
    reader, _ = part_of(b"beg\nnot json\nun")

    with pytest.raises(InvalidCall, match="Line 2 of the data"):
        reader.check(is_owned=True)


def test_no_line_end_is_one_end() -> None:
    assert part_of(b"abc")[1] == BatchPart(b"abc", b"", 0, has_line_end=False)
    assert part_of(b"")[1] == BatchPart(b"", b"", 0, has_line_end=False)
