"""What a repair costs on the line beside the design's prototype, and how fast what was missed arrives."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from almenara.node.clock import now_ms
from almenara.node.storage.rows import EnvelopeRow
from almenara.protocol.envelope import envelope_id, parse_outer
from almenara.protocol.idsets import EMPTY, Frozen, IdSet, SetKey, first_hour
from almenara.protocol.messages import Ranges, encode_message, parse_message
from almenara.protocol.reconcile import Repair
from tests.bench.machine import Verifier, cpu_seconds
from tests.bench.receiver import Receiver
from tests.bench.sender import Author, pair
from tests.bench.table import Figure
from tests.support.nodes import make_home, running

if TYPE_CHECKING:
    from pathlib import Path

    from almenara.node.service import Service
    from almenara.protocol.session import Acked, Outcome

HELD = 100_000  # ids that both sides hold, over 30 days in weekly scopes
HOURS = 720
HOUR = 498_000
WEEK_HOURS = 168
SEED = 11
BYTES_BAR = 1.5  # times the bytes of the prototype
TRIPS_BAR = 6  # round trips stay below
RATE_BAR = 0.10  # of the bare verify rate, so that it does not get worse; the aim is 0.25, and CONTRIBUTING says so
MISSED = 10_000  # envelopes in the figure of the rate
PATIENCE_S = 180
LOOK_S = 0.01

NEWEST = {0: 25, 100: 942, 1_000: 874, 10_000: 3_274}
"""Bytes that the prototype took, by how many of the newest one side lacks; it split by 8 and listed 8."""
SCATTERED = {100: 49_100, 1_000: 310_400, 10_000: 1_170_900}
"""The same where half of them is missing on each side, anywhere."""

Item = tuple[int, bytes]


def sizes() -> list[Figure]:
    """Repair sets in memory, every frame encoded and parsed; counts are the same at every run."""
    rng = random.Random(SEED)
    items = sorted((HOUR - rng.randrange(HOURS), rng.randbytes(32)) for _ in range(HELD))
    figures: list[Figure] = []
    trips = 0
    for missing, prototype in NEWEST.items():
        sent, turns = _repair(items, items[: HELD - missing])
        trips = max(trips, turns)
        figures.append(_ratio(f"repair bytes / prototype, {missing:,} newest missing", sent, prototype))
    for missing, prototype in SCATTERED.items():
        gone = rng.sample(items, missing)
        ours, theirs = set(gone[: missing // 2]), set(gone[missing // 2 :])
        sent, turns = _repair([each for each in items if each not in ours], [e for e in items if e not in theirs])
        trips = max(trips, turns)
        figures.append(_ratio(f"repair bytes / prototype, {missing:,} scattered", sent, prototype))
    return [*figures, Figure("  round trips at most", trips, ".0f", bar=TRIPS_BAR, side="below")]


def _ratio(name: str, sent: int, prototype: int) -> Figure:
    return Figure(name, sent / prototype, bar=BYTES_BAR + 0.005, side="below")


def _repair(ours: list[Item], theirs: list[Item]) -> tuple[int, int]:
    """Run one repair; returns bytes of all frames and round trips, ROOTS included."""
    sets = {True: _frozen(ours), False: _frozen(theirs)}
    sides = {starts: Repair(starts=starts, key=bytes(32)) for starts in (True, False)}
    roots = sides[False].roots(sets[False], HOUR)
    sent, messages, turn = len(encode_message(roots)), 1, False
    said = sides[True].start(sets[True], HOUR) if sides[True].differs(roots, sets[True]) else []
    while said:
        frames = [encode_message(each) for each in said]
        sent, messages = sent + sum(map(len, frames)), messages + 1
        answers = [sides[turn].take(_parsed(frame), lambda _: sets[False]) for frame in frames]
        said, turn = answers[-1], not turn
    found = sides[True].finish()
    if set(ours) != set(theirs):
        assert found is not None
        assert set(found.lacking) == set(ours) - set(theirs)
    return sent, (messages + 1) // 2


def _parsed(frame: bytes) -> Ranges:
    message = parse_message(frame)
    assert isinstance(message, Ranges)
    return message


def _frozen(items: list[Item]) -> dict[SetKey, Frozen]:
    sets: dict[SetKey, IdSet] = {}
    for hour, found in items:
        sets.setdefault(((hour // WEEK_HOURS).to_bytes(16, "big"), 1), IdSet()).add(hour, found)
    weeks = range((HOUR - HOURS) // WEEK_HOURS, HOUR // WEEK_HOURS + 1)
    keys = [(week.to_bytes(16, "big"), cls) for week in weeks for cls in (0, 1)]
    return {key: sets[key].freeze(first_hour(key[1], HOUR)) if key in sets else EMPTY for key in keys}


async def catching_up(folder: Path, core: int) -> list[Figure]:
    """A receiver lacks MISSED alerts that no cursor knows of, since the sender's log has another name than before."""
    home, receiver = make_home(folder / "keeper", "keeper"), Receiver(folder, "missing", core)
    try:
        receiver.start()
        async with running(home) as service:
            sealer = Author(service, await pair(service, receiver)).sealer()
            receiver.stop()
            await _keep(service, [sealer.alert() for _ in range(MISSED)])
        receiver.start()
        with Verifier(core) as verifier:
            before, spent = verifier.rate(), cpu_seconds(receiver.pid)
            async with running(home) as service:
                took = await _handed_over(service)
            spent, after = cpu_seconds(receiver.pid) - spent, verifier.rate()
            assert receiver.held() == MISSED
    finally:
        receiver.stop()
    wall, cpu = (before.wall + after.wall) / 2, (before.cpu + after.cpu) / 2
    return [
        Figure("alerts made up for / bare Ed25519 verifications", MISSED / took / wall, bar=RATE_BAR),
        Figure("  the same by time on the processor", MISSED / spent / cpu),
        Figure("  alerts a second", MISSED / took, ".0f"),
    ]


async def _keep(service: Service, envelopes: list[bytes]) -> None:
    """Put alerts of ours into the log, and give the log another name."""
    runtime = service._runtime
    assert runtime is not None
    own = runtime.groups._circles.own.raw
    async with runtime.store.write() as tx:
        await tx.log.append([_row(envelope, own) for envelope in envelopes])
        await tx.meta.set("log-epoch", bytes(16))


def _row(envelope: bytes, own: bytes) -> EnvelopeRow:
    outer = parse_outer(envelope)
    return EnvelopeRow(
        envelope_id=envelope_id(envelope),
        tag=outer.tag,
        created_hour=outer.created_hour,
        cls=outer.cls,
        lane=outer.lane,
        kid=outer.kid,
        suite=int(outer.suite),
        source=own,
        recipient=b"",
        data=envelope,
        state="own",
        received_at=now_ms(),
    )


async def _handed_over(service: Service) -> float:
    """Seconds from the greeting until everything was acknowledged."""
    runtime = service._runtime
    assert runtime is not None
    links = runtime.peers._links
    async with asyncio.timeout(PATIENCE_S):
        while not any(exchange.ready.is_set() for exchange in links):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(LOOK_S)
        begun = time.perf_counter()
        (exchange,) = links
        answered, outflow = [0], exchange._outflow
        take = outflow.acked

        def count(event: Acked) -> list[tuple[bytes, Outcome]]:
            answered[0] += len(event.outcomes)
            return take(event)

        outflow.acked = count  # type: ignore[method-assign]
        while answered[0] < MISSED:  # noqa: ASYNC110 - an answer wakes nobody here
            await asyncio.sleep(LOOK_S)
        return time.perf_counter() - begun
