"""What the machine tells: cores, load, a process's memory and time on the processor, and how fast a core verifies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from almenara.crypto.labels import Label
from almenara.crypto.signing import SigningKey, verify

PROBE_S = 0.5  # how long one probe verifies
MESSAGE_BYTES = 256  # about what an alert's header has


def cores() -> tuple[int, int]:
    """The core that receives and the one that sends; the same where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[-1], usable[0]


def load() -> str:
    """The load of the last minute: above the number of cores, every figure suffers."""
    return f"load {os.getloadavg()[0]:.2f}"


def machine_line() -> str:
    """Cores and load, for whoever reads the figures; before this process pins itself to one of them."""
    return f"{len(os.sched_getaffinity(0))} cores, Python {sys.version.split()[0]}, {load()}"


def cpu_seconds(pid: int) -> float:
    """Time on the processor so far, all threads, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """VmRSS in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(pid)


@dataclass(frozen=True, slots=True)
class Rate:
    """How many in a second, by the clock on the wall and by time on the processor."""

    wall: float
    cpu: float


class Verifier:
    """A process pinned to one core that verifies Ed25519 signatures when asked: the yardstick for receiving."""

    def __init__(self, core: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.machine", str(core)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def rate(self) -> Rate:
        """Verify for PROBE_S seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        wall, cpu = self._process.stdout.readline().split()
        return Rate(float(wall), float(cpu))


def _probe(public: bytes, message: bytes, signature: bytes) -> Rate:
    count, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < PROBE_S:
        for _ in range(100):
            verify(public, Label.OBJECT, message, signature)
        count += 100
    return Rate(count / (time.perf_counter() - wall), count / (time.process_time() - cpu))


def _main() -> None:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    key = SigningKey.generate()
    message = bytes(MESSAGE_BYTES)
    signature = key.sign(Label.OBJECT, message)
    for _ in sys.stdin:
        rate = _probe(key.public, message, signature)
        print(rate.wall, rate.cpu, flush=True)


if __name__ == "__main__":
    _main()
