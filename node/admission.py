"""How organisations come into a circle: invited, answering, let in under a fresh key (PROTOCOL §5.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from almenara.crypto.identity import NodeId
from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.invite import parse_accept, parse_decline, parse_invite
from almenara.protocol.object import ObjectType
from almenara.protocol.statement import Role

if TYPE_CHECKING:
    from almenara.node.circle import Circle
    from almenara.node.circles import Circles
    from almenara.node.epochs import Epochs
    from almenara.node.storage.engine import Transaction
    from almenara.node.storage.rows import MemberRow
    from almenara.node.timekeeper import Timekeeper

CATCH_UP_STATEMENTS = 16  # that may be issued to let somebody return whom a longer, losing branch removed
_ASKED = frozenset({"invited", "accepted"})

log = structlog.get_logger()


class Admission:
    """Takes invitations and answers that arrive in direct circles, and issues what lets people in."""

    def __init__(self, circles: Circles, epochs: Epochs, clock: Timekeeper) -> None:
        self._circles, self._epochs, self._clock = circles, epochs, clock
        circles.handlers.update(
            {
                ObjectType.INVITE: self._take_invite,
                ObjectType.ACCEPT: self._take_accept,
                ObjectType.DECLINE: self._take_decline,
            }
        )

    async def _take_invite(self, tx: Transaction, author: NodeId, body: bytes) -> None:
        """A verified peer that is steward of a circle asks us in."""
        statement = parse_invite(body).statement
        if statement.role_of(author) is not Role.STEWARD or not self._circles.is_verified(author):
            raise RemoteError(Defect.NOT_ALLOWED, "statement", "a circle in which the inviter, our peer, is steward")
        await self._circles.invited(tx, statement, author)

    async def _take_accept(self, tx: Transaction, author: NodeId, body: bytes) -> None:
        """Somebody we invited says yes: admit it under a fresh key. Said again, it changes nothing."""
        accept = parse_accept(body)
        circle, member = await self._asked(tx, accept.circle, author)
        introduction = await self._circles.take_introduction(tx, accept.introduction)
        if introduction.node_id != author:
            raise RemoteError(Defect.WRONG_NODE, "introduction", "the author's own")
        if member.state in _ASKED:
            await self._circles.set_member(tx, circle, author, "accepted")
            await self.admit(tx, circle)

    async def _take_decline(self, tx: Transaction, author: NodeId, body: bytes) -> None:
        circle, member = await self._asked(tx, parse_decline(body).circle, author)
        if member.state in _ASKED:
            await self._circles.set_member(tx, circle, author, "left")

    async def _asked(self, tx: Transaction, circle_id: bytes, author: NodeId) -> tuple[Circle, MemberRow]:
        """An answer counts from somebody we have asked; that we took it back since is no fault of theirs."""
        circle, member = self._circles.known(circle_id), await tx.circles.member(circle_id, author.raw)
        if circle is None or member is None:
            raise RemoteError(Defect.NOT_ALLOWED, "circle", "a circle we invited the author to")
        return circle, member

    async def admit(self, tx: Transaction, circle: Circle) -> None:
        """Issue the statement that lets in everybody who accepted.

        They wait while it is not ours to issue, or while its date could be wrong.
        """
        if self._clock.doubt() or circle.row.state != "active" or not circle.history.may_issue(self._circles.own):
            return
        admit: dict[NodeId, Role] = {}
        for member in await tx.circles.members(circle.id):
            node = NodeId(member.node_id)
            if member.state == "accepted" and await self._may_come(tx, circle, node):
                admit[node] = Role(member.role)
        if not admit:
            return
        try:
            await self._epochs.issue(tx, circle.history, admit=admit)
        except LocalError as error:
            log.error("not-admitted", defect=str(error.kind), field=error.field)  # noqa: TRY400 - a trace may hold data
        await self._circles.follow(tx, circle)

    async def _may_come(self, tx: Transaction, circle: Circle, node: NodeId) -> bool:
        """Whom a losing branch removed must be removed on ours by a statement with a higher number first."""
        for _ in range(CATCH_UP_STATEMENTS):
            if self._circles.cards.is_revoked(node) or node in circle.history.recipients():
                return False
            if circle.history.may_return(node):
                return True
            await self._epochs.issue(tx, circle.history, remove={node: await self._epochs.cuts(tx, circle.id, node)})
        return False
