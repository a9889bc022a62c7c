"""What a run leaves behind: one hash over everything that happened in it, in order, and its last lines for people."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

LINES_KEPT = 40


class Trace:
    """Frames, commits, faults and what people did; equal hashes mean equal runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, loud: bool = False) -> None:
        self._loop, self._loud = loop, loud
        self._hash = hashlib.sha256()
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.counts: Counter[str] = Counter()

    def note(self, kind: str, text: str = "", data: bytes = b"") -> None:
        """Something happened; `data` goes into the hash alone."""
        line = f"{self._loop.time():.6f} {kind} {text}"
        self._hash.update(line.encode() + len(data).to_bytes(4, "big") + data)
        self.counts[kind] += 1
        if kind not in {"frame", "commit", "dial", "link"}:
            self._lines.append(line)
            if self._loud:
                print(line)

    @property
    def digest(self) -> str:
        """Of everything so far."""
        return self._hash.hexdigest()

    @property
    def tail(self) -> str:
        """The last things that happened, frames and commits left out."""
        return "\n".join(self._lines)
