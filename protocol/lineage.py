"""What a set of statements and leaves amounts to: which are valid, which one holds, who is out (PROTOCOL §5.2, §5.4).

Everything here is a function of the set alone, computed anew when the set grows.  So nodes that have seen the same set
agree, in whatever order and however often each piece reached them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from almenara.protocol.errors import RemoteError
from almenara.protocol.succession import check_successor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from almenara.crypto.identity import NodeId
    from almenara.protocol.statement import Cut, Statement


@dataclass(frozen=True, kw_only=True, slots=True)
class Leave:
    """A member's own `leave`: where it stands in the author's chain, and the statement it was sent under."""

    author: NodeId
    statement: bytes
    cut: Cut
    created_min: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """One going-out of one node: `at` removed it, or `at` is what its `leave` was sent under."""

    node: NodeId
    at: Statement
    cuts: tuple[Cut, ...]
    leave: Leave | None = None

    def spares(self, place: Cut, created_min: int) -> bool:
        """Whether something the node sent, at this place of its chain, came before it went and still counts."""
        for cut in self.cuts:
            if cut.incarnation == place.incarnation:
                return place.seq < cut.seq or place == cut
        return self.leave is not None and created_min <= self.leave.created_min


class Lineage:
    """The tree of known statements, judged.

    `anchors` are ids trusted without a parent: number 1, whose hash is the circle's name, or the statement a newcomer
    was invited under.  What an anchor's `parent` names is trusted through the hash, so that earlier branches count as
    soon as they are known.
    """

    def __init__(
        self,
        known: Mapping[bytes, Statement],
        anchors: frozenset[bytes],
        leaves: frozenset[Leave],
        revoked: frozenset[NodeId],
        places: Mapping[bytes, Cut],
    ) -> None:
        self._known = known
        self._places = places
        self._anchors = anchors
        self._leaves = leaves
        self._revoked = revoked
        self._parents: dict[bytes, Statement] = {}
        self._removals: dict[bytes, dict[NodeId, Statement]] = {}  # statement -> who was last removed where on its line
        self._link()
        self.valid = self._judge()
        """Valid statements by id, losing branches included."""

    def _link(self) -> None:
        """Join each statement to its known parent, where it may follow it; lower numbers first, as ranks need them."""
        for child in sorted(self._known.values(), key=_by_number):
            removals: dict[NodeId, Statement] = {}
            parent = self._known.get(child.parent)
            if parent is not None and self._may_follow(parent, child):
                self._parents[child.id] = parent
                removals = self._removals[parent.id]
            here = {node: child for node, _ in child.removed}
            self._removals[child.id] = removals | here if here else removals

    def _may_follow(self, parent: Statement, child: Statement) -> bool:
        try:
            out_of_reach = check_successor(parent, child)
        except RemoteError:
            return False
        return all(self.gone_by_itself(node, parent) for node in out_of_reach)

    def gone_by_itself(self, node: NodeId, at: Statement) -> bool:
        """Whether a node was revoked, or left and was not removed and re-admitted since on the way to `at`.

        Such a steward may be removed by any other, whatever their ranks.
        """
        if node in self._revoked:
            return True
        left = [self._known[leave.statement] for leave in self._leaves if leave.author == node and self._counts(leave)]
        answer = self._removals[at.id].get(node)
        return any(answer is None or answer.number <= sent.number for sent in left)

    def _counts(self, leave: Leave) -> bool:
        at = self._known.get(leave.statement)
        return at is not None and not at.direct and leave.author in at.roles

    def _judge(self) -> dict[bytes, Statement]:
        trusted = {statement.id for statement in self._known.values() if statement.number == 1}
        for anchor in self._anchors & self._known.keys():
            trusted.update(statement.id for statement in self.line(self._known[anchor]))
        valid: dict[bytes, Statement] = {}
        for statement in sorted(self._known.values(), key=_by_number):
            parent = self._parents.get(statement.id)
            if statement.id in trusted or (parent is not None and parent.id in valid):
                valid[statement.id] = statement
        return valid

    def line(self, statement: Statement) -> Iterator[Statement]:
        """Yield a statement and its ancestors, nearest first."""
        step: Statement | None = statement
        while step is not None:
            yield step
            step = self._parents.get(step.id)

    def descends(self, statement: Statement, ancestor: Statement) -> bool:
        """Whether `ancestor` is `statement` or one of its ancestors."""
        return any(step.id == ancestor.id for step in self.line(statement) if step.number <= ancestor.number)

    @cached_property
    def children(self) -> dict[bytes, tuple[Statement, ...]]:
        """Valid children by the parent's id, the winning one first (PROTOCOL §5.4)."""
        families: dict[bytes, list[Statement]] = {}
        for statement in self.valid.values():
            parent = self._parents.get(statement.id)
            if parent is not None:
                families.setdefault(parent.id, []).append(statement)
        return {parent: tuple(sorted(family, key=self._precedence)) for parent, family in families.items()}

    def _precedence(self, child: Statement) -> tuple[bool, int, bytes]:
        """Order rival children: those that stand, then the higher rank, of two by one issuer the lower hash."""
        parent = self._parents[child.id]
        return child.id not in self._judged[0], parent.stewards.index(child.issuer), child.hash

    @cached_property
    def void(self) -> frozenset[bytes]:
        """Ids of valid statements that came after their issuer went out; what they say waits for a human.

        Otherwise a removed steward could, by children of old parents, years later displace the branch that removed it,
        or remove everybody else.
        """
        return self._judged[1]

    @cached_property
    def _judged(self) -> tuple[frozenset[bytes], frozenset[bytes]]:
        """Sort statements into those that stand and those that are void.

        A statement is void if an exit of its issuer counts against it, and an exit counts if the statement that made it
        stands (a leave always does).  Stewards who removed each other in a circle leave some in neither set: their
        removals count, their branches lose.
        """
        against = {statement.id: self._against(statement) for statement in self._tree.values()}
        stands: set[bytes] = set()
        void: set[bytes] = set()
        settled = -1
        while settled < len(stands) + len(void):
            settled = len(stands) + len(void)
            for statement, exits in against.items():
                if any(exit_.leave is not None or exit_.at.id in stands for exit_ in exits):
                    void.add(statement)
                elif all(exit_.at.id in void for exit_ in exits):
                    stands.add(statement)
        return frozenset(stands), frozenset(void)

    def _against(self, statement: Statement) -> tuple[Exit, ...]:
        """Return exits of the issuer that it had not come back from, and that neither follow nor spare this."""
        parent = self._parents.get(statement.id)
        if parent is None:
            return ()
        place = self._places.get(statement.id)
        return tuple(
            exit_
            for exit_ in self._every_exit.get(statement.issuer, ())
            if not self.answered(exit_, parent)
            and not self.descends(exit_.at, statement)
            and not (place is not None and exit_.spares(place, statement.issued_min))
        )

    @cached_property
    def root(self) -> Statement:
        """The oldest known ancestor of the latest anchor."""
        anchor = max((self.valid[anchor] for anchor in self._anchors & self.valid.keys()), key=_by_number)
        return tuple(self.line(anchor))[-1]

    @cached_property
    def _tree(self) -> dict[bytes, Statement]:
        """Return the root and all its valid descendants, by id."""
        tree = {self.root.id: self.root}
        for statement in sorted(self.valid.values(), key=_by_number):
            parent = self._parents.get(statement.id)
            if parent is not None and parent.id in tree:
                tree[statement.id] = statement
        return tree

    @cached_property
    def chain(self) -> tuple[Statement, ...]:
        """The winning line, oldest known statement first."""
        step = self.root
        chain = [step]
        while family := self.children.get(step.id):
            step = family[0]
            chain.append(step)
        return tuple(chain)

    def admitted(self, statement: Statement) -> frozenset[NodeId]:
        """Return the nodes that are members here and were none in the parent."""
        parent = self._parents.get(statement.id)
        return statement.nodes - parent.nodes if parent is not None else frozenset()

    @cached_property
    def exits(self) -> dict[NodeId, tuple[Exit, ...]]:
        """Every removal that counts and every leave, by node: by a statement that is not void, or that holds."""
        held = {statement.id for statement in self.chain}
        counting = {
            node: tuple(exit_ for exit_ in exits if exit_.leave or exit_.at.id in held or exit_.at.id not in self.void)
            for node, exits in self._every_exit.items()
        }
        return {node: exits for node, exits in counting.items() if exits}

    @cached_property
    def contested(self) -> frozenset[NodeId]:
        """Nodes that only void statements removed: people must look whether they should stay."""
        return frozenset(self._every_exit) - frozenset(self.exits)

    @cached_property
    def _every_exit(self) -> dict[NodeId, tuple[Exit, ...]]:
        """Every removal by a valid statement and every leave under one, by node.

        Only of the tree that the winning chain belongs to: what another anchor knows counts once a line joins them.
        """
        tree = self._tree
        exits: dict[NodeId, list[Exit]] = {}
        for statement in tree.values():
            for node, cuts in statement.removed:
                exits.setdefault(node, []).append(Exit(node=node, at=statement, cuts=cuts))
        for leave in self._leaves:
            at = tree.get(leave.statement)
            if at is not None and self._counts(leave):
                exits.setdefault(leave.author, []).append(
                    Exit(node=leave.author, at=at, cuts=(leave.cut,), leave=leave)
                )
        return {node: tuple(found) for node, found in exits.items()}

    def answered(self, exit_: Exit, at: Statement) -> bool:
        """Whether an exit is settled on the way to `at`: the node is a member there after the removal or its re-issue.

        A removal on a losing branch has no descendants that hold.  A later statement of the winning branch that
        removes the same node stands for it, and re-admission after that one counts.
        """
        return exit_.node in at.roles and self._removed_again(exit_, at)

    def _removed_again(self, exit_: Exit, at: Statement) -> bool:
        removal = self._removals[at.id].get(exit_.node)
        if removal is None:
            return False
        itself = exit_.leave is None and removal.id == exit_.at.id
        return itself or removal.number > exit_.at.number

    def may_return(self, node: NodeId) -> bool:
        """Whether a child of the winning statement could admit this node without it staying out."""
        exits = self.exits.get(node, ())
        return node not in self._revoked and all(self._removed_again(exit_, self.chain[-1]) for exit_ in exits)

    @cached_property
    def out(self) -> frozenset[NodeId]:
        """Who is out: removed by any valid statement, left or revoked, and not re-admitted since."""
        tip = self.chain[-1]
        gone = {node for node, exits in self.exits.items() if not all(self.answered(exit_, tip) for exit_ in exits)}
        return self._revoked | gone


def _by_number(statement: Statement) -> tuple[int, bytes]:
    return statement.number, statement.hash
