import msgspec
import pytest

from gateway.wire.envelope import prompt_prefix


def body_of(system: str, question: str, **fields: object) -> bytes:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return msgspec.json.encode({**fields, "messages": messages})


def test_prompts_that_begin_alike_have_one_prefix_whatever_follows():
    system = "You are helpful. " * 100

    first = prompt_prefix(body_of(system, "one", model="a", temperature=0.1))

    assert first == prompt_prefix(body_of(system, "two", model="bb"))
    assert first is not None
    assert len(first) == 1024


def test_prompts_that_begin_otherwise_have_another_prefix():
    assert prompt_prefix(body_of("You are helpful. " * 100, "one")) != prompt_prefix(body_of("Be brief. " * 100, "one"))


@pytest.mark.parametrize("name", ["messages", "prompt", "input", "instructions"])
def test_every_form_of_a_prompt_has_a_prefix(name):
    assert prompt_prefix(b'{"model":"m", "%b" : "hello"}' % name.encode()) == ' "hello"}'


def test_a_body_without_a_prompt_has_none():
    assert prompt_prefix(b'{"model":"m"}') is None
    assert prompt_prefix(b"") is None


def test_any_bytes_are_a_prefix():
    assert prompt_prefix(b'{"prompt":"\xff\xfe"}') == '"\xff\xfe"}'
