import json

import pytest

from gateway.wire.surrogates import without_surrogates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b'"\\ud83d"', "\ufffd", id="first-half"),
        pytest.param(b'"\\uDE00x"', "\ufffdx", id="second-half"),
        pytest.param(b'"\\ud83d\\ude00"', "\ufffd\ufffd", id="whole-pair"),
        pytest.param(b'"\\u00e9"', "é", id="no-half"),
        pytest.param(b'"\\\\ud83d"', "\\ufffd", id="behind-a-backslash-it-stays-valid"),
    ],
)
def test_halves_are_replaced_and_json_stays_valid(text, expected):
    assert json.loads(without_surrogates(text)) == expected
