"""Who is pushed a routine envelope, and who only hears of it: three peers, and the rest (DESIGN §6)."""

from __future__ import annotations

from collections import OrderedDict
from random import SystemRandom
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from almenara.crypto.identity import NodeId

PUSHED = 3  # peers; computed: 95 % of 500 nodes within a second at 2.7 copies each, flooding needs 4.1
REMEMBERED = (
    1_024  # choices, so that every session hears the same one; a forgotten one is drawn again, which costs copies
)


class Candidate(Protocol):
    """A live session as far as this module knows it."""

    peer: NodeId

    def offers(self, envelope_id: bytes, tag: bytes) -> bool:
        """Whether the peer proved this scope and is not known to have the envelope."""


class Fanout:
    """One choice for each envelope, the same for all sessions."""

    def __init__(self, live: Callable[[], Iterable[Candidate]]) -> None:
        self._live, self._rng = live, SystemRandom()
        self._chosen: OrderedDict[bytes, frozenset[bytes]] = OrderedDict()

    def pushes(self, envelope_id: bytes, tag: bytes, peer: NodeId) -> bool:
        """Whether this peer is among those that are pushed the envelope; the others are told of it."""
        chosen = self._chosen.get(envelope_id)
        if chosen is None:
            chosen = self._chosen[envelope_id] = self._choose(envelope_id, tag)
            while len(self._chosen) > REMEMBERED:
                self._chosen.popitem(last=False)
        return peer.raw in chosen

    def _choose(self, envelope_id: bytes, tag: bytes) -> frozenset[bytes]:
        peers = [each.peer.raw for each in self._live() if each.offers(envelope_id, tag)]
        return frozenset(peers if len(peers) <= PUSHED else self._rng.sample(peers, PUSHED))
