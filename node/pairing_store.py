"""Pairings under way, in the encrypted database: what they hold opens the door to strangers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.node.clock import MINUTE_MS, Clock
from almenara.protocol.limits import INVITATION_MINUTES

if TYPE_CHECKING:
    from almenara.node.storage.engine import Store

KEPT_MS = 2 * INVITATION_MINUTES * MINUTE_MS  # the invitation's life, and as long again for the other side's word


class StoredPairings:
    """A `PairingStore`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def load(self) -> list[bytes]:
        """Everything that was saved and not deleted."""
        async with self._store.read() as tx:
            return [row.dump for row in await tx.peers.invitations()]

    async def save(self, invitation_id: bytes, pending: bytes) -> None:
        """Insert or replace; durable on return."""
        async with self._store.write() as tx:
            await tx.peers.put_invitation(invitation_id, pending, self._clock() + KEPT_MS)

    async def delete(self, invitation_id: bytes) -> None:
        """Forget."""
        async with self._store.write() as tx:
            await tx.peers.delete_invitation(invitation_id)
