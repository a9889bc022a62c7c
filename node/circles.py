"""The circles we know: histories rebuilt from signed statements, and what each object does to them (PROTOCOL §5)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import structlog

from almenara.crypto.identity import NodeId
from almenara.node import models
from almenara.node.casebook import id_text
from almenara.node.clock import Clock, minute_of
from almenara.node.problem import Kind, Problem
from almenara.node.storage.rows import CircleRow, MemberRow, StatementRow
from almenara.node.words import N_
from almenara.protocol.circle import CircleHistory
from almenara.protocol.errors import Defect, ProtocolError, RemoteError
from almenara.protocol.invite import parse_accept, parse_decline, parse_invite, parse_leave
from almenara.protocol.keys import SignedKeyPacket, parse_key_packet
from almenara.protocol.object import Header, ObjectType, SignedObject, parse_object, verify_object
from almenara.protocol.statement import Role, Statement, parse_statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from almenara.node.cards import Cards
    from almenara.node.epochs import Epochs
    from almenara.node.events import Events
    from almenara.node.keyring import Keyring
    from almenara.node.storage.engine import Store, Transaction

PENDING_PACKETS = 256  # key packets that may wait for their statements

log = structlog.get_logger()

CircleState = Literal["invited", "accepted", "active", "left", "removed"]


@dataclass(slots=True)
class Circle:
    """One circle as this node sees it."""

    row: CircleRow
    history: CircleHistory

    @property
    def id(self) -> bytes:
        """16 bytes."""
        return self.row.circle_id

    @property
    def current(self) -> Statement:
        """The winning statement."""
        return self.history.current

    @property
    def direct(self) -> bool:
        """Whether it is the circle of two that a pairing makes."""
        return self.current.direct

    @property
    def tier(self) -> int:
        """1 partner, 2 network, 3 international."""
        return int(self.current.tier)

    @property
    def max_tlp(self) -> int:
        """As headers write it."""
        return self.current.max_tlp

    @property
    def retention_days(self) -> int:
        """How long an alert lives here at most."""
        return self.current.retention_days


class Circles:
    """State and effects. `on_scopes` and `on_growth` tell the links after a commit that scopes or log have changed."""

    def __init__(
        self, store: Store, cards: Cards, keyring: Keyring, epochs: Epochs, clock: Clock, events: Events
    ) -> None:
        self.own, self.cards, self._store = cards.own, cards, store
        self._keyring, self._epochs, self._clock, self._events = keyring, epochs, clock, events
        self._circles: dict[bytes, Circle] = {}
        self._pending: dict[bytes, SignedKeyPacket] = {}  # statement id -> packet whose statement is still to come
        self.verified: set[bytes] = set()  # peers in state verified
        self._news = False
        self._scopes_changed = False
        self.on_scopes: Callable[[], None] = lambda: None
        self.on_growth: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def change(self) -> AsyncIterator[Transaction]:
        """A transaction that may change circles, cards or keys: afterwards the links are told.

        When it fails, memory goes back to what the database says.
        """
        try:
            async with self._store.write() as tx:
                yield tx
        except BaseException:
            async with self._store.read() as tx:
                await self.load(tx)
            raise
        self._settled()

    async def load(self, tx: Transaction) -> None:
        """Rebuild cards, keys and histories from the database."""
        self._circles.clear()
        self._pending.clear()
        await self.cards.load(tx)
        self._keyring.load(await tx.keys.all(), await tx.statements.all(), await tx.prekeys.own())
        rows = {row.circle_id: row for row in await tx.circles.all()}
        statements: dict[bytes, list[StatementRow]] = {}
        for found in await tx.statements.all():
            if found.body:
                statements.setdefault(found.circle_id, []).append(found)
            else:
                self._await_statement(parse_key_packet(found.content))
        for circle_id, row in rows.items():
            self._circles[circle_id] = Circle(row, _history(row, statements[circle_id]))
            for leave in await tx.statements.leaves(circle_id):
                self._circles[circle_id].history.add_leave(parse_leave(parse_object(leave.content)))

    # what others ask

    def known(self, circle_id: bytes) -> Circle | None:
        """A circle, whatever its state."""
        return self._circles.get(circle_id)

    def __iter__(self) -> Iterator[Circle]:
        return iter(list(self._circles.values()))

    def find(self, circle_id: bytes) -> Circle:
        """Raises `Problem(NOT_FOUND)`."""
        circle = self._circles.get(circle_id)
        if circle is None:
            raise Problem(Kind.NOT_FOUND, field="circle_id")
        return circle

    def active(self, circle_id: bytes) -> Circle:
        """A circle we can send in. Raises `Problem`: NOT_FOUND, NOT_READY, PEER_NOT_VERIFIED."""
        circle = self.find(circle_id)
        if circle.row.state != "active":
            raise Problem(
                Kind.NOT_READY,
                N_("We are not an active member of this circle."),
                field="circle_id",
                expected="active",
                got=circle.row.state,
                next=N_("Accept the invitation, and wait for the key."),
            )
        if circle.direct and self.peer_of(circle).raw not in self.verified:
            raise Problem(Kind.PEER_NOT_VERIFIED, field="circle_id")
        return circle

    def direct_with(self, peer: NodeId) -> Circle | None:
        """The direct circle with a peer that is in use."""
        return next((c for c in self if c.direct and c.row.peer == peer.raw and c.row.state == "active"), None)

    def peer_of(self, circle: Circle) -> NodeId:
        """The other one in a direct circle."""
        return next(node for node, _ in circle.current.members if node != self.own)

    def recipients(self, circle: Circle) -> list[NodeId]:
        """Everybody but us who holds, or is being given, the current key."""
        return [node for node in circle.history.recipients() if node != self.own]

    def sendable(self, circle: Circle) -> bytes:
        """The statement to seal under (PROTOCOL §5.5).

        Raises `Problem(NOT_READY)` while somebody who is out could read it.
        """
        held = self._keyring.statements()
        statement = circle.history.sendable(held)
        if statement is None or circle.history.hold_reasons(held):
            raise Problem(
                Kind.NOT_READY,
                N_("The circle is getting a new key, because a member has left or was removed."),
                field="circle_id",
                next=N_("Wait until a steward's node has been connected, then send."),
            )
        return statement.id

    def title(self, circle: Circle) -> str:
        """The circle's name; a direct one is called after the peer."""
        return self.cards.name(self.peer_of(circle)) if circle.direct else circle.current.name

    def tier(self, circle_id: bytes) -> int:
        """The tier its views must have."""
        return self.find(circle_id).tier

    def is_verified(self, node: NodeId) -> bool:
        """Whether a person of ours has compared codes with it."""
        return node.raw in self.verified

    def as_recipient(self, node: NodeId) -> models.Recipient:
        """A recipient by name, for the preview."""
        profile = self.cards.profile(node)
        return models.Recipient(
            node_id=node.text,
            name=self.cards.name(node),
            kind=profile.kind if profile else "organisation",
            country=(profile.country or None) if profile else None,
            verified=self.is_verified(node),
        )

    def check_author(self, header: Header, header_hash: bytes) -> None:
        """PROTOCOL §5.6, all but the signature. Raises `RemoteError`."""
        circle = self._circles.get(header.circle)
        if circle is None:
            raise RemoteError(Defect.WRONG_CIRCLE, "circle")
        circle.history.check_author(header, header_hash)

    # what arrives

    async def take_packet(self, tx: Transaction, content: bytes, source: NodeId) -> None:
        """A key packet for us: used at once if its statement is here, else it opens the statement when that comes."""
        signed = parse_key_packet(content)
        packet = signed.packet
        if packet.recipient != self.own:
            raise RemoteError(Defect.WRONG_RECIPIENT, "recipient")
        circle = self._circles.get(packet.circle)
        statement = circle.history.find(packet.statement[:16]) if circle else None
        if statement is not None and circle is not None:
            await self._use_packet(tx, circle, statement, signed)
            return
        if circle is None and source.raw not in self.verified:
            raise RemoteError(Defect.WRONG_CIRCLE, "circle")
        if len(self._pending) >= PENDING_PACKETS:
            raise RemoteError(Defect.TOO_LARGE, "pending")
        self._await_statement(signed)
        await tx.statements.put(_pending_row(signed, content, self._clock()))
        self._news = self._scopes_changed = True

    def _await_statement(self, signed: SignedKeyPacket) -> None:
        packet = signed.packet
        statement_id = packet.statement[:16]
        self._pending[statement_id] = signed
        self._keyring.add_statement(packet.circle, statement_id, packet.key, pending=True)
        self._keyring.add_carry(statement_id, packet.carry_secret)

    async def take_statement(self, tx: Transaction, signed: SignedObject) -> None:
        """A statement's object: verified, added to its circle's history, acted upon. Raises `RemoteError`."""
        statement = parse_statement(signed.body)
        header = signed.header
        if statement.circle_id != header.circle:
            raise RemoteError(Defect.WRONG_CIRCLE, "circle", "the header's circle")
        if statement.id != header.statement:
            raise RemoteError(Defect.WRONG_STATEMENT, "statement", "the statement itself")
        verify_object(signed, self.cards.sign_public(header, minute_of(self._clock())))
        circle = self._circles.get(statement.circle_id)
        if circle is None:
            circle = await self._found(tx, statement)
        circle.history.add(statement, NodeId(header.author))
        await self._keep(tx, circle, statement, signed)
        await self.follow(tx, circle)

    async def _found(self, tx: Transaction, statement: Statement) -> Circle:
        """The first statement of a direct circle, from the peer that invited us; no other circle begins unasked."""
        ours = statement.direct and statement.number == 1 and self.own in statement.roles
        if not ours or statement.issuer.raw not in self.verified:
            raise RemoteError(Defect.WRONG_CIRCLE, "circle", "a circle we were invited to")
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
            joined_at=self._clock() if state == "active" else None,
            created_at=self._clock(),
            reason="",
        )
        await tx.circles.put(row)
        await tx.statements.put(statement_row(statement, b"", self._clock()))
        circle = self._circles[statement.circle_id] = Circle(row, CircleHistory(statement))
        return circle

    async def _keep(self, tx: Transaction, circle: Circle, statement: Statement, signed: SignedObject) -> None:
        if statement.id not in self._pending:
            await tx.statements.put_content(statement_row(statement, signed.encode(), self._clock()))
            return
        await tx.statements.put(statement_row(statement, signed.encode(), self._clock()))
        packet = self._pending.pop(statement.id)
        try:
            await self._use_packet(tx, circle, statement, packet)
        except ProtocolError as error:
            self._keyring.drop(statement.id)
            log.warning("key-packet-refused", defect=str(error.kind), field=error.field)

    async def _use_packet(self, tx: Transaction, circle: Circle, statement: Statement, signed: SignedKeyPacket) -> None:
        """The key fits the commitments of a valid statement: from now on it opens and seals."""
        giver = self.cards.newest(signed.packet.giver)
        if giver is None:
            raise RemoteError(Defect.UNKNOWN_AUTHOR, "giver")
        signed.verify(statement, self.own, giver.op_sign)
        packet = signed.packet
        await self._epochs.hold(tx, statement, packet.key, packet.carry_secret)
        self._news = self._scopes_changed = True
        await self.follow(tx, circle)

    async def take_object(self, tx: Transaction, signed: SignedObject, source: NodeId) -> None:
        """Everything but alerts and statements, author and signature already checked. Raises `RemoteError`."""
        author, body = NodeId(signed.header.author), signed.body
        match signed.header.type:
            case ObjectType.CARD:
                card = await self.cards.take_card(tx, body)
                if self.cards.is_revoked(card.node_id):
                    await self._revoke(tx, card.node_id)
            case ObjectType.PROFILE:
                await self.cards.take_profile(tx, body, author)
            case ObjectType.PREKEY:
                await self.cards.take_prekey(tx, body, author, minute_of(self._clock()))
            case ObjectType.LEAVE:
                await self.take_leave(tx, signed)
            case ObjectType.INVITE:
                await self._take_invite(tx, author, body)
            case ObjectType.ACCEPT:
                await self._take_accept(tx, author, body)
            case ObjectType.DECLINE:
                await self._take_decline(tx, author, body)
            case _:
                log.info("object-kept", peer=source.short, type=int(signed.header.type))

    async def _revoke(self, tx: Transaction, node: NodeId) -> None:
        for circle in self:
            circle.history.add_revocation(node)
            await self.follow(tx, circle)

    async def take_told_leave(self, tx: Transaction, signed: SignedObject) -> None:
        """A leave that came by KEYS instead of its envelope: the same checks come first."""
        self.check_author(signed.header, signed.hash)
        verify_object(signed, self.cards.sign_public(signed.header, minute_of(self._clock())))
        await self.take_leave(tx, signed)

    async def take_leave(self, tx: Transaction, signed: SignedObject) -> None:
        """A member goes by itself; a steward then re-keys."""
        leave = parse_leave(signed)
        circle = self._circles.get(signed.header.circle)
        if circle is None:
            raise RemoteError(Defect.WRONG_CIRCLE, "circle")
        circle.history.add_leave(leave)
        await tx.statements.put_leave(circle.id, leave.author.raw, leave.statement, signed.encode(), self._clock())
        await self._set_member(tx, circle, leave.author, "left")
        await self.follow(tx, circle)

    async def _take_invite(self, tx: Transaction, author: NodeId, body: bytes) -> None:
        """A verified peer that is steward of a circle asks us in."""
        invite = parse_invite(body)
        statement = invite.statement
        if statement.role_of(author) is not Role.STEWARD:
            raise RemoteError(Defect.NOT_ALLOWED, "statement", "a circle in which the inviter is steward")
        known = self._circles.get(statement.circle_id)
        if known is None:
            await self.begin(tx, statement, "invited", invited_by=author)
        elif known.row.state in {"left", "removed", "invited"}:
            known.history.trust(statement)
            await tx.statements.put_content(statement_row(statement, b"", self._clock()))
            await self._set(tx, known, state="invited", invited_by=author.raw, anchor=statement.id)
        self._events.publish("circles", id_text(statement.circle_id))

    async def _take_accept(self, tx: Transaction, author: NodeId, body: bytes) -> None:
        """Somebody we invited says yes: admit it under a fresh key."""
        accept = parse_accept(body)
        circle = self._circles.get(accept.circle)
        member = await tx.circles.member(accept.circle, author.raw)
        if circle is None or member is None or member.state != "invited":
            raise RemoteError(Defect.NOT_ALLOWED, "circle", "a circle we invited the author to")
        found = await self.cards.take_introduction(tx, accept.introduction, minute_of(self._clock()))
        if found.node_id != author:
            raise RemoteError(Defect.WRONG_NODE, "introduction", "the author's own")
        await self._set_member(tx, circle, author, "accepted")
        await self.admit_accepted(tx, circle)

    async def _take_decline(self, tx: Transaction, author: NodeId, body: bytes) -> None:
        answer = parse_decline(body)
        circle = self._circles.get(answer.circle)
        if circle is not None and await tx.circles.member(answer.circle, author.raw) is not None:
            await self._set_member(tx, circle, author, "left")

    # what follows

    async def admit_accepted(self, tx: Transaction, circle: Circle) -> None:
        """Issue the statement that lets in everybody who accepted; one whom an earlier branch removed takes two."""
        if not circle.history.may_issue(self.own):
            return
        waiting = [
            member
            for member in await tx.circles.members(circle.id)
            if member.state == "accepted" and NodeId(member.node_id) not in circle.current.roles
        ]
        if not waiting:
            return
        admit = {NodeId(member.node_id): Role(member.role) for member in waiting}
        if any(node in circle.history.reissues(self.own) for node in admit):
            await self._epochs.issue(tx, circle.history)
        await self._epochs.issue(tx, circle.history, admit=admit)
        await self.follow(tx, circle)

    async def issue(
        self,
        tx: Transaction,
        circle: Circle,
        *,
        remove: NodeId | None = None,
    ) -> None:
        """A new statement with a fresh key: a rotation, or without somebody."""
        cuts = {remove: await self._epochs.cuts(tx, circle.id, remove)} if remove else {}
        await self._epochs.issue(tx, circle.history, remove=cuts)
        await self.follow(tx, circle)

    async def follow(self, tx: Transaction, circle: Circle) -> None:
        """Bring row, member states and key ends in line with the history; re-key if it is ours to do."""
        if circle.history.reissues(self.own) and circle.history.may_issue(self.own) and not circle.direct:
            await self._epochs.issue(tx, circle.history)
        self._news = self._scopes_changed = True
        await self._follow_state(tx, circle)
        await self._follow_members(tx, circle)
        await self._epochs.retire(tx, circle.history)
        self._events.publish("circles", id_text(circle.id))

    async def _follow_state(self, tx: Transaction, circle: Circle) -> None:
        current, state = circle.current, circle.row.state
        if self.own in circle.history.out and state == "active":
            left = any(leave.author == self.own for leave in circle.history.leaves())
            state = "left" if left else "removed"
        elif self.own in circle.history.recipients() and self._keyring.holds(current.id) and state != "left":
            state = "active"
        await self._set(tx, circle, state=state, name=current.name, max_tlp=current.max_tlp)

    async def _follow_members(self, tx: Transaction, circle: Circle) -> None:
        held = {member.node_id: member for member in await tx.circles.members(circle.id)}
        recipients = set(circle.history.recipients())
        for node, role in circle.current.members:
            if node in recipients and (node.raw not in held or held[node.raw].state != "active"):
                await self._put_member(tx, circle, node, "active", int(role))
        for raw, member in held.items():
            node = NodeId(raw)
            if member.state == "active" and node not in recipients:
                gone = any(leave.author == node for leave in circle.history.leaves())
                await self._put_member(tx, circle, node, "left" if gone else "removed", member.role)

    async def _set_member(self, tx: Transaction, circle: Circle, node: NodeId, state: models.MemberState) -> None:
        member = await tx.circles.member(circle.id, node.raw)
        await self._put_member(tx, circle, node, state, member.role if member else int(Role.MEMBER))
        self._events.publish("circles", id_text(circle.id))

    async def _put_member(self, tx: Transaction, circle: Circle, node: NodeId, state: str, role: int) -> None:
        await tx.circles.put_member(
            MemberRow(circle_id=circle.id, node_id=node.raw, state=state, role=role, changed_at=self._clock())
        )

    async def _set(self, tx: Transaction, circle: Circle, **columns: Any) -> None:
        circle.row = replace(circle.row, **columns)
        await tx.circles.put(circle.row)

    async def set_state(self, tx: Transaction, circle: Circle, state: CircleState) -> None:
        """Record how we stand in a circle."""
        await self._set(tx, circle, state=state)
        self._events.publish("circles", id_text(circle.id))

    def take_news(self) -> bool:
        """Whether something held may open now; asking answers it."""
        news, self._news = self._news or self.cards.news, False
        self.cards.news = False
        return news

    def _settled(self) -> None:
        """After a commit that may have grown the log or changed our scopes: tell the links."""
        if self._scopes_changed:
            self._scopes_changed = False
            self.on_scopes()
        self.on_growth()


