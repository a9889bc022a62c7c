"""What stands in a node's log, for tests that look into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from almenara.node.storage.engine import Transaction

MORE_THAN_ANY = 100_000


async def under(tx: Transaction, tag: bytes) -> set[bytes]:
    """Ids of the envelopes that may be handed on under one tag."""
    ids = [row.envelope_id for row in await tx.log.ids_after(0, MORE_THAN_ANY) if row.tag == tag]
    return {place.envelope_id for place in await tx.log.places(ids)}
