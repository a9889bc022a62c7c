"""What it takes to start with many alerts, and to hold them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

from almenara.crypto.vault import open_vault
from tests.bench.machine import resident_mb
from tests.bench.table import Figure
from tests.support.nodes import PASSPHRASE

if TYPE_CHECKING:
    from tests.bench.receiver import Receiver

START_BAR_S = 3.0  # beyond Argon2id, which is meant to take its time
MEMORY_BAR_MB = 200.0
STARTS = 3


async def starting(receiver: Receiver, core: int, settle_s: float) -> list[Figure]:
    """Start several times, with Argon2id alone before each; at the end look at the memory."""
    beyond, whole = [], []
    for _ in range(STARTS):
        receiver.stop()
        stretching = _argon2id_seconds(receiver, core)
        receiver.start()
        whole.append(receiver.started_in)
        beyond.append(receiver.started_in - stretching)
    at_once = resident_mb(receiver.pid)
    await asyncio.sleep(settle_s)
    held = f"with {receiver.held():,} held"
    start, later = f"start to ready {held}, beyond Argon2id", f"memory {held}, {settle_s:.0f} s after start"
    return [
        Figure(start, median(beyond), unit="s", bar=START_BAR_S, side="below"),
        Figure("  the whole start", median(whole), unit="s"),
        Figure(later, resident_mb(receiver.pid), ".0f", "MB", MEMORY_BAR_MB, "below"),
        Figure("  memory at once after start", at_once, ".0f", "MB"),
    ]


def _argon2id_seconds(receiver: Receiver, core: int) -> float:
    """Open the vault alone, on the same core, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.holding", str(core), str(receiver.home.vault_path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _main() -> None:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    with open(sys.argv[2], "rb") as file:  # noqa: PTH123 - one line
        data = file.read()
    begun = time.perf_counter()
    open_vault(data, PASSPHRASE)
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    _main()
