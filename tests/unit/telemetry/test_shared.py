import pytest
from prometheus_client.mmap_dict import MmapedDict

from gateway.telemetry.series import Counter, Files
from gateway.telemetry.shared import SharedDoubles


def read(path) -> dict[str, float]:
    return {key: value for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path))}


def test_values_are_what_prometheus_client_reads(tmp_path):
    doubles = SharedDoubles(tmp_path / "x.db", is_continued=False)
    keys = ["k" * length for length in range(1, 60)] + ["naïve"]

    for number, key in enumerate(keys):
        doubles.view[doubles.index_of(key)] += number + 0.5

    assert read(tmp_path / "x.db") == {key: number + 0.5 for number, key in enumerate(keys)}
    doubles.close()


def test_a_key_keeps_its_place(tmp_path):
    doubles = SharedDoubles(tmp_path / "x.db", is_continued=False)

    assert doubles.index_of("a") == doubles.index_of("a") != doubles.index_of("b")
    doubles.close()


@pytest.mark.parametrize(("is_continued", "value"), [(True, 7.0), (False, 0.0)])
def test_values_of_a_predecessor_go_on_or_are_emptied(tmp_path, is_continued, value):
    before = SharedDoubles(tmp_path / "x.db", is_continued=False)
    before.view[before.index_of("a")] = 7.0
    before.close()

    after = SharedDoubles(tmp_path / "x.db", is_continued=is_continued)

    assert after.view[after.index_of("a")] == value
    after.index_of("b")
    assert read(tmp_path / "x.db") == {"a": value, "b": 0.0}
    after.close()


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff" * 40, b"\x40\x00\x00\x00" + b"\0" * 4 + b"\xff\xff\xff\x7f" + b"\0" * 60]
)
def test_a_broken_file_is_started_anew(tmp_path, garbage):
    (tmp_path / "x.db").write_bytes(garbage)

    doubles = SharedDoubles(tmp_path / "x.db", is_continued=True)
    doubles.view[doubles.index_of("a")] = 1.0

    assert read(tmp_path / "x.db") == {"a": 1.0}
    doubles.close()


def test_a_full_file_goes_on_counting_unseen(tmp_path):
    doubles = SharedDoubles(tmp_path / "x.db", is_continued=False, capacity=16_384)

    for number in range(1_000):
        doubles.view[doubles.index_of(f"some rather long key {number}")] += 1.0

    found = read(tmp_path / "x.db")
    assert 100 < len(found) < 1_000
    assert set(found.values()) == {1.0}
    doubles.close()


def test_a_full_disk_costs_series_and_no_more(tmp_path, monkeypatch):
    doubles = SharedDoubles(tmp_path / "x.db", is_continued=False)

    def refuse(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    for number in range(2_000):
        doubles.view[doubles.index_of(f"some rather long key {number}")] += 1.0

    assert 100 < len(read(tmp_path / "x.db")) < 2_000
    doubles.close()


def test_a_file_has_one_writer(tmp_path):
    first = SharedDoubles(tmp_path / "x.db", is_continued=True)

    with pytest.raises(BlockingIOError):
        SharedDoubles(tmp_path / "x.db", is_continued=True)

    first.close()


def test_a_family_holds_a_bounded_number_of_label_sets(tmp_path):
    files = Files(tmp_path, "0")
    counter = Counter(files, "x_total", "X.", ("a", "b"), max_series=2)

    for number in range(10):
        counter.inc((str(number), "b"))

    found = read(tmp_path / "counter_0.db")
    assert sorted(found.values()) == [1.0, 1.0, 8.0]
    assert any('"a": "other", "b": "other"' in key for key in found)
    files.close()
