"""The same tests on SQLCipher and on PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from almenara.node.storage.engine import Store, open_store
from almenara.node.storage.schema import metadata
from tests.support.postgres import Cluster, running_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

DATABASE_KEY, COLUMN_KEY = bytes(range(32)), bytes(range(32, 64))
NOW = 1_790_000_000_000


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One PostgreSQL cluster for the whole run."""
    with running_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def migrated(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By dialect a migrated database, since migrating takes longer than most tests: one to copy, one to empty."""
    places = {"sqlite": str(tmp_path_factory.mktemp("migrated") / "data.db"), "postgresql": cluster.new_database()}
    for place in places.values():
        asyncio.run(_migrate(place))
    return places


async def _migrate(place: str) -> None:
    await (await open_store(place, DATABASE_KEY, COLUMN_KEY, clock=lambda: NOW)).close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, migrated: dict[str, str], tmp_path: Path) -> str:
    """Where an empty database can be opened."""
    found = migrated[request.param]
    return found if request.param == "postgresql" else str(shutil.copy(found, tmp_path / "data.db"))


@pytest.fixture
async def open_place(place: str) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    """Open the database, as often as wanted; at the end everything is closed, and what others will use emptied."""
    stores: list[Store] = []

    async def open_it() -> Store:
        stores.append(await open_store(place, DATABASE_KEY, COLUMN_KEY, clock=lambda: NOW))
        return stores[-1]

    yield open_it
    if place.startswith("postgresql"):
        await _empty(stores[0])
    for opened in stores:
        await opened.close()


async def _empty(store: Store) -> None:
    tables = ", ".join(name for name in metadata.tables if name != "counters")
    async with store._writer.connect() as connection, connection.begin():
        await connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        await connection.execute(text("UPDATE counters SET value = 0"))


@pytest.fixture
async def store(open_place: Callable[[], Awaitable[Store]]) -> Store:
    """An open, empty database."""
    return await open_place()
