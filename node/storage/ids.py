"""Ids of envelopes without their bytes: what repair compares, and what was refused for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from almenara.node.storage import schema
from almenara.node.storage.bulk import BulkInsert, BulkSelect
from almenara.node.storage.cursors import Cursors
from almenara.node.storage.repository import Shape
from almenara.node.storage.rows import IdRow, PlaceRow

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_LOGGED = Shape(IdRow, schema.log)
_REFUSED = Shape(IdRow, schema.refused)
_log, _refused = schema.log.c, schema.refused.c
_COUNTER = "refused"
_insert = BulkInsert(_REFUSED)
_known = BulkSelect(_refused.envelope_id, _refused.envelope_id)
_places = BulkSelect(
    _log.envelope_id, _log.envelope_id, _log.lane, _log.position, _log.tag, _log.created_hour, _log.state
)


class Ids(Cursors):
    """Both lists only grow at their end, so a reader goes on from the last position it saw."""

    __slots__ = ()

    async def ids_after(self, position: int, limit: int) -> list[IdRow]:
        """Of the log, in order of arrival."""
        return await self._ids(_LOGGED, position, limit)

    async def refused_after(self, position: int, limit: int) -> list[IdRow]:
        """Of the refused, in order of arrival."""
        return await self._ids(_REFUSED, position, limit)

    async def _ids(self, shape: Shape[IdRow], position: int, limit: int) -> list[IdRow]:
        at = shape.table.c.position
        return await self._rows(shape, shape.select().where(at > position).order_by(at).limit(limit))

    async def refuse(self, rows: Sequence[IdRow]) -> None:
        """Remember ids as refused for good; one that is there already stays."""
        ids = [row.envelope_id for row in rows]
        positions = await self._number(_COUNTER, ids, await self.refused(ids))
        await _insert.run_numbered(self._connection, rows, positions)

    async def refused(self, ids: Collection[bytes]) -> set[bytes]:
        """Which of these were refused for good."""
        return {row[0] for row in await _known.run(self._connection, ids)}

    async def places(self, ids: Collection[bytes]) -> list[PlaceRow]:
        """Where those of these stand that are in the log and may be handed on."""
        rows = await _places.run(self._connection, ids)
        return [PlaceRow(*row[:5]) for row in rows if row[5] != "refused"]

    async def addressed(self, recipient: bytes) -> list[bytes]:
        """Ids of key packets for one node."""
        where = (_log.recipient == recipient, schema.ADDRESSED)
        return await self._values(select(_log.envelope_id).where(*where).order_by(_log.position))
