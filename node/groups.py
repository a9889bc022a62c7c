"""What people do with circles: found, invite, accept, decline, leave, remove, list (SCHEMAS §4, §8)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from almenara.crypto.errors import NodeIdMalformed
from almenara.crypto.identity import NodeId
from almenara.node import models
from almenara.node.authoring import CRITICAL, Author, Draft
from almenara.node.casebook import id_text, parse_id
from almenara.node.clock import Clock, minute_of
from almenara.node.problem import Kind, Problem
from almenara.node.storage.rows import MemberRow
from almenara.node.words import N_
from almenara.protocol.invite import Accept, Decline, Invite, encode_leave
from almenara.protocol.limits import MINUTES_PER_DAY
from almenara.protocol.object import ObjectType, SignedObject
from almenara.protocol.statement import MAX_MEMBERS, Role, Terms, Tier
from almenara.protocol.vocabulary import TLP

if TYPE_CHECKING:
    from almenara.node.circles import Circle, Circles
    from almenara.node.epochs import Epochs
    from almenara.node.events import Events
    from almenara.node.storage.engine import Store, Transaction

KEY_SECONDS = 10.0  # how long `accept` waits for the key
INVITE_DAYS = 37  # invite, accept and decline live so long (PROTOCOL §8)
ROLES = {"steward": Role.STEWARD, "member": Role.MEMBER, "subscriber": Role.SUBSCRIBER}
_ROLE_NAMES: dict[Role, models.RoleInCircle] = {
    Role.STEWARD: "steward",
    Role.MEMBER: "member",
    Role.SUBSCRIBER: "subscriber",
}
_TIERS = {name: Tier(number) for number, name in enumerate(models.TIERS, 1)}
RED = TLP.index("TLP:RED")


class Groups:
    """Operations on circles, each one transaction."""

    def __init__(
        self, store: Store, circles: Circles, epochs: Epochs, author: Author, clock: Clock, events: Events
    ) -> None:
        self._store, self._circles, self._epochs, self._author = store, circles, epochs, author
        self._clock, self._events = clock, events

    async def list(self) -> models.Circles:
        """Every circle, in the order they came."""
        async with self._store.read() as tx:
            found = [await self._model(tx, circle) for circle in self._circles]
        return models.Circles(circles=found)

    async def get(self, circle_id: str) -> models.Circle:
        """One circle. Raises `Problem(NOT_FOUND)`."""
        async with self._store.read() as tx:
            return await self._model(tx, self._circles.find(parse_id(circle_id)))

    async def create(self, new: models.CircleNew) -> models.Circle:
        """Found a group; its key exists at once. Raises `Problem` for a ceiling that no group may have."""
        if new.max_tlp not in TLP:
            raise Problem(Kind.UNKNOWN_CODE, field="max_tlp", expected=" · ".join(TLP[:RED]), got=new.max_tlp[:40])
        if TLP.index(new.max_tlp) >= RED:
            raise Problem(
                Kind.TLP_ABOVE_CIRCLE,
                N_("TLP:RED exists only between two organisations."),
                field="max_tlp",
                expected=f"at most {TLP[RED - 1]}",
                got=new.max_tlp,
            )
        terms = Terms(
            name=new.name,
            tier=_TIERS[new.tier],
            max_tlp=TLP.index(new.max_tlp),
            retention_days=new.retention_days,
        )
        async with self._circles.change() as tx:
            statement, key, carry = self._epochs.found_group(terms)
            circle = await self._circles.begin(tx, statement, "active")
            await self._epochs.announce(tx, statement, key, carry)
            await self._circles.follow(tx, circle)
            return await self._model(tx, circle)

    async def found_direct(self, tx: Transaction, peer: NodeId, retention_days: int) -> bytes:
        """The direct circle with a peer that used our invitation; returns its id."""
        statement, key, carry = self._epochs.found_direct(peer, retention_days)
        circle = await self._circles.begin(tx, statement, "active", peer=peer)
        await self._epochs.announce(tx, statement, key, carry)
        await self._circles.follow(tx, circle)
        return circle.id

    async def invite(self, circle_id: str, node_id: str, role: str) -> models.MemberChanged:
        """Ask a verified peer, in our direct circle with it.

        Raises `Problem`: NOT_A_STEWARD, PEER_NOT_VERIFIED, NOT_ALLOWED.
        """
        circle, node = self._circles.active(parse_id(circle_id)), parse_node(node_id)
        self._check_steward(circle)
        direct = self._direct(node)
        if role not in ROLES:
            raise Problem(Kind.UNKNOWN_CODE, field="role", expected=" · ".join(ROLES), got=role[:40])
        if node in circle.history.recipients():
            raise Problem(Kind.NOT_ALLOWED, N_("This organisation is already a member."), field="node_id")
        if len(circle.current.members) >= MAX_MEMBERS:
            raise Problem(Kind.NOT_ALLOWED, N_("A circle has at most 100 members."), field="circle_id")
        body = Invite(statement=circle.current, role=ROLES[role]).encode()
        async with self._circles.change() as tx:
            await self._post(tx, direct, ObjectType.INVITE, body)
            row = MemberRow(
                circle_id=circle.id,
                node_id=node.raw,
                state="invited",
                role=int(ROLES[role]),
                changed_at=self._clock(),
            )
            await tx.circles.put_member(row)
        return self._member_changed(circle, node, "invited")

    async def accept(self, circle_id: str) -> models.CircleChanged:
        """Say yes, then wait for the key. Raises `Problem(NOT_READY)` without an invitation."""
        circle = self._circles.find(parse_id(circle_id))
        if circle.row.state != "accepted":
            inviter = self._inviter(circle)
            async with self._circles.change() as tx:
                introduction = self._circles.cards.introduction(self._circles.own) or b""
                body = Accept(circle=circle.id, statement=circle.row.anchor, introduction=introduction).encode()
                await self._post(tx, self._direct(inviter), ObjectType.ACCEPT, body)
                await self._circles.set_state(tx, circle, "accepted")
            await self._wait_for_key(circle)
        return models.CircleChanged(circle_id=circle_id, state=circle.row.state)

    async def _wait_for_key(self, circle: Circle) -> None:
        try:
            async with asyncio.timeout(KEY_SECONDS):
                while circle.row.state == "accepted":
                    await self._events.wait(self._events.last, KEY_SECONDS)
        except TimeoutError:
            return

    async def decline(self, circle_id: str) -> models.CircleChanged:
        """Say no. Raises `Problem(NOT_READY)` without an invitation."""
        circle = self._circles.find(parse_id(circle_id))
        inviter = self._inviter(circle)
        body = Decline(circle=circle.id, statement=circle.row.anchor).encode()
        async with self._circles.change() as tx:
            await self._post(tx, self._direct(inviter), ObjectType.DECLINE, body)
            await self._circles.set_state(tx, circle, "left")
        return models.CircleChanged(circle_id=circle_id, state="left")

    async def leave(self, circle_id: str) -> models.CircleChanged:
        """Go; a steward re-keys without us. Raises `Problem(NOT_ALLOWED)` for the only steward and direct circles."""
        circle = self._circles.active(parse_id(circle_id))
        if circle.direct:
            raise Problem(
                Kind.NOT_ALLOWED,
                N_("A direct circle ends with the pairing."),
                field="circle_id",
                next=N_("Remove the organisation instead."),
            )
        others = [node for node in circle.history.recipients() if node != self._circles.own]
        if others and not any(node in circle.current.stewards for node in others):
            raise Problem(
                Kind.NOT_ALLOWED,
                N_("You are the only steward; without one nobody could change the circle's key."),
                field="circle_id",
                next=N_("Make another organisation steward, or remove the members first."),
            )
        async with self._circles.change() as tx:
            posted = await self._post(tx, circle, ObjectType.LEAVE, encode_leave(circle.current))
            await self._circles.take_leave(tx, posted)
            await self._circles.set_state(tx, circle, "left")
        return models.CircleChanged(circle_id=circle_id, state="left")

    async def remove(self, circle_id: str, node_id: str) -> models.MemberChanged:
        """Put a member out under a fresh key, or take an invitation back. Raises `Problem`."""
        circle, node = self._circles.active(parse_id(circle_id)), parse_node(node_id)
        self._check_steward(circle)
        if circle.direct or node == self._circles.own:
            raise Problem(Kind.NOT_ALLOWED, N_("To go yourself, leave the circle."), field="node_id")
        async with self._circles.change() as tx:
            if node in circle.history.recipients():
                self._check_rank(circle, node)
                await self._circles.issue(tx, circle, remove=node)
            elif await tx.circles.member(circle.id, node.raw) is None:
                raise Problem(Kind.NOT_FOUND, field="node_id")
            row = MemberRow(
                circle_id=circle.id, node_id=node.raw, state="removed", role=int(Role.MEMBER), changed_at=self._clock()
            )
            await tx.circles.put_member(row)
        return self._member_changed(circle, node, "removed")

    async def remove_everywhere(self, node: NodeId) -> None:
        """A peer was removed: re-key it out of every circle where that is ours to do."""
        for circle in self._circles:
            stays = circle.direct or circle.row.state != "active" or node not in circle.history.recipients()
            if not stays and self._may_remove(circle, node):
                await self.remove(id_text(circle.id), node.text)

    def _may_remove(self, circle: Circle, node: NodeId) -> bool:
        own, theirs = circle.current.rank_of(self._circles.own), circle.current.rank_of(node)
        return circle.history.may_issue(self._circles.own) and (theirs is None or (own is not None and own < theirs))

    # small parts

    def _check_steward(self, circle: Circle) -> None:
        if not circle.history.may_issue(self._circles.own):
            raise Problem(Kind.NOT_A_STEWARD, field="circle_id")
        if circle.direct:
            raise Problem(Kind.NOT_ALLOWED, N_("Nobody can be added to a direct circle."), field="circle_id")

    def _check_rank(self, circle: Circle, node: NodeId) -> None:
        if not self._may_remove(circle, node):
            raise Problem(Kind.NOT_ALLOWED, N_("Only a steward of a higher rank removes a steward."), field="node_id")

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
        if circle.row.state != "invited" or circle.row.invited_by is None:
            raise Problem(
                Kind.NOT_READY,
                N_("There is no open invitation to this circle."),
                field="circle_id",
                expected="invited",
                got=circle.row.state,
            )
        return NodeId(circle.row.invited_by)

    async def _post(self, tx: Transaction, circle: Circle, kind: ObjectType, body: bytes) -> SignedObject:
        draft = Draft(
            circle_id=circle.id,
            statement_id=self._circles.sendable(circle),
            type=kind,
            body=body,
            tlp=circle.max_tlp,
            expires_min=minute_of(self._clock()) + INVITE_DAYS * MINUTES_PER_DAY if circle.direct else 0,
            lane=CRITICAL,
        )
        return (await self._author.post(tx, draft)).object

    def _member_changed(self, circle: Circle, node: NodeId, state: models.MemberState) -> models.MemberChanged:
        self._events.publish("circles", id_text(circle.id))
        return models.MemberChanged(circle_id=id_text(circle.id), node_id=node.text, state=state)

    async def _model(self, tx: Transaction, circle: Circle) -> models.Circle:
        current = circle.current
        rows = {row.node_id: row for row in await tx.circles.members(circle.id)}
        nodes = dict.fromkeys([*(node for node, _ in current.members), *(NodeId(raw) for raw in rows)])
        return models.Circle(
            circle_id=id_text(circle.id),
            name=self._circles.title(circle),
            tier=models.TIERS[circle.tier - 1],
            max_tlp=TLP[circle.max_tlp],
            retention_days=circle.retention_days,
            state=circle.row.state,
            kind="direct" if circle.direct else "group",
            stewards=[node.text for node in current.stewards],
            members=[self._member(circle, node, rows.get(node.raw)) for node in nodes],
        )

    def _member(self, circle: Circle, node: NodeId, row: MemberRow | None) -> models.Member:
        profile = self._circles.cards.profile(node)
        verified = node == self._circles.own or self._circles.is_verified(node)
        role = circle.current.role_of(node) or Role(row.role if row else Role.MEMBER)
        state = row.state if row else "active"
        return models.Member(
            node_id=node.text,
            name=self._circles.cards.name(node),
            kind=profile.kind if profile else "organisation",
            country=(profile.country or None) if profile else None,
            role=_ROLE_NAMES[role],
            state=state,
            verified=verified,
            vouched_by=None if verified else self._voucher(circle, node),
        )

    def _voucher(self, circle: Circle, node: NodeId) -> str | None:
        """Who let it in."""
        first = next((s for s in circle.history.chain if node in s.roles), None)
        return self._circles.cards.name(first.issuer) if first else None


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
