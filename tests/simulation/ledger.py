"""What really happened, written down past the nodes: who sent what to whom, and what each said it had stored."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from unittest import mock

from almenara.protocol.envelope import Suite, envelope_id, parse_outer
from almenara.protocol.session import Event, Outcome, Pushed, Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Sent:
    """One alert that a person was told is sent."""

    alert_id: bytes
    author: bytes
    circle: bytes
    statement: bytes
    audience: frozenset[bytes]  # without its author
    known_out: frozenset[bytes]  # whom its author knew to be out of the circle
    at: float


@dataclass(slots=True)
class Ledger:
    """Grows during a run; the checks read it."""

    alerts: dict[bytes, Sent] = field(default_factory=dict)
    acknowledged: dict[bytes, dict[bytes, Outcome]] = field(default_factory=dict)  # node -> envelope -> what it said
    offered: dict[bytes, set[bytes]] = field(default_factory=dict)  # key id -> nodes that were pushed to under it
    shown: dict[bytes, dict[str, int]] = field(default_factory=dict)  # node -> alert -> how often its people were told
    faults: list[str] = field(default_factory=list)  # of our own, that nodes logged
    restored: set[bytes] = field(default_factory=set)  # nodes that were put back to an older snapshot
    removed: set[tuple[bytes, bytes]] = field(default_factory=set)  # (circle, node) that ever went out
    pushes: int = 0
    _came: dict[tuple[Session, int, int], bytes] = field(default_factory=dict)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Listen to what every session says and hears, however frames carry it, until the block ends."""
        push, ack, receive = Session.push, Session.ack, Session.receive

        def on_push(session: Session, lane: int, position: int, envelope: bytes) -> bytes:
            self.pushes += 1
            outer = parse_outer(envelope)
            if outer.suite is Suite.CIRCLE:
                self.offered.setdefault(outer.kid, set()).add(session._peer.raw)
            return push(session, lane, position, envelope)

        def on_receive(session: Session, frame: bytes, now_min: int) -> list[Event]:
            events = receive(session, frame, now_min)
            for event in events:
                if isinstance(event, Pushed):
                    self._came[session, event.lane, event.position] = envelope_id(event.envelope)
            return events

        def on_ack(session: Session, lane: int, cursor: int, outcomes: Iterable[tuple[int, Outcome]]) -> bytes:
            told = list(outcomes)
            said = self.acknowledged.setdefault(session._own.raw, {})
            for position, outcome in told:
                found = self._came.get((session, lane, position))
                if found is not None and said.get(found) is not Outcome.STORED:
                    said[found] = outcome
            return ack(session, lane, cursor, told)

        with (
            mock.patch.object(Session, "push", on_push),
            mock.patch.object(Session, "receive", on_receive),
            mock.patch.object(Session, "ack", on_ack),
        ):
            yield
