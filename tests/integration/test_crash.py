"""What a node acknowledged survives kill -9 at any write and disks that fail: real processes under a real load.

`make crash CRASHES=200` goes on at moments nobody chose; here are the first writes of a batch, and some later ones.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.receiver import Receiver, answered, some
from tests.support.strace import WRITES, injected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.support.blaster import Blaster

pytestmark = [
    pytest.mark.timeout(300),  # every start derives a key with Argon2id, and the machine may be busy
    # The sender's own socket, with a full buffer on a line that was cut, may outlive the loop of one blast.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MORE = int(os.environ.get("CRASHES", "0"))
KILLS = 1 + MORE
NTH_WRITES = [1, 2, 3, 8, 40, *(random.Random(n).randint(1, 400) for n in range(MORE))]
FAULTS = [
    ("fdatasync,fsync", "error=EIO:when=1"),
    ("pwrite64", "error=EIO:when=2"),
    ("pwrite64", "error=ENOSPC:when=1+"),
]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """One node for all, so that every crash meets what those before left."""
    folder = Path(tempfile.mkdtemp(prefix="almenara-crash-"))
    found = Receiver.started(folder, "receiver")
    try:
        yield found
    finally:
        found.office.stop()
        shutil.rmtree(folder)


def restart(receiver: Receiver) -> None:
    """The dead node's disk is sound; started again it shows everything acknowledged, once, and takes more."""
    assert receiver.office.stop() == -signal.SIGKILL
    receiver.check_disk()
    receiver.office.start()
    receiver.office.ready()
    receiver.check_inbox()


def under(receiver: Receiver, calls: str, what: str) -> Callable[[Blaster], Awaitable[None]]:
    """From when the two have greeted until the line is cut."""

    async def end(_: Blaster) -> None:
        assert receiver.office.process is not None
        with injected(receiver.office.process, calls, what):
            await asyncio.Event().wait()

    return end


def test_killed_after_any_acknowledgement_the_node_has_everything_that_it_acknowledged(receiver: Receiver) -> None:
    for _ in range(KILLS):
        before = len(receiver.acknowledged)
        asyncio.run(receiver.blast(receiver.kill_after(some())))
        restart(receiver)
        assert len(receiver.acknowledged) > before


@pytest.mark.parametrize("write", NTH_WRITES)
def test_killed_at_a_write_the_node_has_everything_that_it_acknowledged(receiver: Receiver, write: int) -> None:
    """Before the n-th write or sync of its database thread, in the middle of a transaction or between two."""
    asyncio.run(receiver.blast(under(receiver, WRITES, f"signal=SIGKILL:when={write}")))
    restart(receiver)


@pytest.mark.parametrize(("calls", "what"), FAULTS)
def test_a_disk_that_fails_costs_nothing_that_was_acknowledged(receiver: Receiver, calls: str, what: str) -> None:
    """The node hangs up, answers nothing that it has not stored, and goes on by itself once the disk works again."""
    assert receiver.office.process is not None
    asyncio.run(receiver.blast(under(receiver, calls, what)))
    assert receiver.office.ask("GET", "status")["state"] == "ready"
    before = len(receiver.acknowledged)
    asyncio.run(receiver.blast(lambda blaster: answered(blaster, 20)))
    assert len(receiver.acknowledged) >= before + 20
    receiver.check_inbox()
    receiver.office.process.kill()
    restart(receiver)