def statement_row(statement: Statement, content: bytes, now: int) -> StatementRow:
    """The row of a valid statement; `content` is its signed object, empty while only an invitation brought it."""
    return StatementRow(
        circle_id=statement.circle_id,
        statement_id=statement.id,
        number=statement.number,
        parent=statement.parent,
        issuer=statement.issuer.raw,
        body=statement.body,
        content=content,
        epoch_key=None,
        carry_secret=None,
        received_at=now,
    )


def _pending_row(signed: SignedKeyPacket, content: bytes, now: int) -> StatementRow:
    """A key packet that waits: no body yet, and the packet in place of the object."""
    packet = signed.packet
    return StatementRow(
        circle_id=packet.circle,
        statement_id=packet.statement[:16],
        number=packet.number,
        parent=b"",
        issuer=packet.giver.raw,
        body=b"",
        content=content,
        epoch_key=None,
        carry_secret=None,
        received_at=now,
    )


def _history(row: CircleRow, statements: list[StatementRow]) -> CircleHistory:
    """Everything stored was verified when it came, so only the order of parents matters here."""
    parsed = {found.statement_id: parse_statement(found.body) for found in statements}
    history = CircleHistory(parsed[row.anchor])
    for statement in sorted(parsed.values(), key=lambda statement: statement.number):
        if statement.id != row.anchor:
            history.add(statement, statement.issuer)
    return history
