"""The name under which peers know our log, and a new one when the log has lost its end (SPEC §11, ADR 0017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from almenara.crypto.random import random_bytes

if TYPE_CHECKING:
    from almenara.node.storage.engine import Store, Transaction

EPOCH_BYTES = 16
_KEY = "log-epoch"

log = structlog.get_logger()


class LogEpoch:
    """One name for all sessions; the running ones keep theirs when it changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._renewed = False
        self.value = b""

    async def load(self, tx: Transaction) -> None:
        """Take up the name of the last run; draw one for a new database."""
        self.value = await tx.meta.get(_KEY) or random_bytes(EPOCH_BYTES)
        await tx.meta.set(_KEY, self.value)

    async def renew(self) -> None:
        """A peer has come further in our log than it reaches: it was restored from a copy.

        Once in a run: a log loses its end only while nobody has it open, so a second such word is a false one.
        """
        if self._renewed:
            return
        self._renewed = True
        fresh = random_bytes(EPOCH_BYTES)
        async with self._store.write() as tx:
            await tx.meta.set(_KEY, fresh)
        self.value = fresh
        log.warning("log-epoch-renewed")
