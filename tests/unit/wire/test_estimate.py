import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.endpoints import find
from gateway.wire.envelope import read_envelope
from gateway.wire.estimate import charged_tokens, prompt_tokens

CHAT, RESPONSES = find("POST", "/chat/completions"), find("POST", "/responses")
IMAGE = "data:image/png;base64," + "A" * 400_000


def estimate(**fields):
    body = json.dumps({"model": "gpt-4o", **fields}).encode()
    return charged_tokens(body, json.loads(body))


def said(*contents):
    return [{"role": "user", "content": content} for content in contents]


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        pytest.param({"messages": said("word" * 100)}, 100, id="a-message"),
        pytest.param({"messages": said("word" * 100, "ab", "abc")}, 102, id="messages-together"),
        pytest.param({"messages": said([{"type": "text", "text": "word" * 7}, {"text": "word"}])}, 8, id="parts"),
        pytest.param({"messages": said("\u00e9\u4f60\n\t" * 10)}, 10, id="characters-not-bytes"),
        pytest.param({"messages": said("a")}, 1, id="a-part-of-a-token-is-one"),
        pytest.param({"messages": said("")}, 1, id="nothing-is-one-too"),
        pytest.param({"input": "word" * 9}, 9, id="an-input"),
        pytest.param({"input": ["word" * 9, "word"]}, 10, id="inputs"),
        pytest.param({"input": said("word"), "instructions": "word" * 5}, 6, id="instructions"),
        pytest.param({"prompt": "word" * 3}, 3, id="a-prompt"),
        pytest.param({"messages": said("word"), "max_tokens": 50, "n": 3}, 150, id="answers-cost-more"),
    ],
)
def test_of_texts_the_characters_are_charged(fields, tokens):
    assert estimate(**fields) == tokens


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"messages": said("hi"), "tools": [{"name": "x" * 400}]}, id="tools"),
        pytest.param({"messages": said("hi"), "functions": [{"name": "x" * 400}]}, id="functions"),
        pytest.param({"messages": said([{"image_url": {"url": "https://x/" + "x" * 400}}])}, id="an-image"),
        pytest.param({"messages": [{"role": "assistant", "tool_calls": ["x" * 400]}]}, id="calls-of-tools"),
        pytest.param({"messages": {"content": "x" * 400}}, id="no-list"),
        pytest.param({"input": [12345] * 80}, id="tokens"),
        pytest.param({"input": [[12345] * 80]}, id="lists-of-tokens"),
        pytest.param({"user": "x" * 400}, id="no-prompt"),
    ],
)
def test_of_anything_else_all_that_was_written(fields):
    assert 100 <= estimate(**fields) <= 160


def test_an_inline_image_is_not_charged_by_its_length():
    assert estimate(messages=said([{"image_url": {"url": IMAGE}}, {"text": "see", "url": IMAGE}])) < 100


@pytest.mark.parametrize("prompt", [["a"] * 3000, said([{"text": "a"}] * 100)])
def test_long_lists_are_not_walked_over(prompt):
    body = json.dumps({"input": prompt}).encode()

    assert charged_tokens(body, {"input": prompt}) == len(body) // 4


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        pytest.param(b'{"x":"' + b"a" * 392 + b'"}', 100, id="a-quarter-of-the-characters"),
        pytest.param(b'{"max_completion_tokens":300,"max_tokens":9000}', 300, id="the-newer-name-first"),
        pytest.param(b'{"max_tokens":"many","n":true}', 7, id="wrong-types-do-not-count"),
        pytest.param(b'{"max_tokens":-5}', 4, id="negative-does-not-count"),
        pytest.param(b'{"max_tokens":1e300}', 5, id="a-float-does-not-count"),
        pytest.param(b'{"max_tokens":99999999999999999999999}', 1_000_000_000, id="nonsense-is-cut"),
    ],
)
def test_tokens_are_estimated_as_they_are_charged_at_admission(body, tokens):
    assert read_envelope(body, CHAT).estimated_tokens == tokens


def test_a_response_is_charged_by_its_longest_output():
    body = b'{"model":"gpt-4","input":"hi","max_output_tokens":900}'

    assert read_envelope(body, RESPONSES).estimated_tokens == 900


def test_a_prompt_is_charged_by_its_characters_without_its_files_and_its_cache():
    image = b'{"url":"data:image/png;base64,' + b"A" * 100_000 + b'"}'

    assert prompt_tokens(b'{"messages":"' + b"x" * 400 + b'","max_tokens":9999}') == 108
    assert prompt_tokens(image) < 20
    assert prompt_tokens(b'{"cache_control":{}' + b" " * 4000 + b"}") == 1
    assert prompt_tokens(b"{}") == 1


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["content", "text", "role"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["messages", "input", "prompt", "instructions", "tools"]), ANYTHING))
def test_whatever_a_body_is_there_is_an_estimate(fields):
    assert 1 <= estimate(**fields) <= len(json.dumps(fields)) + 20
