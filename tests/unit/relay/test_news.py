"""What is told of changes."""

from gateway.relay.news import REMEMBERED, News


def test_changes_are_told_from_where_the_listener_was():
    news: News[int] = News()
    for number in range(3):
        news.note(number)

    assert news.since(1) == [1, 2]
    assert news.since(3) == []


def test_who_missed_more_than_is_remembered_is_told_so():
    news: News[int] = News()
    for number in range(REMEMBERED + 1):
        news.note(number)

    assert news.since(1) == list(range(1, REMEMBERED + 1))
    assert news.since(0) is None
