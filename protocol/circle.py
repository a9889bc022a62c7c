"""A circle as one node knows it: statements and leaves in, the rules of PROTOCOL §5 out.

Pure and independent of order: pieces may come in any order, any number of times.  A statement whose parent is not known
waits inside and takes effect when the parent comes.
"""

from __future__ import annotations

import contextlib
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from almenara.crypto.identity import NodeId
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.limits import MINUTES_PER_DAY
from almenara.protocol.permission import check_permission
from almenara.protocol.records import Records
from almenara.protocol.statement import Cut, Role, Statement

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from almenara.protocol.lineage import Exit, Leave, Lineage
    from almenara.protocol.object import Header

ROTATION_DAYS: Final = 7  # an epoch key lives a week; rank r waits r - 1 days longer, so that one steward acts
GRACE_MINUTES: Final = 2 * MINUTES_PER_DAY  # how long after a successor its predecessor's members may still have sent


class CircleHistory:
    """All statements of one circle that a node knows, and what follows from them.

    `anchor` is number 1, or for a newcomer the statement its invitation named; it is trusted as it is.
    """

    def __init__(self, anchor: Statement) -> None:
        self.circle = anchor.circle_id
        self._records = Records(anchor)

    def trust(self, anchor: Statement) -> None:
        """Trust one more statement without its parent: that of a later invitation.

        Raises:
            LocalError: it is of another circle.

        """
        self._records.trust(anchor)

    def add(self, statement: Statement, signer: NodeId, place: Cut | None = None) -> None:
        """Take in a statement whose object's signature, by `signer`, was verified; one that is known changes nothing.

        `place` is where its object stands in the signer's chain: incarnation, seq and header hash.  Without it, what
        a steward that went out issued beside its exit counts as issued after.

        Raises:
            RemoteError: WRONG_CIRCLE; NOT_ALLOWED, its issuer did not sign it; what `check_successor` refuses, where
                the parent is known; TOO_LARGE, more statements than one circle may have, or than may wait.

        """
        if signer != statement.issuer:
            raise RemoteError(Defect.NOT_ALLOWED, "issuer", "the node that signed the object")
        self._records.add(statement, place)

    @classmethod
    def restore(
        cls, anchors: Iterable[Statement], statements: Iterable[tuple[Statement, Cut | None]], leaves: Iterable[Leave]
    ) -> CircleHistory:
        """Rebuild a history from what was taken in before, in any order; at least one anchor.

        What was taken in while its parent was unknown, and then could not follow it, is left out again.
        """
        first, *more = anchors
        history = cls(first)
        for anchor in more:
            history.trust(anchor)
        for statement, place in statements:
            with contextlib.suppress(RemoteError):
                history.add(statement, statement.issuer, place)
        for leave in leaves:
            history.add_leave(leave)
        return history

    def add_leave(self, leave: Leave) -> None:
        """Take in a leave whose object was verified; it waits until the statement it was sent under is known."""
        self._records.add_leave(leave)

    def add_revocation(self, node: NodeId) -> None:
        """Put a node out for ever: its root keys signed a card with status *revoked*."""
        self._records.add_revocation(node)

    @property
    def lineage(self) -> Lineage:
        """The judged tree."""
        return self._records.lineage

    @property
    def current(self) -> Statement:
        """The winning statement: the last of the winning chain."""
        return self.lineage.chain[-1]

    @property
    def chain(self) -> tuple[Statement, ...]:
        """The winning chain, oldest known statement first."""
        return self.lineage.chain

    @property
    def out(self) -> frozenset[NodeId]:
        """Everybody who was removed by any valid statement, left, or was revoked, and was not re-admitted since."""
        return self.lineage.out

    @property
    def contested(self) -> frozenset[NodeId]:
        """Members whom only statements issued after their issuer went out removed: for a human to decide."""
        return self.lineage.contested & self.current.nodes

    @property
    def waiting(self) -> frozenset[bytes]:
        """Ids of statements without effect so far: a parent, or the leave they rest on, is not known."""
        return self._records.ids - self.lineage.valid.keys()

    @property
    def forks(self) -> tuple[tuple[Statement, ...], ...]:
        """Rival statements of one issuer for one parent: two copies of that node, or a cheat; people must look."""
        found: dict[tuple[bytes, NodeId], list[Statement]] = {}
        for statement in self.lineage.valid.values():
            if statement.parent:
                found.setdefault((statement.parent, statement.issuer), []).append(statement)
        return tuple(
            tuple(sorted(rivals, key=lambda rival: rival.hash)) for rivals in found.values() if len(rivals) > 1
        )

    @property
    def stranded(self) -> frozenset[NodeId]:
        """Nodes that only a losing branch admitted: to be asked again, and admitted by the next statement."""
        lost = self.lineage.valid.keys() - {statement.id for statement in self.chain} - self.lineage.void
        admitted = (node for statement in lost for node in self.lineage.admitted(self.lineage.valid[statement]))
        return frozenset(admitted) - self.current.nodes - self.out

    def find(self, statement_id: bytes) -> Statement | None:
        """Return a valid statement, losing branches included; None when it is not known, or waits."""
        return self.lineage.valid.get(statement_id)

    def is_superseded(self, statement_id: bytes) -> bool:
        """Whether a successor of this valid statement, or a rival that wins against it, is known."""
        return statement_id in self.lineage.valid and statement_id != self.current.id

    def recipients(self) -> tuple[NodeId, ...]:
        """Members of the current statement who are not out, in the statement's order."""
        return tuple(node for node, _ in self.current.members if node not in self.out)

    def since(self, statement_id: bytes) -> tuple[Statement, ...]:
        """Return what the holder of one statement lacks, in an order in which parents come first (KEYREQ).

        That is everything valid from where its line meets the winning chain (everything known, for an unknown id), and
        the losing branches on which a present member was removed, however old.
        """
        held = self.find(statement_id)
        chain = {statement.id for statement in self.chain}
        line = self.lineage.line(held) if held is not None else iter(())
        meeting = next((step for step in line if step.id in chain), None)
        floor = meeting.number if meeting is not None else 0
        lacking = {known.id: known for known in self.lineage.valid.values() if known.number >= floor}
        for node in self.out & self.current.nodes:
            for exit_ in self.lineage.exits.get(node, ()):
                branch = takewhile(lambda step: step.id not in chain, self.lineage.line(exit_.at))
                lacking.update((step.id, step) for step in branch)
        lacking.pop(statement_id, None)
        return tuple(sorted(lacking.values(), key=lambda statement: (statement.number, statement.hash)))

    def leaves(self) -> tuple[Leave, ...]:
        """Every leave that counts, in a stable order: goes with `since` to whoever asks."""
        found = (exit_.leave for exits in self.lineage.exits.values() for exit_ in exits if exit_.leave is not None)
        return tuple(sorted(found, key=lambda leave: (leave.created_min, leave.author, leave.cut)))

    # What a sender asks (PROTOCOL §5.5)

    def sendable(self, held: Collection[bytes]) -> Statement | None:
        """Return the latest statement of the winning chain whose key is among `held`; None when there is none."""
        return next((statement for statement in reversed(self.chain) if statement.id in held), None)

    def hold_reasons(self, held: Collection[bytes]) -> tuple[NodeId, ...]:
        """Name everybody who could read what is sent now although they are out; while anyone is, sending waits.

        They are the members of the statement whose key would be used who are out, and its issuer if it is out, for it
        drew that key.  A human may override after a preview that names them.
        """
        statement = self.sendable(held)
        if statement is None:
            return ()
        readers = dict.fromkeys([*(node for node, _ in statement.members), statement.issuer])
        return tuple(node for node in readers if node in self.out)

    def may_issue(self, node: NodeId) -> bool:
        """Whether a node is a steward of the current statement and not out."""
        return self.current.role_of(node) is Role.STEWARD and node not in self.out

    def rotation_due(self, node: NodeId, now_min: int) -> bool:
        """Whether it is this steward's turn to rotate the key: rank r acts after 7 + r - 1 days."""
        rank = self.current.rank_of(node)
        if rank is None or node in self.out:
            return False
        return now_min - self.current.issued_min >= (ROTATION_DAYS + rank - 1) * MINUTES_PER_DAY

    def rotation_overdue(self, now_min: int) -> bool:
        """Whether every steward had its turn and none acted.  A warning only: it never stops sending."""
        patience = ROTATION_DAYS + len(self.current.stewards)
        return now_min - self.current.issued_min >= patience * MINUTES_PER_DAY

    def reissues(self, issuer: NodeId) -> dict[NodeId, tuple[Cut, ...]]:
        """Return members of the current statement who are out, with cuts: what this steward's next one removes.

        Those it does not outrank are left to higher ranks.  In a direct circle it is empty: there the pairing decides.
        """
        if self.current.direct:
            return {}
        late = [node for node, _ in self.current.members if node in self.out and self._may_remove(issuer, node)]
        return {node: self._latest_cuts(node) for node in late}

    def may_return(self, node: NodeId) -> bool:
        """Whether the next statement can admit this node without it staying out.

        If not, and the node is not revoked, a losing branch removed it: statements that remove it here come first.
        """
        return self.lineage.may_return(node)

    def _may_remove(self, issuer: NodeId, node: NodeId) -> bool:
        own, other = self.current.rank_of(issuer), self.current.rank_of(node)
        outranks = own is not None and (other is None or own < other)
        return outranks or self.lineage.gone_by_itself(node, self.current)

    def _latest_cuts(self, node: NodeId) -> tuple[Cut, ...]:
        exits = self.lineage.exits.get(node, ())
        latest = max(exits, key=lambda exit_: (exit_.at.number, exit_.at.hash, exit_.cuts), default=None)
        return latest.cuts if latest is not None else ()

    # What a receiver checks before any effect (PROTOCOL §5.6)

    def check_author(self, header: Header, header_hash: bytes) -> Role:
        """Check that this author could send this object under the statement its header names; return its role then.

        `header_hash` is the hash of the header as received.  The signature is checked elsewhere, by the author's card;
        a statement is judged by `add` alone.

        Raises:
            RemoteError: WRONG_CIRCLE; WRONG_STATEMENT, not known or still waiting; UNKNOWN_AUTHOR, no member of it;
                NOT_ALLOWED or OUT_OF_RANGE, see `check_permission`; AFTER_SUCCESSOR, created more than 48 h after the
                next statement; AFTER_CUT, the author is out and this comes later: keep it for a human.

        """
        if header.circle != self.circle:
            raise RemoteError(Defect.WRONG_CIRCLE, "circle", "this circle")
        statement = self.find(header.statement)
        if statement is None:
            raise RemoteError(Defect.WRONG_STATEMENT, "statement", "a known statement of this circle")
        author = NodeId(header.author)
        role = statement.role_of(author)
        if role is None:
            raise RemoteError(Defect.UNKNOWN_AUTHOR, "author", "a member of the statement named")
        check_permission(statement, role, header)
        self._check_base(statement, author, header)
        self._check_time(statement, header)
        self._check_cuts(statement, author, header, header_hash)
        return role

    def _check_base(self, statement: Statement, author: NodeId, header: Header) -> None:
        """Check that a void statement gives nobody more than the last one before it that is not void."""
        if statement.id not in self.lineage.void:
            return
        base = next(step for step in self.lineage.line(statement) if step.id not in self.lineage.void)
        role = base.role_of(author)
        if role is None:
            raise RemoteError(Defect.AFTER_CUT, "author", "somebody admitted before the steward that admits went out")
        check_permission(base, role, header)

    def _check_time(self, statement: Statement, header: Header) -> None:
        successors = self.lineage.children.get(statement.id, ())
        if successors and header.created_min > successors[0].issued_min + GRACE_MINUTES:
            raise RemoteError(Defect.AFTER_SUCCESSOR, "created_min", "at most 48 h after the next statement")

    def _check_cuts(self, statement: Statement, author: NodeId, header: Header, header_hash: bytes) -> None:
        place = Cut(header.incarnation, header.seq, header_hash)
        for exit_ in self._binding_exits(statement, author):
            if not exit_.spares(place, header.created_min):
                raise RemoteError(Defect.AFTER_CUT, "seq", "what the author sent before it was out")

    def _binding_exits(self, statement: Statement, author: NodeId) -> tuple[Exit, ...]:
        """Return the exits whose cuts bind what `author` sent under `statement`.

        A removal replaces the author's own leave, the first on a line those after it, and one on the winning chain
        those on losing branches: there a rival may have known less.
        """
        exits = self.lineage.exits.get(author)
        if not exits:  # almost always, and on the path of every received object
            return ()
        binding = tuple(exit_ for exit_ in exits if not self.lineage.answered(exit_, statement))
        removals = [exit_ for exit_ in binding if exit_.leave is None]
        if not removals:
            return binding
        first = tuple(
            exit_
            for exit_ in removals
            if not any(other is not exit_ and self.lineage.descends(exit_.at, other.at) for other in removals)
        )
        winning = {statement.id for statement in self.chain}
        return tuple(exit_ for exit_ in first if exit_.at.id in winning) or first
