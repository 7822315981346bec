import asyncio
import signal
import sys

from tests.integration.sandbox.raw_client import CHAT, ask
from tests.waits import PATIENCE_S


async def test_program_says_where_it_listens_serves_and_stops_on_sigterm() -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.sandbox", "--port", "0", "--requests", "1", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert program.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = (await program.stdout.readline()).decode()
        url = line.removeprefix("sandbox on ").strip().removesuffix("/v1")

        statuses = [(await ask(url, CHAT)).status for _ in range(2)]
    finally:
        program.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            status = await program.wait()

    assert statuses == [200, 429]
    assert status == 0
