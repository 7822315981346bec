import msgspec
import pytest

from gateway.core.call import Endpoint, Usage
from gateway.wire.endpoints import find
from gateway.wire.usage import later, read_asked_usage, read_event_usage, read_usage, usage_of

CHAT = find("POST", "/chat/completions")


def POST(path: str, name: str = "x") -> Endpoint:  # noqa: N802  # reads as the request line
    return Endpoint(name=name, method="POST", path=path)


@pytest.mark.parametrize(
    ("path", "usage", "expected"),
    [
        pytest.param(
            "/chat/completions",
            {
                "prompt_tokens": 19,
                "completion_tokens": 10,
                "total_tokens": 29,
                "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0},
            },
            Usage(19, 10, 8, 4),
            id="chat",
        ),
        pytest.param("/completions", {"prompt_tokens": 5, "completion_tokens": 7}, Usage(5, 7), id="completion"),
        pytest.param("/embeddings", {"prompt_tokens": 8, "total_tokens": 8}, Usage(8), id="embedding"),
        pytest.param(
            "/images/generations",
            {"input_tokens": 50, "output_tokens": 4160, "input_tokens_details": {"text_tokens": 50}},
            Usage(50, 4160),
            id="image",
        ),
        pytest.param(
            "/images/edits",
            {
                "input_tokens": 500,
                "output_tokens": 4160,
                "input_tokens_details": {"text_tokens": 50, "image_tokens": 450},
                "output_tokens_details": {"text_tokens": 160, "image_tokens": 4000},
            },
            Usage(500, 4160, image_input_tokens=450, image_output_tokens=4000),
            id="image-from-images",
        ),
        pytest.param(
            "/responses",
            {
                "input_tokens": 90,
                "output_tokens": 60,
                "total_tokens": 150,
                "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 30},
                "output_tokens_details": {"reasoning_tokens": 50},
            },
            Usage(90, 60, 40, 50, 30),
            id="responses",
        ),
        pytest.param(
            "/chat/completions",
            {
                "prompt_tokens": 20,
                "completion_tokens": 30,
                "prompt_tokens_details": {"audio_tokens": 15, "image_tokens": 2},
                "completion_tokens_details": {"audio_tokens": 25},
            },
            Usage(20, 30, audio_input_tokens=15, image_input_tokens=2, audio_output_tokens=25),
            id="audio",
        ),
        pytest.param(
            "/audio/transcriptions",
            {"type": "tokens", "input_tokens": 14, "input_token_details": {"audio_tokens": 14}, "output_tokens": 9},
            Usage(14, 9, audio_input_tokens=14),
            id="transcript-by-tokens",
        ),
        pytest.param(
            "/audio/transcriptions", {"type": "duration", "seconds": 8}, Usage(seconds=8.0), id="transcript-by-time"
        ),
        pytest.param(
            "/messages",
            {
                "input_tokens": 10,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 7,
                "output_tokens": 5,
                "output_tokens_details": {"thinking_tokens": 4},
            },
            Usage(117, 5, 100, 4, 7),
            id="anthropic-leaves-the-cache-out",
        ),
        pytest.param(
            "/chat/completions",
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45},
            Usage(10, 35, reasoning_tokens=30),
            id="gemini-leaves-thoughts-out",
        ),
        pytest.param(
            "/chat/completions",
            {
                "prompt_tokens": 37,
                "completion_tokens": 530,
                "total_tokens": 800,
                "completion_tokens_details": {"reasoning_tokens": 233},
            },
            Usage(37, 763, reasoning_tokens=233),
            id="xai-leaves-thoughts-out",
        ),
        pytest.param(
            "/chat/completions",
            {"prompt_tokens": 7, "completion_tokens": 1.5, "prompt_tokens_details": {"cached_tokens": "3"}},
            Usage(7),
            id="one-odd-count-costs-no-other",
        ),
        pytest.param("/audio/transcriptions", {"seconds": "8.5"}, Usage(seconds=8.5), id="time-as-a-text"),
        pytest.param("/audio/transcriptions", {"seconds": "long"}, Usage(), id="time-in-words"),
        pytest.param(
            "/chat/completions",
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 3},
            Usage(9, 1, 6),
            id="deepseek",
        ),
        pytest.param("/chat/completions", {}, Usage(), id="empty"),
        pytest.param(
            "/chat/completions",
            {"prompt_tokens": None, "completion_tokens": "7", "prompt_tokens_details": None},
            Usage(),
            id="unreadable-counts-are-zero",
        ),
        pytest.param("/chat/completions", {"prompt_tokens": -5, "completion_tokens": True}, Usage(), id="nonsense"),
        pytest.param("/chat/completions", None, None, id="null"),
        pytest.param("/chat/completions", [1], None, id="no-object"),
    ],
)
def test_usage_of_every_form_is_read(path, usage, expected):
    body = msgspec.json.encode({"id": "x", "choices": [], "usage": usage})

    assert read_usage(body, POST(path)) == expected


