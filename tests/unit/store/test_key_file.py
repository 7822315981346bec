import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.store.cipher import InvalidKeys, parse_keys
from gateway.store.key_file import FILE_NAME, load_or_create_key_file


def test_the_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "state" / ".gateway"

    first = load_or_create_key_file(home)

    assert load_or_create_key_file(home) == first
    assert stat.S_IMODE((home / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == [FILE_NAME]


def test_many_that_start_at_once_get_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as executor:
        keys = list(executor.map(load_or_create_key_file, [tmp_path] * 64))

    assert len({key[0].secret for key in keys}) == 1


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    load_or_create_key_file(tmp_path)
    (tmp_path / FILE_NAME).chmod(0o640)

    with pytest.raises(InvalidKeys, match="chmod 600"):
        load_or_create_key_file(tmp_path)


def test_several_keys_are_taken_in_their_order(tmp_path: Path) -> None:
    (old,) = load_or_create_key_file(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_text("k2:" + "A" * 43 + "=\n" + path.read_text())

    assert [key.id for key in load_or_create_key_file(tmp_path)] == ["k2", old.id]
    assert parse_keys(path.read_text())[1] == old


def test_a_damaged_file_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("rubbish")
    (tmp_path / FILE_NAME).chmod(0o600)

    with pytest.raises(InvalidKeys):
        load_or_create_key_file(tmp_path)

    assert (tmp_path / FILE_NAME).read_text() == "rubbish"
