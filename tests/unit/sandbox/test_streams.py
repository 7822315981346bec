import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.answer import Pause
from gateway.sandbox.bodies import Identity, split_text
from gateway.sandbox.config import Behaviour
from gateway.sandbox.request import Asked, Message, StreamOptions
from gateway.sandbox.streams import chat_events, completion_events

WHO = Identity(1, 1_700_000_000, "gpt-4o")
CHAT = Asked(model="gpt-4o", messages=[Message("system", "Be brief."), Message("user", "hello there")], stream=True)
WITH_USAGE = Asked(
    model="gpt-4o", messages=CHAT.messages, stream=True, stream_options=StreamOptions(include_usage=True)
)


def events_of(asked: Asked, behaviour: Behaviour | None = None) -> list[dict[str, object]]:
    """All events but [DONE], read."""
    found = list(chat_events(asked, WHO, behaviour or Behaviour(), obfuscates=False))
    assert found[-1] == b"data: [DONE]\n\n"
    return [json.loads(event.removeprefix(b"data: ")) for event in found[:-1] if isinstance(event, bytes)]


def text_of(events: list[dict[str, object]], index: int = 0) -> str:
    choices = [choice for event in events for choice in event["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get("content", "") for choice in choices)


def test_chat_goes_role_content_finish_done() -> None:
    events = events_of(CHAT)

    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert text_of(events) == "echo: hello there"
    assert [event["choices"][0]["finish_reason"] for event in events] == [None, None, None, None, "stop"]
    assert all("usage" not in event for event in events)


def test_usage_is_null_but_in_its_own_event() -> None:
    events = events_of(WITH_USAGE)

    assert [event["usage"] for event in events[:-1]] == [None] * 5
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["prompt_tokens"] == 5
    assert events[-1]["usage"]["completion_tokens"] == 3


def test_every_choice_has_its_own_events() -> None:
    events = events_of(Asked(model="gpt-4o", messages=CHAT.messages, stream=True, n=2))

    assert text_of(events, 0) == text_of(events, 1) == "echo: hello there"


def test_behaviour_sets_number_of_chunks_and_pauses() -> None:
    behaviour = Behaviour(chunks=4, first_token_s=0.5, gap_s=0.1)

    steps = list(chat_events(CHAT, WHO, behaviour, obfuscates=False))

    assert [step.seconds for step in steps if isinstance(step, Pause)] == [0.5, 0.1, 0.1, 0.1]
    assert isinstance(steps[1], Pause)


def test_answer_is_long_enough_for_its_chunks() -> None:
    events = events_of(CHAT, Behaviour(chunks=100))

    assert len(events) == 102
    assert all(event["choices"][0]["delta"]["content"] for event in events[1:-1])


def test_obfuscation_stands_in_every_event() -> None:
    steps = list(chat_events(CHAT, WHO, Behaviour(), obfuscates=True))

    assert all(json.loads(step[6:])["obfuscation"] for step in steps[:-1] if isinstance(step, bytes))


def test_completion_has_no_role_event() -> None:
    asked = Asked(model="gpt-3.5-turbo-instruct", prompt="hello", stream=True)

    steps = [step for step in completion_events(asked, WHO, Behaviour(), obfuscates=False) if isinstance(step, bytes)]

    events = [json.loads(step[6:]) for step in steps[:-1]]
    assert [event["choices"][0]["text"] for event in events] == ["echo:", " hello", ""]
    assert {event["object"] for event in events} == {"text_completion"}


@given(text=st.text(), chunks=st.none() | st.integers(1, 50))
def test_pieces_join_to_the_text(text: str, chunks: int | None) -> None:
    assert "".join(split_text(text, chunks)) == text
