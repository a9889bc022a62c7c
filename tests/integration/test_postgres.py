"""A whole node on PostgreSQL: it warns and is warned like any other, and the server's disk tells nobody what."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from almenara.node.service import LOCAL
from tests.support.canaries import Canaries, Search
from tests.support.nodes import make_home, pair, running
from tests.support.postgres import running_cluster
from tests.support.steps import arrived, direct_circle, own_id, send, stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.postgres import Cluster

READABLE = (
    b"Persona",
    b"hub",
    b"laptop",
    b"intimidation.threat",
    b"contact-for-instruction",
    b"CO-VAC",
    b"Yoloxochitl",
)
"""Names of people and nodes and what alerts say: none of it is plain on a server either."""


class Written:
    """What a server wrote since this was made: files that it had before, and copies of them, tell nothing new."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._before = {sha256(content).digest() for _, content in self._all()}

    def files(self) -> list[tuple[str, bytes]]:
        """Name and content of each, after everything is on disk."""
        self._cluster.checkpoint()
        return [(name, content) for name, content in self._all() if sha256(content).digest() not in self._before]

    def _all(self) -> Iterator[tuple[str, bytes]]:
        for path in self._cluster.files():
            yield str(path.relative_to(self._cluster.data)), path.read_bytes().replace(bytes(64), b"")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as started:
        yield started


async def test_a_node_on_postgresql_warns_and_is_warned_and_goes_on_after_a_restart(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Paired with a node on SQLCipher; alerts both ways, before and after; no canary in any file of the cluster."""
    written = Written(cluster)
    url, canaries = cluster.new_database(), Canaries(seed=5432)
    hub_home, laptop_home = (
        make_home(tmp_path / "a", "hub-of-the-north"),
        make_home(tmp_path / "b", "laptop-in-the-field"),
    )
    with hub_home.config_path.open("a", encoding="utf-8") as file:
        file.write(f'[database]\nurl = "{url}"\n')
    async with running(laptop_home) as laptop:
        async with running(hub_home) as hub:
            await pair(hub, laptop)
            await hub.add_person(LOCAL, "Yoloxochitl", "admin", "another few plain words")
            direct = await direct_circle(hub, await own_id(laptop))
            first = await send(hub, direct, canaries.case())
            second = await send(laptop, direct, canaries.case())
            await arrived(laptop, first)
            await arrived(hub, second)
            await stored(hub, first)
            await hub.save_case(LOCAL, canaries.case(consent={"state": "not-asked"}))
        async with running(hub_home) as hub:
            assert len((await hub.cases(LOCAL)).cases) == 2
            assert [alert.alert_id for alert in (await hub.inbox(LOCAL)).alerts] == [second]
            third = await send(hub, direct, canaries.case())
            fourth = await send(laptop, direct, canaries.case())
            await arrived(laptop, third)
            await arrived(hub, fourth)
            await stored(hub, third)
    assert not hub_home.database_path.exists()
    files = written.files()
    assert sum(len(content) for _, content in files) > 1_000_000
    assert len(canaries.drawn) > 100
    assert Search()(files) == []
    assert [(name, text) for name, content in files for text in READABLE if text in content] == []


async def test_the_search_would_find_what_postgresql_writes_in_plain(cluster: Cluster) -> None:
    """The control: the same server, a table without seals."""
    written = Written(cluster)
    database = cluster.new_database().partition("@/")[2].partition("?")[0]
    canary = Canaries(seed=1).text()
    statement = f"CREATE TABLE plain AS SELECT '{canary}'::text AS told"
    cluster.run("psql", "-h", str(cluster.sockets), "-U", "postgres", "-q", "-c", statement, database)
    assert Search()(written.files()) != []
