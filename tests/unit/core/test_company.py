"""The other processes of a scope."""

import pytest

from gateway.core.company import TOLD_S, Company, News, Told
from gateway.core.ids import Instant
from gateway.core.shares import HEARD_S, HEARD_SOON_S
from gateway.core.uses import Audience, Totals

NEIGHBOURS, REPLICAS = Audience


def hear(company, name, requests, now, *, audience=REPLICAS):
    return company.hear(name, Totals(requests), audience, Instant(now), own="m")


def test_who_is_heard_again_sent_the_difference():
    company = Company()

    assert hear(company, "a", 100, 0.0) is None
    assert hear(company, "a", 103, 1.0) == Totals(3)


def test_places_are_numbered_by_name_and_anew_when_somebody_is_gone():
    company = Company()
    hear(company, "a", 1, 0.0)
    hear(company, "z", 1, 5.0)
    assert (company.count, company.place) == (3, 1)

    assert company.part(Instant(6.0), lasts_s=3.0) == ["a"]
    assert (company.count, company.place) == (2, 0)

    company.offset = 7
    assert company.place == 1


def test_all_are_heard_soon_only_if_all_are_neighbours():
    company = Company()
    hear(company, "a", 1, 0.0, audience=NEIGHBOURS)
    assert company.heard_s == HEARD_SOON_S

    hear(company, "b", 1, 0.0, audience=REPLICAS)
    assert company.heard_s == HEARD_S


def test_each_audience_is_told_what_it_has_not_heard():
    company, news = Company(), Told(Totals(5))
    hear(company, "a", 1, 0.0, audience=NEIGHBOURS)
    assert company.is_news(NEIGHBOURS, news)

    company.tell(NEIGHBOURS, news, Instant(0.0))

    assert not company.is_news(NEIGHBOURS, news)
    assert company.is_news(NEIGHBOURS, Told(Totals(5), is_hungry=True))
    assert company.is_news(REPLICAS, news)


def test_an_audience_of_nobody_is_told_now_and_then():
    company = Company()
    company.tell(REPLICAS, Told(), Instant(0.0))
    assert company.rests(REPLICAS, Instant(TOLD_S / 2))
    assert not company.rests(REPLICAS, Instant(TOLD_S))
    assert company.is_news(REPLICAS, Told())

    hear(company, "a", 1, 0.0, audience=REPLICAS)

    assert not company.rests(REPLICAS, Instant(TOLD_S / 2))


@pytest.mark.parametrize("has_neighbours", [True, False])
def test_news_are_taken_once_by_each_audience_and_ring_for_neighbours_alone(has_neighbours):
    news, rings = News(), []
    news.on_news = (lambda: rings.append(1)) if has_neighbours else None

    for scope in ("x", "y", "x"):
        news.add(scope)

    assert list(news.take(REPLICAS)) == ["x", "y"]
    assert not news.take(REPLICAS)
    assert list(news.take(NEIGHBOURS)) == (["x", "y"] if has_neighbours else [])
    assert len(rings) == has_neighbours

    news.add("x")
    assert len(rings) == 2 * has_neighbours


def test_what_was_put_back_is_news_again_for_that_audience_alone():
    news, rings = News(), []
    news.on_news = lambda: rings.append(1)
    news.add("x")
    assert (list(news.take(NEIGHBOURS)), list(news.take(REPLICAS))) == (["x"], ["x"])

    news.put_back(NEIGHBOURS, ["x"])

    assert len(rings) == 2
    assert (list(news.take(NEIGHBOURS)), list(news.take(REPLICAS))) == (["x"], [])


def test_it_is_known_whether_somebody_told_nothing_for_long():
    company = Company()
    assert not company.has_silent(Instant(2.0), 3.0)
    hear(company, "a", 1, 2.0)
    hear(company, "b", 1, 5.0)
    assert not company.has_silent(Instant(4.9), 3.0)
    assert company.has_silent(Instant(9.0), 4.0)
    assert not company.has_silent(Instant(9.0), 7.5)

    hear(company, "a", 1, 8.0)

    assert not company.has_silent(Instant(8.9), 4.0)
    assert company.has_silent(Instant(9.0), 4.0)
