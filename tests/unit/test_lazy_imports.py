"""What a worker must not import at its start: it would hold the memory, and few calls need it."""

import subprocess
import sys

import pytest

HEAVY = ("httpx2", "websockets", "alembic")


@pytest.mark.parametrize("name", HEAVY)
def test_a_workers_modules_do_not_import_what_few_calls_need(name):
    program = f"import sys, gateway.worker, gateway.app; sys.exit({name!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0  # noqa: S603  # our own words
