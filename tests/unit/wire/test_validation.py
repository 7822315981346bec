import pytest

from gateway.core.errors import InvalidCall
from gateway.core.snapshot import Validation
from gateway.wire.endpoints import ENDPOINTS, find
from gateway.wire.validation import RULES, check

CHAT = find("POST", "/chat/completions")
COMPLETIONS = find("POST", "/completions")
MESSAGES = [{"role": "user", "content": "hi"}]
BOTH = [Validation.TYPES, Validation.RANGES]


def refusal(fields, endpoint=CHAT, level=Validation.RANGES):
    with pytest.raises(InvalidCall) as caught:
        check(fields, endpoint, level)
    assert caught.value.status == 400
    return caught.value


def chat(**fields):
    return {"model": "gpt-4o", "messages": MESSAGES, **fields}


def test_every_row_of_rules_is_an_endpoint():
    assert set(RULES) <= {endpoint.name for endpoint in ENDPOINTS}


@pytest.mark.parametrize("level", BOTH)
@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        pytest.param({}, "messages", "missing_required_parameter", id="no-messages"),
        pytest.param({"messages": None}, "messages", "missing_required_parameter", id="null-messages"),
        pytest.param({"messages": []}, "messages", "empty_array", id="empty-messages"),
        pytest.param({"messages": "hi"}, "messages", "invalid_type", id="messages-text"),
        pytest.param({"messages": {"role": "user"}}, "messages", "invalid_type", id="messages-object"),
        pytest.param({"messages": ["hi"]}, "messages[0]", "invalid_type", id="message-text"),
        pytest.param({"messages": [*MESSAGES, {}]}, "messages[1].role", "missing_required_parameter", id="no-role"),
        pytest.param({"messages": [{"role": 5}]}, "messages[0].role", "invalid_type", id="role-number"),
        pytest.param({"messages": [{"role": ["user"]}]}, "messages[0].role", "invalid_type", id="role-array"),
        pytest.param({"messages": [{"role": "robot"}]}, "messages[0].role", "invalid_value", id="role-unknown"),
        pytest.param(
            {"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_type", id="content-number"
        ),
        pytest.param(
            {"messages": [{"role": "tool", "content": {}}]}, "messages[0].content", "invalid_type", id="content-object"
        ),
        pytest.param(chat(user=5), "user", "invalid_type", id="user-number"),
        pytest.param(chat(store="yes"), "store", "invalid_type", id="store-text"),
        pytest.param(chat(metadata="a"), "metadata", "invalid_type", id="metadata-text"),
        pytest.param(chat(modalities="text"), "modalities", "invalid_type", id="modalities-text"),
        pytest.param(chat(tool_choice=5), "tool_choice", "invalid_type", id="tool-choice-number"),
        pytest.param(chat(parallel_tool_calls=1), "parallel_tool_calls", "invalid_type", id="parallel-number"),
        pytest.param(chat(temperature="0.5"), "temperature", "invalid_type", id="temperature-text"),
        pytest.param(chat(temperature=True), "temperature", "invalid_type", id="temperature-boolean"),
        pytest.param(chat(top_p=[]), "top_p", "invalid_type", id="top-p-array"),
        pytest.param(chat(n=1.0), "n", "invalid_type", id="n-float"),
        pytest.param(chat(n=True), "n", "invalid_type", id="n-boolean"),
        pytest.param(chat(n=0), "n", "integer_below_min_value", id="n-zero"),
        pytest.param(chat(max_tokens=0), "max_tokens", "integer_below_min_value", id="max-tokens-zero"),
        pytest.param(chat(max_tokens="5"), "max_tokens", "invalid_type", id="max-tokens-text"),
        pytest.param(
            chat(max_completion_tokens=-1), "max_completion_tokens", "integer_below_min_value", id="max-completion"
        ),
        pytest.param(chat(tools={}), "tools", "invalid_type", id="tools-object"),
        pytest.param(chat(response_format="json"), "response_format", "invalid_type", id="format-text"),
        pytest.param(chat(logit_bias=[]), "logit_bias", "invalid_type", id="logit-bias-array"),
        pytest.param(chat(stop=5), "stop", "invalid_type", id="stop-number"),
        pytest.param(chat(stream_options=True), "stream_options", "invalid_type", id="stream-options-boolean"),
        pytest.param(chat(seed=1.5), "seed", "invalid_type", id="seed-float"),
        pytest.param(chat(logprobs="yes"), "logprobs", "invalid_type", id="logprobs-text"),
    ],
)
def test_wrong_types_are_refused_for_every_kind(fields, param, code, level):
    error = refusal(fields, level=level)

    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        pytest.param(chat(temperature=2.1), "temperature", "decimal_above_max_value", id="temperature-above"),
        pytest.param(chat(temperature=3), "temperature", "integer_above_max_value", id="temperature-integer"),
        pytest.param(chat(temperature=-0.1), "temperature", "decimal_below_min_value", id="temperature-below"),
        pytest.param(chat(temperature=10**400), "temperature", "integer_above_max_value", id="temperature-huge"),
        pytest.param(chat(top_p=1.5), "top_p", "decimal_above_max_value", id="top-p"),
        pytest.param(chat(frequency_penalty=-2.5), "frequency_penalty", "decimal_below_min_value", id="frequency"),
        pytest.param(chat(presence_penalty=2.5), "presence_penalty", "decimal_above_max_value", id="presence"),
        pytest.param(chat(n=129), "n", "integer_above_max_value", id="n"),
        pytest.param(chat(max_tokens=131_073), "max_tokens", "integer_above_max_value", id="max-tokens"),
        pytest.param(chat(logprobs=True, top_logprobs=21), "top_logprobs", "integer_above_max_value", id="logprobs"),
        pytest.param(chat(top_logprobs=5), "top_logprobs", "invalid_value", id="top-logprobs-alone"),
        pytest.param(chat(top_logprobs=0, logprobs=False), "top_logprobs", "invalid_value", id="logprobs-false"),
        pytest.param(chat(stop=["a"] * 5), "stop", "array_above_max_length", id="stop-five"),
        pytest.param(chat(stop=["a", ""]), "stop[1]", "empty_string", id="stop-holds-empty"),
        pytest.param(chat(stop=""), "stop", "empty_string", id="stop-empty"),
        pytest.param(chat(stop=["a", 1]), "stop[1]", "invalid_type", id="stop-holds-number"),
    ],
)
def test_documented_ranges_are_checked_at_their_level_alone(fields, param, code):
    error = refusal(fields)

    assert (error.param, error.code) == (param, code)
    check(fields, CHAT, Validation.TYPES)


