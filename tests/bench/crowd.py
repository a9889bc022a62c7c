"""Light nodes in a process of their own, pinned to one core: whom a flow is measured against.

`Crowd` is the handle; run as a program, this module is the process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from almenara.node import quotas
from almenara.node.quotas import Quotas
from tests.support.beacons import Beacon

if TYPE_CHECKING:
    from typing import Self

PATIENCE_S = 60


def card_of(beacon: Beacon) -> dict[str, Any]:
    """What somebody needs to know another."""
    return {"id": beacon.id.raw.hex(), "certificate": beacon.certificate.hex(), "port": beacon.port}


class Crowd:
    """So many light nodes that know `known`, dial those of them that listen, and may give one of them a tiny quota."""

    def __init__(self, folder: Path, core: int, count: int, known: list[dict[str, Any]], limited: str = "") -> None:
        folder.mkdir()
        asked = {"folder": str(folder), "core": core, "count": count, "known": known, "limited": limited}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.crowd", json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.cards: list[dict[str, Any]] = json.loads(self._process.stdout.readline())

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=PATIENCE_S)  # its input ends


def limit(peer: bytes) -> None:
    """Give this peer a quota of one envelope a day, so that a thousand times of it is soon pushed."""
    admits, usual = Quotas.admits, quotas.SCOPE_COUNT

    def limited(self: Quotas, by: bytes, tag: bytes, lane: int, size: int) -> bool:
        quotas.SCOPE_COUNT = 1 if by == peer else usual
        return admits(self, by, tag, lane, size)

    Quotas.admits = limited  # type: ignore[method-assign]


async def _main(asked: dict[str, Any]) -> None:
    os.sched_setaffinity(0, {asked["core"]})
    if asked["limited"]:
        limit(bytes.fromhex(asked["limited"]))
    beacons = [await Beacon(Path(asked["folder"]), f"n{number}").open() for number in range(asked["count"])]
    for beacon in beacons:
        for card in asked["known"]:
            known = bytes.fromhex(card["id"]), bytes.fromhex(card["certificate"])
            if card["port"]:
                beacon.dials(*known, card["port"])
            else:
                beacon.expects(*known)
    print(json.dumps([card_of(beacon) for beacon in beacons]), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for beacon in beacons:
        await beacon.close()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(_main(json.loads(sys.argv[1])))
