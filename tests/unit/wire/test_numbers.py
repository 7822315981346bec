import math

import msgspec
import pytest

from gateway.wire.numbers import decode_any_numbers


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b"[1e400, -1e400]", [math.inf, -math.inf], id="out-of-range"),
        pytest.param(b"[123456789012345678, -7]", [123456789012345678, -7], id="integers-stay"),
        pytest.param(b"9" * 20, 1e20, id="long-integer-is-a-float"),
        pytest.param(b'{"a": "\\ud83d"}', {"a": "\ud83d"}, id="half-a-pair-too"),
    ],
)
def test_any_number_is_read(body, value):
    assert decode_any_numbers(body) == value


@pytest.mark.parametrize("body", [b"NaN", b"[-Infinity]", b"[1e400,]", b'{"a": 1e400} x', b'"a\nb"'])
def test_what_is_no_json_stays_an_error(body):
    with pytest.raises(msgspec.DecodeError):
        decode_any_numbers(body)
