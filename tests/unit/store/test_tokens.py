import asyncio

import pytest

from gateway.store.tokens import patiently


async def turn() -> None:
    await asyncio.sleep(0)  # noqa: TID251  # yields to the loop; no time passes


async def test_a_stall_of_this_process_is_not_anothers_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, stood = asyncio.get_running_loop(), 0.0
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + stood)

    async def work() -> str:
        nonlocal stood
        for _ in range(3):
            stood += 100.0
            await turn()
            await turn()
        return "answer"

    assert await patiently(work(), 60.0) == "answer"


async def test_silence_ends_the_wait_and_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.tokens.STEP_S", 0.001)
    silent = asyncio.ensure_future(asyncio.Event().wait())

    async def work() -> None:
        await silent

    with pytest.raises(TimeoutError):
        await patiently(work(), 0.003)

    assert silent.cancelled()


async def test_a_failure_is_the_works() -> None:
    async def work() -> None:
        await turn()
        raise LookupError

    with pytest.raises(LookupError):
        await patiently(work(), 60.0)
