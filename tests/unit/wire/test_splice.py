from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import sent as sent_so_far
from gateway.wire import splice
from gateway.wire.sent import Sent
from gateway.wire.splice import ToldChunks

DONE = b"data: [DONE]\n\n"
FIRST, SECOND = "chatcmpl-first", "chatcmpl-second"


def event(choices, answer=FIRST, **fields):
    names = {"id": answer, "created": len(answer), "model": f"model of {answer}"}
    return b"data: " + msgspec.json.encode({**names, "choices": choices, **fields}) + b"\n\n"


def delta(index=0, answer=FIRST, finish=None, **members):
    return event([{"index": index, "delta": members, "finish_reason": finish}], answer)


def said(text, answer=FIRST, index=0):
    return delta(index, answer, content=text)


def stream(*texts, answer, finish="stop"):
    """An answer of one choice."""
    return [
        delta(answer=answer, role="assistant", content=""),
        *(said(text, answer) for text in texts),
        delta(answer=answer, finish=finish),
        DONE,
    ]


def splicer_after(*events):
    sent = Sent(ToldChunks())
    for piece in events:
        sent.add(piece)
    return sent.splicer()


def fed(splicer, events):
    """All that goes on; None once the answers differ. Nothing may have gone on before that."""
    rest = b""
    for piece in events:
        more = splicer.feed(piece)
        if more is None:
            assert rest == b""
            return None
        rest += more
    return rest


def told(raw):
    """What a client puts together: every member of a choice, strings joined, ends kept; and the names it saw."""
    choices, names = {}, set()
    for line in raw.split(b"\n\n"):
        if not line.startswith(b"data: {"):
            continue
        chunk = msgspec.json.decode(line[6:])
        names.add((chunk["id"], chunk["created"], chunk["model"]))
        for choice in chunk["choices"]:
            whole = choices.setdefault(choice["index"], {"ends": []})
            for name, value in choice["delta"].items():
                whole[name] = whole.get(name, "") + (value or "")
            whole["ends"] += [choice["finish_reason"]] if choice["finish_reason"] else []
    return choices, names


# -- any cut -----------------------------------------------------------------------------------------------------

TEXT = st.text(st.sampled_from('ab \n"\\é\U0001f600\u2028'), max_size=12)


@st.composite
def answers(draw, texts, answer):
    """The events of an answer with these texts: each cut anywhere, the choices interleaved at will."""
    queues = []
    for index, text in enumerate(texts):
        cuts = sorted(draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})
        words = [text[start:end] for start, end in pairwise(cuts)]
        opening = delta(index, answer, role="assistant", content="")
        queues.append([opening, *(said(word, answer, index) for word in words), delta(index, answer, finish="stop")])
    events = []
    while queues:
        queue = draw(st.sampled_from(queues))
        events.append(queue.pop(0))
        queues = [left for left in queues if left]
    return [*events, event([], answer, usage={"total_tokens": 1}), DONE]


@st.composite
def grouped(draw, events):
    """Pieces of whole events."""
    cuts = sorted(draw(st.sets(st.integers(0, len(events)))) | {0, len(events)})
    return [b"".join(events[start:end]) for start, end in pairwise(cuts)]


@given(st.data())
def test_any_cut_of_an_answer_that_repeats_itself_gives_the_whole_answer(data):
    texts = data.draw(st.lists(TEXT, min_size=1, max_size=3))
    first = data.draw(answers(texts, FIRST))
    second = data.draw(grouped(data.draw(answers(texts, SECOND))))
    cut = data.draw(st.integers(1, len(first) - 3))  # before the last end: after it nothing is restarted

    rest = fed(splicer_after(*data.draw(grouped(first[:cut]))), second)

    whole, names = told(b"".join(first[:cut]) + rest)
    assert whole == {
        index: {"role": "assistant", "content": text, "ends": ["stop"]} for index, text in enumerate(texts)
    }
    assert names == told(first[0])[1]
    assert rest.endswith(DONE)
    assert rest.count(b"total_tokens") == 1


@given(st.data())
def test_an_answer_that_differs_is_kept_back_entirely(data):
    text = data.draw(TEXT.filter(bool))
    place = data.draw(st.integers(0, len(text) - 1))
    other = text[:place] + "Z" + text[place + 1 :]
    first = data.draw(answers([text], FIRST))[:-3]
    second = data.draw(grouped(data.draw(answers([other], SECOND))))

    assert fed(splicer_after(*first), second) is None


def test_a_choice_that_differs_keeps_the_others_back():
    sent = splicer_after(said("one"), said("two", index=1))
    second = [said("one and more", SECOND), said("tw", SECOND, 1), said("0", SECOND, 1)]

    assert fed(sent, second) is None


# -- bytes -------------------------------------------------------------------------------------------------------


def test_events_beyond_what_was_sent_keep_their_bytes_but_for_the_names():
    odd = b'data: {"x":1.50,"id" : "two","choices":[{"index":0,"delta":{"content":"\\u0062","n":null}}],"y":[]}\n\n'

    rest = fed(splicer_after(said("a")), [said("a", SECOND), odd])

    assert rest == odd.replace(b'"two"', b'"chatcmpl-first"')


def test_an_event_that_is_half_old_keeps_its_other_members():
    half_old = event([{"index": 0, "delta": {"content": "abc", "refusal": None}, "z": 5}], SECOND, extra=[1])

    rest = fed(splicer_after(said("ab")), [half_old])

    wanted = event([{"index": 0, "delta": {"refusal": None, "content": "c"}, "z": 5}], extra=[1])
    assert msgspec.json.decode(rest[6:]) == msgspec.json.decode(wanted[6:])


