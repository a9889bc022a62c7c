"""The same tests on SQLCipher and on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almenara.node.storage.engine import Store, open_store
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


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database can be opened."""
    if request.param == "sqlite":
        return str(tmp_path / "data.db")
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.new_database()


@pytest.fixture
async def open_place(place: str) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    """Open the database, as often as wanted; everything is closed at the end."""
    stores: list[Store] = []

    async def open_it() -> Store:
        stores.append(await open_store(place, DATABASE_KEY, COLUMN_KEY, clock=lambda: NOW))
        return stores[-1]

    yield open_it
    for opened in stores:
        await opened.close()


@pytest.fixture
async def store(open_place: Callable[[], Awaitable[Store]]) -> Store:
    """An open, empty database."""
    return await open_place()
