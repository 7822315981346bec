import msgspec
import pytest

from gateway.core.errors import InvalidCall
from gateway.wire import lenient
from gateway.wire.lenient import MAX_NESTED, MAX_VALUES, check_values, decode_leniently

PADDING = b" " * 1_048_576


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" + b"{}," * MAX_NESTED + b"1]", id="objects"),
        pytest.param(b"[" + b"[]," * MAX_NESTED + b"1]", id="arrays"),
        pytest.param(b"[" + b"1," * MAX_VALUES + b"1]", id="numbers"),
        pytest.param(b'["[{,",' + b'"",' * MAX_VALUES + b"1]", id="texts"),
    ],
)
def test_more_values_than_a_worker_should_decode_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidCall) as refused:
        decode_leniently(body + PADDING)

    assert (refused.value.status, refused.value.code) == (413, "request_too_large")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"text": 'if (x) { return ["a", \\"b\\"]; }\n' * 250_000}, id="brackets-in-a-text"),
        pytest.param({"input": [[1, 2, 3]] * 60_000, "image": "x" * 1_048_576}, id="arrays"),
        pytest.param([0] * (MAX_VALUES - 1), id="numbers"),
        pytest.param([[]] * (MAX_NESTED - 1), id="as-many-arrays-as-may-be"),
    ],
)
def test_what_a_caller_may_need_is_decoded(value: object) -> None:
    assert decode_leniently(msgspec.json.encode(value)) == value


def test_a_body_need_not_be_large_to_hold_too_many() -> None:
    body = b"[" + b"[]," * MAX_NESTED + b"1]"

    with pytest.raises(InvalidCall):
        decode_leniently(body)

    assert len(body) < 1_048_576


def test_a_short_body_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lenient, "_count", None)

    check_values(b"[" * MAX_NESTED)
