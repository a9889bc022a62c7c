"""What people do with circles: found, invite, accept, decline, leave, remove (SCHEMAS §4, §8)."""

from __future__ import annotations

import asyncio
import contextlib
import unicodedata
from typing import TYPE_CHECKING

from almenara.crypto.errors import NodeIdMalformed
from almenara.crypto.identity import NodeId
from almenara.node import models
from almenara.node.authoring import CRITICAL, Author, Draft
from almenara.node.casebook import id_text, parse_id
from almenara.node.circle import Circle, place_of
from almenara.node.clock import minute_of
from almenara.node.problem import Kind, Problem
from almenara.node.roster import show
from almenara.node.words import N_
from almenara.protocol.invite import Accept, Decline, Invite, encode_leave
from almenara.protocol.limits import MAX_NAME, MINUTES_PER_DAY
from almenara.protocol.object import ObjectType, SignedObject
from almenara.protocol.statement import MAX_MEMBERS, Role, Statement, Terms, Tier
from almenara.protocol.vocabulary import TLP

if TYPE_CHECKING:
    from almenara.node.admission import Admission
    from almenara.node.circles import Circles
    from almenara.node.epochs import Epochs
    from almenara.node.events import Events
    from almenara.node.storage.engine import Store, Transaction
    from almenara.node.timekeeper import Timekeeper

KEY_SECONDS = 10.0  # how long `accept` waits for the key
INVITE_DAYS = 37  # invite, accept and decline live so long (PROTOCOL §8)
ROLES = {"steward": Role.STEWARD, "member": Role.MEMBER, "subscriber": Role.SUBSCRIBER}
_TIERS = {name: Tier(number) for number, name in enumerate(models.TIERS, 1)}
RED = TLP.index("TLP:RED")


