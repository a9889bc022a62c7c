"""How many alerts a second one core takes from the socket to the committed row, and what each stage takes of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.machine import Rate, Verifier, cpu_seconds
from tests.bench.table import Figure
from tests.bench.timed_node import ALL, STAGES, STAGES_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.bench.receiver import Receiver
    from tests.bench.sender import Author, Stream

SHARE_BAR = 0.15  # of the core's bare Ed25519 verify rate
GROWTH_BAR = 0.8  # the rate with everything held, over the rate with none
WARM_UP = 500  # alerts before the first measured one
FILL_STEP = 4_000  # alerts sealed ahead at a time: 16 MB of envelopes


async def round_of(stream: Stream, receiver: Receiver, verifier: Verifier, count: int) -> tuple[Rate, Rate]:
    """Push once; returns the rates of receiving and of verifying, the latter measured before and after."""
    before = verifier.rate()
    envelopes = stream.seal(count)
    spent = cpu_seconds(receiver.pid)
    took = await stream.push(envelopes)
    spent = cpu_seconds(receiver.pid) - spent
    after = verifier.rate()
    bare = Rate((before.wall + after.wall) / 2, (before.cpu + after.cpu) / 2)
    return Rate(count / took, count / spent), bare


async def fill(author: Author, receiver: Receiver, held: int) -> None:
    """Bring a node up to `held` alerts, by the way that alerts come."""
    async with author.stream(receiver) as stream:
        while (missing := held - receiver.held()) > 0:
            await stream.push(stream.seal(min(missing, FILL_STEP)))


class Shares:
    """Rounds of receiving on one node, each beside the verify rate of the same core at that moment."""

    def __init__(self) -> None:
        self._wall: list[float] = []
        self._cpu: list[float] = []
        self._rates: list[float] = []

    def add(self, rate: Rate, bare: Rate) -> None:
        """One more round."""
        self._wall.append(rate.wall / bare.wall)
        self._cpu.append(rate.cpu / bare.cpu)
        self._rates.append(rate.wall)

    @property
    def wall(self) -> float:
        """The median share by the clock on the wall."""
        return median(self._wall)

    @property
    def cpu(self) -> float:
        """The same by time on the processor, which other programs on the machine disturb less."""
        return median(self._cpu)

    @property
    def rate(self) -> float:
        """The median of alerts a second."""
        return median(self._rates)


async def compare(
    few: tuple[Author, Receiver], many: tuple[Author, Receiver], core: int, rounds: int, count: int
) -> list[Figure]:
    """Push to a node that holds few alerts and to one that holds many, in turn, so that both see the same machine."""
    shares = {True: Shares(), False: Shares()}
    with Verifier(core) as verifier:
        async with few[0].stream(few[1]) as to_few, many[0].stream(many[1]) as to_many:
            for stream in (to_few, to_many):
                await stream.push(stream.seal(WARM_UP))
            for _ in range(rounds):
                shares[False].add(*await round_of(to_few, few[1], verifier, count))
                shares[True].add(*await round_of(to_many, many[1], verifier, count))
    empty, full = shares[False], shares[True]
    return [
        Figure("received alerts / bare Ed25519 verifications", empty.wall, bar=SHARE_BAR),
        Figure("  the same by time on the processor", empty.cpu),
        Figure("  alerts a second", empty.rate, ".0f"),
        Figure(f"receiving with {many[1].held():,} held / with few", full.cpu / empty.cpu, bar=GROWTH_BAR),
        Figure("  the same by the clock on the wall", full.wall / empty.wall),
    ]


async def stages(author: Author, receiver: Receiver, folder: Path, count: int) -> list[Figure]:
    """Push to a node with timers; returns what share of its time on the processor each stage took."""
    file = folder / "stages.json"
    os.environ[STAGES_FILE] = str(file)
    receiver.start(("tests.bench.timed_node",))
    async with author.stream(receiver) as stream:
        await stream.push(stream.seal(WARM_UP))
        envelopes = stream.seal(count)
        before = await _snapshot(receiver, file)
        await stream.push(envelopes)
        after = await _snapshot(receiver, file)
    receiver.stop()
    return _as_figures({stage: after[stage] - before[stage] for stage in before}, STAGES)


def _as_figures(taken: dict[str, float], named: Sequence[str]) -> list[Figure]:
    rest = taken[ALL] - sum(taken[stage] for stage in named)
    shares = {stage: taken[stage] for stage in named} | {"everything else": rest}
    return [Figure(f"  share of {stage}", 100 * share / taken[ALL], ".0f", "%") for stage, share in shares.items()]


async def _snapshot(receiver: Receiver, file: Path) -> dict[str, float]:
    file.unlink(missing_ok=True)
    os.kill(receiver.pid, signal.SIGUSR1)
    while not file.exists():  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.02)
    told: dict[str, float] = json.loads(file.read_text(encoding="ascii"))
    return told