def test_usage_inside_of_an_answers_text_is_none():
    body = b'{"choices":[{"message":{"content":"\\"usage\\":{\\"prompt_tokens\\":5}","usage":{"prompt_tokens":9}}}]}'

    assert read_usage(body, CHAT) is None


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param(POST("/moderations", name="moderations"), id="free"),
        pytest.param(Endpoint(name="responses.get", method="GET", path="/responses/{response_id}"), id="read-again"),
        pytest.param(POST("/chat/completions/{completion_id}"), id="changed-by-its-id"),
    ],
)
def test_what_was_counted_already_or_costs_nothing_is_not_counted(endpoint):
    assert read_usage(b'{"usage":{"prompt_tokens":5}}', endpoint) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"usage":{"prompt_tokens":', b'{"usage":' + b"[" * 9999])
def test_what_is_no_object_has_no_usage(body):
    assert read_usage(body, CHAT) is None
    assert read_event_usage(body) is None
    assert read_asked_usage(body, POST("/audio/speech")) is None


def test_details_of_the_singular_spelling_are_read():
    usage = {"input_tokens": 9, "output_tokens": 2, "input_token_details": {"cached_tokens": 3}}

    assert usage_of(usage) == Usage(9, 2, 3)


def test_pictures_are_counted_with_and_without_tokens():
    dall_e = b'{"created":1,"data":[{"url":"https://a"},{"url":"https://b"}]}'
    gpt_image = b'{"data":[{"b64_json":"eA=="}],"usage":{"input_tokens":5,"output_tokens":9}}'

    assert read_usage(dall_e, POST("/images/generations")) == Usage(images=2)
    assert read_usage(gpt_image, POST("/images/edits")) == Usage(5, 9, images=1)
    assert read_usage(b'{"data":"none","usage":{"input_tokens":5}}', POST("/images/edits")) == Usage(5)


def test_a_transcript_without_usage_is_as_long_as_its_audio():
    assert read_usage(b'{"duration":8.47,"text":"hi"}', POST("/audio/transcriptions")) == Usage(seconds=8.47)
    assert read_usage(b'{"text":"hi"}', POST("/audio/transcriptions")) is None
    both = b'{"duration":8.47,"usage":{"type":"duration","seconds":9}}'
    assert read_usage(both, POST("/audio/transcriptions")) == Usage(seconds=9.0)


def test_speech_is_counted_by_what_was_asked_for():
    assert read_asked_usage('{"input":"über"}'.encode(), POST("/audio/speech")) == Usage(characters=4)
    assert read_asked_usage(b'{"input":5}', POST("/audio/speech")) is None
    assert read_asked_usage(b'{"input":"a"}', CHAT) is None


@pytest.mark.parametrize(
    ("data", "usage"),
    [
        pytest.param({"type": "speech.audio.done", "usage": {"input_tokens": 3}}, Usage(3), id="own"),
        pytest.param(
            {"type": "response.completed", "response": {"usage": {"output_tokens": 3}}}, Usage(0, 3), id="response"
        ),
        pytest.param(
            {"type": "response.done", "response": {"usage": {"input_token_details": {"audio_tokens": 3}}}},
            Usage(audio_input_tokens=3),
            id="realtime",
        ),
        pytest.param({"type": "message_start", "message": {"usage": {"input_tokens": 3}}}, Usage(3), id="message"),
        pytest.param({"type": "response.created", "response": {"usage": None}}, None, id="none-yet"),
        pytest.param({"response": {"text": '"usage"'}}, None, id="a-text"),
        pytest.param({"usage": None, "response": "x"}, None, id="no-object"),
        pytest.param({"usage": {"input_tokens": "3", "output_tokens": 2}}, Usage(0, 2), id="odd"),
    ],
)
def test_usage_of_an_event_is_its_own_or_what_it_tells_of(data, usage):
    assert read_event_usage(msgspec.json.encode(data)) == usage


def test_what_is_said_later_stands_beside_what_was_said_before():
    assert later(Usage(5, 1, 3), Usage(0, 7)) == Usage(5, 7, 3)
    assert later(None, Usage(5)) == Usage(5)
    assert later(Usage(5), None) == Usage(5)
    assert later(None, None) is None


def test_a_step_of_a_run_is_a_part_of_it() -> None:
    told = {"id": "step_1", "status": "completed", "usage": {"prompt_tokens": 5, "completion_tokens": 3}}

    assert read_event_usage(msgspec.json.encode(told | {"object": "thread.run.step"})) is None
    assert read_event_usage(msgspec.json.encode(told | {"object": "thread.run"})) == Usage(5, 3)
