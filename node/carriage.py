"""Carrying for peers: envelopes of circles we are not in, kept and passed on unread, within a quota (PROTOCOL §6)."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from almenara.crypto.identity import NodeId
from almenara.node import models
from almenara.node.clock import DAY_MS, Clock, minute_of, rfc3339
from almenara.node.groups import parse_node
from almenara.node.problem import Kind, Problem
from almenara.node.storage.rows import AskerRow, CarriedRow
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.limits import MINUTES_PER_HOUR
from almenara.protocol.scope import HOURS_PER_WEEK, WEEKS_BACK, tag, week_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from almenara.node.circles import Circles
    from almenara.node.events import Events
    from almenara.node.keyring import Keyring
    from almenara.node.storage.engine import Store, Transaction
    from almenara.protocol.carry import CarriedScope
    from almenara.protocol.envelope import Outer

MB = 1_000_000  # bytes
GRACE_MS = DAY_MS  # what is not asked for any more is kept so long: whoever asks again by tomorrow loses nothing
WEEKS_OFF = 6  # further from our week no key is kept: five, and one for a clock that is not ours
HOLDERS_MS = 37 * DAY_MS  # nobody holds an envelope of ours for longer than its class lives, and two days
AT_ONCE = 16  # envelopes that give way before it is weighed again who brought most
SPARE_SHARE = 64  # of the pool is freed beyond the need at most: a full one is not searched for every envelope
CRITICAL, ROUTINE = 0, 1  # lanes


class Carriage:
    """For whom we carry, and how much. `quota` is what a peer may fill, in bytes, unless a person says otherwise.

    After a commit `on_scopes` tells that we prove others than before, `on_change` that a peer's pool has changed.
    """

    def __init__(
        self, store: Store, circles: Circles, keyring: Keyring, clock: Clock, events: Events, quota: int
    ) -> None:
        self._store, self._circles, self._keyring = store, circles, keyring
        self._clock, self._events, self._quota = clock, events, quota
        self.on_scopes: Callable[[], None] = _nothing
        self.on_change: Callable[[], None] = _nothing

    async def load(self) -> None:
        """Take over what the database holds: from now on the keyring proves it."""
        async with self._store.read() as tx:
            order = [asker.node_id for asker in await tx.carrying.askers() if self._granted(asker)]
            rows = [row for row in await tx.carrying.carried() if row.ends_at is None]
        by_asker = [[row for row in rows if row.node_id == node_id] for node_id in order]
        turns = chain.from_iterable(zip_longest(*by_asker))  # one of each in turn: nobody takes the room of the others
        self._keyring.carry([row for row in turns if row is not None])

    async def _changed(self, peer: NodeId) -> None:
        await self.load()
        self.on_scopes()
        self._tell(peer)

    def _tell(self, peer: NodeId) -> None:
        self.on_change()
        self._events.publish("peers", peer.text)

    # what a peer asks

    async def asked(self, peer: NodeId, scopes: tuple[CarriedScope, ...]) -> None:
        """CARRY: from now on these scopes and no others, if we carry for this peer at all."""
        async with self._store.write() as tx:
            asker = await tx.carrying.asker(peer.raw)
            if peer.raw not in self._circles.verified or (not scopes and (asker is None or asker.asked_at is None)):
                return
            asker = asker or AskerRow(peer.raw, None, 0, None)
            now = self._clock()
            asked_at = (asker.asked_at or now) if scopes else None
            if asker.asked_at != asked_at:
                await tx.carrying.put_asker(replace(asker, asked_at=asked_at))
            changed = await self._replace(tx, peer, scopes if self._granted(asker) else ())
            if changed:
                await self._recount(tx)
        if changed or asker.asked_at != asked_at:
            await self._changed(peer)

    async def _replace(self, tx: Transaction, peer: NodeId, scopes: tuple[CarriedScope, ...]) -> bool:
        now, week = self._clock(), self._week()
        wanted = {tag(scope.key): scope for scope in scopes if abs(scope.week - week) <= WEEKS_OFF}
        held = {row.tag: row for row in await tx.carrying.carried_for(peer.raw)}
        live = {each for each, row in held.items() if row.ends_at is None}
        gone, new = live - wanted.keys(), wanted.keys() - live
        in_use = await tx.carrying.tags_in_use(gone)
        await tx.carrying.end_carried(peer.raw, in_use, now + GRACE_MS)
        await tx.carrying.drop_carried(peer.raw, (gone - in_use) | (new & held.keys()))
        rows = [CarriedRow(peer.raw, each, wanted[each].key, wanted[each].week, None) for each in sorted(new)]
        await tx.carrying.add_carried(rows)
        return bool(gone or new)

    async def standing(self, peer: NodeId) -> tuple[int, int] | None:
        """Bytes granted and in use, for CARRYING; none for a peer that asks for nothing."""
        async with self._store.read() as tx:
            asker = await tx.carrying.asker(peer.raw)
        return None if asker is None or asker.asked_at is None else (self._granted(asker), asker.used)

    # what comes in

    async def hold(
        self, tx: Transaction, outer: Outer, size: int, *, proven: bool, settle: Callable[[], Awaitable[None]]
    ) -> bool:
        """Count an envelope to the pool of whoever asked for its scope, making room; False where there is none.

        `proven`: whoever brings it has the scope's key. `settle` writes what was taken so far, so that it is weighed
        too. Raises `RemoteError`: UNKNOWN_KEY, WRONG_HOUR.
        """
        found = await tx.carrying.payer(outer.tag) if proven else None
        if found is None:
            raise RemoteError(Defect.UNKNOWN_KEY, "kid")
        asker, week = found
        if outer.created_hour // HOURS_PER_WEEK != week:
            raise RemoteError(Defect.WRONG_HOUR, "created_hour", "the week that its scope's key was given for")
        granted = self._granted(asker)
        if asker.used + size > granted:
            await settle()
            if size > granted or not await self._make_room(tx, asker, outer.lane, asker.used + size - granted):
                return False
        await tx.carrying.charge(asker.node_id, size)
        return True

    async def _make_room(self, tx: Transaction, asker: AskerRow, lane: int, need: int) -> bool:
        """Let go of `need` bytes: routine before critical, and critical for critical only."""
        tags = self._paid_by(await tx.carrying.askers(), await tx.carrying.carried()).get(asker.node_id, set())
        if lane == ROUTINE and await tx.carrying.used(tags, ROUTINE) < need:
            return False
        freed = await self._evict(tx, tags, ROUTINE, need, self._granted(asker) // SPARE_SHARE)
        if freed < need and lane == CRITICAL:
            freed += await self._evict(tx, tags, CRITICAL, need - freed, 0)
        await tx.carrying.charge(asker.node_id, -freed)
        return freed >= need

    @staticmethod
    async def _evict(tx: Transaction, tags: Collection[bytes], lane: int, need: int, spare: int) -> int:
        """The oldest of whoever brought most, until enough is free or nothing is left; returns how many bytes are."""
        freed = 0
        while freed < need and (rows := await tx.carrying.oldest_of_heaviest(tags, lane, AT_ONCE)):
            going = []
            for envelope_id, size in rows:
                if freed >= need and freed + size > need + spare:
                    break
                going.append(envelope_id)
                freed += size
            await tx.carrying.evict(going)
        return freed

    # what people see and decide

    async def show(self) -> models.Carrying:
        """Every peer that asks, or whose envelopes are still here."""
        async with self._store.read() as tx:
            askers = await tx.carrying.askers()
            paid = self._paid_by(askers, await tx.carrying.carried())
            shown = [asker for asker in askers if asker.asked_at is not None or asker.used]
            counts = [await tx.carrying.count(paid.get(asker.node_id, set())) for asker in shown]
        found = [self._model(asker, count) for asker, count in zip(shown, counts, strict=True)]
        return models.Carrying(default_bytes=self._quota, carrying=found)

    def _model(self, asker: AskerRow, envelopes: int) -> models.CarriedFor:
        node = NodeId(asker.node_id)
        return models.CarriedFor(
            node_id=node.text,
            name=self._circles.cards.name(node),
            granted_bytes=self._granted(asker),
            used_bytes=asker.used,
            envelopes=envelopes,
            asked_at=rfc3339(asker.asked_at) or None,
        )

    async def set_quota(self, node_id: str, quota: int) -> models.Carrying:
        """How many bytes a peer may fill; 0 stops carrying for it, and erases what is here. Raises `Problem`."""
        node = parse_node(node_id)
        if node.raw not in self._circles.verified:
            raise Problem(Kind.PEER_NOT_VERIFIED, field="node_id")
        async with self._store.write() as tx:
            asker = replace(await tx.carrying.asker(node.raw) or AskerRow(node.raw, None, 0, None), quota=quota)
            await tx.carrying.put_asker(asker)
            if not quota:
                await self._drop(tx, await tx.carrying.drop_carried(node.raw))
            elif asker.used > quota:
                await self._make_room(tx, asker, CRITICAL, asker.used - quota)
        await self._changed(node)
        return await self.show()

    async def end_with(self, node: NodeId) -> None:
        """The pairing has ended: nothing of it stays."""
        async with self._store.write() as tx:
            dropped = await self._end(tx, node.raw)
        if dropped:
            await self._changed(node)

    async def _end(self, tx: Transaction, node_id: bytes) -> bool:
        tags = await tx.carrying.drop_carried(node_id)
        await tx.carrying.delete_asker(node_id)
        await self._drop(tx, tags)
        return bool(tags)

    # by the clock

    async def tidy(self) -> bool:
        """Forget weeks gone by, what nobody asks for any more, and whom we are not paired with; True if any was."""
        async with self._store.write() as tx:
            tags = await tx.carrying.drop_due(self._clock(), self._week() - WEEKS_BACK)
            erased = await self._drop(tx, tags)
            await tx.carrying.prune_holders(self._clock() - HOLDERS_MS)
            for asker in await tx.carrying.askers():
                peer = await tx.peers.get(asker.node_id)
                if peer is None or peer.state == "removed":
                    erased |= await self._end(tx, asker.node_id)
                elif not self._granted(asker):  # by a configuration that has changed
                    erased |= await self._drop(tx, await tx.carrying.drop_carried(asker.node_id))
                elif asker.asked_at is None and asker.quota is None and not await tx.carrying.carried_for(peer.node_id):
                    await tx.carrying.delete_asker(asker.node_id)
        if tags or erased:
            await self.load()
        return bool(tags) or erased

    async def _drop(self, tx: Transaction, tags: set[bytes]) -> bool:
        """These scopes are not carried for somebody any more: what nobody else asks for either goes at once."""
        still = {row.tag for row in await tx.carrying.carried()}
        erased = await tx.carrying.erase(tags - still - self._own())
        await self._recount(tx)
        return erased > 0

    async def _recount(self, tx: Transaction) -> None:
        """Whom each scope is counted to may have changed, and envelopes die by themselves."""
        askers = await tx.carrying.askers()
        paid = self._paid_by(askers, await tx.carrying.carried())
        for asker in askers:
            used = await tx.carrying.used(paid.get(asker.node_id, set()))
            if used != asker.used:
                await tx.carrying.charge(asker.node_id, used - asker.used)

    # small parts

    def _granted(self, asker: AskerRow) -> int:
        return self._quota if asker.quota is None else asker.quota

    def _paid_by(self, askers: list[AskerRow], carried: list[CarriedRow]) -> dict[bytes, set[bytes]]:
        """Asker to the tags that count to it: a scope that several asked for counts to the first, our own to nobody."""
        order = {asker.node_id: number for number, asker in enumerate(askers)}
        payer: dict[bytes, bytes] = {}
        for row in sorted(carried, key=lambda row: (row.ends_at is not None, order.get(row.node_id, len(order)))):
            payer.setdefault(row.tag, row.node_id)
        paid: dict[bytes, set[bytes]] = {}
        for each, node_id in payer.items():
            if each not in self._own():
                paid.setdefault(node_id, set()).add(each)
        return paid

    def _own(self) -> set[bytes]:
        return set(self._keyring.scopes(self._hour()))

    def _hour(self) -> int:
        return minute_of(self._clock()) // MINUTES_PER_HOUR

    def _week(self) -> int:
        return week_of(self._hour())


def _nothing() -> None:
    """Until wired."""
