import threading

import pytest

from gateway.core.errors import InvalidCall
from gateway.relay.aside import aside


async def test_work_is_done_in_another_thread() -> None:
    def work(given: str) -> tuple[str, str]:
        return given, threading.current_thread().name

    given, name = await aside(work, "a")

    assert given == "a"
    assert name != threading.current_thread().name


async def test_what_work_raises_comes_back() -> None:
    def work() -> None:
        raise InvalidCall("no")

    with pytest.raises(InvalidCall):
        await aside(work)
