"""Peers, and invitations that were given out."""

from __future__ import annotations

from typing import Any

from almenara.node.storage import schema
from almenara.node.storage.repository import Repository, Shape
from almenara.node.storage.rows import InvitationRow, PeerRow

_PEER = Shape(PeerRow, schema.peers)
_INVITATION = Shape(InvitationRow, schema.invitations)
_peer, _invitation = schema.peers.c, schema.invitations.c


class Peers(Repository):
    """The nodes we paired with."""

    __slots__ = ()

    async def get(self, node_id: bytes) -> PeerRow | None:
        return await self._row(_PEER, _peer.node_id == node_id)

    async def all(self) -> list[PeerRow]:
        """In the order of pairing."""
        return await self._rows(_PEER, _PEER.select().order_by(_peer.paired_at, _peer.node_id))

    async def put(self, row: PeerRow) -> None:
        await self._put(_PEER, row)

    async def set(self, node_id: bytes, **columns: Any) -> None:
        await self._set(schema.peers, columns, _peer.node_id == node_id)

    async def delete(self, node_id: bytes) -> None:
        await self._delete(schema.peers, _peer.node_id == node_id)

    async def put_invitation(self, invite_id: bytes, dump: bytes, expires_at: int) -> None:
        await self._put(_INVITATION, InvitationRow(invite_id, dump, expires_at))

    async def invitation(self, invite_id: bytes) -> InvitationRow | None:
        return await self._row(_INVITATION, _invitation.invite_id == invite_id)

    async def invitations(self) -> list[InvitationRow]:
        """Soonest to expire first."""
        return await self._rows(_INVITATION, _INVITATION.select().order_by(_invitation.expires_at))

    async def delete_invitation(self, invite_id: bytes) -> None:
        await self._delete(schema.invitations, _invitation.invite_id == invite_id)
