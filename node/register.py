"""The circles we know, as others ask for them; nothing in here changes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.node import models
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_
from almenara.protocol.errors import Defect, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from almenara.crypto.identity import NodeId
    from almenara.node.cards import Cards
    from almenara.node.circle import Circle
    from almenara.node.keyring import Keyring
    from almenara.protocol.object import Header
    from almenara.protocol.statement import Statement

WAIT_FOR_STEWARD = N_("Wait until a steward's node has been connected, then send.")
_JOIN = N_("Accept the invitation, and wait for the key.")
_BACK_IN = N_("Ask a steward of the circle to invite you again.")


class Register:
    """Circles by id, with the peers whom people of ours have verified."""

    def __init__(self, cards: Cards, keyring: Keyring) -> None:
        self.own, self.cards, self._keyring = cards.own, cards, keyring
        self._circles: dict[bytes, Circle] = {}
        self.verified: set[bytes] = set()  # peers in state verified

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
                next=_BACK_IN if circle.row.state in {"left", "removed"} else _JOIN,
            )
        if circle.direct and self.peer_of(circle).raw not in self.verified:
            raise Problem(
                Kind.PEER_NOT_VERIFIED,
                field="circle_id",
                next=N_("Pair with this organisation and compare the code first."),
            )
        return circle

    def direct_with(self, peer: NodeId) -> Circle | None:
        """The direct circle with a peer that is in use."""
        return next((c for c in self._directs(peer) if c.row.state == "active"), None)

    def _directs(self, peer: NodeId) -> list[Circle]:
        return [circle for circle in self if circle.direct and circle.row.peer == peer.raw]

    def peer_of(self, circle: Circle) -> NodeId:
        """The other one in a direct circle."""
        return next(node for node, _ in circle.current.members if node != self.own)

    def recipients(self, circle: Circle) -> list[NodeId]:
        """Everybody but us who holds, or is being given, the current key."""
        return [node for node in circle.history.recipients() if node != self.own]

    def hold_reasons(self, circle: Circle) -> tuple[NodeId, ...]:
        """Who could read, although out, what we would send now (PROTOCOL §5.5)."""
        return circle.history.hold_reasons(self._keyring.statements())

    def sendable(self, circle: Circle) -> bytes:
        """The statement to seal under (PROTOCOL §5.5).

        Raises `Problem(NOT_READY)` while somebody who is out could read it.
        """
        waiting = Problem(
            Kind.NOT_READY,
            N_("The circle is getting a new key, because a member has left or was removed."),
            field="circle_id",
            next=WAIT_FOR_STEWARD,
        )
        statement = self.newest_held(circle)
        if statement is None or self.hold_reasons(circle):
            raise waiting
        return statement.id

    def newest_held(self, circle: Circle) -> Statement | None:
        """The latest winning statement whose key we hold, whoever else can read under it."""
        return circle.history.sendable(self._keyring.statements())

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
