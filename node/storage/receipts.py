"""What members say they hold of ours, and when we owe them the same."""

from __future__ import annotations

from sqlalchemy import select

from almenara.node.storage import schema
from almenara.node.storage.repository import Repository, Shape
from almenara.node.storage.rows import HoldingRow, ReceiptingRow

_HOLDING = Shape(HoldingRow, schema.holdings)
_DUE = Shape(ReceiptingRow, schema.receipting)
_holding, _due = schema.holdings.c, schema.receipting.c


class Receipts(Repository):
    """Few rows: one per member and run of ours, one per circle."""

    __slots__ = ()

    async def put_holding(self, row: HoldingRow) -> int:
        """Returns where the same run ended before, -1 for a new one; an older receipt takes nothing back."""
        same = (
            _holding.circle_id == row.circle_id,
            _holding.node_id == row.node_id,
            _holding.incarnation == row.incarnation,
            _holding.first_seq == row.first_seq,
        )
        held: int | None = await self._value(select(_holding.last_seq).where(*same))
        if held is None or held < row.last_seq:
            await self._put(_HOLDING, row)
        return -1 if held is None else held

    async def holders(self, circle_id: bytes, incarnation: bytes, seq: int) -> list[bytes]:
        """Members that said they hold one object of ours."""
        of = (_holding.circle_id == circle_id, _holding.incarnation == incarnation)
        chosen = select(_holding.node_id).distinct().where(*of)
        return await self._values(chosen.where(_holding.first_seq <= seq, _holding.last_seq >= seq))

    async def due(self, circle_id: bytes) -> ReceiptingRow:
        found = await self._row(_DUE, _due.circle_id == circle_id)
        return found or ReceiptingRow(circle_id, None, None)

    async def put_due(self, row: ReceiptingRow) -> None:
        await self._put(_DUE, row)

    async def due_by(self, now: int) -> list[ReceiptingRow]:
        """Circles whose time has come."""
        return await self._rows(_DUE, _DUE.select().where(_due.due_at <= now))
