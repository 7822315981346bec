"""What can go wrong in a command, as one line for the person at the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def said_plainly() -> Iterator[None]:
    """Expected failures leave as click's errors (exit code 1); anything else is a bug and keeps its traceback."""
    from gateway.settings_sources import InvalidSettings  # noqa: PLC0415  # `--help` needs none of these
    from gateway.start import StartFailed  # noqa: PLC0415  # as above
    from gateway.store.cipher import BrokenSeal, InvalidKeys, UnknownKey  # noqa: PLC0415  # as above
    from gateway.store.engine import StoreUnavailable  # noqa: PLC0415  # as above
    from gateway.store.row_checks import RowRefused  # noqa: PLC0415  # as above
    from gateway.store.rows import WriteRefused  # noqa: PLC0415  # as above

    try:
        yield
    except (StartFailed, BrokenSeal, InvalidKeys, UnknownKey, StoreUnavailable, RowRefused, WriteRefused) as error:
        raise click.ClickException(str(error)) from error
    except InvalidSettings as error:
        raise click.ClickException(f"wrong settings:\n{error}") from error
