"""What one peer brings: which envelopes it is known to have, and the credit it gets back (PROTOCOL §6)."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from almenara.protocol.flow import INITIAL_CREDIT, LANES, cost
from almenara.protocol.session import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

SEEN = 8_192  # ids of envelopes that a peer is known to have; one forgotten is offered once more
BUSY_BYTES = 64 * 1024  # a second, by which credit comes back that was spent above a quota: 16 envelopes
GRANT_SHARE = 4  # credit is given back when the initial one's fourth part is owed: few frames, and never a stop


class Inflow:
    """The receiving side of one session; `grant(lane, bytes)` says CREDIT."""

    def __init__(self, grant: Callable[[int, int], None]) -> None:
        self._grant = grant
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._spent: Counter[tuple[int, int]] = Counter()  # (lane, position) -> bytes without an answer
        self._owed = [0] * LANES
        self._late = [0] * LANES  # owed, but not soon
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """The session is over."""
        if self._timer is not None:
            self._timer.cancel()

    def see(self, envelope_id: bytes) -> None:
        """The peer announced or pushed it, so it has it."""
        self._seen[envelope_id] = None
        self._seen.move_to_end(envelope_id)
        while len(self._seen) > SEEN:
            self._seen.popitem(last=False)

    def knows(self, envelope_id: bytes) -> bool:
        """Whether the peer is known to have it."""
        return envelope_id in self._seen

    def took(self, lane: int, position: int, envelope: bytes) -> None:
        """An envelope was pushed."""
        self._spent[lane, position] += cost(envelope)

    def answered(self, lane: int, outcomes: list[tuple[int, Outcome]]) -> None:
        """Positions were answered: what they took is given back, slowly where more came than may."""
        for position, outcome in outcomes:
            spent = self._spent.pop((lane, position), 0)
            if outcome is Outcome.BUSY:
                self._late[lane] += spent
            else:
                self._owed[lane] += spent
        if self._owed[lane] * GRANT_SHARE >= INITIAL_CREDIT[lane]:
            self._give(lane)
        if self._late[lane] and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(1.0, self._forgive)

    def _give(self, lane: int) -> None:
        amount, self._owed[lane] = self._owed[lane], 0
        self._grant(lane, amount)

    def _forgive(self) -> None:
        for lane in range(LANES):
            amount = min(self._late[lane], BUSY_BYTES)
            self._late[lane] -= amount
            self._owed[lane] += amount
            if self._owed[lane]:
                self._give(lane)
        again = any(self._late)
        self._timer = asyncio.get_running_loop().call_later(1.0, self._forgive) if again else None
