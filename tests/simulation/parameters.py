"""How large a run is, and which faults it has."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Counts are for the whole run, not for each node."""

    nodes: int = 20
    alerts: int = 200
    circles: int = 4
    days: float = 16.0  # of virtual time: two weekly epochs and some
    stewards: float = 0.2  # of those invited
    extra_pairs: float = 1.0  # pairings for each node beyond those that make everybody reachable
    round_hours: float = 8.0  # between two rounds of maintenance; ten minutes in production
    partitions: int = 4
    breaks: int = 40  # connections that die
    crashes: int = 24
    full_disks: int = 4
    restores: int = 4
    removals: int = 4
    leaves: int = 2
    invitations: int = 30
    skew_minutes: float = 25.0  # clocks are off by at most this


WHOLE = Parameters()
SMALL = Parameters(
    nodes=6,
    alerts=30,
    circles=2,
    days=15.0,
    round_hours=24.0,
    partitions=2,
    breaks=10,
    crashes=8,
    full_disks=2,
    restores=1,
    removals=2,
    leaves=1,
    invitations=12,
)
TINY = Parameters(
    nodes=4,
    alerts=14,
    circles=1,
    days=9.0,
    round_hours=48.0,
    partitions=2,
    breaks=6,
    crashes=6,
    full_disks=1,
    restores=1,
    removals=1,
    leaves=1,
    invitations=8,
)
EVENTFUL = replace(
    TINY,
    alerts=14,
    days=1.0,
    partitions=1,
    breaks=4,
    crashes=7,
    full_disks=0,
    removals=3,
    extra_pairs=0.25,
    stewards=0.6,
)
"""What broken nodes run: little time, much in it."""