class Groups:
    """Operations on circles, each one transaction; every rule is asked inside it."""

    def __init__(
        self,
        store: Store,
        circles: Circles,
        admission: Admission,
        epochs: Epochs,
        author: Author,
        clock: Timekeeper,
        events: Events,
    ) -> None:
        self._store, self._circles, self._admission, self._epochs = store, circles, admission, epochs
        self._author, self._clock, self._events = author, clock, events

    async def list(self) -> models.Circles:
        """Every circle, in the order they came."""
        async with self._store.read() as tx:
            found = [show(self._circles, circle, await tx.circles.members(circle.id)) for circle in self._circles]
        return models.Circles(circles=found)

    async def get(self, circle_id: str) -> models.Circle:
        """One circle. Raises `Problem(NOT_FOUND)`."""
        circle = self._circles.find(parse_id(circle_id))
        async with self._store.read() as tx:
            return show(self._circles, circle, await tx.circles.members(circle.id))

    async def create(self, new: models.CircleNew) -> models.Circle:
        """Found a group; its key exists at once. Raises `Problem` for a name or a ceiling that no group may have."""
        terms = Terms(
            name=_name(new.name),
            tier=_TIERS[new.tier],
            max_tlp=_ceiling(new.max_tlp),
            retention_days=new.retention_days,
        )
        self._clock.check()
        async with self._circles.change() as tx:
            statement, key, carry = self._epochs.found_group(terms)
            circle = await self._begin(tx, statement, key, carry)
            return show(self._circles, circle, await tx.circles.members(circle.id))

    async def found_direct(self, tx: Transaction, peer: NodeId, retention_days: int) -> bytes:
        """The direct circle with a peer that used our invitation; returns its id."""
        statement, key, carry = self._epochs.found_direct(peer, retention_days)
        return (await self._begin(tx, statement, key, carry, peer=peer)).id

    async def _begin(
        self, tx: Transaction, statement: Statement, key: bytes, carry: bytes, peer: NodeId | None = None
    ) -> Circle:
        circle = await self._circles.begin(tx, statement, "active", peer=peer)
        posted = await self._epochs.announce(tx, statement, key, carry)
        circle.history.add(statement, statement.issuer, place_of(posted))
        await self._circles.follow(tx, circle)
        return circle

    async def invite(self, circle_id: str, node_id: str, role: str) -> models.MemberChanged:
        """Ask a verified peer, in our direct circle with it; whoever has accepted already is let in instead.

        Raises `Problem`: NOT_A_STEWARD, PEER_NOT_VERIFIED, NOT_ALLOWED.
        """
        node = parse_node(node_id)
        if role not in ROLES:
            raise Problem(Kind.UNKNOWN_CODE, field="role", expected=" · ".join(ROLES), got=role[:40])
        self._clock.check()
        async with self._circles.change() as tx:
            circle = self._circles.active(parse_id(circle_id))
            self._check_steward(circle)
            direct = self._direct(node)
            self._check_newcomer(circle, node)
            member = await tx.circles.member(circle.id, node.raw)
            if member is not None and member.state == "accepted":
                await self._admission.admit(tx, circle)
            else:
                body = Invite(statement=circle.current, role=ROLES[role]).encode()
                await self._post(tx, direct, ObjectType.INVITE, body, self._circles.sendable(direct))
                await self._circles.put_member(tx, circle, node, "invited", int(ROLES[role]))
            return await self._member_changed(tx, circle, node)

    async def accept(self, circle_id: str) -> models.CircleChanged:
        """Say yes, then wait for the key; said again it changes nothing. Raises `Problem(NOT_READY)` uninvited."""
        raw = parse_id(circle_id)
        self._clock.check()
        async with self._circles.change() as tx:
            circle = self._circles.find(raw)
            if circle.direct or circle.row.state != "active":
                direct = self._direct(self._inviter(circle))
                introduction = self._circles.cards.introduction(self._circles.own) or b""
                body = Accept(circle=circle.id, statement=circle.shown, introduction=introduction).encode()
                await self._post(tx, direct, ObjectType.ACCEPT, body, self._circles.sendable(direct))
                await self._circles.set_state(tx, circle, "accepted")
        await self._wait_for_key(raw)
        return self._changed(raw)

    async def _wait_for_key(self, circle_id: bytes) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KEY_SECONDS):
                while self._circles.find(circle_id).row.state == "accepted":
                    await self._events.wait(self._events.last, KEY_SECONDS)

    async def decline(self, circle_id: str) -> models.CircleChanged:
        """Say no, or take a yes back while the key has not come. Raises `Problem(NOT_READY)` without an invitation."""
        raw = parse_id(circle_id)
        self._clock.check()
        async with self._circles.change() as tx:
            circle = self._circles.find(raw)
            direct = self._direct(self._inviter(circle))
            body = Decline(circle=circle.id, statement=circle.shown).encode()
            await self._post(tx, direct, ObjectType.DECLINE, body, self._circles.sendable(direct))
            await self._circles.set_state(tx, circle, "left")
        return self._changed(raw)

    async def leave(self, circle_id: str) -> models.CircleChanged:
        """Go; a steward re-keys without us. Raises `Problem(NOT_ALLOWED)` for the only steward and direct circles."""
        raw = parse_id(circle_id)
        self._clock.check()
        async with self._circles.change() as tx:
            circle = self._circles.active(raw)
            self._check_may_leave(circle)
            statement = self._circles.newest_held(circle)  # who is out may read it: it says nothing but that we go
            if statement is None:
                raise Problem(Kind.NOT_READY, N_("The key of this circle has not come yet."), field="circle_id")
            posted = await self._post(tx, circle, ObjectType.LEAVE, encode_leave(statement), statement.id)
            await self._circles.take_leave(tx, posted)
        return self._changed(raw)

    def _check_may_leave(self, circle: Circle) -> None:
        if circle.direct:
            raise Problem(
                Kind.NOT_ALLOWED,
                N_("A direct circle ends with the pairing."),
                field="circle_id",
                next=N_("Remove the organisation instead."),
            )
        others = self._circles.recipients(circle)
        if others and not any(node in circle.current.stewards for node in others):
            raise Problem(
                Kind.NOT_ALLOWED,
                N_("You are the only steward; without one nobody could change the circle's key."),
                field="circle_id",
                next=N_("Make another organisation steward, or remove the members first."),
            )

    async def remove(self, circle_id: str, node_id: str) -> models.MemberChanged:
        """Put a member out under a fresh key, or take an invitation back. Raises `Problem`."""
        node = parse_node(node_id)
        self._clock.check()
        async with self._circles.change() as tx:
            circle = self._circles.active(parse_id(circle_id))
            self._check_steward(circle)
            if node == self._circles.own:
                raise Problem(Kind.NOT_ALLOWED, N_("To go yourself, leave the circle."), field="node_id")
            if await tx.circles.member(circle.id, node.raw) is None:
                raise Problem(Kind.NOT_FOUND, field="node_id")
            if node in circle.history.recipients() and not self._may_remove(circle, node):
                raise Problem(
                    Kind.NOT_ALLOWED, N_("Only a steward of a higher rank removes a steward."), field="node_id"
                )
            await self._remove(tx, circle, node)
            return await self._member_changed(tx, circle, node)

    async def _remove(self, tx: Transaction, circle: Circle, node: NodeId) -> None:
        member = await tx.circles.member(circle.id, node.raw)
        if node in circle.history.recipients():
            await self._circles.remove_member(tx, circle, node)
        elif member is not None and member.state in {"invited", "accepted"}:
            await self._circles.set_member(tx, circle, node, "removed")

    async def remove_everywhere(self, tx: Transaction, node: NodeId) -> None:
        """A peer was removed: re-key it out of every circle where that is ours to do."""
        for circle in self._circles:
            ours = circle.row.state == "active" and not circle.direct and circle.history.may_issue(self._circles.own)
            if ours and (node not in circle.history.recipients() or self._may_remove(circle, node)):
                await self._remove(tx, circle, node)

    def _may_remove(self, circle: Circle, node: NodeId) -> bool:
        own, theirs = circle.current.rank_of(self._circles.own), circle.current.rank_of(node)
        return theirs is None or (own is not None and own < theirs)

    # small parts

    def _check_steward(self, circle: Circle) -> None:
        if not circle.history.may_issue(self._circles.own):
            raise Problem(Kind.NOT_A_STEWARD, field="circle_id")
        if circle.direct:
            raise Problem(Kind.NOT_ALLOWED, N_("Nobody can be added to a direct circle."), field="circle_id")

    def _check_newcomer(self, circle: Circle, node: NodeId) -> None:
        if node in circle.history.recipients():
            raise Problem(Kind.NOT_ALLOWED, N_("This organisation is already a member."), field="node_id")
        if len(circle.current.members) >= MAX_MEMBERS:
            raise Problem(Kind.NOT_ALLOWED, N_("A circle has at most 100 members."), field="circle_id")

    def _direct(self, node: NodeId) -> Circle:
        direct = self._circles.direct_with(node)
        if direct is None or not self._circles.is_verified(node):
            raise Problem(
                Kind.PEER_NOT_VERIFIED,
                field="node_id",
                next=N_("Pair with this organisation and compare the code first."),
            )
        return direct

    def _inviter(self, circle: Circle) -> NodeId:
        if circle.row.state not in {"invited", "accepted"} or circle.row.invited_by is None:
            raise Problem(
                Kind.NOT_READY,
                N_("There is no open invitation to this circle."),
                field="circle_id",
                expected="invited",
                got=circle.row.state,
            )
        return NodeId(circle.row.invited_by)

    async def _post(
        self, tx: Transaction, circle: Circle, kind: ObjectType, body: bytes, statement_id: bytes
    ) -> SignedObject:
        draft = Draft(
            circle_id=circle.id,
            statement_id=statement_id,
            type=kind,
            body=body,
            tlp=circle.max_tlp,
            expires_min=minute_of(self._clock()) + INVITE_DAYS * MINUTES_PER_DAY if circle.direct else 0,
            lane=CRITICAL,
        )
        return (await self._author.post(tx, draft)).object

    @staticmethod
    async def _member_changed(tx: Transaction, circle: Circle, node: NodeId) -> models.MemberChanged:
        (member,) = [row for row in await tx.circles.members(circle.id) if row.node_id == node.raw]
        return models.MemberChanged(circle_id=id_text(circle.id), node_id=node.text, state=member.state)

    def _changed(self, circle_id: bytes) -> models.CircleChanged:
        return models.CircleChanged(circle_id=id_text(circle_id), state=self._circles.find(circle_id).row.state)


