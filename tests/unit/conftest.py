"""What unit tests throw away lies in memory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import quick_folder


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In place of pytest's: to allocate the files of counters that workers share takes 15 ms of CPU on a disk."""
    with tempfile.TemporaryDirectory(prefix="gw-unit-", dir=quick_folder()) as folder:
        yield Path(folder)
