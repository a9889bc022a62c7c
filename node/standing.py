"""How we and the other members stand in a circle, kept in line with its history (SCHEMAS §4)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from almenara.crypto.identity import NodeId
from almenara.node.circle import JOINED, Circle, CircleState
from almenara.node.storage.rows import MemberRow
from almenara.protocol.statement import Role

if TYPE_CHECKING:
    from almenara.node.clock import Clock
    from almenara.node.keyring import Keyring
    from almenara.node.models import MemberState
    from almenara.node.storage.engine import Transaction


class Standing:
    """Writes the states that people see; the history decides, apart from what only we know: who was asked."""

    def __init__(self, own: NodeId, keyring: Keyring, clock: Clock) -> None:
        self._own, self._keyring, self._clock = own, keyring, clock

    async def follow(self, tx: Transaction, circle: Circle) -> None:
        """Bring rows in line after the history or our keys have changed."""
        state, current = self._own_state(circle), circle.current
        joined = circle.row.joined_at or (self._clock() if state == "active" else None)
        terms = {"name": current.name, "max_tlp": current.max_tlp, "retention_days": current.retention_days}
        circle.row = replace(circle.row, state=state, joined_at=joined, **terms)  # type: ignore[arg-type] # each its own
        await tx.circles.put(circle.row)
        await self._follow_members(tx, circle)

    def _own_state(self, circle: Circle) -> CircleState:
        """Nothing makes us a member but our own yes: an invitation stays one, and who went stays gone."""
        state: CircleState = circle.row.state  # type: ignore[assignment] # the column holds nothing else
        if state not in JOINED:
            return state
        if not circle.direct and self._is_out(circle):
            return circle.how_it_went(self._own)
        present = circle.direct or self._own in circle.history.recipients()
        return "active" if present and self._keyring.holds(circle.current.id) else state

    def _is_out(self, circle: Circle) -> bool:
        """Whoever has accepted is out only if a statement after the invitation had let it in.

        Before that, removals are older, or stand for one on a losing branch so that the next statement can admit us.
        """
        if self._own not in circle.history.out:
            return False
        shown = circle.history.find(circle.shown)
        later = [step for step in circle.history.chain if shown is None or step.number > shown.number]
        return circle.row.state == "active" or any(self._own in step.roles for step in later)

    async def _follow_members(self, tx: Transaction, circle: Circle) -> None:
        held = {member.node_id: member for member in await tx.circles.members(circle.id)}
        recipients = set(circle.history.recipients())
        for node, role in circle.current.members:
            state = "active" if node in recipients or circle.direct else circle.how_it_went(node)
            if node.raw not in held or (held[node.raw].state, held[node.raw].role) != (state, role):
                await self.put_member(tx, circle, node, state, int(role))
        for raw, member in held.items():
            node = NodeId(raw)
            if member.state == "active" and node not in circle.current.roles:
                await self.put_member(tx, circle, node, circle.how_it_went(node), member.role)

    async def set_member(self, tx: Transaction, circle: Circle, node: NodeId, state: MemberState) -> None:
        """Record an answer; the role stays that of the invitation."""
        member = await tx.circles.member(circle.id, node.raw)
        await self.put_member(tx, circle, node, state, member.role if member else int(Role.MEMBER))

    async def put_member(self, tx: Transaction, circle: Circle, node: NodeId, state: str, role: int) -> None:
        """Record how a node stands in a circle."""
        await tx.circles.put_member(
            MemberRow(circle_id=circle.id, node_id=node.raw, state=state, role=role, changed_at=self._clock())
        )

    async def set_own(self, tx: Transaction, circle: Circle, state: CircleState) -> None:
        """Record how we stand, where a person of ours decided it."""
        circle.row = replace(circle.row, state=state)
        await tx.circles.put(circle.row)