def _name(given: str) -> str:
    name = unicodedata.normalize("NFC", " ".join(given.split()))
    if not name or any(unicodedata.category(c) in {"Cc", "Cs"} for c in name):
        raise Problem(Kind.WRONG_TYPE, field="name", expected="1–80", got=str(len(name)))
    if len(name.encode()) > MAX_NAME:
        raise Problem(Kind.TOO_LONG, field="name", expected=f"≤ {MAX_NAME}", got=str(len(name.encode())))
    return name


def _ceiling(label: str) -> int:
    if label not in TLP:
        raise Problem(Kind.UNKNOWN_CODE, field="max_tlp", expected=" · ".join(TLP[:RED]), got=label[:40])
    if TLP.index(label) >= RED:
        raise Problem(
            Kind.TLP_ABOVE_CIRCLE,
            N_("TLP:RED exists only between two organisations."),
            field="max_tlp",
            expected=f"at most {TLP[RED - 1]}",
            got=label,
        )
    return TLP.index(label)


def parse_node(text: str) -> NodeId:
    """A node id as people write it. Raises `Problem(MALFORMED)` for a typing error."""
    try:
        return NodeId.parse(text)
    except NodeIdMalformed:
        raise Problem(
            Kind.MALFORMED,
            N_("This is not a node id; its check letters do not fit."),
            field="node_id",
            expected="56 letters and digits",
            got=f"{len(text)}",
        ) from None
