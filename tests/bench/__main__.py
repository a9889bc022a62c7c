"""Measure everything, print one table, exit 1 if a bar was missed."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path

import click
import structlog

from tests.bench import flow, holding, receiving, repair
from tests.bench.latency import Watch, latency
from tests.bench.machine import cores, load, machine_line
from tests.bench.receiver import Receiver
from tests.bench.sender import Author, pair
from tests.bench.table import Figure, print_table
from tests.support.nodes import make_home, running

LATENCIES = ((10, 20), (100, 5))  # alerts a second, for so many seconds


@click.command()
@click.option("--held", default=100_000, show_default=True, help="Alerts to hold")
@click.option("--rounds", default=5, show_default=True, help="Rounds of receiving, of each kind")
@click.option("--count", default=4_000, show_default=True, help="Alerts in a round")
@click.option("--flow", "only_flow", is_flag=True, help="Only fan-out, lanes and flood")
@click.option("--settle", default=60.0, show_default=True, help="Seconds from start to the look at the memory")
def bench(held: int, rounds: int, count: int, settle: float, *, only_flow: bool) -> None:
    """Measure receiving, latency, memory, start-up, the flow among many, and repair."""
    machine = machine_line()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="almenara-bench-") as folder:
        figures = [] if only_flow else asyncio.run(_measure(Path(folder), held, rounds, count, settle))
        figures += asyncio.run(flow.measure(Path(folder), _say))
    print(f"\n{machine}; at the end {load()}\n")
    print_table(figures)
    sys.exit(any(figure.missed for figure in figures))


async def _measure(folder: Path, held: int, rounds: int, count: int, settle: float) -> list[Figure]:
    receiving_core, sending_core = cores()
    os.sched_setaffinity(0, {sending_core})
    few, many = [Receiver(folder, name, receiving_core) for name in ("few", "many")]
    try:
        figures: list[Figure] = []
        many.start()
        async with running(make_home(folder / "sender", "sender")) as service:
            peer, watch = await pair(service, many), Watch(service)
            for per_second, seconds in LATENCIES:
                _say(f"sending {per_second} alerts a second for {seconds} s")
                figures += await latency(service, watch, peer, per_second, seconds)
            to_many = Author(service, peer)
            few.start()
            to_few = Author(service, await pair(service, few))
        _say(f"filling a node with {held:,} alerts")
        await receiving.fill(to_many, many, held)
        _say(f"receiving {count} alerts a round, {rounds} rounds of each kind")
        shares = await receiving.compare((to_few, few), (to_many, many), receiving_core, rounds, count)
        few.stop()
        _say("receiving with timers")
        shares[3:3] = await receiving.stages(to_few, few, folder, count)
        _say(f"starting with {held:,} alerts, then waiting {settle:.0f} s")
        starting = await holding.starting(many, receiving_core, settle)
        many.stop()
        _say(f"repairing sets of {repair.HELD:,} ids, then making up for {repair.MISSED:,} alerts")
        repaired = [*repair.sizes(), *await repair.catching_up(folder, receiving_core)]
        return [*shares, *figures, *starting, *repaired]
    finally:
        few.stop()
        many.stop()


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    bench()
