import pytest

from gateway.core.errors import InvalidCall
from gateway.wire.query import first_of, has_flag, model_in, with_model, without


@pytest.mark.parametrize(
    ("query", "model"),
    [
        (b"", None),
        (b"model=gpt-4o", "gpt-4o"),
        (b"a=1&model=ft%3Agpt-4o%3Aa+b", "ft:gpt-4o:a b"),
        (b"model=", None),
        (b"my_model=x", None),
        (b"model=a&model=a&model=", "a"),
        (b"x=%20&mod%65l=a", "a"),
    ],
)
def test_the_model_of_a_query(query, model):
    assert model_in(query) == model


@pytest.mark.parametrize("query", [b"model=a&model=b", b"model=a&mod%65l=b"])
def test_two_models_are_refused(query):
    with pytest.raises(InvalidCall) as refused:
        model_in(query)
    assert (refused.value.param, refused.value.code) == ("model", "invalid_value")


def test_a_replaced_model_leaves_all_else():
    assert with_model(b"m%6fdel=a&model=a&my_model=a", "b") == b"model=b&model=b&my_model=a"
    assert with_model(b"x=%20&model=a&y", "ft:b c") == b"x=%20&model=ft%3Ab+c&y"
    assert with_model(b"x=1", "b") == b"x=1"


def test_a_flag_is_a_whole_parameter():
    assert has_flag(b"a=1&stream=true", b"stream")
    assert not has_flag(b"stream=false&upstream=true", b"stream")


NAMES = frozenset({"api-key", "authorization"})


@pytest.mark.parametrize(
    ("query", "value", "rest"),
    [
        (b"model=m", None, b"model=m"),
        (b"a=%20&api-key=gw%2D1&b", "gw-1", b"a=%20&b"),
        (b"Authorization=Bearer+x&api%2Dkey=y", "Bearer x", b""),
        (b"api-key=&x=1", None, b"x=1"),
        (b"", None, b""),
    ],
)
def test_parameters_are_taken_out_whatever_their_case(query, value, rest):
    assert first_of(query, NAMES) == value
    assert without(query, NAMES) == rest