def test_completions_are_put_together_by_their_text():
    def completed(text, answer, finish=None):
        return event([{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}], answer)

    rest = fed(
        splicer_after(completed("one t", FIRST)),
        [completed("one", SECOND), completed(" two", SECOND), completed("", SECOND, "stop"), DONE],
    )

    assert rest == completed("wo", FIRST) + completed("", FIRST, "stop") + DONE


def test_comments_and_events_without_choices_are_not_repeated():
    filters = event([], SECOND, prompt_filter_results=[])

    rest = fed(splicer_after(filters, said("a")), [b": hello\n\n", filters, said("a", SECOND), said("b", SECOND)])

    assert rest == said("b")


def test_crlf_and_named_events_are_read_as_well():
    mixed = said("ab", SECOND).replace(b"\n", b"\r\n").replace(b"data:", b"event: chunk\r\ndata:")

    rest = fed(splicer_after(said("a")), [mixed])

    assert b'"content":"b"' in rest
    assert rest.endswith(b"\r\n\r\n")


def test_names_that_the_first_answer_did_not_have_stay():
    nameless = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'

    assert fed(splicer_after(nameless), [said("a", SECOND), said("b", SECOND)]) == said("b", SECOND)


# -- the order of what is told -----------------------------------------------------------------------------------


def test_reasoning_is_text_that_must_be_repeated_in_its_place():
    sent = (delta(reasoning_content="hm"), said("a"))
    same = [delta(answer=SECOND, reasoning_content="h"), delta(answer=SECOND, reasoning_content="m", content="ab")]
    longer = [delta(answer=SECOND, reasoning_content="hmm"), said("ab", SECOND)]

    assert told(fed(splicer_after(*sent), same))[0] == {0: {"content": "b", "ends": []}}
    assert fed(splicer_after(*sent), longer) is None


@pytest.mark.parametrize(
    "second",
    [
        pytest.param([said("a", SECOND), delta(answer=SECOND, finish="stop"), DONE], id="ends earlier"),
        pytest.param([said("a", SECOND), DONE], id="is over earlier"),
        pytest.param([delta(answer=SECOND, refusal="ab")], id="refuses"),
        pytest.param([said("a", SECOND), delta(answer=SECOND, tool_calls=[{"index": 0}])], id="calls a tool"),
        pytest.param([b'data: {"choices":[{"index":0,"delta":"text"}]}\n\n'], id="is no chunk"),
    ],
)
def test_another_course_of_the_answer_is_another_answer(second):
    assert fed(splicer_after(said("ab")), second) is None


def test_a_choice_that_ended_must_end_alike():
    sent = (said("a"), delta(finish="stop"), said("b", index=1))
    other_end = [said("a", SECOND), delta(answer=SECOND, finish="length")]
    goes_on = [said("a", SECOND), said("!", SECOND)]
    same = [said("a", SECOND), delta(answer=SECOND, finish="stop"), said("bc", SECOND, 1)]

    assert fed(splicer_after(*sent), other_end) is None
    assert fed(splicer_after(*sent), goes_on) is None
    assert told(fed(splicer_after(*sent), same))[0] == {1: {"content": "c", "ends": []}}


def test_a_tool_call_after_the_same_words_is_the_rest():
    call = delta(answer=SECOND, tool_calls=[{"index": 0, "id": "call_1"}])

    rest = fed(splicer_after(said("a")), [said("a", SECOND), call])

    assert rest == call.replace(b"second", b"first").replace(b'"created":15', b'"created":14')


def test_after_a_role_alone_any_answer_is_the_rest():
    rest = fed(splicer_after(delta(role="assistant", content="")), stream("a", "b", answer=SECOND))

    assert rest == b"".join(stream("a", "b", answer=FIRST)[1:])


# -- what is never put together ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(delta(tool_calls=[{"index": 0, "id": "call_1"}]), id="tool call"),
        pytest.param(delta(function_call={"name": "f"}), id="function call"),
        pytest.param(delta(audio={"id": "x"}), id="audio"),
        pytest.param(event([{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": []}}]), id="logprobs"),
        pytest.param(b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n', id="half a character"),
    ],
)
def test_more_than_text_is_never_put_together(piece):
    assert splicer_after(said("a"), piece, said("b")) is None


def test_a_long_answer_is_read_on_the_way_and_put_together(monkeypatch):
    monkeypatch.setattr(sent_so_far, "READ_EVERY_BYTES", 300)
    sent = Sent(ToldChunks())
    for number in range(100):
        sent.add(said(f"{number} "))
        assert sum(map(len, sent._pieces)) < 300
    text = "".join(f"{number} " for number in range(100))

    assert fed(sent.splicer(), [said(text + "end", SECOND)]) == said("end")


def test_what_was_lost_on_the_way_stays_lost(monkeypatch):
    monkeypatch.setattr(sent_so_far, "READ_EVERY_BYTES", 1)

    assert splicer_after(said("a") + b": hello\n\n", delta(tool_calls=[{"index": 0}]), said("b")) is None


def test_an_answer_beyond_the_bound_is_forgotten(monkeypatch):
    monkeypatch.setattr(sent_so_far, "READ_EVERY_BYTES", 300)
    monkeypatch.setattr(sent_so_far, "MAX_TEXT", 50)
    sent = Sent(ToldChunks())

    for _ in range(100):
        sent.add(said("word "))

    assert sent.splicer() is None
    assert (sent._pieces, sent._told) == ([], None)


def test_what_waits_for_a_slower_choice_is_bounded(monkeypatch):
    monkeypatch.setattr(splice, "MAX_HELD_BYTES", 1000)
    splicer = splicer_after(said("a"), said("b", index=1))

    assert fed(splicer, [said("a", SECOND), *[said("more", SECOND) for _ in range(10)]]) is None
