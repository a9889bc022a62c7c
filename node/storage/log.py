"""The log: every envelope once, at its position in order of arrival. A peer's queue is the log after its cursor."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, func, or_, select, union

from almenara.node.clock import HOUR_MS
from almenara.node.storage import schema
from almenara.node.storage.bulk import BulkInsert, BulkSelect
from almenara.node.storage.ids import Ids
from almenara.node.storage.repository import Shape
from almenara.node.storage.rows import EnvelopeRow, LoggedRow, Place
from almenara.protocol.limits import CLASS_DAYS, HOURS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_ENVELOPE = Shape(EnvelopeRow, schema.log)
_LOGGED = Shape(LoggedRow, schema.log)
_PLACE = Shape(Place, schema.log)
_log = schema.log.c

_COUNTER = "log"
GRACE_HOURS = 48
"""How long an envelope stays known after its class's life, so that a late copy is recognised (PROTOCOL §6)."""

LANES = (0, 1)

WALKS = 400
"""Tags that one statement may follow: SQLite takes no more than 500 parts of a union."""

_NOT_REFUSED = _log.state != "refused"
_insert = BulkInsert(_ENVELOPE)
_known = BulkSelect(_log.envelope_id, _log.envelope_id, _log.position, _log.state)


class Log(Ids):
    """Envelopes, their ids, and cursors in them."""

    __slots__ = ()

    async def append(self, rows: Sequence[EnvelopeRow], *, known: Collection[bytes] | None = None) -> list[int | None]:
        """Give each envelope the next position; None for one that is there already, or twice in `rows`.

        `known` are those of the ids that are there, where the caller asked in this transaction.
        """
        ids = [row.envelope_id for row in rows]
        positions = await self._number(_COUNTER, ids, await self.known(ids) if known is None else known)
        await _insert.run_numbered(self._connection, rows, positions)
        return positions

    async def known(self, ids: Collection[bytes]) -> dict[bytes, tuple[int, str]]:
        """Position and state of those that are here."""
        return {row[0]: (row[1], row[2]) for row in await _known.run(self._connection, ids)}

    async def after(
        self,
        lane: int,
        position: int,
        tags: Collection[bytes],
        recipient: bytes,
        *,
        exclude_source: bytes,
        limit: int,
    ) -> list[LoggedRow]:
        """What comes next for a peer in one lane: under its tags, or addressed to it; not what it sent us itself."""
        values = {"lane": lane, "after": position, "recipient": recipient, "source": exclude_source, "limit": limit}
        found: dict[int, LoggedRow] = {}
        for part in _parts(list(tags)):
            names = {f"tag_{number}": tag for number, tag in enumerate(part)}
            rows = await self._connection.execute(_next_for(len(names)), values | names)
            found |= {row[0]: LoggedRow(*row) for row in rows}
        return [found[position] for position in sorted(found)[:limit]]

    async def of_ids(self, ids: Collection[bytes]) -> list[LoggedRow]:
        """These envelopes, by position."""
        return await self._rows(
            _LOGGED, _LOGGED.select().where(_log.envelope_id.in_(list(ids))).order_by(_log.position)
        )

    async def newest(self, lane: int, *, before: int, limit: int) -> list[Place]:
        """Where envelopes stand in one lane below a position, the newest first, without their bytes."""
        where = (_log.lane == lane, _log.position < before, _NOT_REFUSED)
        chosen = _PLACE.select().where(*where).order_by(_log.position.desc()).limit(limit)
        return await self._rows(_PLACE, chosen)

    async def get(self, envelope_id: bytes) -> EnvelopeRow | None:
        return await self._row(_ENVELOPE, _log.envelope_id == envelope_id)

    async def held(self, kids: Collection[bytes]) -> list[EnvelopeRow]:
        """Envelopes that wait for one of these keys, in order of arrival."""
        chosen = _ENVELOPE.select().where(schema.HELD, _log.kid.in_(list(kids)))
        return await self._rows(_ENVELOPE, chosen.order_by(_log.position))

    async def held_bytes(self, tag: bytes) -> int:
        """How much waits for keys under one tag."""
        total = select(func.coalesce(func.sum(func.length(_log.data)), 0))
        found: int = await self._value(total.where(schema.HELD, _log.tag == tag))
        return int(found)

    async def set_state(self, ids: Collection[bytes], state: str) -> None:
        await self._set(schema.log, {"state": state}, _log.envelope_id.in_(list(ids)))

    async def head(self) -> int:
        """The last position given out, 0 for none."""
        return await self._last(_COUNTER)

    async def backlog(self, node_id: bytes, tags: Collection[bytes]) -> int:
        """How many envelopes under these tags a peer has not told us it took."""
        reached = await self.outgoing(node_id)
        waiting = or_(*[and_(_log.lane == lane, _log.position > reached.get(lane, 0)) for lane in LANES])
        offered = (_log.tag.in_(list(tags)), _log.source != node_id, _NOT_REFUSED)
        count = select(func.count()).where(*offered, waiting)
        found: int = await self._value(count)
        return found

    async def delete_past_life(self, now_ms: int) -> int:
        """Delete what is past its class's life and the grace after it; returns how many."""
        await self._delete(schema.refused, _past_life(schema.refused, now_ms))
        return await self._delete(schema.log, _past_life(schema.log, now_ms))


def _past_life(table: Table, now_ms: int) -> ColumnElement[bool]:
    hour = now_ms // HOUR_MS
    return or_(
        *(
            and_(table.c.cls == cls, table.c.created_hour < hour - days * HOURS_PER_DAY - GRACE_HOURS)
            for cls, days in enumerate(CLASS_DAYS)
        )
    )


def _parts(tags: list[bytes]) -> list[list[bytes]]:
    """One part for each statement; one even without tags, for what is addressed."""
    return [tags[at : at + WALKS] for at in range(0, max(len(tags), 1), WALKS)]


def _walk(*where: ColumnElement[bool]) -> Select[Any]:
    """The next positions that meet a condition; each walk follows one index and ends at the limit."""
    chosen = select(_log.position).where(*where, _log.position > bindparam("after"), _NOT_REFUSED)
    limited = chosen.order_by(_log.position).limit(bindparam("limit")).subquery()
    return select(limited.c.position)


def _first_of(walks: Sequence[Select[Any]]) -> Select[Any]:
    """The rows at the first of the positions that several walks found, so that only these are read."""
    found = union(*walks).subquery()
    first = select(found.c.position).order_by(found.c.position).limit(bindparam("limit")).subquery()
    return _LOGGED.select().join(first, first.c.position == _log.position).order_by(_log.position)


@lru_cache(maxsize=256)
def _next_for(tags: int) -> Select[Any]:
    lane, source = _log.lane == bindparam("lane"), _log.source != bindparam("source")
    addressed = _walk(_log.recipient == bindparam("recipient"), schema.ADDRESSED, lane, source)
    return _first_of([addressed, *[_walk(_log.tag == bindparam(f"tag_{n}"), lane, source) for n in range(tags)]])
