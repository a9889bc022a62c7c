"""Alerts, ours and others', in order of arrival."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, not_, select

from almenara.node.storage import schema
from almenara.node.storage.bulk import BulkInsert, BulkSelect
from almenara.node.storage.meta import Counted
from almenara.node.storage.repository import Shape
from almenara.node.storage.rows import AlertRow

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_ALERT = Shape(AlertRow, schema.alerts, view_key="body_sha256")
_alert = schema.alerts.c

_COUNTER = "alerts"
_insert = BulkInsert(_ALERT)
_held = BulkSelect(_alert.alert_id, _alert.author, _alert.alert_id, _alert.revision)
OWN_LIMIT = 1000
"""Own alerts that are listed at a time."""


class Alerts(Counted):
    """Keyed by (author, alert, revision); positions are the inbox's cursor."""

    __slots__ = ()

    async def insert(self, rows: Sequence[AlertRow]) -> list[int | None]:
        """Give each alert the next position; None for one whose (author, alert, revision) is there already."""
        keys = [(row.author, row.alert_id, row.revision) for row in rows]
        positions = await self._number(_COUNTER, keys, await self._held({row.alert_id for row in rows}))
        await _insert.run_numbered(self._connection, rows, positions)
        return positions

    async def _held(self, alert_ids: Collection[bytes]) -> set[tuple[bytes, bytes, int]]:
        return {(row[0], row[1], row[2]) for row in await _held.run(self._connection, alert_ids)}

    async def get(self, alert_id: bytes) -> list[AlertRow]:
        """Every author's and every revision of one id, in order of arrival."""
        return await self._rows(_ALERT, _ALERT.select().where(_alert.alert_id == alert_id).order_by(_alert.position))

    async def inbox(self, after: int, limit: int) -> list[AlertRow]:
        """Others' alerts after a position, in order of arrival."""
        where = (_alert.position > after, not_(schema.OWN), _alert.state != "erased")
        return await self._rows(_ALERT, _ALERT.select().where(*where).order_by(_alert.position).limit(limit))

    async def recent(self, before: int | None, limit: int) -> list[AlertRow]:
        """Others' alerts, newest first, from below a position if one is given."""
        below = () if before is None else (_alert.position < before,)
        chosen = _ALERT.select().where(*below, not_(schema.OWN), _alert.state != "erased")
        return await self._rows(_ALERT, chosen.order_by(_alert.position.desc()).limit(limit))

    async def own(self, limit: int = OWN_LIMIT) -> list[AlertRow]:
        """Ours, newest first."""
        chosen = _ALERT.select().where(schema.OWN)
        return await self._rows(_ALERT, chosen.order_by(_alert.position.desc()).limit(limit))

    async def unheard(self, sent_before: int, now: int) -> list[AlertRow]:
        """Ours that are still live, were sent before an instant, and that somebody is not known to have."""
        chosen = _ALERT.select().where(schema.OWN, schema.CURRENT, _alert.created_at <= sent_before)
        waiting = select(schema.deliveries.c.alert_id).where(schema.OPEN)
        return await self._rows(_ALERT, chosen.where(_alert.expires_at > now, _alert.alert_id.in_(waiting)))

    async def count(self) -> int:
        """How many are held, ours included."""
        found: int = await self._value(select(func.count()).select_from(schema.alerts))
        return found

    async def expire(self, now: int) -> int:
        """Mark those whose time is over; returns how many."""
        due = (schema.CURRENT, _alert.expires_at <= now)
        return await self._set(schema.alerts, {"state": "expired"}, *due)

    async def same_view(self, body_sha256: bytes, circle_id: bytes) -> int:
        """How many alerts in a circle show exactly these bytes; what its author contradicts is not counted."""
        where = (_alert.circle_id == circle_id, _alert.view_key == body_sha256)
        found: int = await self._value(select(func.count()).where(*where))
        return found - int(await self._value(select(func.count()).where(schema.FORKED, *where)))

    async def mark_forked(self, author: bytes, alert_id: bytes) -> None:
        """The author contradicted itself about this alert."""
        await self._set(schema.alerts, {"state": "forked"}, _alert.alert_id == alert_id, _alert.author == author)
