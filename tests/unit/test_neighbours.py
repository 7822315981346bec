from gateway.neighbours import Neighbours


class Place:
    """A slot whose process lives and dies by hand."""

    def __init__(self) -> None:
        self.is_serving = True
        self.is_missed = False
        self.is_lent = False
        self.told: list[str] = []

    def dies(self) -> None:
        self.is_serving, self.is_missed = False, True

    def returns(self) -> None:
        self.is_serving, self.is_missed = True, False

    def help_others(self) -> None:
        self.told.append("help")

    def mind_its_own(self) -> None:
        self.told.append("mind")


def neighbours_of(*places: Place) -> Neighbours:
    neighbours = Neighbours()
    neighbours.slots = places
    return neighbours


def test_one_neighbour_helps_until_the_successor_serves():
    first, second, third = places = [Place() for _ in range(3)]
    neighbours = neighbours_of(*places)

    first.dies()
    neighbours.look()
    assert (first.is_lent, second.told, third.told) == (True, ["help"], [])
    neighbours.look()
    first.returns()
    neighbours.look()

    assert (first.is_lent, second.told, third.told) == (False, ["help", "mind"], [])


def test_a_helper_that_dies_is_followed_by_another():
    first, second, third = places = [Place() for _ in range(3)]
    neighbours = neighbours_of(*places)
    first.dies()
    neighbours.look()

    second.dies()
    neighbours.look()
    assert (third.told, first.is_lent, second.is_lent) == (["help"], True, True)
    first.returns()
    neighbours.look()
    assert third.told == ["help"]
    second.returns()
    neighbours.look()

    assert third.told == ["help", "mind"]
    assert second.told == ["help"], "its new process never helped"


def test_the_first_to_come_back_helps_when_all_have_died():
    first, second = places = [Place(), Place()]
    neighbours = neighbours_of(*places)
    for place in places:
        place.dies()
        neighbours.look()
    assert not first.is_lent

    second.returns()
    neighbours.look()

    assert (second.told[-1], first.is_lent) == ("help", True)


def test_a_worker_alone_has_no_help():
    only = Place()
    only.dies()
    neighbours_of(only).look()

    assert not only.is_lent


def test_nobody_is_asked_while_the_service_drains():
    first, second = Place(), Place()
    neighbours = neighbours_of(first, second)
    neighbours.stop()

    first.dies()
    neighbours.look()

    assert second.told == []