@pytest.mark.parametrize("level", BOTH)
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(chat(), id="nothing-else"),
        pytest.param(chat(temperature=0, top_p=1, n=1, max_tokens=131_072), id="bounds"),
        pytest.param(chat(max_tokens=0, max_completion_tokens=0), id="both-limits-are-the-upstreams-word"),
        pytest.param(chat(temperature=2.0, frequency_penalty=-2, presence_penalty=2, n=128), id="other-bounds"),
        pytest.param(chat(temperature=None, n=None, stop=None, tools=None, top_logprobs=None), id="nulls"),
        pytest.param(chat(stop=["a", "b", "c", "d"], logprobs=True, top_logprobs=20), id="four-stops"),
        pytest.param(chat(stop=[]), id="no-stops"),
        pytest.param(chat(brand_new={"deep": []}, reasoning_effort="ultra", service_tier=7), id="unknown-parameters"),
        pytest.param(
            {"messages": [{"role": role, "content": "a"} for role in ("developer", "system", "user", "tool")]},
            id="roles",
        ),
        pytest.param({"messages": [{"role": role} for role in ("assistant", "function")]}, id="roles-without-content"),
        pytest.param({"messages": [{"role": "assistant", "content": None, "tool_calls": []}]}, id="null-content"),
        pytest.param({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, id="content-parts"),
        pytest.param(chat(tools=[{"type": "novel"}], response_format={"type": "novel"}), id="kinds-that-grow"),
    ],
)
def test_what_is_documented_or_unknown_passes(fields, level):
    check(fields, CHAT, level)


