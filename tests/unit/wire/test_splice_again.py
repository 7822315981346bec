"""An answer that breaks more than once: what a third account says goes on where the second one broke."""

import json
import re
from itertools import combinations

import pytest

from gateway.wire.sent import Sent
from gateway.wire.splice import ToldChunks
from gateway.wire.splice_messages import ToldMessage
from gateway.wire.splice_response import ToldResponse
from tests.unit.wire.openai_anthropic import samples
from tests.unit.wire.test_splice import stream
from tests.unit.wire.test_splice_response import HEAD, TAIL, delta, numbered

CHUNKS = stream("one", " tw", "o", answer="chatcmpl-1")
MESSAGE = [
    *(samples.start(), samples.BEGIN_TEXT, samples.PING, samples.text("one"), samples.text(" tw"), samples.text("o")),
    *(samples.stop_block(), samples.end(), samples.STOP),
]
RESPONSE = numbered([*HEAD, delta("one"), delta(" tw"), delta("o"), *TAIL])
NAMES = (b"chatcmpl-", b"msg_", b"resp_")
END = {ToldChunks: b"[DONE]", ToldMessage: b"event: message_stop", ToldResponse: b"event: response.completed"}


def told_by(number, events):
    """The same answer, of another account."""
    for name in NAMES:
        events = [raw.replace(name + b"1", name + b"%d" % number) for raw in events]
    return events


def text_of(raw):
    texts = []
    for line in raw.split(b"\n"):
        if line.startswith(b"data: {"):
            value = json.loads(line[6:])
            texts += [choice["delta"].get("content") or "" for choice in value.get("choices", ())]
            said = value.get("delta", "")
            texts.append(said if isinstance(said, str) else said.get("text", ""))
    return "".join(texts)


@pytest.mark.parametrize(
    ("kind", "whole"),
    [(ToldChunks, CHUNKS), (ToldMessage, MESSAGE), (ToldResponse, RESPONSE)],
    ids=["chunks", "message", "response"],
)
def test_an_answer_that_breaks_twice_anywhere_becomes_whole(kind, whole):
    for first_cut, second_cut in combinations(range(1, len(whole) - 1), 2):
        for cuts in ((first_cut, second_cut), (second_cut, first_cut), (first_cut, first_cut)):
            sent, body = Sent(kind()), b"".join(whole[: cuts[0]])
            sent.add(body)
            for number, events in ((2, whole[: cuts[1]]), (3, whole)):
                splicer = sent.splicer()
                for raw in told_by(number, events):
                    rest = splicer.feed(raw)
                    assert rest is not None, cuts
                    body += rest
                    sent.add(rest)

            assert text_of(body) == "one two", cuts
            assert body.endswith(b"\n\n"), cuts
            assert body.count(END[kind]) == 1, cuts
            assert all(len(set(re.findall(name + b"[0-9]", body))) <= 1 for name in NAMES), cuts
            if kind is ToldResponse:
                numbers = [json.loads(line[6:])["sequence_number"] for line in body.split(b"\n") if b"data: {" in line]
                assert numbers == list(range(len(numbers))), cuts


def test_what_a_third_account_says_otherwise_is_no_rest():
    sent = Sent(ToldChunks())
    sent.add(b"".join(CHUNKS[:2]))
    second = sent.splicer()
    sent.add(b"".join([second.feed(raw) for raw in CHUNKS[:3]]))

    third = sent.splicer()

    assert [third.feed(raw) for raw in stream("one", " th", answer="chatcmpl-3")[:3]][-1] is None
