import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidCall
from gateway.core.snapshot import Validation
from gateway.wire.endpoints import find
from gateway.wire.openai_anthropic.request import HANDLED, JSON_ONLY, LEFT_OUT, OWN, REFUSED, write_request
from gateway.wire.validation import RULES, check
from tests.unit.wire.openai_anthropic.chats import FUNCTION, HI, MIDDLE, NEW, OLD, TOOL, refused, said
from tests.unit.wire.strategies import LEAVES


def test_every_documented_parameter_has_its_table():
    tables = [set(HANDLED), set(OWN), set(LEFT_OUT), set(REFUSED), {"modalities"}]

    assert set(RULES["chat.completions"].params) <= set.union(*tables)
    assert sum(map(len, tables)) == len(set.union(*tables))


def test_what_only_tunes_and_what_nobody_knows_is_left_out():
    assert said(**dict.fromkeys((*LEFT_OUT, "of_tomorrow"), 1), modalities=["text"], n=1) == said()


@pytest.mark.parametrize("param", REFUSED)
def test_what_would_be_missed_is_refused(param):
    assert refused(**{param: {"x": 1}}).param == param
    assert said(**{param: None}) == said()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        pytest.param({"n": 2}, "n", id="n"),
        pytest.param({"logprobs": True}, "logprobs", id="logprobs"),
        pytest.param({"modalities": ["text", "audio"]}, "modalities", id="audio"),
        pytest.param({"response_format": {"type": "grammar"}}, "response_format", id="format"),
        pytest.param({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema", id="schema"),
        pytest.param({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type", id="custom-tool"),
        pytest.param({"tools": [5]}, "tools[0]", id="tool-number"),
        pytest.param({"tools": {"a": 1}}, "tools", id="tools-object"),
        pytest.param({"tools": [{"type": "function"}]}, "tools[0].function", id="function-missing"),
        pytest.param({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", id="nameless"),
        pytest.param(
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": [1]}}]},
            "tools[0].function.parameters", id="parameters",
        ),
        pytest.param({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice", id="choice"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_by_name(fields, param):
    assert refused(**fields).param == param


def test_a_schema_without_end_is_refused():
    schema: dict = {}
    for _ in range(200):
        schema = {"items": schema}

    assert (
        refused(response_format={"type": "json_schema", "json_schema": {"schema": schema}}).param == "response_format"
    )


def test_false_asks_for_nothing():
    assert said(logprobs=False, top_logprobs=0) == said()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ({"max_completion_tokens": None}, 64_000),
    ],
)
def test_the_answers_length_is_the_callers_or_the_models(fields, expected):
    assert said(**fields)["max_tokens"] == expected


@pytest.mark.parametrize(
    ("stop", "expected"),
    [("END", ["END"]), (["a", "b"], ["a", "b"]), ("\n", None), (["\n\n", "a"], ["a"]), ([], None), (None, None)],
)
def test_stops_of_white_space_alone_are_left_out(stop, expected):
    assert said(stop=stop).get("stop_sequences") == expected


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        pytest.param(
            "claude-3-5-haiku", {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}, id="3"
        ),
        pytest.param(OLD, {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5}, id="one-of-both"),
        pytest.param(OLD, {"top_p": 0.9}, {"top_p": 0.9}, id="top-p-alone"),
        pytest.param(OLD, {"temperature": 1.7}, {"temperature": 1}, id="clamped"),
        pytest.param(MIDDLE, {"temperature": 0}, {"temperature": 0}, id="zero"),
        pytest.param(MIDDLE, {"temperature": 0.3, "reasoning_effort": "low"}, {}, id="who-thinks-takes-none"),
        pytest.param(
            MIDDLE, {"temperature": 0.3, "thinking": {"type": "disabled"}}, {"temperature": 0.3}, id="disabled"
        ),
        pytest.param(NEW, {"temperature": 0.5, "top_p": 0.9}, {}, id="new-ones-take-none"),
    ],
)
def test_sampling_goes_as_far_as_the_model_takes_it(model, fields, expected):
    call = said(model=model, **fields)

    assert {name: call[name] for name in ("temperature", "top_p") if name in call} == expected


def test_the_user_is_named():
    assert said(user="u1", safety_identifier="s1")["metadata"] == {"user_id": "u1"}
    assert said(safety_identifier="s1")["metadata"] == {"user_id": "s1"}


def test_tools_are_said_in_anthropics_words():
    bare = {"type": "function", "function": {"name": "now", "strict": True}, "cache_control": {"type": "ephemeral"}}

    assert said(tools=[TOOL, bare])["tools"] == [
        {"name": "weather", "description": "Of a city", "input_schema": FUNCTION["parameters"]},
        {
            "name": "now",
            "input_schema": {"type": "object", "properties": {}},
            "cache_control": {"type": "ephemeral"},
        },
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, None, id="none-given"),
        pytest.param({"tool_choice": "auto"}, {"type": "auto"}, id="auto"),
        pytest.param({"tool_choice": "none"}, {"type": "none"}, id="none"),
        pytest.param({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}, id="none-at-once"),
        pytest.param({"tool_choice": "required"}, {"type": "any"}, id="required"),
        pytest.param(
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
            {"type": "tool", "name": "weather"}, id="named",
        ),
        pytest.param(
            {"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}, id="one-at-once"
        ),
        pytest.param(
            {"parallel_tool_calls": False, "tool_choice": "required"},
            {"type": "any", "disable_parallel_tool_use": True}, id="one-at-once-required",
        ),
        pytest.param({"parallel_tool_calls": True}, None, id="many-at-once"),
    ],
)  # fmt: skip
def test_the_choice_of_tools(fields, expected):
    assert said(tools=[TOOL], **fields).get("tool_choice") == expected


def test_a_choice_without_tools_is_left_out():
    assert "tool_choice" not in said(tool_choice="auto", parallel_tool_calls=False, tools=[])


def test_a_schema_for_the_answer_is_a_format():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}

    assert said(response_format=wanted)["output_config"] == {
        "format": {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}
    }
    assert said(response_format={"type": "text"}) == said()


def test_json_alone_is_asked_for_in_words():
    call = said({"role": "system", "content": "Be brief."}, HI, response_format={"type": "json_object"})

    assert [block["text"] for block in call["system"]] == ["Be brief.", JSON_ONLY]


def test_a_temperature_that_is_none_is_the_upstreams_to_refuse():
    assert said(model=OLD, temperature="warm")["temperature"] == "warm"


CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}

# -- thinking ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        (NEW, "low", "low"),
        (NEW, "minimal", "low"),
        (NEW, "xhigh", "xhigh"),
        (NEW, "of_tomorrow", "of_tomorrow"),
        (MIDDLE, "xhigh", "high"),
        (MIDDLE, "max", "max"),
    ],
)
def test_effort_is_said_to_models_that_know_it(model, effort, expected):
    call = said(model=model, reasoning_effort=effort)

    assert call["output_config"] == {"effort": expected}
    assert call["thinking"] == {"type": "adaptive", "display": "summarized"}


