"""How far our own alerts have come, recipient by recipient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from almenara.node.storage import schema
from almenara.node.storage.repository import Repository, Shape
from almenara.node.storage.rows import DeliveryRow

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_DELIVERY = Shape(DeliveryRow, schema.deliveries)
_delivery = schema.deliveries.c


class Deliveries(Repository):
    """One row for each envelope of ours and recipient of it."""

    __slots__ = ()

    async def insert(self, rows: Sequence[DeliveryRow]) -> None:
        await self._add(_DELIVERY, rows)

    async def of(self, alert_id: bytes) -> list[DeliveryRow]:
        chosen = _DELIVERY.select().where(_delivery.alert_id == alert_id)
        return await self._rows(_DELIVERY, chosen.order_by(_delivery.node_id))

    async def set(self, envelope_id: bytes, node_id: bytes, **columns: Any) -> None:
        """Change columns of one row; a new `state` never takes *stored* back, and then nothing changes."""
        where = [_delivery.envelope_id == envelope_id, _delivery.node_id == node_id]
        if "state" in columns:
            where.append(_delivery.state != "stored")
        await self._set(schema.deliveries, columns, *where)

    async def repoint(self, alert_id: bytes, nodes: Collection[bytes], envelope_id: bytes) -> None:
        """For these recipients another envelope holds the alert now."""
        columns = {"envelope_id": envelope_id, "state": "queued", "sent_at": None, "reason": ""}
        where = (_delivery.alert_id == alert_id, _delivery.node_id.in_(list(nodes)), _delivery.state != "stored")
        await self._set(schema.deliveries, columns, *where)

    async def by_envelopes(self, ids: Collection[bytes]) -> list[DeliveryRow]:
        chosen = _DELIVERY.select().where(_delivery.envelope_id.in_(list(ids)))
        return await self._rows(_DELIVERY, chosen.order_by(_delivery.envelope_id, _delivery.node_id))

    async def towards(self, node_id: bytes, alerts: Collection[bytes]) -> list[DeliveryRow]:
        """What of these alerts one recipient is not known to have."""
        where = (_delivery.alert_id.in_(list(alerts)), _delivery.node_id == node_id, _delivery.state != "stored")
        return await self._rows(_DELIVERY, _DELIVERY.select().where(*where))

    async def unsettled(self, node_id: bytes) -> list[bytes]:
        """Envelopes that this recipient has not acknowledged as stored and has not refused."""
        return await self._values(select(_delivery.envelope_id).where(_delivery.node_id == node_id, schema.OPEN))

    async def open(self) -> list[DeliveryRow]:
        """Everything that is still under way."""
        return await self._rows(_DELIVERY, _DELIVERY.select().where(schema.OPEN))
