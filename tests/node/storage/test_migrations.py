"""Migrations go up, down and up again, and end at exactly the tables of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from almenara.node.storage import migrate
from almenara.node.storage.engine import Store, open_store
from almenara.node.storage.errors import SchemaTooNew
from almenara.node.storage.schema import VERSION, metadata
from tests.node.storage.conftest import COLUMN_KEY, DATABASE_KEY, NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.support.postgres import Cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the test's own, since it changes tables."""
    if request.param == "sqlite":
        return str(tmp_path / "data.db")
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.new_database()


@pytest.fixture
async def open_place(place: str) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    stores: list[Store] = []

    async def open_it() -> Store:
        stores.append(await open_store(place, DATABASE_KEY, COLUMN_KEY, clock=lambda: NOW))
        return stores[-1]

    yield open_it
    for opened in stores:
        await opened.close()


async def test_up_down_and_up_again(store: Store) -> None:
    async with store._writer.connect() as connection, connection.begin():
        await connection.run_sync(migrate.downgrade, "base")
        assert await connection.run_sync(_tables) == {"alembic_version"}
        await connection.run_sync(migrate.upgrade)
        assert await connection.run_sync(_tables) == {*metadata.tables, "alembic_version"}
    async with store.write() as tx:
        await tx.meta.set("a", b"1")


async def test_the_migrated_schema_is_the_one_the_program_works_with(store: Store) -> None:
    async with store._writer.connect() as connection, connection.begin():
        assert await connection.run_sync(_differences) == []


async def test_a_difference_would_be_found(store: Store) -> None:
    """Otherwise the test above could never fail."""
    async with store._writer.connect() as connection, connection.begin():
        await connection.exec_driver_sql("ALTER TABLE cards ADD COLUMN more BIGINT")
        await connection.exec_driver_sql("DROP INDEX ix_log_scope")
        kinds = {difference[0] for difference in await connection.run_sync(_differences)}
    assert kinds == {"remove_column", "add_index"}


async def test_partial_indexes_are_partial_in_the_database_too(store: Store) -> None:
    """Alembic does not compare their conditions."""
    async with store._writer.connect() as connection, connection.begin():
        found = await connection.run_sync(_partial)
    wanted = {index.name for table in metadata.tables.values() for index in table.indexes if _condition(index)}
    assert found == wanted


def test_the_newest_migration_is_the_version_of_the_program() -> None:
    assert ScriptDirectory(str(migrate.FOLDER)).get_current_head() == VERSION


async def test_a_database_of_a_newer_program_is_refused(open_place: Callable[[], Awaitable[Store]]) -> None:
    store = await open_place()
    async with store._writer.connect() as connection, connection.begin():
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaTooNew) as caught:
        await open_place()
    assert (caught.value.found, caught.value.known) == ("9999", VERSION)


def _tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def _differences(connection: Connection) -> list[tuple[object, ...]]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


def _condition(index: object) -> bool:
    return index.dialect_options["sqlite"]["where"] is not None  # type: ignore[attr-defined]


def _partial(connection: Connection) -> set[str]:
    found = set()
    for table in metadata.tables:
        for index in inspect(connection).get_indexes(table):
            options = index.get("dialect_options", {})
            if any(name.endswith("_where") and value is not None for name, value in options.items()):
                found.add(str(index["name"]))
    return found