@pytest.mark.parametrize("role", ["developer", "system", "user", "tool"])
@pytest.mark.parametrize("content", [{}, {"content": None}])
def test_a_message_without_content_is_refused_where_openai_serves_it(role, content):
    fields = {"messages": [*MESSAGES, {"role": role, **content}]}

    error = refusal(fields)

    assert (error.param, error.code) == ("messages[1].content", "missing_required_parameter")
    check(fields, CHAT, Validation.TYPES)


def test_off_checks_nothing():
    check({"messages": 5, "temperature": "hot"}, CHAT, Validation.OFF)


def test_an_endpoint_without_rules_passes():
    check({"anything": 1}, find("GET", "/models"), Validation.RANGES)


def test_messages_read_like_openais():
    error = refusal(chat(temperature=2.5))

    assert error.message == (
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 instead."
    )
    assert refusal(chat(n=0)).message == (
        "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead."
    )
    assert refusal(chat(max_tokens="5")).message == (
        "Invalid type for 'max_tokens': expected an integer, but got a string instead."
    )
    assert refusal({}).message == "Missing required parameter: 'messages'."


def test_messages_are_short_however_long_the_value():
    assert len(refusal({"messages": [{"role": "x" * 10_000}]}).message) < 250
    assert len(refusal(chat(temperature=10**4000)).message) < 150
    assert len(refusal(chat(temperature=1e200)).message) < 150


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        pytest.param("/completions", {}, "prompt", id="no-prompt"),
        pytest.param("/completions", {"prompt": {}}, "prompt", id="prompt-object"),
        pytest.param("/completions", {"prompt": "a", "best_of": 21}, "best_of", id="best-of"),
        pytest.param("/completions", {"prompt": "a", "logprobs": 6}, "logprobs", id="logprobs"),
        pytest.param("/completions", {"prompt": "a", "max_tokens": -1}, "max_tokens", id="max-tokens"),
        pytest.param("/embeddings", {}, "input", id="no-input"),
        pytest.param("/embeddings", {"input": []}, "input", id="empty-input"),
        pytest.param("/embeddings", {"input": ""}, "input", id="empty-text"),
        pytest.param("/embeddings", {"input": ["a"] * 2049}, "input", id="too-many-inputs"),
        pytest.param("/embeddings", {"input": "a", "dimensions": 0}, "dimensions", id="dimensions"),
        pytest.param("/moderations", {"input": 5}, "input", id="moderated-number"),
        pytest.param("/images/generations", {"prompt": "a", "n": 11}, "n", id="eleven-images"),
        pytest.param("/images/generations", {"prompt": ["a"]}, "prompt", id="image-of-an-array"),
        pytest.param("/audio/speech", {"input": "a"}, "voice", id="no-voice"),
        pytest.param("/audio/speech", {"input": "a" * 4097, "voice": "alloy"}, "input", id="too-long-a-speech"),
        pytest.param("/audio/speech", {"input": "a", "voice": "alloy", "speed": 5}, "speed", id="too-fast"),
    ],
)
def test_each_endpoint_has_its_own_ranges(path, fields, param):
    assert refusal(fields, find("POST", path)).param == param


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param("text", id="text"),
        pytest.param("", id="empty-text"),
        pytest.param(["a", "b"], id="texts"),
        pytest.param([1, 2], id="tokens"),
        pytest.param([[1], [2]], id="token-lists"),
    ],
)
def test_every_documented_form_of_a_prompt_passes(prompt):
    check({"prompt": prompt, "max_tokens": 0, "logprobs": 5}, COMPLETIONS, Validation.RANGES)
