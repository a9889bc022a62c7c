"""Our clock, and the doubt about it (PROTOCOL §9): nothing may be destroyed, refused or sent by a date that is wrong.

What the computer says is compared with two things: the time we last trusted plus the time that has run since, and the
clocks of connected peers, which each told theirs in HELLO. While in doubt the node reads, and shows, the likelier time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

from almenara.node.clock import HOUR_MS, MINUTE_MS, Clock, Uptime, minute_of
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from almenara.node.storage.engine import Transaction

WITNESSES = 3  # peers whose clocks must be known before ours is doubted because of them
APART_MS = HOUR_MS  # so far two honest clocks may differ
JUMP_MS = 26 * HOUR_MS  # more than the widest mistake about a time zone
_KEPT = "clock"  # its name in the table of small facts

HELD = N_("The clock of this computer may be wrong; nothing is sent under a wrong date.")
COMPARE = N_("Look at Today: compare both times with a telephone, and say which is right.")

Witnesses = Callable[[], tuple[Sequence[int], int]]
"""Minutes that each connected peer's clock is ahead of our computer's, and how many verified peers there are."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Two times that cannot both be right, in ms: the computer's, and the one that everything else points to."""

    kind: Literal["jump", "peers"]
    computer: int
    supposed: int


class Timekeeper:
    """The clock that every part of the node is given."""

    def __init__(self, computer: Clock, uptime: Uptime | None = None) -> None:
        """Without `uptime`, the computer's clock cannot jump: it is taken at its word."""
        self._computer, self._uptime = computer, uptime or (lambda: ("", computer()))
        self._trusted = self.offset()  # what `offset` was when the clock was last right
        self._accepted = 0  # minutes by which the peers were apart when a person said that ours is right
        self.witnesses: Witnesses = lambda: ((), 0)

    def __call__(self) -> int:
        """Milliseconds since 1970 UTC, corrected while in doubt."""
        doubt = self.doubt()
        return doubt.supposed if doubt else self._computer()

    def computer(self) -> int:
        """What the computer says, uncorrected: it is what peers are told, so that no correction echoes."""
        return self._computer()

    def offset(self) -> int:
        """The computer's time less the time it has run: changes only when its clock is set."""
        return self._computer() - self._uptime()[1]

    def doubt(self) -> Doubt | None:
        """Both times while they are too far apart, else nothing."""
        now = self._computer()
        ahead, known = self.witnesses()
        middle = median(ahead) if ahead else 0.0
        by_peers = now + int(middle * MINUTE_MS)
        if len(ahead) >= WITNESSES and _apart(middle) and _apart(middle - self._accepted):
            return Doubt("peers", now, by_peers)
        if abs(self.offset() - self._trusted) <= JUMP_MS or self._confirmed(ahead, known):
            return None
        return Doubt("jump", now, by_peers if ahead else self._trusted + self._uptime()[1])

    def check(self) -> None:
        """Before anything is said to others. Raises `Problem(NOT_READY)` while in doubt."""
        if self.doubt():
            raise Problem(Kind.NOT_READY, HELD, field="clock", next=COMPARE)

    def judged_min(self, created_min: int) -> int:
        """The minute by which something that arrives is judged late: while in doubt nothing is."""
        return created_min if self.doubt() else minute_of(self())

    @staticmethod
    def _confirmed(ahead: Sequence[int], known: int) -> bool:
        """Enough peers say the same as our computer: three, or all that we have if they are fewer."""
        return 0 < min(WITNESSES, known) <= len(ahead) and not _apart(median(ahead))

    def settle(self) -> None:
        """A person has looked at both times and says that the computer's is right."""
        ahead, _ = self.witnesses()
        self._trusted = self.offset()
        self._accepted = int(median(ahead)) if len(ahead) >= WITNESSES else 0

    async def load(self, tx: Transaction) -> None:
        """Take up what was trusted before; after a restart of the computer, that its time only went on."""
        kept = await tx.meta.get(_KEPT)
        if kept is None:
            return
        found = json.loads(kept)
        boot, ran = self._uptime()
        self._accepted = found["accepted"]
        if found["boot"] == boot:
            self._trusted = found["trusted"]
        elif abs(self._computer() - found["last"]) > JUMP_MS:
            self._trusted = found["last"] - ran

    async def keep(self, tx: Transaction) -> None:
        """Write down how late it is; while in doubt, what was trusted before stays."""
        if self.doubt() is None:
            ahead, known = self.witnesses()
            if self._confirmed(ahead, known):
                self._trusted, self._accepted = self.offset(), 0
            await self.write(tx)

    async def write(self, tx: Transaction) -> None:
        """The same without asking."""
        kept = {
            "boot": self._uptime()[0],
            "trusted": self._trusted,
            "last": self._computer(),
            "accepted": self._accepted,
        }
        await tx.meta.set(_KEPT, json.dumps(kept).encode())


def _apart(minutes: float) -> bool:
    return abs(minutes) * MINUTE_MS > APART_MS
