"""What authors' chains tell that needs a human: contradictions, two copies of one node, and gaps (PROTOCOL §4).

Others' contradictions are shown and marked. Our own hold what people send in that circle: somebody may have our keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.crypto.identity import NodeId
from almenara.node import models
from almenara.node.casebook import id_text
from almenara.node.clock import DAY_MS, minute_of, rfc3339
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from almenara.node.authoring import Author
    from almenara.node.circles import Circles
    from almenara.node.clock import Clock
    from almenara.node.storage.engine import Store, Transaction

SHOWN_MS = 7 * DAY_MS  # then the marks on the alerts say it, and it is no red state any more
APART_MIN = 120  # two honest clocks, each an hour off, make one node's two runs overlap by no more

GAP_AFTER_MS = DAY_MS  # what comes out of order comes sooner
GAP_GONE_MS = 37 * DAY_MS  # after the longest life of an envelope and two days, nothing can fill it any more

GAP_REASON = N_("Something they sent is missing here since yesterday or longer; what came after it is here.")
GAP_NEXT = N_("Ask them whether they sent something that you do not have. It ends by itself when it comes.")
FORK_REASON = N_("They have said two different things in one place of their record. Both are kept and marked.")
FORK_NEXT = N_("Ask them in another way which of the two is right. Somebody may have copied their keys.")
COPIES_REASON = N_("Two copies of their node seem to be running: each has said something after the other began.")
COPIES_NEXT = N_("Ask them to stop one of the two: each misses what the other receives.")
OWN_FORK_REASON = N_("This node is on record with two different things in one place. Sending in this circle waits.")
OWN_FORK_NEXT = N_(
    "Find out whether a copy of this node was running, or whether somebody has its keys. If both were yours, say so on "
    "the page Today; sending then goes on."
)
OWN_COPIES_REASON = N_("Another copy of this node is running somewhere and has sent something.")
OWN_COPIES_NEXT = N_("Stop one of the two. If you know of no copy, somebody has your keys: call your peers.")


class Contradictions:
    """Reads what the chainbook noted; only `settle` changes anything."""

    def __init__(self, store: Store, circles: Circles, author: Author, clock: Clock) -> None:
        self._store, self._circles, self._author, self._clock = store, circles, author, clock

    async def check(self, tx: Transaction, circle_id: bytes) -> None:
        """Before people send. Raises `Problem(NOT_READY)` while our own chain there is contradicted."""
        if any(fork.circle_id == circle_id for fork in await tx.forks.unsettled(self._circles.own.raw)):
            raise Problem(Kind.NOT_READY, OWN_FORK_REASON, field="circle_id", next=OWN_FORK_NEXT)

    async def show(self) -> models.Forks:
        """Ours that nobody has settled, and everybody's of the last days."""
        own = self._circles.own.raw
        async with self._store.read() as tx:
            recent = await tx.forks.since(self._clock() - SHOWN_MS)
            rows = [*await tx.forks.unsettled(own), *[row for row in recent if row.author != own]]
        return models.Forks(
            forks=[
                models.Fork(
                    author=models.Author(
                        node_id=NodeId(row.author).text,
                        name=self._circles.cards.name(NodeId(row.author)),
                        verified=row.author == own or self._circles.is_verified(NodeId(row.author)),
                    ),
                    circle_id=id_text(row.circle_id),
                    circle=self._title(row.circle_id),
                    kind="revision" if row.kind == "revision" else "seq",
                    alert_id=id_text(row.ref_id) if row.ref_id else None,
                    found_at=rfc3339(row.found_at),
                )
                for row in rows
            ]
        )

    async def settle(self, tx: Transaction) -> int:
        """A person says that both were ours: from now on we write a new chain. Returns how many are settled."""
        settled = await tx.forks.settle(self._circles.own.raw, self._clock())
        self._author.begin_anew()
        return settled

    async def problems(self, tx: Transaction) -> list[models.NodeProblem]:
        """Red states, one for each author and circle."""
        own, now = self._circles.own.raw, self._clock()
        recent = {(row.author, row.circle_id) for row in await tx.forks.since(now - SHOWN_MS) if row.author != own}
        ours = {row.circle_id for row in await tx.forks.unsettled(own)}
        incarnation, since_min = self._author.life
        copies = await tx.chains.others_of(own, incarnation, since_min + APART_MIN)
        twice = await tx.chains.lived_at_once(APART_MIN, minute_of(now - SHOWN_MS))
        found = [self._own("own-fork", circle, OWN_FORK_REASON, OWN_FORK_NEXT) for circle in sorted(ours)]
        found += [self._own("own-copies", circle, OWN_COPIES_REASON, OWN_COPIES_NEXT) for circle in sorted(copies)]
        found += [self._theirs("fork", *place, FORK_REASON, FORK_NEXT) for place in sorted(recent)]
        others = sorted(place for place in twice if place[0] != own)
        found += [self._theirs("copies", *place, COPIES_REASON, COPIES_NEXT) for place in others]
        gaps = await tx.gaps.standing(now - GAP_AFTER_MS, now - GAP_GONE_MS)
        places = sorted((author, circle_id) for author, circle_id in gaps if self._is_member(author, circle_id))
        return found + [self._theirs("gap", *place, GAP_REASON, GAP_NEXT) for place in places]

    def _is_member(self, author: bytes, circle_id: bytes) -> bool:
        """Of somebody who went, what comes after the cut is not wanted; our own is asked of nobody."""
        circle = self._circles.known(circle_id)
        here = circle is not None and circle.row.state == "active" and author != self._circles.own.raw
        return circle is not None and here and NodeId(author) in circle.history.recipients()

    def _own(self, code: str, circle_id: bytes, reason: str, advice: str) -> models.NodeProblem:
        title = self._title(circle_id)
        return models.NodeProblem(code=code, circle_id=id_text(circle_id), circle=title, reason=reason, next=advice)

    def _theirs(self, code: str, author: bytes, circle_id: bytes, reason: str, advice: str) -> models.NodeProblem:
        node = NodeId(author)
        return models.NodeProblem(
            code=code,
            node_id=node.text,
            name=self._circles.cards.name(node),
            circle_id=id_text(circle_id),
            circle=self._title(circle_id),
            reason=reason,
            next=advice,
        )

    def _title(self, circle_id: bytes) -> str:
        circle = self._circles.known(circle_id)
        return self._circles.title(circle) if circle else ""
