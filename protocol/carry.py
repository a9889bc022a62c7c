"""What a carrier is asked to carry: scope keys of eleven weeks, padded so that it learns little of how many circles.

A scope key proves a scope and opens nothing.  What is given for the weeks ahead lets the carrier go on while whoever
asked is off the net (PROTOCOL §6).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from almenara.crypto.hashing import derive
from almenara.crypto.labels import Label
from almenara.protocol.errors import Defect, LocalError
from almenara.protocol.limits import MAX_ITEMS, UINT32
from almenara.protocol.scope import HOURS_PER_WEEK, WEEKS_BACK, week_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from almenara.crypto.identity import NodeId

WEEKS_GIVEN_AHEAD: Final = 5  # so long a carrier goes on without news of whoever asked
CARRY_STEP: Final = 8  # keys of a week are padded to a multiple: few circles and many look the same
MAX_CARRIED: Final = MAX_ITEMS  # scopes in one CARRY: what one array holds
MAX_WEEK: Final = UINT32 // HOURS_PER_WEEK  # the week of the last hour an envelope can name
MAX_CARRIED_A_WEEK: Final = 88  # keys: the last multiple of CARRY_STEP of which eleven weeks fit MAX_CARRIED


class CarriedScope(NamedTuple):
    """One scope as CARRY gives it: its 32-byte key, and the only week whose envelopes it may bring."""

    key: bytes
    week: int


def weeks_of_carrying(now_hour: int) -> tuple[int, ...]:
    """Return the weeks that CARRY covers: the current one, the five before and the five ahead."""
    week = week_of(now_hour)
    return tuple(range(max(0, week - WEEKS_BACK), week + WEEKS_GIVEN_AHEAD + 1))


def decoy_key(secret: bytes, carrier: NodeId, week: int, number: int) -> bytes:
    """Return a key of no scope: always the same for one carrier, week and number, or its going would give it away."""
    return derive(Label.CARRY_DECOY, secret, carrier.raw, week.to_bytes(4), number.to_bytes(4))


def padded(
    scopes: Collection[CarriedScope], weeks: Collection[int], decoy: Callable[[int, int], bytes]
) -> tuple[CarriedScope, ...]:
    """Mix scopes with decoys, `decoy(week, number)`, in the order of their keys: as many in each week, none for none.

    Raises:
        LocalError: WRONG_COUNT, more scopes in a week than CARRY has room for.

    """
    counts = Counter(scope.week for scope in scopes)
    most = max(counts.values(), default=0)
    if most > MAX_CARRIED_A_WEEK:
        raise LocalError(Defect.WRONG_COUNT, "scopes", f"at most {MAX_CARRIED_A_WEEK} in a week", f"{most}")
    wanted = -(-most // CARRY_STEP) * CARRY_STEP
    false = [CarriedScope(decoy(week, number), week) for week in weeks for number in range(wanted - counts[week])]
    return tuple(sorted([*scopes, *false])) if scopes else ()
