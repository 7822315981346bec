from gateway.core.ids import Instant
from gateway.core.tally import Tally
from gateway.core.uses import Totals

NOW = Instant(1000.0)


def sent(tally, tokens, now=NOW):
    tally.take(tokens, now)
    return tally.sent(tokens, now, ())


def test_a_call_has_its_place_behind_all_that_was_sent():
    tally = Tally()
    sent(tally, 100)
    tally.hear(Totals(2, 300, 50))

    call = sent(tally, 40)

    assert (call.requests, call.tokens, call.produced, call.charged) == (4, 440, 50, 40)
    assert tally.place("requests", call, 0.0).since == 0
    assert tally.place("output_tokens", call, 0.0).at == 50


def test_what_is_sent_later_is_counted_off_in_what_the_limit_counts():
    tally = Tally()
    first = sent(tally, 100)
    sent(tally, 70)
    tally.produce(9)

    since = {name: tally.place(name, first, 0.0).since for name in ("requests", "tokens", "output_tokens")}

    assert since == {"requests": 1, "tokens": 70, "output_tokens": 9}


def test_its_own_is_what_others_did_not_send_and_nobody_refused():
    tally = Tally()
    sent(tally, 100)
    sent(tally, 30)
    tally.hear(Totals(5, 500, 7))
    tally.refuse(30)

    assert tally.own == Totals(1, 100, 0)
    assert tally.admitted == 6


def test_refused_calls_of_others_move_nobodys_place_back():
    tally = Tally()
    call = sent(tally, 100)
    tally.hear(Totals(0, -60, 0))

    assert tally.place("tokens", call, 0.0).since == 0
    assert tally.own == Totals(1, 100, 0)


def test_answers_have_an_average_once_one_has_ended():
    tally = Tally()
    before = tally.average_answer
    tally.produce(10)
    tally.produce(30)

    assert (before, tally.average_answer) == (0.0, 20.0)
