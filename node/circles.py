"""The circles we know: histories rebuilt from signed statements, and what each object does to them (PROTOCOL §5)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from almenara.crypto.identity import NodeId
from almenara.node.casebook import id_text
from almenara.node.circle import GONE, JOINED, Circle, CircleState, place_of, restore, statement_row
from almenara.node.clock import minute_of
from almenara.node.early import EarlyPackets
from almenara.node.register import Register
from almenara.node.standing import Standing
from almenara.node.storage.rows import CircleRow, StatementRow
from almenara.protocol.circle import CircleHistory
from almenara.protocol.errors import Defect, LocalError, ProtocolError, RemoteError
from almenara.protocol.invite import parse_leave
from almenara.protocol.keys import KEEP_DAYS, SignedKeyPacket, parse_key_packet
from almenara.protocol.limits import MINUTES_PER_DAY
from almenara.protocol.object import ObjectType, SignedObject, verify_object
from almenara.protocol.statement import Role, Statement, check_statement_header, parse_statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from almenara.node.cards import Cards
    from almenara.node.epochs import Epochs
    from almenara.node.events import Events
    from almenara.node.keyring import Keyring
    from almenara.node.models import MemberState
    from almenara.node.storage.engine import Store, Transaction
    from almenara.node.timekeeper import Timekeeper
    from almenara.protocol.card import Introduction

    Handler = Callable[[Transaction, NodeId, bytes], Awaitable[None]]

log = structlog.get_logger()


class Circles(Register):
    """State and effects.

    After a commit, `on_scopes` and `on_growth` tell the links that scopes or log have changed, `on_cards` that somebody
    has a new card, `on_erased` that a key was erased which the disk may still hold. `handlers` take what only some
    circles have: an object's type, author and body.
    """

    def __init__(
        self, store: Store, cards: Cards, keyring: Keyring, epochs: Epochs, clock: Timekeeper, events: Events
    ) -> None:
        super().__init__(cards, keyring)
        self._store, self._epochs, self._clock, self._events = store, epochs, clock, events
        self._early, self._standing = EarlyPackets(keyring), Standing(cards.own, keyring, clock)
        self.handlers: dict[ObjectType, Handler] = {}
        self._turn = asyncio.Lock()
        self._stale = False  # memory may say more than the database: a change is under way, or failed
        self._news = self._scopes_changed = self._cards_changed = False
        self.on_scopes: Callable[[], None] = _nothing
        self.on_cards: Callable[[], None] = _nothing
        self.on_erased: Callable[[], None] = _nothing
        self.on_growth: Callable[[], None] = _nothing

    @asynccontextmanager
    async def change(self) -> AsyncIterator[Transaction]:
        """A transaction that may change circles, cards or keys: afterwards the links are told.

        When it fails, memory goes back to what the database says, before anybody else may change either.
        """
        async with self._turn:
            if self._stale:
                await self._reload()
            self._stale = True
            try:
                async with self._store.write() as tx:
                    yield tx
            except BaseException:
                await self._reload()
                raise
            self._stale = False
        self._settled()

    async def _reload(self) -> None:
        async with self._store.read() as tx:
            await self.load(tx)
        self._news = self._scopes_changed = self._epochs.erased = self._stale = False

    async def load(self, tx: Transaction) -> None:
        """Rebuild cards, keys and histories from the database."""
        await self.cards.load(tx)
        await self.load_keys(tx)
        statements: dict[bytes, list[StatementRow]] = {}
        for found in await tx.statements.all():
            if found.body:
                statements.setdefault(found.circle_id, []).append(found)
        revoked = self.cards.revoked()
        self._circles = {
            row.circle_id: restore(row, statements[row.circle_id], await tx.statements.leaves(row.circle_id), revoked)
            for row in await tx.circles.all()
        }

    async def load_keys(self, tx: Transaction) -> None:
        """The same for keys alone, after some were destroyed."""
        rows = await tx.statements.all()
        self._keyring.load(await tx.keys.all(), rows, await tx.prekeys.own())
        self._early.load(rows)

    # keys that arrive

    async def take_packet(self, tx: Transaction, content: bytes, source: NodeId) -> None:
        """A key packet for us: used at once if its statement is here, else it opens the statement when that comes.

        Raises `RemoteError`.
        """
        signed = parse_key_packet(content)
        if signed.packet.recipient != self.own:
            raise RemoteError(Defect.WRONG_RECIPIENT, "recipient")
        circle = self._circles.get(signed.packet.circle)
        if circle is None:
            self._check_beginning(signed, source)
        elif circle.row.state not in JOINED:
            log.info("key-not-wanted", peer=source.short)  # we have left, or not said yes: no offence of the giver
            return
        statement = await self._known_statement(tx, signed.packet.statement[:16])
        if circle is not None and statement is not None:
            await self._use_packet(tx, circle, statement, signed)
            await self.follow(tx, circle)
        else:
            await self._early.keep(tx, signed, content, source, self._clock())
            self._news = self._scopes_changed = True

    def _check_beginning(self, signed: SignedKeyPacket, source: NodeId) -> None:
        """Of circles we do not know, only a direct one can begin with a key: the giver's own, from a verified peer."""
        packet = signed.packet
        if packet.number != 1 or packet.giver != source or source.raw not in self.verified:
            raise RemoteError(Defect.WRONG_CIRCLE, "circle", "a circle we were invited to")

    async def _known_statement(self, tx: Transaction, statement_id: bytes) -> Statement | None:
        """Also one whose parent is still to come: its row must not give way to the packet's."""
        row = await tx.statements.get(statement_id)
        return parse_statement(row.body) if row is not None and row.body else None

    async def _use_packet(self, tx: Transaction, circle: Circle, statement: Statement, signed: SignedKeyPacket) -> None:
        """The key fits the commitments of the statement: from now on it opens and seals."""
        giver = self.cards.newest(signed.packet.giver)
        if giver is None:
            raise RemoteError(Defect.UNKNOWN_AUTHOR, "giver")
        signed.verify(statement, self.own, giver.op_sign)
        self._check_not_destroyed(circle, statement)
        await self._epochs.hold(tx, statement, signed.packet.key, signed.packet.carry_secret)
        self._news = self._scopes_changed = True

    def _check_not_destroyed(self, circle: Circle, statement: Statement) -> None:
        """What had its time and was destroyed does not come back, whoever brings it."""
        children = circle.history.lineage.children.get(statement.id, ())
        if (
            children
            and self._clock.judged_min(children[0].issued_min)
            > children[0].issued_min + max(KEEP_DAYS) * MINUTES_PER_DAY
        ):
            raise RemoteError(Defect.AFTER_SUCCESSOR, "statement", "a statement whose keys are still needed")

    # statements that arrive

    async def take_statement(self, tx: Transaction, signed: SignedObject) -> None:
        """A statement's object: verified, added to its circle's history, acted upon. Raises `RemoteError`."""
        statement = parse_statement(signed.body)
        check_statement_header(signed.header, statement)
        verify_object(signed, self.cards.sign_public(signed.header, self._clock.judged_min(signed.header.created_min)))
        circle = self._circles.get(statement.circle_id)
        if circle is None:
            circle = await self._found(tx, statement)
        circle.history.add(statement, statement.issuer, place_of(signed))
        packet = self._early.take(statement.id)
        row = statement_row(statement, signed.encode(), self._clock())
        await (tx.statements.put(row) if packet else tx.statements.put_content(row))
        if packet is not None:
            await self._try_packet(tx, circle, statement, packet)
        await self.follow(tx, circle)

    async def _try_packet(self, tx: Transaction, circle: Circle, statement: Statement, packet: SignedKeyPacket) -> None:
        """A bad packet costs only itself: KEYREQ brings the key from another member."""
        try:
            await self._use_packet(tx, circle, statement, packet)
        except ProtocolError as error:
            log.warning("key-packet-refused", defect=str(error.kind), field=error.field)

    async def _found(self, tx: Transaction, statement: Statement) -> Circle:
        """The first statement of a direct circle, from the peer that invited us; no other circle begins unasked."""
        peer = await tx.peers.get(statement.issuer.raw)
        ours = statement.direct and statement.number == 1 and self.own in statement.roles
        awaited = peer is not None and peer.state == "verified" and not peer.initiator
        if not ours or not awaited or any(c.row.state in JOINED for c in self._directs(statement.issuer)):
            raise RemoteError(Defect.WRONG_CIRCLE, "circle", "a circle we were invited to")
        await tx.peers.set(statement.issuer.raw, direct_circle=statement.circle_id)
        return await self.begin(tx, statement, "accepted", peer=statement.issuer)

    async def begin(
        self,
        tx: Transaction,
        statement: Statement,
        state: CircleState,
        *,
        peer: NodeId | None = None,
        invited_by: NodeId | None = None,
    ) -> Circle:
        """A circle that is new here, anchored at this statement."""
        row = CircleRow(
            circle_id=statement.circle_id,
            kind="direct" if statement.direct else "group",
            name=statement.name,
            state=state,
            tier=int(statement.tier),
            max_tlp=statement.max_tlp,
            retention_days=statement.retention_days,
            peer=peer.raw if peer else None,
            invited_by=invited_by.raw if invited_by else None,
            anchor=statement.id,
            joined_at=None,
            created_at=self._clock(),
            reason="",
        )
        await tx.circles.put(row)
        if statement.id not in self._early:
            await tx.statements.put(statement_row(statement, b"", self._clock()))
        circle = self._circles[statement.circle_id] = Circle(row, CircleHistory(statement))
        for node in self.cards.revoked():
            circle.history.add_revocation(node)
        return circle

    async def invited(self, tx: Transaction, statement: Statement, by: NodeId) -> None:
        """A steward among our peers asks us in, anew if we have been in before; we trust what it shows.

        Nobody signed that statement for us, so into a circle we know only a steward we know it by may ask: else any
        peer could put a branch of its own over it. An invitation that nobody has answered gives way to another's.
        Raises `RemoteError(NOT_ALLOWED)`.
        """
        circle = self._circles.get(statement.circle_id)
        known = circle is not None and self._is_steward(circle, by)
        answered = circle is not None and (circle.row.joined_at is not None or circle.row.state == "accepted")
        if circle is not None and (circle.direct or (answered and not known)):
            raise RemoteError(Defect.NOT_ALLOWED, "statement", "a steward that we know this circle by")
        if circle is None or not known:
            await self.begin(tx, statement, "invited", invited_by=by)
        elif circle.row.state != "active" or self._shows_us_out(circle, statement):
            await self._invited_again(tx, circle, statement, by)
        self._changed(statement.circle_id)

    async def _invited_again(self, tx: Transaction, circle: Circle, statement: Statement, by: NodeId) -> None:
        circle.history.trust(statement)
        await tx.statements.put_content(statement_row(statement, b"", self._clock()))
        state = "accepted" if circle.row.state == "accepted" else "invited"
        if statement.id != circle.shown:
            circle.row = replace(circle.row, anchor=circle.row.anchor + statement.id)
        circle.row = replace(circle.row, state=state, invited_by=by.raw)
        await tx.circles.put(circle.row)

    @staticmethod
    def _is_steward(circle: Circle, node: NodeId) -> bool:
        """In any statement that is valid here, and not out since."""
        valid = circle.history.lineage.valid.values()
        return node not in circle.history.out and any(step.role_of(node) is Role.STEWARD for step in valid)

    def _shows_us_out(self, circle: Circle, statement: Statement) -> bool:
        """An invitation may come before the news that we were removed, or let in on a branch that lost."""
        return statement.number >= circle.current.number and self.own not in statement.roles

    # other objects that arrive

    async def take_object(self, tx: Transaction, signed: SignedObject, source: NodeId) -> None:
        """Everything but alerts and statements, author and signature already checked. Raises `RemoteError`."""
        author, body, kind = NodeId(signed.header.author), signed.body, signed.header.type
        match kind:
            case ObjectType.CARD:
                await self.take_card(tx, body)
            case ObjectType.PROFILE:
                await self.cards.take_profile(tx, body, author)
            case ObjectType.PREKEY:
                await self.cards.take_prekey(tx, body, author, minute_of(self._clock()))
            case ObjectType.LEAVE:
                await self.take_leave(tx, signed)
            case _ if kind in self.handlers:
                await self.handlers[kind](tx, author, body)
            case _:
                log.info("object-kept", peer=source.short, type=int(kind))

    async def take_introduction(self, tx: Transaction, blob: bytes) -> Introduction:
        """Card, profile and prekey of somebody, whoever brings them. Raises `RemoteError`."""
        introduction = await self.cards.take_introduction(tx, blob, minute_of(self._clock()))
        await self._follow_card(tx, introduction.node_id)
        return introduction

    async def take_card(self, tx: Transaction, blob: bytes) -> None:
        """The same for a card alone. Raises `RemoteError`; a conflict is remembered all the same."""
        try:
            card = await self.cards.take_card(tx, blob)
        finally:
            self._cards_changed = True
        await self._follow_card(tx, card.node_id)

    async def _follow_card(self, tx: Transaction, node: NodeId) -> None:
        """Objects may have waited for it; a revocation counts as removal from every circle (PROTOCOL §1)."""
        self._cards_changed = self._news = True
        if self.cards.is_revoked(node):
            for circle in self:
                if node not in circle.history.out:
                    circle.history.add_revocation(node)
                    await self.follow(tx, circle)

    async def take_told_leave(self, tx: Transaction, signed: SignedObject) -> None:
        """A leave that came by KEYS instead of its envelope: the same checks come first."""
        self.check_author(signed.header, signed.hash)
        verify_object(signed, self.cards.sign_public(signed.header, self._clock.judged_min(signed.header.created_min)))
        await self.take_leave(tx, signed)

    async def take_leave(self, tx: Transaction, signed: SignedObject) -> None:
        """A member goes by itself; a steward then re-keys."""
        leave = parse_leave(signed)
        circle = self._circles.get(signed.header.circle)
        if circle is None:
            raise RemoteError(Defect.WRONG_CIRCLE, "circle")
        circle.history.add_leave(leave)
        await tx.statements.put_leave(circle.id, leave.author.raw, leave.statement, signed.encode(), self._clock())
        await self.follow(tx, circle)

    # what follows

    async def follow(self, tx: Transaction, circle: Circle) -> None:
        """Bring row, member states and key ends in line with the history; re-key if it is ours to do.

        While our clock is in doubt the new key waits: its statement would bear that date.
        """
        self._news = self._scopes_changed = True
        ours = circle.row.state == "active" and circle.history.may_issue(self.own)
        if ours and circle.history.reissues(self.own) and not self._clock.doubt():
            await self._rekey(tx, circle)
        await self._standing.follow(tx, circle)
        await self._epochs.retire(tx, circle.history, over=circle.row.state in GONE)
        self._changed(circle.id)

    async def _rekey(self, tx: Transaction, circle: Circle) -> None:
        """Somebody is out and still holds the key. What stands in the way does not stop what brought the news."""
        try:
            await self._epochs.issue(tx, circle.history)
        except LocalError as error:
            log.error("not-re-keyed", defect=str(error.kind), field=error.field)  # noqa: TRY400 - a trace may hold data

    async def remove_member(self, tx: Transaction, circle: Circle, node: NodeId) -> None:
        """Put a member out under a fresh key; of what it sent, the last we know still counts."""
        cuts = await self._epochs.cuts(tx, circle.id, node)
        await self._epochs.issue(tx, circle.history, remove={node: cuts})
        await self.follow(tx, circle)

    async def rotate(self, tx: Transaction, circle: Circle) -> None:
        """The same members under a fresh key."""
        await self._epochs.issue(tx, circle.history)
        await self.follow(tx, circle)

    async def set_member(self, tx: Transaction, circle: Circle, node: NodeId, state: MemberState) -> None:
        """Record what a node answered, or that we took an invitation back."""
        await self._standing.set_member(tx, circle, node, state)
        self._changed(circle.id)

    async def put_member(self, tx: Transaction, circle: Circle, node: NodeId, state: str, role: int) -> None:
        """Record whom we have asked, and in which role."""
        await self._standing.put_member(tx, circle, node, state, role)
        self._changed(circle.id)

    async def set_state(self, tx: Transaction, circle: Circle, state: CircleState) -> None:
        """Record how we stand in a circle; when we are gone, its keys begin to run out."""
        await self._standing.set_own(tx, circle, state)
        await self._epochs.retire(tx, circle.history, over=state in GONE)
        self._changed(circle.id)

    async def end_direct(self, tx: Transaction, peer: NodeId) -> None:
        """The pairing ended: its direct circles become history."""
        for circle in self._directs(peer):
            if circle.row.state in JOINED:
                await self.set_state(tx, circle, "removed")

    def _changed(self, circle_id: bytes) -> None:
        self._events.publish("circles", id_text(circle_id))

    def take_news(self) -> bool:
        """Whether something held may open now; asking answers it."""
        news, self._news = self._news, False
        return news

    def tags(self) -> set[bytes]:
        """Every scope we are in, or carry, now."""
        return set(self._keyring.provable(minute_of(self._clock()) // 60))

    def _settled(self) -> None:
        """After a commit: tell whom it concerns."""
        if self._scopes_changed:
            self._scopes_changed = False
            self.on_scopes()
        if self._cards_changed:
            self._cards_changed = False
            self.on_cards()
        if self._epochs.erased:
            self._epochs.erased = False
            self.on_erased()
        self.on_growth()


def _nothing() -> None:
    """Until wired."""
