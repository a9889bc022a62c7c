"""Faults from the kernel's side: strace kills a running process at its n-th write, or has a call fail."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITES = "pwrite64,fdatasync,fsync,ftruncate"  # all that SQLite changes a file by
ATTACHED = "attached"


@contextmanager
def injected(process: subprocess.Popen[bytes], calls: str, what: str) -> Iterator[None]:
    """Until the block ends, calls of a running process fail as told: `signal=SIGKILL:when=3`, `error=EIO:when=1`.

    Calls are counted for each thread by itself; only one thread of a node writes to its database.
    """
    command = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:{what}"]
    tracer = subprocess.Popen([*command, "-p", str(process.pid)], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    assert ATTACHED in said, f"strace cannot attach to a process of ours: {said.strip()}"
    try:
        yield
    finally:
        tracer.terminate()
        tracer.communicate()
