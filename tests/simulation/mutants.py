"""Nodes that are broken on purpose, one promise each: a simulation that passes them proves nothing."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from unittest import mock

from almenara.node.authoring import Author
from almenara.node.ingest import OPENED, REFUSED, Batch, Ingest
from almenara.protocol.circle import CircleHistory
from almenara.protocol.session import Outcome, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from almenara.node.exchange import Arrival
    from almenara.protocol.statement import Statement


@dataclass(frozen=True, slots=True)
class Mutant:
    """What it does in place of the right thing, and which promises that breaks."""

    caught_by: frozenset[str]
    patches: tuple[tuple[type, str, Any], ...]
    changes: tuple[tuple[str, int], ...] = ()  # of the parameters, so that it shows

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Every node is like this until the block ends."""
        with ExitStack() as stack:
            for place, name, broken in self.patches:
                stack.enter_context(mock.patch.object(place, name, broken))
            yield


_take, _receive = Ingest.take, Ingest._receive


async def _acknowledge_first(self: Ingest, arrivals: list[Arrival]) -> None:
    for arrival in arrivals:
        arrival.exchange.acknowledge(arrival.lane, [(arrival.position, Outcome.STORED)])
    await _take(self, arrivals)


async def _keep_for_oneself(self: Ingest, tx: Any, batch: Batch, arrival: Arrival, found: bytes) -> str:
    state = await _receive(self, tx, batch, arrival, found)
    batch.rows[:] = [replace(row, state=REFUSED) if row.state == OPENED else row for row in batch.rows]
    return state


def _oldest(self: CircleHistory, held: Any) -> Statement | None:
    return next((statement for statement in self.chain if statement.id in held), None)


def _offer_everything(self: Session) -> frozenset[bytes]:
    return frozenset(scope.tag for scope in self._scopes)


def _one_incarnation(begin: Callable[[Author], None]) -> Callable[[Author], None]:
    def begin_again(self: Author) -> None:
        begin(self)
        self._incarnation = self._own.raw[:16]

    return begin_again


def _not_opened_yet(*_: Any) -> list[bytes]:
    return []


STAYING = (("removals", 0), ("leaves", 0))  # nobody goes, so that everything sent must arrive
MUTANTS = {
    "acknowledges-before-commit": Mutant(
        frozenset({"acknowledged-is-kept", "stored-is-true"}), ((Ingest, "take", _acknowledge_first),)
    ),
    "passes-nothing-on": Mutant(frozenset({"delivered"}), ((Ingest, "_receive", _keep_for_oneself),), STAYING),
    "offers-without-proof": Mutant(
        frozenset({"offered-to-members-only"}), ((Session, "proven", property(_offer_everything)),)
    ),
    "seals-for-the-removed": Mutant(
        frozenset({"removed-reads-nothing-after", "offered-to-members-only"}),
        ((CircleHistory, "sendable", _oldest), (CircleHistory, "hold_reasons", _not_opened_yet)),
    ),
    "keeps-its-incarnation": Mutant(
        frozenset({"restores-are-no-forks", "delivered"}),  # of two in one place, one is not shown
        ((Author, "begin_anew", _one_incarnation(Author.begin_anew)),),
        (*STAYING, ("restores", 6)),
    ),
}
