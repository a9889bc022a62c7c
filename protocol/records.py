"""What a node keeps of one circle's decisions: statements, leaves and revocations, bounded alike in every order.

A statement whose parent is not known waits here until the parent comes.  The bounds keep a steward gone wild from
filling memory; within them the order in which pieces come makes no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.lineage import Leave, Lineage
from almenara.protocol.succession import check_successor

if TYPE_CHECKING:
    from almenara.crypto.identity import NodeId
    from almenara.protocol.statement import Cut, Statement

MAX_STATEMENTS: Final = 4_096  # of one circle: 78 years of weeks, or a steward gone wild
MAX_WAITING: Final = 256  # statements that no known parent joins to the rest: five years of absence
MAX_RIVALS: Final = 4  # statements of one issuer for one parent that are kept; two already prove a fork
MAX_LEAVES: Final = 8  # of one author, the latest: nobody comes back and goes again more often


class Records:
    """The statements, leaves and revocations known of the circle that `anchor` belongs to."""

    def __init__(self, anchor: Statement) -> None:
        self.circle = anchor.circle_id
        self._known: dict[bytes, Statement] = {}
        self._by_parent: dict[bytes, set[bytes]] = {}
        self._rooted: set[bytes] = set()  # ids that known parents join to an anchor, valid or not
        self._anchors: set[bytes] = set()
        self._places: dict[bytes, Cut] = {}  # statement -> where its object stands in the issuer's chain
        self._leaves: set[Leave] = set()
        self._revoked: set[NodeId] = set()
        self._lineage: Lineage | None = None
        self.trust(anchor)

    def trust(self, anchor: Statement) -> None:
        """Trust one more statement without its parent: that of a later invitation.

        Raises:
            LocalError: it is of another circle.

        """
        if anchor.circle_id != self.circle:
            raise LocalError(Defect.WRONG_CIRCLE, "circle", "a statement of this circle")
        self._anchors.add(anchor.id)
        self._keep(anchor)
        self._root(anchor)

    def add(self, statement: Statement, place: Cut | None) -> None:
        """Keep a statement, and where its object stands in the issuer's chain, if that is known.

        Raises:
            RemoteError: WRONG_CIRCLE; what `check_successor` refuses, where the parent is known; TOO_LARGE.

        """
        if statement.circle_id != self.circle:
            raise RemoteError(Defect.WRONG_CIRCLE, "circle", "a statement of this circle")
        if statement.id not in self._known:
            self._take(statement)
        if place is not None and statement.id in self._known:
            self._places[statement.id] = min(place, self._places.get(statement.id, place))
            self._lineage = None

    def _take(self, statement: Statement) -> None:
        self._make_room(statement)
        self._keep(statement)
        self._drop_rivals(statement)

    def _make_room(self, statement: Statement) -> None:
        parent = self._known.get(statement.parent)
        if parent is not None:
            check_successor(parent, statement)
        if not self._is_rooted(statement) and len(self._known) - len(self._rooted) >= MAX_WAITING:
            raise RemoteError(Defect.TOO_LARGE, "parent", f"at most {MAX_WAITING} statements that wait")
        if len(self._known) >= MAX_STATEMENTS:
            raise RemoteError(Defect.TOO_LARGE, "circle", f"at most {MAX_STATEMENTS} statements")

    def _keep(self, statement: Statement) -> None:
        self._known[statement.id] = statement
        self._by_parent.setdefault(statement.parent, set()).add(statement.id)
        self._lineage = None
        # What came before its parent and may not follow it goes, as it would have been refused in the other order.
        for child in self._children(statement):
            if child.id not in self._anchors and not _may_follow(statement, child):
                self._forget(child)
        if self._is_rooted(statement):
            self._root(statement)

    def _children(self, statement: Statement) -> list[Statement]:
        return [self._known[child] for child in self._by_parent.get(statement.id, ())]

    def _is_rooted(self, statement: Statement) -> bool:
        below = not self._rooted.isdisjoint(self._by_parent.get(statement.id, ()))
        return statement.number == 1 or statement.parent in self._rooted or below

    def _root(self, statement: Statement) -> None:
        reached = [statement]
        while reached:
            step = reached.pop()
            if step.id not in self._rooted:
                self._rooted.add(step.id)
                reached += self._children(step)
                reached += [self._known[step.parent]] if step.parent in self._known else []

    def _forget(self, statement: Statement) -> None:
        del self._known[statement.id]
        self._places.pop(statement.id, None)
        self._by_parent[statement.parent].discard(statement.id)
        self._lineage = None
        self._rooted.clear()
        for known in [known for known in self._known.values() if known.number == 1 or known.id in self._anchors]:
            self._root(known)

    def _drop_rivals(self, statement: Statement) -> None:
        """Keep the lowest hashes of one issuer's children of one parent, so that everybody keeps the same ones."""
        siblings = (self._known[sibling] for sibling in self._by_parent[statement.parent])
        rivals = sorted(
            (sibling for sibling in siblings if sibling.issuer == statement.issuer), key=lambda rival: rival.hash
        )
        for rival in rivals[MAX_RIVALS:]:
            if rival.id not in self._anchors:
                self._forget(rival)

    def add_leave(self, leave: Leave) -> None:
        """Keep a leave; of one author the latest few, so that nobody crowds out the leaves of others."""
        own = {known for known in self._leaves if known.author == leave.author} | {leave}
        latest = sorted(own, key=lambda each: (each.created_min, each.statement, each.cut))[-MAX_LEAVES:]
        self._leaves = (self._leaves - own) | set(latest)
        self._lineage = None

    def add_revocation(self, node: NodeId) -> None:
        """Put a node out for ever: its root keys signed a card with status *revoked*."""
        self._revoked.add(node)
        self._lineage = None

    @property
    def lineage(self) -> Lineage:
        """The judged tree; computed when first asked for after something new."""
        if self._lineage is None:
            self._lineage = Lineage(
                dict(self._known),
                frozenset(self._anchors),
                frozenset(self._leaves),
                frozenset(self._revoked),
                dict(self._places),
            )
        return self._lineage

    @property
    def ids(self) -> frozenset[bytes]:
        """Ids of all statements kept, with or without effect."""
        return frozenset(self._known)


def _may_follow(parent: Statement, child: Statement) -> bool:
    try:
        check_successor(parent, child)
    except RemoteError:
        return False
    return True
