import os
import re

import pytest

from gateway.telemetry.writer import LineWriter


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_lines_come_out_whole_and_in_order(tmp_path):
    with (tmp_path / "log").open("w+b") as file:
        writer = LineWriter(file.fileno())

        for number in range(1_000):
            writer.write(b"%d\n" % number)
        writer.close()

        file.seek(0)
        assert file.read() == b"".join(b"%d\n" % number for number in range(1_000))


def test_flush_writes_what_is_held_long_before_the_interval(pipe):
    writer = LineWriter(pipe[1], interval_s=60.0)
    writer.write(b"one\n")

    assert writer.flush(timeout_s=5.0)

    assert os.read(pipe[0], 100) == b"one\n"
    writer.close()


def test_a_full_batch_does_not_wait_for_the_interval(pipe):
    writer = LineWriter(pipe[1], interval_s=60.0, flush_bytes=8)

    writer.write(b"one\n")
    writer.write(b"two\n")

    assert os.read(pipe[0], 8) == b"one\ntwo\n"
    writer.close()


def test_a_reader_that_reads_nothing_costs_lines_and_never_blocks(pipe):
    line = b"x" * 1_023 + b"\n"
    writer = LineWriter(pipe[1], max_bytes=300 * 1_024, dropped_line=lambda count: b"lost %d\n" % count)

    for _ in range(400):
        writer.write(line)
    lost = writer.dropped
    got = b""
    while got.count(line) < 400 - lost:
        got += os.read(pipe[0], 1 << 16)
    assert writer.flush(timeout_s=5.0)
    writer.write(b"again\n")
    while not re.search(rb"again\n(lost \d+\n)?$", got):
        got += os.read(pipe[0], 1 << 16)
    writer.close()

    assert lost >= 100
    assert got.count(line) + lost == 400
    assert sum(int(count) for count in re.findall(rb"lost (\d+)\n", got)) == lost


def test_a_closed_pipe_drops_lines_and_counts_them():
    reader, end = os.pipe()
    os.close(reader)
    writer = LineWriter(end)

    writer.write(b"one\n")
    writer.write(b"two\n")
    writer.close()

    assert writer.dropped == 2
    os.close(end)


def test_output_that_somebody_made_non_blocking_is_waited_for(pipe):
    os.set_blocking(pipe[1], False)
    writer = LineWriter(pipe[1])
    text = b"x" * (1 << 20) + b"\n"

    writer.write(text)
    got = b""
    while len(got) < len(text):
        got += os.read(pipe[0], 1 << 16)
    writer.close()

    assert got == text
    assert writer.dropped == 0


def test_close_gives_up_on_a_reader_that_reads_nothing(pipe):
    writer = LineWriter(pipe[1])
    writer.write(b"x" * (1 << 20))

    writer.close(timeout_s=0.01)

    os.read(pipe[0], 1 << 20)
    while writer._thread is not None and writer._thread.is_alive():
        os.read(pipe[0], 1 << 20)
        writer._thread.join(0.01)


def test_lines_after_close_are_counted_as_lost(pipe):
    writer = LineWriter(pipe[1])
    writer.close()

    writer.write(b"late\n")

    assert writer.dropped == 1
