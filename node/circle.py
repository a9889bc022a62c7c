"""One circle as this node sees it, and how it is rebuilt from what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from almenara.node.storage.rows import CircleRow, LeaveRow, StatementRow
from almenara.protocol.circle import CircleHistory
from almenara.protocol.invite import parse_leave
from almenara.protocol.limits import ID_BYTES
from almenara.protocol.object import SignedObject, parse_object
from almenara.protocol.statement import Cut, Statement, parse_statement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almenara.crypto.identity import NodeId

CircleState = Literal["invited", "accepted", "active", "left", "removed"]
JOINED: frozenset[str] = frozenset({"accepted", "active"})  # our person wants to be in; only then do keys count
GONE: frozenset[str] = frozenset({"left", "removed"})


@dataclass(slots=True)
class Circle:
    """Its row, and what its statements and leaves amount to."""

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

    @property
    def shown(self) -> bytes:
        """The id of the statement that our invitation showed, the latest if there were several."""
        return self.row.anchor[-ID_BYTES:]

    def removal_of(self, node: NodeId) -> Statement | None:
        """The last statement of the winning line that put a node out."""
        return next((step for step in reversed(self.history.chain) if step.cuts_of(node) is not None), None)

    def how_it_went(self, node: NodeId) -> Literal["left", "removed"]:
        """How somebody who is out went: by its own leave, even if a steward has re-keyed since, or put out."""
        removals = [step for step in self.history.chain if step.cuts_of(node) is not None]
        for leave in self.history.leaves():
            at = self.history.find(leave.statement)
            if leave.author == node and at is not None:
                later = [step for step in removals if step.number > at.number]
                if not later or (len(later) == 1 and leave.cut in (later[0].cuts_of(node) or ())):
                    return "left"
        return "removed"


def restore(
    row: CircleRow, statements: Iterable[StatementRow], leaves: Iterable[LeaveRow], revoked: Iterable[NodeId]
) -> Circle:
    """Rebuild a circle: everything stored was verified when it came."""
    parsed = {found.statement_id: (parse_statement(found.body), _place(found.content)) for found in statements}
    history = CircleHistory.restore(
        [parsed[anchor][0] for anchor in anchors(row)],
        parsed.values(),
        [parse_leave(parse_object(leave.content)) for leave in leaves],
    )
    for node in revoked:
        history.add_revocation(node)
    return Circle(row, history)


def anchors(row: CircleRow) -> list[bytes]:
    """Ids of the statements we trust a circle from, the newest last."""
    return [row.anchor[start : start + ID_BYTES] for start in range(0, len(row.anchor), ID_BYTES)]


def place_of(signed: SignedObject) -> Cut:
    """Where an object stands in its author's chain."""
    return Cut(signed.header.incarnation, signed.header.seq, signed.hash)


def _place(content: bytes) -> Cut | None:
    return place_of(parse_object(content)) if content else None


def statement_row(statement: Statement, content: bytes, now: int) -> StatementRow:
    """The row of a statement; `content` is its signed object, empty while only an invitation brought it."""
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