def test_no_effort_is_the_least_and_thinks_only_where_the_model_always_does():
    call = said(reasoning_effort="none")

    assert (call["output_config"], "thinking" in call) == ({"effort": "low"}, False)


@pytest.mark.parametrize(
    ("fields", "budget"),
    [
        ({"reasoning_effort": "low"}, 1024),
        ({"reasoning_effort": "high"}, 24_576),
        ({"reasoning_effort": "high", "max_tokens": 10_000}, 8000),
        ({"reasoning_effort": "high", "max_tokens": 1200}, None),
        ({"reasoning_effort": "none"}, None),
        ({"reasoning_effort": "low", "tools": [TOOL], "tool_choice": "required"}, None),
        ({"reasoning_effort": "low", "tools": [TOOL], "tool_choice": "auto"}, 1024),
        ({}, None),
    ],
)
def test_older_models_get_a_budget_within_the_answers_length(fields, budget):
    thinking = said(model=OLD, **fields).get("thinking")

    assert thinking == (None if budget is None else {"type": "enabled", "budget_tokens": budget})


@pytest.mark.parametrize(
    "last", [{"role": "assistant", "content": "So"}, {"role": "tool", "tool_call_id": "c", "content": "x"}]
)
def test_a_budget_is_left_out_where_the_thought_before_it_is_missing(last):
    assert "thinking" not in said(HI, last, model=OLD, reasoning_effort="high")


@pytest.mark.parametrize(
    "thought",
    [{"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}],
    ids=lambda thought: thought["type"],
)
def test_a_budget_stays_where_the_thought_comes_back_with_the_tools_result(thought):
    asked = {"role": "assistant", "content": None, "tool_calls": [CALL], "thinking_blocks": [thought]}
    result = {"role": "tool", "tool_call_id": "c", "content": "18"}

    call = said(HI, asked, result, model=OLD, reasoning_effort="low")

    assert call["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    assert call["messages"][1]["content"][0] == thought


def test_no_budget_without_messages():
    system = {"role": "system", "content": "x"}

    assert "thinking" not in said(system, model=OLD, reasoning_effort="high")


def test_models_that_do_not_think_are_not_asked_to():
    assert said(model="claude-3-5-haiku", reasoning_effort="high").keys() == {"model", "messages", "max_tokens"}


def test_anthropics_own_parameters_pass_and_beat_what_we_would_make():
    thinking = {"type": "enabled", "budget_tokens": 2000}
    schema = {"type": "json_schema", "json_schema": {"schema": {}}}

    call = said(
        thinking=thinking, top_k=5, reasoning_effort="high", output_config={"effort": "max"}, response_format=schema
    )

    assert (call["thinking"], call["top_k"]) == (thinking, 5)
    assert call["output_config"] == {"format": {"type": "json_schema", "schema": {}}, "effort": "max"}


CHAT = find("POST", "/chat/completions")
ODD = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["type", "text", "role", "content", "function", "name", "tool_calls", "id", "image_url", "url",
                     "file", "json_schema", "schema", "arguments", "parameters", "cache_control"]), inner, max_size=3,
), max_leaves=12)  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "function"])},
    optional={"content": ODD, "tool_calls": ODD, "tool_call_id": ODD, "refusal": ODD},
)


@given(
    st.lists(MESSAGE, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from([*HANDLED, *OWN, *LEFT_OUT, *REFUSED, "modalities"]), ODD, max_size=4),
    st.sampled_from([OLD, MIDDLE, NEW, "claude-3-haiku"]),
)
def test_whatever_passes_the_checks_is_translated_or_refused(messages, fields, model):
    call = {**fields, "messages": messages}
    try:
        check(call, CHAT, Validation.TYPES)
        made = json.loads(write_request(call, model, is_stream=False))
    except InvalidCall:
        return
    assert made["model"] == model
    assert all(turn["role"] in {"user", "assistant"} for turn in made["messages"])


def test_what_could_be_decoded_but_not_encoded_again_is_a_400():
    schema: dict = {}
    for _ in range(5000):
        schema = {"a": schema}

    assert refused(tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}]).code == "invalid_json"


@pytest.mark.parametrize("url", ["data:" + ";a" * 100_000, "data:" + "a" * 100_000])
def test_a_data_url_without_data_is_refused_at_once(url):
    part = {"type": "image_url", "image_url": {"url": url}}

    assert refused({"role": "user", "content": [part]}).code == "invalid_value"
