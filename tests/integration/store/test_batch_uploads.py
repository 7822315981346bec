"""What is kept of batches' files in parts, in the tables and in the fake that stands for them."""

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.batch_upload import NO_BATCH, BatchPart
from gateway.relay.batch_uploads import UploadStore
from gateway.store.batch_uploads import BatchUploadTable
from gateway.store.cipher import Cipher, new_key, parse_keys
from gateway.store.engine import make_engine
from tests.fakes.upload_store import MemoryUploads

PART = BatchPart(b"un}", b'{"secret": \xff\0', 7, has_line_end=True)
ONE_END = BatchPart(b"", b"", 0, has_line_end=False)


@pytest.fixture(params=["table", "fake"])
def store(request: pytest.FixtureRequest) -> UploadStore:
    if request.param == "fake":
        return MemoryUploads()
    return BatchUploadTable(request.getfixturevalue("engine"), request.getfixturevalue("cipher"))


async def test_parts_come_back_as_they_were_kept(store: UploadStore) -> None:
    assert await store.begin("upload_1")
    assert await store.begin("upload_1")
    assert await store.held_bytes("upload_1") == 0

    assert await store.add("upload_1", "part_1", PART)
    assert await store.add("upload_1", "part_2", ONE_END)

    assert await store.held_bytes("upload_1") == PART.held_bytes
    assert await store.part("upload_1", "part_1") == PART
    assert await store.part("upload_1", "part_2") == ONE_END


async def test_what_is_not_there_is_told(store: UploadStore) -> None:
    await store.begin("upload_1")
    await store.begin("upload_2")
    await store.add("upload_1", "part_1", PART)

    assert await store.held_bytes("upload_3") == NO_BATCH
    assert await store.part("upload_2", "part_1") is False, "another upload's"
    assert await store.part("upload_1", "part_2") is False


async def test_parts_are_forgotten_and_that_it_is_a_batch_is_not(store: UploadStore) -> None:
    await store.begin("upload_1")
    await store.add("upload_1", "part_1", PART)

    assert await store.forget("upload_1")

    assert await store.part("upload_1", "part_1") is False
    assert await store.held_bytes("upload_1") == 0


async def test_ids_that_no_table_holds_are_left_out(engine: AsyncEngine, cipher: Cipher) -> None:
    table = BatchUploadTable(engine, cipher)

    assert await table.begin("a\0b") is False
    assert await table.held_bytes("a\0b") == NO_BATCH
    assert await table.add("upload_1", "", PART) is False
    assert await table.part("upload_1", "\ud800") is False


async def test_ends_rest_sealed_and_what_no_key_opens_is_not_there(
    engine: AsyncEngine, cipher: Cipher, database_url: str
) -> None:
    await BatchUploadTable(engine, cipher).add("upload_1", "part_1", PART)
    connection = await asyncpg.connect(database_url)
    row = await connection.fetchrow("SELECT first_end, last_end FROM batch_parts")
    await connection.execute(
        "INSERT INTO batch_parts SELECT 'upload_2', id, first_end, last_end, 1, 1, true FROM batch_parts"
    )
    await connection.close()
    other = BatchUploadTable(engine, Cipher(parse_keys(new_key("k9"))))

    assert row is not None
    assert PART.first not in row["first_end"]
    assert b"secret" not in row["last_end"]
    assert await other.part("upload_1", "part_1") is False
    assert await BatchUploadTable(engine, cipher).part("upload_2", "part_1") is False, "moved to another row"


async def test_old_rows_go(engine: AsyncEngine, cipher: Cipher, database_url: str) -> None:
    table = BatchUploadTable(engine, cipher)
    for upload in ("upload_1", "upload_2"):
        await table.begin(upload)
        await table.add(upload, "part_1", PART)
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "UPDATE batch_parts SET sent_at = now() - interval '25 hours' WHERE upload_id = 'upload_1'"
    )
    await connection.execute("UPDATE batch_uploads SET begun_at = now() - interval '34 days'")
    assert await table.delete_old() == 1
    await connection.execute("UPDATE batch_uploads SET begun_at = now() - interval '36 days' WHERE id = 'upload_1'")
    await connection.close()

    assert await table.delete_old() == 1
    assert [await table.held_bytes(upload) for upload in ("upload_1", "upload_2")] == [NO_BATCH, PART.held_bytes]


async def test_with_postgres_away_nobody_knows(cipher: Cipher) -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none")
    table, fake = BatchUploadTable(engine, cipher), MemoryUploads()
    fake.is_away = True

    for store in (table, fake):
        assert await store.begin("upload_1") is None
        assert await store.held_bytes("upload_1") is None
        assert await store.add("upload_1", "part_1", PART) is None
        assert await store.part("upload_1", "part_1") is None
        assert await store.forget("upload_1") is None
    assert await table.delete_old() == 0
    await engine.dispose()
