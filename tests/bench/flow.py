"""The flow among many: one alert to 50 peers, a critical one behind an endless backlog, one peer that floods.

The peers are light nodes: real log, commit, session and TLS, but no circles, so that what is measured is the way.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

from almenara.protocol.envelope import envelope_id
from tests.bench.crowd import Crowd, card_of
from tests.bench.latency import _quantile
from tests.bench.machine import cores, cpu_seconds, resident_mb
from tests.bench.table import Figure
from tests.support.beacons import Beacon, Keys, sealed
from tests.support.blaster import Blaster
from tests.support.shaper import Shaper

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from almenara.crypto.identity import NodeId
    from almenara.protocol.session import Outcome

PEERS = 50
FANNED_OUT = 40  # alerts, one after the other
LINE = 125_000  # bytes a second: 1 Mbit/s
BACKLOG = 1_500  # routine envelopes: 49 s of that line
CRITICAL = 20  # alerts, one a second, while the backlog lasts
LANE_BAR_S = 1.0
STEADY, PER_SECOND = 150, 10  # the others' alerts, with and without the flood
FLOOD = 1_000  # times the flooding peer's quota
FLOOD_BAR, MEMORY_BAR_MB = 2.0, 50.0
PATIENCE_S = 120


class Answers:
    """How long each envelope of one beacon took from its post to every peer's answer after the commit."""

    def __init__(self, beacon: Beacon) -> None:
        self._beacon, self._begun = beacon, dict[bytes, float]()
        self.took: list[float] = []
        parts: Any = beacon.deliveries
        self._acknowledged = parts.acknowledged
        parts.acknowledged = self._on_acknowledged

    async def _on_acknowledged(self, peer: NodeId, outcomes: list[tuple[bytes, Outcome]]) -> None:
        now = time.perf_counter()
        self.took += [now - self._begun[found] for found, _ in outcomes if found in self._begun]
        await self._acknowledged(peer, outcomes)

    async def post(self, envelope: bytes) -> None:
        """Post one, and count from now."""
        self._begun[envelope_id(envelope)] = time.perf_counter()
        await self._beacon.post(envelope)

    async def settled(self, count: int) -> list[float]:
        """Wait for so many answers; returns and forgets them, rising, in seconds."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.took) < count:  # noqa: ASYNC110 - another process answers
                await asyncio.sleep(0.01)
        took, self.took, self._begun = self.took, [], {}
        return sorted(took)


async def measure(folder: Path, say: Callable[[str], None]) -> list[Figure]:
    """All three, each with the crowd on a core of its own."""
    crowd_core, own_core = cores()
    os.sched_setaffinity(0, {own_core})
    say(f"sending alerts to {PEERS} live peers")
    figures = await fan_out(folder, crowd_core)
    say(f"sending critical alerts over 1 Mbit/s, behind a backlog of {BACKLOG:,}")
    figures += await lanes(folder, crowd_core)
    say(f"letting one peer push {FLOOD:,} times its quota")
    return figures + await flood(folder, crowd_core)


async def fan_out(folder: Path, core: int) -> list[Figure]:
    """One critical alert after the other to every peer."""
    author = await Beacon(folder, "author").open()
    try:
        with Crowd(folder / "crowd", core, PEERS, [card_of(author)]) as crowd:
            for card in crowd.cards:
                author.expects(bytes.fromhex(card["id"]), bytes.fromhex(card["certificate"]))
            await _linked(author, crowd)
            answers = Answers(author)
            await answers.post(sealed(lane=0))
            await answers.settled(PEERS)
            there, here = cpu_seconds(crowd.pid), time.process_time()
            took: list[float] = []
            for _ in range(FANNED_OUT):
                await answers.post(sealed(lane=0))
                took += await answers.settled(PEERS)
            there, here = cpu_seconds(crowd.pid) - there, time.process_time() - here
    finally:
        await author.close()
    took.sort()
    each = 1e3 / (FANNED_OUT * PEERS)
    return [
        Figure(f"one alert to {PEERS} peers, durable answers, p50", 1e3 * _quantile(took, 0.5), ".0f", "ms"),
        Figure(f"one alert to {PEERS} peers, durable answers, p99", 1e3 * _quantile(took, 0.99), ".0f", "ms"),
        Figure("  processor for each peer, at the author", here * each, ".2f", "ms"),
        Figure("  processor for each peer, at the peer", there * each, ".2f", "ms"),
    ]


async def _linked(beacon: Beacon, crowd: Crowd) -> None:
    async with asyncio.timeout(PATIENCE_S):
        for card in crowd.cards:
            while (session := beacon.links.of(bytes.fromhex(card["id"]))) is None or not session._session.proven:  # noqa: ASYNC110 - another process dials
                await asyncio.sleep(0.02)
            await session.ready.wait()


async def lanes(folder: Path, core: int) -> list[Figure]:
    """Critical alerts that come while an endless backlog fills a slow line."""
    author = await Beacon(folder, "slow").open()
    try:
        with Crowd(folder / "far", core, 1, [card_of(author) | {"port": 0}]) as crowd:
            (card,) = crowd.cards
            shaper = Shaper(("127.0.0.1", card["port"]), LINE)
            author.dials(bytes.fromhex(card["id"]), bytes.fromhex(card["certificate"]), shaper.port)
            await _linked(author, crowd)
            answers = Answers(author)
            await author.post(*[sealed() for _ in range(BACKLOG)])
            await asyncio.sleep(3)
            for _ in range(CRITICAL):
                await answers.post(sealed(lane=0))
                await asyncio.sleep(1)
            waiting = author.links.of(bytes.fromhex(card["id"]))
            assert waiting is not None
            assert waiting._outflow._rows[1], "the backlog was over too soon"
            took = await answers.settled(CRITICAL)
            shaper.close()
    finally:
        await author.close()
    return [
        Figure("critical behind a backlog at 1 Mbit/s, p50", median(took), ".2f", "s", LANE_BAR_S, "below"),
        Figure("  the slowest", took[-1], ".2f", "s"),
    ]


async def flood(folder: Path, core: int) -> list[Figure]:
    """A steady trickle of one peer, alone and while another pushes all that its credit allows."""
    honest, mallory = await Beacon(folder, "honest").open(), Beacon(folder, "mallory")
    known = [{"id": each.id.raw.hex(), "certificate": each.certificate.hex(), "port": 0} for each in (honest, mallory)]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(honest.close)
        crowd = stack.enter_context(Crowd(folder / "flooded", core, 1, known, mallory.id.raw.hex()))
        (card,) = crowd.cards
        peer, certificate = bytes.fromhex(card["id"]), bytes.fromhex(card["certificate"])
        honest.dials(peer, certificate, card["port"])
        await _linked(honest, crowd)
        answers = Answers(honest)
        await _trickle(answers, PER_SECOND)
        alone = await _trickle(answers, STEADY)
        before = resident_mb(crowd.pid)
        mallory.expects(peer, certificate)
        link = await mallory.links.dialer.dial(peer, f"127.0.0.1:{card['port']}")
        stack.push_async_callback(mallory.links.dialer.close)
        blaster = Blaster(link, mallory.id, Keys())  # type: ignore[arg-type] # scopes are all it needs
        stack.push_async_callback(blaster.close)
        await blaster.greet()
        pushing = asyncio.create_task(_push_without_end(blaster))
        during: list[float] = []
        while blaster.position < FLOOD:
            during += await _trickle(answers, STEADY)
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        grown = resident_mb(crowd.pid) - before
    during.sort()
    ratio = _quantile(during, 0.99) / _quantile(alone, 0.99)
    return [
        Figure(f"others' p99 with one peer at {FLOOD:,} x its quota / without", ratio, bar=FLOOD_BAR, side="below"),
        Figure("  others' p99 without", 1e3 * _quantile(alone, 0.99), ".1f", "ms"),
        Figure("  memory that the flood takes", max(0.0, grown), ".1f", "MB", MEMORY_BAR_MB, "below"),
    ]


async def _trickle(answers: Answers, count: int) -> list[float]:
    for _ in range(count):
        await answers.post(sealed())
        await asyncio.sleep(1 / PER_SECOND)
    return await answers.settled(count)


async def _push_without_end(blaster: Blaster) -> None:
    while True:
        await blaster.push(sealed())
