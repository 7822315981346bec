"""The encryption key of an installation that configures none: a file under GATEWAY_HOME that only its owner reads."""

import os
import stat
import tempfile
from pathlib import Path

from gateway.store.cipher import EncryptionKey, InvalidKeys, new_key, parse_keys

FILE_NAME = "encryption.keys"
_FIRST_KEY_ID = "k1"


def load_or_create_key_file(home: Path) -> tuple[EncryptionKey, ...]:
    """Keys from `home/encryption.keys`, which is made with one new key and mode 0600 if it is not there.

    It stands beside the database's folder, not in it: a copy of the data alone gives nothing away. Two that start at
    once get the same key. Several keys may be written to it, one a line, the sealing one first.

    Raises:
        InvalidKeys: the file cannot be read as keys, or others than its owner may read it.
    """
    path = home / FILE_NAME
    if not path.exists():
        _create(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InvalidKeys(f"{FILE_NAME} may be read by others than its owner: run chmod 600 on it")
    return parse_keys(path.read_text(encoding="ascii", errors="replace"))


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{FILE_NAME}.")  # made with mode 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(new_key(_FIRST_KEY_ID) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)  # appears whole or not at all, and never replaces another starter's
        except FileExistsError:
            return
        _sync_folder(path.parent)
    finally:
        draft.unlink()


def _sync_folder(folder: Path) -> None:
    """Makes the new name durable: rows sealed with a key whose file is lost are lost."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
