"""Carrying: whom we asked to carry, for whom we carry, and what lies in each asker's pool (PROTOCOL §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, delete, func, select, update

from almenara.node.storage import schema
from almenara.node.storage.repository import Repository, Shape
from almenara.node.storage.rows import AskerRow, CarriedRow, CarrierRow, HolderRow

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_CARRIER = Shape(CarrierRow, schema.carriers)
_CARRIED = Shape(CarriedRow, schema.carried)
_ASKER = Shape(AskerRow, schema.carry_askers)
_HOLDER = Shape(HolderRow, schema.holders)
_carrier, _carried, _asker = schema.carriers.c, schema.carried.c, schema.carry_askers.c
_holder, _log = schema.holders.c, schema.log.c
_size = func.length(_log.data)
_BYTES = func.coalesce(func.sum(_size), 0)


class Carrying(Repository):
    """What is asked and granted; envelopes themselves stand in the log, held."""

    __slots__ = ()

    # whom we asked

    async def carriers(self) -> list[CarrierRow]:
        """In the order of asking."""
        return await self._rows(_CARRIER, _CARRIER.select().order_by(_carrier.asked_at, _carrier.node_id))

    async def put_carrier(self, row: CarrierRow) -> None:
        """Ask; asked already, nothing changes."""
        await self._add(_CARRIER, [row])

    async def delete_carrier(self, circle_id: bytes, node_id: bytes) -> None:
        await self._delete(schema.carriers, _carrier.circle_id == circle_id, _carrier.node_id == node_id)

    async def delete_carriers(self, node_id: bytes) -> None:
        """Ask a peer for nothing any more."""
        await self._delete(schema.carriers, _carrier.node_id == node_id)

    async def set_told(self, node_id: bytes, granted: int, used: int) -> None:
        """What a carrier answered, for all that we asked of it."""
        await self._set(schema.carriers, {"granted": granted, "used": used}, _carrier.node_id == node_id)

    # for whom we carry

    async def askers(self) -> list[AskerRow]:
        """Everybody who asked or has a quota of its own; who asked first comes first."""
        return await self._rows(_ASKER, _ASKER.select().order_by(_asker.asked_at, _asker.node_id))

    async def asker(self, node_id: bytes) -> AskerRow | None:
        return await self._row(_ASKER, _asker.node_id == node_id)

    async def put_asker(self, row: AskerRow) -> None:
        await self._put(_ASKER, row)

    async def delete_asker(self, node_id: bytes) -> None:
        await self._delete(schema.carry_askers, _asker.node_id == node_id)

    async def charge(self, node_id: bytes, size: int) -> None:
        """Count bytes to an asker; fewer than none takes them off."""
        where = schema.carry_askers.c.node_id == node_id
        await self._changed(update(schema.carry_askers).where(where).values(used=_asker.used + size))

    async def carried(self) -> list[CarriedRow]:
        """Every scope of every asker, the latest week first."""
        chosen = _CARRIED.select().order_by(_carried.node_id, _carried.week.desc(), _carried.tag)
        return await self._rows(_CARRIED, chosen)

    async def carried_for(self, node_id: bytes) -> list[CarriedRow]:
        return await self._rows(_CARRIED, _CARRIED.select().where(_carried.node_id == node_id))

    async def add_carried(self, rows: Sequence[CarriedRow]) -> None:
        await self._add(_CARRIED, rows)

    async def end_carried(self, node_id: bytes, tags: Collection[bytes], ends_at: int) -> None:
        """Carry these until then; a day once set is never put off."""
        where = (_carried.node_id == node_id, _carried.tag.in_(list(tags)), _carried.ends_at.is_(None))
        await self._set(schema.carried, {"ends_at": ends_at}, *where)

    async def drop_carried(self, node_id: bytes, tags: Collection[bytes] | None = None) -> set[bytes]:
        """Delete these scopes of an asker, or all; returns their tags."""
        where = [_carried.node_id == node_id]
        if tags is not None:
            where.append(_carried.tag.in_(list(tags)))
        return set(await self._values(delete(schema.carried).where(*where).returning(_carried.tag)))

    async def drop_due(self, now: int, first_week: int) -> set[bytes]:
        """Delete scopes whose day has come or whose week is gone by; returns their tags."""
        due = (_carried.ends_at <= now) | (_carried.week < first_week)
        return set(await self._values(delete(schema.carried).where(due).returning(_carried.tag)))

    async def payer(self, tag: bytes) -> tuple[AskerRow, int] | None:
        """To whom a scope that is carried now is counted, who asked first, and the week of its key."""
        joined = select(*[_asker[name] for name in _ASKER.fields], _carried.week).join(
            schema.carried, _carried.node_id == _asker.node_id
        )
        live = joined.where(_carried.tag == tag, _carried.ends_at.is_(None), _asker.asked_at.is_not(None))
        row = (await self._connection.execute(live.order_by(_asker.asked_at, _asker.node_id).limit(1))).first()
        return None if row is None else (AskerRow(*row[:-1]), row[-1])

    # the pool

    async def used(self, tags: Collection[bytes], lane: int | None = None) -> int:
        """Bytes held under these tags, in one lane or in both."""
        in_lane = () if lane is None else (_log.lane == lane,)
        return int(await self._value(select(_BYTES).where(*_held(tags), *in_lane)))

    async def count(self, tags: Collection[bytes]) -> int:
        """Envelopes held under these tags."""
        return int(await self._value(select(func.count()).where(*_held(tags))))

    async def tags_in_use(self, tags: Collection[bytes]) -> set[bytes]:
        """Those of the tags under which something is held."""
        return set(await self._values(select(_log.tag).distinct().where(*_held(tags))))

    async def oldest_of_heaviest(self, tags: Collection[bytes], lane: int, limit: int) -> list[tuple[bytes, int]]:
        """Of whoever brought most under these tags in one lane, the first envelopes: id and size."""
        held = (*_held(tags), _log.lane == lane)
        by_weight = select(_log.source).where(*held).group_by(_log.source).order_by(_BYTES.desc(), _log.source)
        source = await self._value(by_weight.limit(1))
        if source is None:
            return []
        chosen: Select[Any] = select(_log.envelope_id, _size).where(*held, _log.source == source)
        found = await self._connection.execute(chosen.order_by(_log.position).limit(limit))
        return [(row[0], row[1]) for row in found]

    async def evict(self, ids: Collection[bytes]) -> None:
        """Forget the bytes and keep the ids, so that what gave way is not taken again (PROTOCOL §6)."""
        await self._set(schema.log, {"state": "refused", "data": b""}, _log.envelope_id.in_(list(ids)))

    async def erase(self, tags: Collection[bytes]) -> int:
        """Delete what is held under these tags; returns how many."""
        return await self._delete(schema.log, *_held(tags))

    # who holds envelopes of ours

    async def put_holder(self, row: HolderRow) -> None:
        await self._add(_HOLDER, [row])

    async def holders(self, envelope_ids: Collection[bytes]) -> list[HolderRow]:
        """In the order of their answers."""
        chosen = _HOLDER.select().where(_holder.envelope_id.in_(list(envelope_ids)))
        return await self._rows(_HOLDER, chosen.order_by(_holder.at, _holder.node_id))

    async def prune_holders(self, before: int) -> None:
        """Forget answers about envelopes that nobody holds any more."""
        await self._delete(schema.holders, _holder.at < before)


def _held(tags: Collection[bytes]) -> tuple[ColumnElement[bool], ...]:
    return schema.HELD, _log.tag.in_(list(tags))
