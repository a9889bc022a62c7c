"""Honest restores: never a fork, and nothing lost that a peer still has (a restore must not look like a lie)."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete

from almenara.crypto.identity import NodeId
from almenara.crypto.signing import SigningKey
from almenara.node.authoring import Author, Draft
from almenara.node.chainbook import Chainbook
from almenara.node.clock import HOUR_MS, MINUTE_MS
from almenara.node.service import LOCAL
from almenara.node.storage import schema
from almenara.node.storage.engine import open_store
from almenara.node.storage.rows import ChainRow
from almenara.protocol.object import ObjectType
from tests.node.core.test_forks import bring, problems
from tests.support.circles import trio
from tests.support.mesh import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from almenara.node.storage.engine import Store, Transaction
    from almenara.protocol.object import SignedObject
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")

RESTORES, LIVES = 100, 10  # a thousand in all
SNAPSHOTS = 40  # the newest ones, from among which a restore takes one
OWN, CIRCLE, STATEMENT = NodeId(b"o" * 32), b"c" * 16, b"s" * 16


class Keys:
    """A keyring with one key."""

    @staticmethod
    def seal_with(_statement: bytes, _cls: int) -> Any:
        """As `Keyring.seal_with`."""
        return SimpleNamespace(key=bytes(32), kid=bytes(16))

    @staticmethod
    def tag(_statement: bytes, _hour: int) -> bytes:
        """As `Keyring.tag`."""
        return bytes(16)


class Site:
    """A database with a chainbook, and the clock of the test."""

    def __init__(self, store: Store) -> None:
        self.store, self.now, self.has = store, NOW, {}  # type: ignore[var-annotated]
        circles: Any = SimpleNamespace(own=OWN, known=lambda _: None)
        self.book = Chainbook(circles)
        self.author = self.opened()

    def opened(self) -> Author:
        """As each opening of the database makes it, with an incarnation of its own."""
        cards: Any = SimpleNamespace(newest=lambda _: SimpleNamespace(counter=1))
        keys: Any = Keys()
        return Author(OWN, SigningKey.from_seed(bytes(32)), cards, keys, lambda: self.now)

    async def say(self, tx: Transaction, number: int) -> None:
        """One more object of ours."""
        draft = Draft(
            circle_id=CIRCLE,
            statement_id=STATEMENT,
            type=ObjectType.ALERT,
            body=b"%d" % number,
            tlp=0,
            expires_min=self.now // MINUTE_MS + 60,
            ref_id=b"%016d" % number,
        )
        posted = (await self.author.post(tx, draft)).object
        self.has[posted.hash] = posted

    async def take(self, tx: Transaction, objects: list[SignedObject]) -> None:
        """What somebody brings."""
        assert await self.book.keep(tx, [(signed, b"e" * 32) for signed in objects], self.now) == set()
        self.has |= {signed.hash: signed for signed in objects}


Snapshot = tuple[int, dict[bytes, Any], list[ChainRow]]


async def go_back(tx: Transaction, site: Site, snapshot: Snapshot) -> None:
    """The tables as they were: what came later is gone, chains end where they ended."""
    at, has, chains = snapshot
    connection = tx.chains._connection
    await connection.execute(delete(schema.objects).where(schema.objects.c.received_at > at))
    await connection.execute(delete(schema.chains).where(schema.chains.c.chain_id > len(chains)))
    changed = [was for was, now in zip(chains, await tx.chains.all(), strict=True) if was != now]
    await tx.chains.update(changed)
    await connection.execute(delete(schema.counters).where(schema.counters.c.name == "chains"))
    await connection.execute(schema.counters.insert(), [{"name": "chains", "value": len(chains)}])
    await connection.execute(delete(schema.gaps))
    site.has = dict(has)


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    """The author's and a peer's."""
    stores = [await open_store(tmp_path / f"{n}.db", bytes(32), bytes(32), clock=lambda: NOW) for n in ("own", "peer")]
    yield Site(stores[0]), Site(stores[1])
    for store in stores:
        await store.close()


@pytest.mark.parametrize("life", range(LIVES))
async def test_a_thousand_restores_make_no_fork_and_lose_nothing_that_a_peer_has(
    sites: tuple[Site, Site], life: int
) -> None:
    """Each goes back to an old state, the last or one of forty; the peer has had some of what is lost, in any order."""
    own, peer = sites
    random, snapshots = Random(life), [(NOW, {}, [])]
    lost = back = 0
    async with own.store.write() as tx, peer.store.write() as there:  # one commit: what is tested is no disk
        for number in range(RESTORES):
            own.now = peer.now = own.now + 3 * HOUR_MS
            if random.random() < 0.7:
                snapshots = [*snapshots, (own.now, dict(own.has), await tx.chains.all())][-SNAPSHOTS:]
            own.now += MINUTE_MS  # what is said now is newer than every snapshot
            for part in range(random.randint(1, 2)):
                await own.say(tx, 10 * number + part)
            new = [signed for digest, signed in own.has.items() if digest not in peer.has]
            await peer.take(there, random.sample(new, random.randint(0, len(new))))
            before = own.has
            chosen = random.randrange(len(snapshots)) if random.random() < 0.1 else len(snapshots) - 1
            snapshots = snapshots[: chosen + 1]  # the others belong to a life that is over
            await go_back(tx, own, snapshots[chosen])
            own.author = own.opened()
            lost += len(before.keys() - own.has.keys())
            own.now += MINUTE_MS
            returned = [signed for digest, signed in peer.has.items() if digest not in own.has]
            random.shuffle(returned)
            await own.take(tx, returned)
            back += len(returned)
    assert own.has.keys() >= peer.has.keys()
    assert lost >= RESTORES
    assert back > RESTORES / 2
    for site in sites:
        async with site.store.read() as tx:
            assert await tx.forks.since(0) == []
            assert await tx.chains.lived_at_once(120, 0) == []
            chains = await tx.chains.all()
            held = [row for c in chains for row in await tx.chains.objects_in(c.chain_id, 0, c.head_seq)]
        assert {row.header_hash for row in held} == site.has.keys()


async def test_the_same_place_with_another_object_would_be_found(sites: tuple[Site, Site]) -> None:
    """Otherwise the test above could never fail: a restore that kept its incarnation contradicts itself."""
    own, peer = sites
    for number in range(2):
        async with own.store.write() as tx:
            await own.say(tx, number)
            said = list(own.has.values())
            await go_back(tx, own, (NOW - 1, {}, []))
        async with peer.store.write() as tx:
            await peer.book.keep(tx, [(signed, b"e" * 32) for signed in said], NOW)
    async with peer.store.read() as tx:
        (fork,) = await tx.forks.since(0)
    assert asdict(fork)["kind"] == "seq"


async def test_what_a_restore_lost_comes_back_as_our_own(mesh: Mesh) -> None:
    """A whole node goes back to an old copy of its home: its alerts are under *sent* again, with who has them."""
    alpha, beta, gamma, circle = await trio(mesh)
    kept = await beta.send(circle, title="before the copy")
    await mesh.flow()
    old = await copy_home(beta)
    mesh.advance(minutes=60)
    lost = [await beta.send(circle, title=f"lost {number}") for number in range(2)]
    await mesh.push(beta, alpha)
    await mesh.push(alpha, gamma)
    mesh.advance(minutes=60)
    await gamma.maintain()
    await mesh.push(gamma, alpha)
    await put_back(beta, old)
    assert [alert.alert_id for alert in (await beta.service.sent(LOCAL)).alerts] == [kept]
    mesh.advance(minutes=60)
    await beta.send(circle, title="after the restore")
    await bring(mesh, alpha, beta)
    shown = {alert.alert_id: alert for alert in (await beta.service.sent(LOCAL)).alerts}
    assert shown.keys() >= {kept, *lost}
    assert await beta.received() == []
    for alert in lost:
        recipients = shown[alert].recipients or []
        assert {one.name: one.state for one in recipients} == {"alpha": "stored", "gamma": "stored"}
    assert await problems(beta) == {}
    await mesh.flow()
    mesh.advance(days=2)
    for office in (alpha, beta, gamma):
        assert await problems(office) == {}
    assert await sorted_inbox(alpha) == await sorted_inbox(gamma)


async def test_who_has_what_came_back_is_asked_again(mesh: Mesh) -> None:
    """A peer is pushed to and answers; a member that is no peer is *carried* until its receipt comes."""
    alpha, beta, _, circle = await trio(mesh)
    old = await copy_home(beta)
    alert = await beta.send(circle)
    await mesh.push(beta, alpha)
    await put_back(beta, old)
    await bring(mesh, alpha, beta)
    recipients = (await beta.service.alert(LOCAL, alert)).recipients or []
    assert {one.name: one.state for one in recipients} == {"alpha": "stored", "gamma": "carried"}
    await mesh.flow()
    for _ in range(4):
        mesh.advance(minutes=10)
        for office in mesh.offices.values():
            await office.maintain()
        await mesh.flow()
    recipients = (await beta.service.alert(LOCAL, alert)).recipients or []
    assert {one.name: one.state for one in recipients} == {"alpha": "stored", "gamma": "stored"}


async def sorted_inbox(office: Office) -> list[str]:
    """Its alerts, whatever the order."""
    return sorted(await office.received())


async def copy_home(office: Office) -> Path:
    """As somebody who stops the node, copies its folder and starts it again."""
    await office.close()
    folder = office.home.path.with_name(f"{office.name}-backup")
    shutil.copytree(office.home.path, folder)
    await office.open()
    return folder


async def put_back(office: Office, folder: Path) -> None:
    """As somebody whose disk broke."""
    await office.close()
    shutil.rmtree(office.home.path)
    shutil.copytree(folder, office.home.path)
    await office.open()
