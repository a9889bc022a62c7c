"""How far each peer has come in our log and we in theirs."""

from __future__ import annotations

from dataclasses import dataclass

from almenara.node.storage import schema
from almenara.node.storage.meta import Counted
from almenara.node.storage.repository import Shape


@dataclass(frozen=True, slots=True)
class _CursorRow:
    node_id: bytes
    direction: str
    lane: int
    epoch: bytes
    position: int


_CURSOR = Shape(_CursorRow, schema.cursors)
_cursor = schema.cursors.c
_IN, _OUT = "incoming", "outgoing"


class Cursors(Counted):
    """A cursor counts only for the epoch of the log it was taken from."""

    __slots__ = ()

    async def incoming(self, node_id: bytes) -> dict[int, tuple[bytes, int]]:
        """By lane: epoch and position that we durably took from a peer's log."""
        return {row.lane: (row.epoch, row.position) for row in await self._cursors(node_id, _IN)}

    async def set_incoming(self, node_id: bytes, lane: int, epoch: bytes, position: int) -> None:
        await self._put(_CURSOR, _CursorRow(node_id, _IN, lane, epoch, position))

    async def raise_incoming(self, node_id: bytes, lane: int, epoch: bytes, position: int) -> None:
        """The same, but never back within one epoch."""
        held = (await self.incoming(node_id)).get(lane)
        if held is None or held[0] != epoch or held[1] < position:
            await self.set_incoming(node_id, lane, epoch, position)

    async def outgoing(self, node_id: bytes) -> dict[int, int]:
        """By lane: the position that a peer told us it durably took from our log."""
        return {row.lane: row.position for row in await self._cursors(node_id, _OUT)}

    async def set_outgoing(self, node_id: bytes, lane: int, position: int) -> None:
        await self._put(_CURSOR, _CursorRow(node_id, _OUT, lane, b"", position))

    async def _cursors(self, node_id: bytes, direction: str) -> list[_CursorRow]:
        where = (_cursor.node_id == node_id, _cursor.direction == direction)
        return await self._rows(_CURSOR, _CURSOR.select().where(*where))
