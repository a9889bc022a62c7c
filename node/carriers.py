"""Being carried for: the peers we asked to hold and pass on what they cannot read, and what they answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.crypto.identity import NodeId
from almenara.crypto.random import random_bytes
from almenara.node import models
from almenara.node.casebook import id_text, parse_id
from almenara.node.clock import Clock, minute_of
from almenara.node.groups import parse_node
from almenara.node.problem import Kind, Problem
from almenara.node.storage.rows import CarrierRow
from almenara.node.words import N_
from almenara.protocol.carry import MAX_CARRIED_A_WEEK, CarriedScope, decoy_key, padded, weeks_of_carrying
from almenara.protocol.limits import LARGE, MINUTES_PER_HOUR
from almenara.protocol.scope import scope_key, week_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from almenara.node.circle import Circle
    from almenara.node.circles import Circles
    from almenara.node.events import Events
    from almenara.node.keyring import Keyring
    from almenara.node.storage.engine import Store

MAX_CIRCLES = 32  # for which one peer is asked: with their decoys a fifth of what it can prove at all
SECRET_BYTES = 32
DECOYS = "carry-decoys"

MEMBER_CARRIES = N_("This organisation is a member of the circle; its node passes on what is sent here by itself.")
TOO_MANY = N_("One organisation carries for at most 32 of our circles.")


class Carriers:
    """Whom we asked, for which circle. After a commit `on_change` tells that somebody is to be asked anew.

    `connected` says whether a session with a peer is running.
    """

    def __init__(
        self,
        store: Store,
        circles: Circles,
        keyring: Keyring,
        connected: Callable[[bytes], bool],
        clock: Clock,
        events: Events,
    ) -> None:
        self._store, self._circles, self._keyring, self._connected = store, circles, keyring, connected
        self._clock, self._events = clock, events
        self._rows: list[CarrierRow] = []
        self._secret = b""
        self.on_change: Callable[[], None] = _nothing

    async def load(self) -> None:
        """Take up what the last run had asked, with the secret behind its decoys."""
        async with self._store.write() as tx:
            self._rows = await tx.carrying.carriers()
            self._secret = await tx.meta.get(DECOYS) or random_bytes(SECRET_BYTES)
            await tx.meta.set(DECOYS, self._secret)

    # what a session says

    def wanted(self, peer: NodeId) -> frozenset[CarriedScope]:
        """The scopes this peer is asked to carry at this moment, without decoys."""
        hour = minute_of(self._clock()) // MINUTES_PER_HOUR
        found = frozenset(scope for circle in self._asked_of(peer) for scope in self._scopes(circle, hour))
        return self._that_fit(found)

    def request(self, peer: NodeId, wanted: frozenset[CarriedScope]) -> tuple[CarriedScope, ...]:
        """The same as CARRY says it."""
        weeks = weeks_of_carrying(minute_of(self._clock()) // MINUTES_PER_HOUR)
        return padded(wanted, weeks, lambda week, number: decoy_key(self._secret, peer, week, number))

    def _asked_of(self, peer: NodeId) -> Iterator[Circle]:
        for row in self._rows:
            circle = self._circles.known(row.circle_id) if row.node_id == peer.raw else None
            if circle is None or circle.row.state != "active":
                continue
            if peer not in circle.history.recipients():  # a member by now carries by itself
                yield circle

    def _scopes(self, circle: Circle, hour: int) -> Iterator[CarriedScope]:
        """Up to this week under each secret whose keys live; ahead only under the newest, which the removed lack."""
        newest = self._circles.newest_held(circle)
        ahead = self._secrets([newest.id] if newest else [])
        until_now = self._secrets(self._keyring.statements_of(circle.id))
        for week in weeks_of_carrying(hour):
            for secret in ahead if week > week_of(hour) else until_now:
                yield CarriedScope(scope_key(secret, week), week)

    def _secrets(self, statement_ids: Iterable[bytes]) -> set[bytes]:
        return {secret for each in statement_ids if (secret := self._keyring.carry_secret(each))}

    @staticmethod
    def _that_fit(scopes: frozenset[CarriedScope]) -> frozenset[CarriedScope]:
        """Every circle re-keyed again and again in one week would not fit one request: some then go uncarried."""
        by_week: dict[int, list[CarriedScope]] = {}
        for scope in sorted(scopes):
            by_week.setdefault(scope.week, []).append(scope)
        return frozenset(scope for found in by_week.values() for scope in found[:MAX_CARRIED_A_WEEK])

    async def told(self, peer: NodeId, granted: int, used: int) -> None:
        """CARRYING: what the peer keeps for us."""
        async with self._store.write() as tx:
            await tx.carrying.set_told(peer.raw, granted, used)
            self._rows = await tx.carrying.carriers()
        self._events.publish("circles")

    # what people do

    async def show(self, circle_id: str) -> models.CircleCarriers:
        """Who carries for a circle. Raises `Problem(NOT_FOUND)`."""
        circle = self._circles.find(parse_id(circle_id))
        rows = [row for row in self._rows if row.circle_id == circle.id]
        return models.CircleCarriers(circle_id=id_text(circle.id), carriers=[self._model(row) for row in rows])

    def _model(self, row: CarrierRow) -> models.Carrier:
        node = NodeId(row.node_id)
        granted, used = row.granted or 0, row.used or 0
        return models.Carrier(
            node_id=node.text,
            name=self._circles.cards.name(node),
            state=self._state(row),
            granted_bytes=granted,
            used_bytes=used,
        )

    def _state(self, row: CarrierRow) -> models.CarrierState:
        if not self._connected(row.node_id):
            return "offline"
        if row.granted is None:
            return "asked"
        if not row.granted:
            return "refused"
        return "full" if (row.used or 0) + LARGE > row.granted else "carrying"

    async def add(self, circle_id: str, node_id: str) -> models.CircleCarriers:
        """Ask a verified peer. Raises `Problem`: NOT_FOUND, NOT_READY, PEER_NOT_VERIFIED, NOT_ALLOWED."""
        circle, node = self._circles.active(parse_id(circle_id)), parse_node(node_id)
        if not self._circles.is_verified(node):
            raise Problem(Kind.PEER_NOT_VERIFIED, field="node_id")
        if node in circle.history.recipients():
            raise Problem(Kind.NOT_ALLOWED, MEMBER_CARRIES, field="node_id")
        asked = [row for row in self._rows if row.node_id == node.raw]
        if len(asked) >= MAX_CIRCLES and circle.id not in {row.circle_id for row in asked}:
            raise Problem(Kind.NOT_ALLOWED, TOO_MANY, field="node_id")
        known = next((row for row in asked), None)
        granted, used = (known.granted, known.used) if known else (None, None)
        async with self._store.write() as tx:
            await tx.carrying.put_carrier(CarrierRow(circle.id, node.raw, self._clock(), granted, used))
        return await self._changed(circle)

    async def remove(self, circle_id: str, node_id: str) -> models.CircleCarriers:
        """Ask it no more; what it holds is gone a day after it hears so. Raises `Problem(NOT_FOUND)`."""
        circle, node = self._circles.find(parse_id(circle_id)), parse_node(node_id)
        if not any((row.circle_id, row.node_id) == (circle.id, node.raw) for row in self._rows):
            raise Problem(Kind.NOT_FOUND, field="node_id")
        async with self._store.write() as tx:
            await tx.carrying.delete_carrier(circle.id, node.raw)
        return await self._changed(circle)

    async def _changed(self, circle: Circle) -> models.CircleCarriers:
        async with self._store.read() as tx:
            self._rows = await tx.carrying.carriers()
        self.on_change()
        self._events.publish("circles", id_text(circle.id))
        return await self.show(id_text(circle.id))

    async def end_with(self, node: NodeId) -> None:
        """The pairing has ended: it is asked for nothing any more."""
        async with self._store.write() as tx:
            await tx.carrying.delete_carriers(node.raw)
            self._rows = await tx.carrying.carriers()


def _nothing() -> None:
    """Until wired."""
