"""KEYREQ and KEYS: how a member that was away, or is new, gets statements, cards and the key (PROTOCOL §5.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from almenara.node.circle import JOINED
from almenara.node.clock import Clock, minute_of
from almenara.protocol.envelope import open_packet, parse_outer
from almenara.protocol.errors import ProtocolError
from almenara.protocol.object import ObjectType, parse_object
from almenara.protocol.session import KeysTold

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almenara.crypto.identity import NodeId
    from almenara.node.chainbook import Chainbook
    from almenara.node.circle import Circle
    from almenara.node.circles import Circles
    from almenara.node.epochs import Epochs
    from almenara.node.keyring import Keyring
    from almenara.node.storage.engine import Store, Transaction
    from almenara.protocol.statement import Statement

log = structlog.get_logger()


class KeyDesk:
    """Asks co-members, and answers them; nobody else learns anything."""

    def __init__(
        self, store: Store, circles: Circles, chainbook: Chainbook, epochs: Epochs, keyring: Keyring, clock: Clock
    ) -> None:
        self._store, self._circles, self._cards, self._epochs = store, circles, circles.cards, epochs
        self._chainbook = chainbook
        self._keyring, self._clock = keyring, clock
        self.on_news: Callable[[], Awaitable[None]] = _nothing

    def questions(self, peer: NodeId) -> list[tuple[bytes, bytes]]:
        """Every circle this peer may know more of, with the statement we hold; empty when we lack key or cards.

        Also when the peer was away for so long that we could seal no key to it: the answer brings its new prekey.
        """
        asked = []
        for circle in self._circles:
            if circle.row.state not in JOINED or peer not in circle.current.roles:
                continue
            complete = self._keyring.holds(circle.current.id) and self._knows_everybody(circle)
            complete = complete and self._cards.prekey(peer, minute_of(self._clock())) is not None
            asked.append((circle.id, circle.current.id if complete else b""))
        return asked

    def _knows_everybody(self, circle: Circle) -> bool:
        return all(self._cards.knows(node) for node, _ in circle.current.members)

    async def answer(self, peer: NodeId, circle_id: bytes, held: bytes) -> KeysTold | None:
        """What this peer may have; none for strangers to the circle and for those who have everything."""
        circle = self._circles.known(circle_id)
        if circle is None or circle.row.state != "active":
            return None
        async with self._store.read() as tx:
            if peer in circle.history.recipients():
                return None if held == circle.current.id else await self._all_of(tx, circle, peer, held)
            return await self._farewell(tx, circle, peer, held)

    async def _all_of(self, tx: Transaction, circle: Circle, peer: NodeId, held: bytes) -> KeysTold:
        contents = await self._contents(tx, circle.history.since(held))
        contents += [leave.content for leave in await tx.statements.leaves(circle.id)]
        before = circle.history.find(held) if held else None
        new = [node for node, _ in circle.current.members if before is None or node not in before.roles]
        found = [self._cards.introduction(node) for node in new if node != peer]
        return KeysTold(
            circle=circle.id,
            statements=tuple(contents),
            introductions=tuple(blob for blob in found if blob),
            packet=await self._epochs.packet_envelope(tx, circle.current, peer),
        )

    async def _farewell(self, tx: Transaction, circle: Circle, peer: NodeId, held: bytes) -> KeysTold | None:
        """Somebody who was removed is told so by the very statement that says it, and nothing later.

        What leads there from the statement it holds comes along, as far as it was a member; the key never does.
        """
        removal = circle.removal_of(peer)
        if removal is None:
            return None
        way = [step for step in circle.history.since(held) if step.number < removal.number and peer in step.roles]
        contents = await self._contents(tx, (*way, removal))
        found = [self._cards.introduction(node) for node in {step.issuer for step in (*way, removal)}]
        introductions = tuple(blob for blob in found if blob)
        return KeysTold(circle=circle.id, statements=tuple(contents), introductions=introductions, packet=b"")

    @staticmethod
    async def _contents(tx: Transaction, statements: tuple[Statement, ...]) -> list[bytes]:
        rows = [await tx.statements.content(statement.id) for statement in statements]
        return [row for row in rows if row]

    async def take(self, peer: NodeId, told: KeysTold) -> None:
        """Take an answer; each piece is verified by itself, and one bad piece does not spoil the others."""
        async with self._circles.change() as tx:
            for blob in told.introductions:
                with _Refusing(peer):
                    await self._circles.take_introduction(tx, blob)
            for content in told.statements:
                with _Refusing(peer):
                    await self._take_object(tx, content)
            if told.packet:
                with _Refusing(peer):
                    await self._take_packet(tx, told.packet, peer)
        await self.on_news()

    async def _take_object(self, tx: Transaction, content: bytes) -> None:
        signed = parse_object(content)
        if signed.header.type is ObjectType.STATEMENT:
            await self._circles.take_statement(tx, signed)
        elif signed.header.type is ObjectType.LEAVE:
            await self._circles.take_told_leave(tx, signed)
        else:
            return
        await self._chainbook.told(tx, signed, self._clock())

    async def _take_packet(self, tx: Transaction, envelope: bytes, peer: NodeId) -> None:
        secret = self._keyring.prekey(parse_outer(envelope).kid)
        if secret is not None:
            await self._circles.take_packet(tx, open_packet(envelope, self._circles.own, secret), peer)


class _Refusing:
    """Log what does not verify, and go on."""

    def __init__(self, peer: NodeId) -> None:
        self._peer = peer

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, ProtocolError):
            log.info("keys-refused", peer=self._peer.short, defect=str(error.kind), field=error.field)
            return True
        return False


async def _nothing() -> None:
    """Until wired."""
