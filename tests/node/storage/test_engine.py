"""Transactions, keys and files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from sqlalchemy.exc import DBAPIError, IntegrityError

from almenara.node.storage import sqlcipher
from almenara.node.storage.engine import Store, open_store
from almenara.node.storage.errors import DatabaseKeyWrong, EraseBlocked
from almenara.node.storage.rows import ClassKeyRow, SentRow
from tests.node.storage.conftest import COLUMN_KEY, DATABASE_KEY, NOW
from tests.node.storage.samples import row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


async def test_a_commit_is_seen_by_the_next_transaction(store: Store) -> None:
    async with store.write() as tx:
        await tx.meta.set("a", b"1")
    async with store.read() as tx:
        assert await tx.meta.get("a") == b"1"


async def test_a_commit_is_there_after_reopening(open_place: Callable[[], Awaitable[Store]]) -> None:
    store = await open_place()
    async with store.write() as tx:
        await tx.meta.set("a", b"1")
    await store.close()
    async with (await open_place()).read() as tx:
        assert await tx.meta.get("a") == b"1"


async def test_an_exception_rolls_everything_back(store: Store) -> None:
    with pytest.raises(LookupError):  # noqa: PT012 - the transaction is what must raise
        async with store.write() as tx:
            await tx.meta.set("a", b"1")
            raise LookupError
    async with store.read() as tx:
        assert await tx.meta.get("a") is None


async def test_a_cancelled_writer_leaves_nothing_and_lets_the_next_one_in(store: Store) -> None:
    begun = asyncio.Event()

    async def write_for_ever() -> None:
        async with store.write() as tx:
            await tx.meta.set("a", b"1")
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write_for_ever())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.write() as tx:
        assert await tx.meta.get("a") is None


async def test_a_reader_sees_one_unchanging_view(store: Store) -> None:
    async with store.read() as before:
        assert await before.meta.get("a") is None
        async with store.write() as tx:
            await tx.meta.set("a", b"1")
        assert await before.meta.get("a") is None
    async with store.read() as after:
        assert await after.meta.get("a") == b"1"


async def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(DBAPIError):
        async with store.read() as tx:
            await tx.meta.set("a", b"1")


async def test_writers_come_one_after_another(open_place: Callable[[], Awaitable[Store]]) -> None:
    """Also two programs on one database, as the workers of a hub are."""
    first, second = await open_place(), await open_place()
    order: list[str] = []

    async def increase(store: Store) -> None:
        for _ in range(10):
            async with store.write() as tx:
                order.append("in")
                value = int(await tx.meta.get("n") or b"0")
                await asyncio.sleep(0)
                await tx.meta.set("n", str(value + 1).encode())
                order.append("out")

    await asyncio.gather(increase(first), increase(first), increase(second))
    async with first.read() as tx:
        assert await tx.meta.get("n") == b"30"


async def test_an_error_of_the_database_shows_no_value(store: Store) -> None:
    """SQLAlchemy would otherwise print every parameter of the statement."""
    sent = row(SentRow, consent={"informed": "CANARY-consent"})
    with pytest.raises(IntegrityError) as caught:  # noqa: PT012 - the transaction is what must raise
        async with store.write() as tx:
            await tx.cases.put_sent(sent)
            await tx.cases.put_sent(sent)
    assert "CANARY" not in str(caught.value)


async def test_the_dialect_is_told(store: Store, place: str) -> None:
    assert store.dialect == ("postgresql" if place.startswith("postgresql") else "sqlite")


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_postgresql_plans_for_the_table_as_it_has_become(store: Store) -> None:
    """A plan kept from when the log was empty reads all of it for every batch, until statistics are next gathered."""
    async with store._writer.connect() as connection:
        assert (await connection.exec_driver_sql("SHOW plan_cache_mode")).scalar() == "force_custom_plan"


# SQLCipher alone


async def _open(path: Path, key: bytes = DATABASE_KEY) -> Store:
    return await open_store(path, key, COLUMN_KEY, clock=lambda: NOW)


async def test_another_key_opens_nothing_and_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    await (await _open(tmp_path / "data.db")).close()
    with pytest.raises(DatabaseKeyWrong):
        await _open(tmp_path / "data.db", bytes(32))
    assert capfd.readouterr() == ("", "")


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.db").write_bytes(b"no database" * 1000)
    with pytest.raises(DatabaseKeyWrong):
        await _open(tmp_path / "data.db")


async def test_a_short_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        await _open(tmp_path / "data.db", b"short")


async def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    store = await _open(tmp_path / "data.db")
    async with store.write() as tx:
        await tx.meta.set("a", b"1")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"data.db": 0o600, "data.db-wal": 0o600, "data.db-shm": 0o600}
    await store.close()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("secure_delete", 1),
        ("foreign_keys", 1),
        ("temp_store", 2),
        ("busy_timeout", sqlcipher.BUSY_MS),
        ("cache_size", -sqlcipher.WRITER_CACHE_KIB),
        ("cipher_use_hmac", "1"),
        ("cipher_hmac_algorithm", "HMAC_SHA256"),
    ],
)
async def test_every_connection_keeps_the_promises_of_the_design(tmp_path: Path, pragma: str, value: object) -> None:
    engine = sqlcipher.writer(tmp_path / "data.db", DATABASE_KEY)
    async with engine.connect() as connection:
        assert (await connection.exec_driver_sql(f"PRAGMA {pragma}")).scalar() == value
    await engine.dispose()


async def test_erasing_empties_the_write_ahead_log(tmp_path: Path) -> None:
    store = await _open(tmp_path / "data.db")
    async with store.write() as tx:
        await tx.keys.put(row(ClassKeyRow, destroy_at=1))
    async with store.write() as tx:
        assert await tx.keys.destroy_due(2) == 1
    assert (tmp_path / "data.db-wal").stat().st_size > 0
    await store.erase_checkpoint()
    assert (tmp_path / "data.db-wal").stat().st_size == 0
    await store.close()


async def test_a_destroyed_key_is_in_no_page_of_the_database(tmp_path: Path) -> None:
    """Read through the key, as one who learns it later would: with `secure_delete` off this finds the class key."""
    store = await _open(tmp_path / "data.db")
    key = b"CANARY-class-key-of-32-bytes-xxx"
    async with store.write() as tx:
        await tx.keys.put(row(ClassKeyRow, key=key, destroy_at=1))
    await store.erase_checkpoint()
    assert key in _decrypted_pages(tmp_path)
    async with store.write() as tx:
        await tx.keys.destroy_due(2)
    await store.erase_checkpoint()
    assert key not in _decrypted_pages(tmp_path)
    await store.close()


async def test_erasing_says_so_when_a_reader_is_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("almenara.node.storage.engine._ERASE_TRIES", 1)
    monkeypatch.setattr(sqlcipher, "_PRAGMAS", (*sqlcipher._PRAGMAS, "busy_timeout = 1"))
    store = await _open(tmp_path / "data.db")
    async with store.write() as tx:
        await tx.meta.set("a", b"1")
    async with store.read() as old:
        assert await old.meta.get("a") == b"1"
        async with store.write() as tx:
            await tx.meta.set("a", b"2")
        with pytest.raises(EraseBlocked):
            await store.erase_checkpoint()
    await store.erase_checkpoint()
    await store.close()


def _decrypted_pages(folder: Path) -> bytes:
    """Every page, the free ones included, decrypted by hand: AES-256-CBC, IV and HMAC in the last 48 bytes."""
    data = (folder / "data.db").read_bytes()
    pages = []
    for start in range(0, len(data), 4096):
        page = data[start + (16 if start == 0 else 0) : start + 4096]  # the first 16 bytes of the file are the salt
        decryptor = Cipher(algorithms.AES(DATABASE_KEY), modes.CBC(page[-48:-32])).decryptor()
        pages.append(decryptor.update(page[:-48]))
    return b"".join(pages)
