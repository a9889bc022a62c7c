"""One seed, from beginning to end; a module of its own, so that other processes can call it."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace

from tests.simulation.mutants import MUTANTS
from tests.simulation.parameters import EVENTFUL, SMALL, TINY, WHOLE
from tests.simulation.world import World

SIZES = {"eventful": EVENTFUL, "tiny": TINY, "small": SMALL, "whole": WHOLE}


@dataclass(frozen=True, slots=True)
class Told:
    """What came out of one seed."""

    seed: int
    digest: str
    violations: list[str]
    counts: dict[str, int]
    seconds: float
    tail: str


def run(seed: int, size: str, broken: str | None = None, loud: bool = False) -> Told:
    """One seed, whole, with nodes as they are or broken on purpose."""
    begun = time.perf_counter()
    parameters = SIZES[size]
    if broken:
        parameters = replace(parameters, **dict(MUTANTS[broken].changes))
    with MUTANTS[broken].at_work() if broken else nullcontext():
        world = World(seed, parameters, loud=loud).run()
    seconds = time.perf_counter() - begun
    return Told(seed, world.trace.digest, world.violations, dict(world.trace.counts), seconds, world.trace.tail)
