import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.globs import matches, model_set


@pytest.mark.parametrize(
    ("name", "patterns", "expected"),
    [
        pytest.param("gpt-4", ("gpt-4",), True, id="exact"),
        pytest.param("gpt-4o", ("gpt-4",), False, id="exact-is-no-prefix"),
        pytest.param("gpt-4o", ("gpt-*",), True, id="prefix"),
        pytest.param("gpt-", ("gpt-*",), True, id="star-fits-nothing-too"),
        pytest.param("o1", ("gpt-*", "o?"), True, id="one-character"),
        pytest.param("o10", ("gpt-*", "o?"), False, id="one-character-only"),
        pytest.param("meta/llama-3-70b", ("*/llama-*-70b",), True, id="stars-in-the-middle"),
        pytest.param("meta/llama-3-8b", ("*/llama-*-70b",), False, id="stars-in-the-middle-refuse"),
        pytest.param("ft:gpt-4o:a.b", ("ft:*:a.b", "x?"), True, id="a-dot-is-a-dot"),
        pytest.param("ft:gpt-4o:axb", ("ft:*:a.b",), False, id="a-dot-is-only-a-dot"),
        pytest.param("a1", ("[ab]?",), False, id="brackets-mean-nothing"),
        pytest.param("[ab]1", ("[ab]?",), True, id="brackets-are-text"),
        pytest.param("gpt-4", ("GPT-4",), True, id="patterns-in-capitals"),
        pytest.param("anything", ("*",), True, id="everything"),
        pytest.param("gpt-4", (), False, id="no-patterns-fit-nothing"),
    ],
)
def test_name_is_matched_against_exact_names_and_globs(name, patterns, expected):
    assert matches(name, patterns) is expected


def test_many_stars_do_not_make_matching_slow():
    patterns = model_set(["*a" * 40 + "b"])

    assert not patterns.has("a" * 3000)


@given(st.text(alphabet="ab-*?", max_size=8), st.text(alphabet="ab-", max_size=8))
def test_matching_agrees_with_the_definition_of_a_glob(pattern, name):
    def fits(pattern, name):
        if not pattern:
            return not name
        if pattern[0] == "*":
            return fits(pattern[1:], name) or (bool(name) and fits(pattern, name[1:]))
        return bool(name) and pattern[0] in {"?", name[0]} and fits(pattern[1:], name[1:])

    assert matches(name, (pattern,)) == fits(pattern, name)
