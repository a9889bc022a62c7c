"""Scopes: by which peers know which envelopes a peer may be offered, without naming a circle (PROTOCOL §6).

A scope is one carry secret in one week.  Its tag stands on every envelope; its key proves that a peer belongs there.
A tag that was seen proves nothing, and neither does a proof that was reflected.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from almenara.crypto.hashing import derive, mac
from almenara.crypto.labels import Label
from almenara.protocol.limits import HOURS_PER_DAY, ID_BYTES

if TYPE_CHECKING:
    from almenara.crypto.identity import NodeId

HOURS_PER_WEEK: Final = 7 * HOURS_PER_DAY
WEEKS_BACK: Final = 5  # with the current one six weeks: what class 1 (35 days) may still bring
WEEKS_AHEAD: Final = 1  # a peer whose clock is ahead, and the turn of the week
_WEEK_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class ScopeKey:
    """One scope: its 16-byte tag, and the 32-byte key that proves it."""

    tag: bytes
    key: bytes = field(repr=False)


def week_of(created_hour: int) -> int:
    """Return the week of an hour; both count from 1970 UTC."""
    return created_hour // HOURS_PER_WEEK


def weeks_of_interest(now_hour: int) -> tuple[int, ...]:
    """Return the weeks that INTEREST covers: the last six, the current one among them, and the next."""
    week = week_of(now_hour)
    return tuple(range(max(0, week - WEEKS_BACK), week + WEEKS_AHEAD + 1))


def scope_key(carry_secret: bytes, week: int) -> bytes:
    """Derive the key of one scope: 32 bytes.  Carriers get it five weeks ahead, never the secret."""
    return derive(Label.SCOPE_KEY, carry_secret, week.to_bytes(_WEEK_BYTES))


def tag(key: bytes) -> bytes:
    """Derive the tag of a scope key: 16 bytes."""
    return derive(Label.TAG, key)[:ID_BYTES]


def scope(carry_secret: bytes, week: int) -> ScopeKey:
    """Derive tag and key of one scope."""
    key = scope_key(carry_secret, week)
    return ScopeKey(tag(key), key)


def proof(key: bytes, prover_nonce: bytes, verifier_nonce: bytes, prover: NodeId) -> bytes:
    """Return what the prover shows in INTEREST for one scope key, in this session only: 16 bytes.

    Both nonces are those of the two HELLO; the prover's comes first.
    """
    return mac(Label.SCOPE_PROOF, key, prover_nonce, verifier_nonce, prover.raw)[:ID_BYTES]
