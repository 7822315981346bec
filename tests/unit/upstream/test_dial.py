from socket import AF_INET, AF_INET6

from gateway.upstream.dial import Address, interleaved


def test_families_take_turns_and_keep_their_order() -> None:
    six: list[Address] = [(AF_INET6, (f"::{n}", 80, 0, 0)) for n in range(3)]
    four: list[Address] = [(AF_INET, ("127.0.0.1", 80))]

    assert interleaved([*six, *four]) == [six[0], four[0], six[1], six[2]]
    assert interleaved([*four, *six]) == [four[0], *six]
    assert interleaved(six) == six
