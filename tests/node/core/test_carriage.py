"""A carrier's pools: what it takes for whom, what gives way when one is full, and how all of it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from almenara.crypto.identity import NodeId
from almenara.crypto.random import random_bytes
from almenara.node.carriage import GRACE_MS, MB, Carriage
from almenara.node.clock import DAY_MS, HOUR_MS
from almenara.node.events import Events
from almenara.node.keyring import Keyring
from almenara.node.storage.engine import open_store
from almenara.node.storage.rows import EnvelopeRow, PeerRow
from almenara.protocol.carry import CarriedScope
from almenara.protocol.envelope import Outer, Suite
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.limits import LARGE, SMALL
from almenara.protocol.messages import MAX_PROOFS
from almenara.protocol.scope import tag, week_of
from tests.support.logs import under

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from almenara.node.storage.engine import Store, Transaction

NOW = 1_795_000_000_000
WEEK = week_of(NOW // HOUR_MS)
ANA, BEN, CLO, EVE = (NodeId(name.encode().ljust(32, b".")) for name in ("ana", "ben", "clo", "eve"))
QUOTA = 10 * SMALL
CRITICAL, ROUTINE = 0, 1


def scope(number: int, week: int = WEEK) -> CarriedScope:
    return CarriedScope(number.to_bytes(32), week)


@dataclass
class Names:
    def name(self, node: NodeId) -> str:
        return node.raw.rstrip(b".").decode()


@dataclass
class Trust:
    verified: set[bytes]
    cards: Names = field(default_factory=Names)


@dataclass
class Carrier:
    """A node that carries, its clock, and what it was told to tell."""

    store: Store
    now: int = NOW
    scopes_told: int = 0

    def __post_init__(self) -> None:
        self.keyring, self.circles = Keyring(), Trust({ANA.raw, BEN.raw, CLO.raw})
        circles: Any = self.circles
        self.carriage = Carriage(self.store, circles, self.keyring, lambda: self.now, Events(), QUOTA)
        self.carriage.on_scopes = self._told

    def _told(self) -> None:
        self.scopes_told += 1

    async def asks(self, peer: NodeId, *scopes: CarriedScope) -> None:
        await self.carriage.asked(peer, scopes)

    async def brings(
        self, peer: NodeId, of: CarriedScope, lane: int = ROUTINE, size: int = SMALL, *, proven: bool = True
    ) -> bytes | None:
        """One envelope in a transaction of its own; its id, or None where there is no room."""
        async with self.store.write() as tx:
            return await self._bring(tx, [], peer, of, lane, size, proven=proven)

    async def _bring(
        self,
        tx: Transaction,
        batch: list[EnvelopeRow],
        peer: NodeId,
        of: CarriedScope,
        lane: int,
        size: int,
        *,
        proven: bool,
    ) -> bytes | None:
        hour = self.now // HOUR_MS
        outer = Outer(suite=Suite.CIRCLE, tag=tag(of.key), created_hour=hour, cls=1, lane=lane, kid=random_bytes(16))

        async def settle() -> None:
            await tx.log.append(batch)
            batch.clear()

        if not await self.carriage.hold(tx, outer, size, proven=proven, settle=settle):
            return None
        batch.append(
            EnvelopeRow(
                envelope_id=random_bytes(32),
                tag=outer.tag,
                created_hour=hour,
                cls=1,
                lane=lane,
                kid=outer.kid,
                suite=int(outer.suite),
                source=peer.raw,
                recipient=b"",
                data=bytes(size),
                state="held",
                received_at=self.now,
            )
        )
        found = batch[-1].envelope_id
        if not batch[:-1]:
            await settle()
        return found

    async def fill(self, peer: NodeId, of: CarriedScope, count: int, lane: int = ROUTINE) -> list[bytes]:
        found = [await self.brings(peer, of, lane) for _ in range(count)]
        assert None not in found
        return [each for each in found if each]

    async def held(self) -> set[bytes]:
        """Ids of everything that is there to be passed on."""
        async with self.store.read() as tx:
            return set().union(*[await under(tx, tag(scope(number, WEEK).key)) for number in range(9)])

    async def pools(self) -> dict[str, tuple[int, int, int]]:
        """By name: granted, used, envelopes."""
        shown = (await self.carriage.show()).carrying
        return {one.name: (one.granted_bytes, one.used_bytes, one.envelopes) for one in shown}

    def proves(self) -> set[bytes]:
        return set(self.keyring.provable(self.now // HOUR_MS))


@pytest_asyncio.fixture
async def carrier(tmp_path: Path) -> AsyncIterator[Carrier]:
    store = await open_store(tmp_path / "data.db", bytes(32), bytes(32), clock=lambda: NOW)
    async with store.write() as tx:
        for node in (ANA, BEN, CLO):
            await tx.peers.put(_peer(node))
    yield Carrier(store)
    await store.close()


def _peer(node: NodeId, state: str = "verified") -> PeerRow:
    return PeerRow(node.raw, state, "", "", "", "", "", (), b"", False, 0, 0, 0, "", None, None)


def tags(*scopes: CarriedScope) -> set[bytes]:
    return {tag(one.key) for one in scopes}


# what is asked


async def test_what_a_verified_peer_asks_is_proven_and_told(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1), scope(2))
    assert carrier.proves() == tags(scope(1), scope(2))
    assert carrier.scopes_told == 1
    assert await carrier.carriage.standing(ANA) == (QUOTA, 0)
    await carrier.asks(ANA, scope(1), scope(2))
    assert carrier.scopes_told == 1


async def test_nobody_else_is_carried_for(carrier: Carrier) -> None:
    await carrier.asks(EVE, scope(1))
    assert carrier.proves() == set()
    assert await carrier.carriage.standing(EVE) is None
    assert await carrier.pools() == {}


async def test_a_request_replaces_the_one_before(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1), scope(2))
    await carrier.asks(ANA, scope(2), scope(3))
    assert carrier.proves() == tags(scope(2), scope(3))
    await carrier.asks(ANA)
    assert carrier.proves() == set()
    assert await carrier.pools() == {}


async def test_weeks_far_away_are_not_kept_and_weeks_to_come_not_proven_yet(carrier: Carrier) -> None:
    near = [scope(number, WEEK + number - 5) for number in range(11)]
    await carrier.asks(ANA, *near, scope(20, WEEK + 7), scope(21, WEEK - 7))
    assert carrier.proves() == tags(*near[:7])
    carrier.now += 14 * DAY_MS
    assert carrier.proves() == tags(*near[2:9])


async def test_a_flood_of_keys_changes_nothing_for_others(carrier: Carrier) -> None:
    """Ten thousand, a thousand at a time: the last thousand count, and no other asker loses its turn."""
    await carrier.asks(BEN, *(scope(number) for number in range(50)))
    for wave in range(10):
        await carrier.asks(ANA, *(scope(1_000 * (wave + 1) + number) for number in range(1_000)))
    async with carrier.store.read() as tx:
        rows = await tx.carrying.carried()
    assert len(rows) == 1_050
    proven = carrier.proves()
    assert len(proven) == MAX_PROOFS
    assert tags(*(scope(number) for number in range(50))) <= proven


async def test_own_scopes_come_first_when_there_is_no_room_for_all(carrier: Carrier) -> None:
    own = {number.to_bytes(16): number.to_bytes(32) for number in range(MAX_PROOFS - 1)}
    await carrier.asks(ANA, scope(5_001), scope(5_002))
    carrier.keyring._scopes = (WEEK, own)
    proven = carrier.proves()
    assert set(own) < proven
    assert len(proven) == MAX_PROOFS


async def test_everything_is_there_after_a_restart(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1))
    await carrier.fill(BEN, scope(1), 2)
    again = Carrier(carrier.store)
    await again.carriage.load()
    assert again.proves() == tags(scope(1))
    assert await again.pools() == {"ana": (QUOTA, 2 * SMALL, 2)}


# what comes in


async def test_whoever_has_no_key_of_a_scope_leaves_nothing_under_it(carrier: Carrier) -> None:
    """A tag that was seen is no key; and a scope that nobody asked for is not carried."""
    await carrier.asks(ANA, scope(1))
    for of, proven in ((scope(1), False), (scope(2), True)):
        with pytest.raises(RemoteError) as caught:
            await carrier.brings(CLO, of, proven=proven)
        assert caught.value.kind is Defect.UNKNOWN_KEY
    assert await carrier.held() == set()


async def test_a_key_brings_envelopes_of_its_own_week_only(carrier: Carrier) -> None:
    """Else one key could be asked for, for ever."""
    await carrier.asks(ANA, scope(1, WEEK - 1))
    with pytest.raises(RemoteError) as caught:
        await carrier.brings(BEN, scope(1, WEEK - 1))
    assert caught.value.kind is Defect.WRONG_HOUR


async def test_a_full_pool_lets_go_of_the_oldest_routine_of_whoever_brought_most(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1), scope(2))
    few = await carrier.fill(BEN, scope(1), 3)
    many = await carrier.fill(CLO, scope(2), 7)
    newest = await carrier.brings(BEN, scope(1))
    assert await carrier.held() == {*few, *many[1:], newest}
    assert await carrier.pools() == {"ana": (QUOTA, QUOTA, 10)}


async def test_critical_gives_way_to_critical_only(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1))
    critical = await carrier.fill(CLO, scope(1), 8, CRITICAL)
    routine = await carrier.fill(BEN, scope(1), 2)
    another = await carrier.brings(BEN, scope(1), CRITICAL)
    assert await carrier.held() == {*critical, routine[1], another}
    last = await carrier.brings(BEN, scope(1), CRITICAL)
    assert await carrier.brings(BEN, scope(1), ROUTINE) is None
    assert await carrier.held() == {*critical, another, last}
    over = await carrier.brings(BEN, scope(1), CRITICAL)
    assert await carrier.held() == {*critical[1:], another, last, over}


async def test_a_routine_one_that_would_not_fit_anyway_drives_nothing_out(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1))
    kept = [*await carrier.fill(CLO, scope(1), 9, CRITICAL), *await carrier.fill(BEN, scope(1), 1)]
    assert await carrier.brings(BEN, scope(1), size=4 * SMALL) is None
    assert await carrier.brings(BEN, scope(1), CRITICAL, size=LARGE) is None
    assert await carrier.held() == set(kept)


async def test_what_gave_way_stays_known_and_is_not_offered(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1))
    first, *_ = await carrier.fill(BEN, scope(1), 11)
    async with carrier.store.read() as tx:
        row = await tx.log.get(first)
    assert row is not None
    assert (row.state, row.data) == ("refused", b"")
    assert first not in await carrier.held()


async def test_what_came_in_the_same_batch_is_weighed_too(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1))
    batch: list[EnvelopeRow] = []
    async with carrier.store.write() as tx:
        for _ in range(10):
            assert await carrier._bring(tx, batch, BEN, scope(1), ROUTINE, SMALL, proven=True)
        assert await carrier._bring(tx, batch, BEN, scope(1), CRITICAL, SMALL, proven=True)
        await tx.log.append(batch)
    assert (await carrier.pools())["ana"] == (QUOTA, QUOTA, 10)


async def test_pools_are_apart_and_a_shared_scope_counts_to_who_asked_first(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1), scope(2))
    carrier.now += 1
    await carrier.asks(BEN, scope(2), scope(3))
    await carrier.fill(CLO, scope(2), 3)
    await carrier.fill(CLO, scope(3), 1)
    assert await carrier.pools() == {"ana": (QUOTA, 3 * SMALL, 3), "ben": (QUOTA, SMALL, 1)}
    await carrier.asks(ANA)
    assert await carrier.pools() == {"ben": (QUOTA, 4 * SMALL, 4)}
    await carrier.fill(CLO, scope(3), 5)
    assert len(await carrier.held()) == 9


async def test_the_counted_bytes_are_always_those_that_are_there(carrier: Carrier) -> None:
    """Whatever comes, in whatever order, within what was granted."""
    await carrier.asks(ANA, scope(1), scope(2))
    for number in range(60):
        lane, size = int(number % 3 > 0), (SMALL, 4 * SMALL)[number % 7 == 0]
        await carrier.brings((BEN, CLO)[number % 2], scope(1 + number % 2), lane, size)
        async with carrier.store.read() as tx:
            used = await tx.carrying.used(tags(scope(1), scope(2)))
        assert (await carrier.pools())["ana"][1] == used <= QUOTA


# how it ends


async def test_what_is_not_asked_for_any_more_goes_after_a_day(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1), scope(2))
    one, two = await carrier.fill(BEN, scope(1), 1), await carrier.fill(BEN, scope(2), 1)
    await carrier.asks(ANA, scope(2))
    assert carrier.proves() == tags(scope(2))
    assert await carrier.carriage.tidy() is False
    assert await carrier.held() == {*one, *two}
    carrier.now += GRACE_MS
    assert await carrier.carriage.tidy() is True
    assert await carrier.held() == set(two)


async def test_whoever_asks_again_within_the_day_loses_nothing(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1))
    kept = await carrier.fill(BEN, scope(1), 2)
    await carrier.asks(ANA)
    await carrier.asks(ANA, scope(1))
    carrier.now += 2 * GRACE_MS
    await carrier.carriage.tidy()
    assert await carrier.held() == set(kept)
    assert await carrier.pools() == {"ana": (QUOTA, 2 * SMALL, 2)}


async def test_weeks_gone_by_are_forgotten(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1))
    await carrier.fill(BEN, scope(1), 1)
    carrier.now += 42 * DAY_MS
    assert await carrier.carriage.tidy() is True
    async with carrier.store.read() as tx:
        assert await tx.carrying.carried() == []
    assert await carrier.held() == set()


async def test_a_quota_of_nothing_refuses_and_erases_at_once(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1))
    await carrier.fill(BEN, scope(1), 2)
    await carrier.carriage.set_quota(ANA.text, 0)
    assert await carrier.held() == set()
    assert carrier.proves() == set()
    assert await carrier.carriage.standing(ANA) == (0, 0)
    await carrier.asks(ANA, scope(1))
    assert carrier.proves() == set()
    await carrier.carriage.set_quota(ANA.text, MB)
    await carrier.asks(ANA, scope(1))
    assert carrier.proves() == tags(scope(1))
    assert await carrier.carriage.standing(ANA) == (MB, 0)


async def test_a_configuration_that_carries_for_nobody_any_more_is_followed(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1))
    await carrier.fill(BEN, scope(1), 2)
    later: Any = Carrier(carrier.store)
    later.carriage._quota = 0
    await later.carriage.load()
    assert later.proves() == set()
    assert await later.carriage.tidy() is True
    assert await later.held() == set()
    assert await later.pools() == {"ana": (0, 0, 0)}


async def test_a_smaller_quota_holds_at_once(carrier: Carrier) -> None:
    await carrier.asks(ANA, scope(1))
    kept = await carrier.fill(BEN, scope(1), 5)
    await carrier.carriage.set_quota(ANA.text, 2 * SMALL)
    assert await carrier.held() == set(kept[3:])
    assert await carrier.pools() == {"ana": (2 * SMALL, 2 * SMALL, 2)}


async def test_with_the_pairing_ends_all_that_was_carried_for_it(carrier: Carrier) -> None:
    """Said at once, or found by the clock where a crash came between."""
    for ends in (carrier.carriage.end_with, _removed_unsaid(carrier)):
        await carrier.asks(ANA, scope(1))
        await carrier.asks(BEN, scope(2))
        await carrier.fill(CLO, scope(1), 2)
        kept = await carrier.fill(CLO, scope(2), 1)
        await ends(ANA)
        assert not tags(scope(1)) & carrier.proves()
        assert set(await carrier.pools()) == {"ben"}
        assert set(kept) <= await carrier.held()
        async with carrier.store.read() as tx:
            assert await under(tx, tag(scope(1).key)) == set()


def _removed_unsaid(carrier: Carrier) -> Any:
    async def end(node: NodeId) -> None:
        async with carrier.store.write() as tx:
            await tx.peers.put(_peer(node, "removed"))
        assert await carrier.carriage.tidy() is True

    return end


async def test_a_circle_of_ours_counts_to_nobody(carrier: Carrier) -> None:
    """A member that is asked to carry its own circle carries it anyway."""
    await carrier.asks(ANA, scope(1))
    await carrier.fill(BEN, scope(1), 1)
    carrier.keyring._scopes = (WEEK, {tag(scope(1).key): scope(1).key})
    await carrier.asks(ANA, scope(2))
    carrier.now += GRACE_MS
    carrier.keyring._scopes = (week_of(carrier.now // HOUR_MS), {tag(scope(1).key): scope(1).key})
    await carrier.carriage.tidy()
    assert len(await carrier.held()) == 1
    assert (await carrier.pools())["ana"][1] == 0
