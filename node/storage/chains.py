"""Authors' chains of headers, and the objects in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, or_, select, tuple_, update

from almenara.node.storage import schema
from almenara.node.storage.bulk import BulkInsert
from almenara.node.storage.meta import Counted
from almenara.node.storage.repository import Shape
from almenara.node.storage.rows import ChainKey, ChainRow, ObjectRow
from almenara.protocol.object import ObjectType

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_CHAIN = Shape(ChainRow, schema.chains)
_OBJECT = Shape(ObjectRow, schema.objects)
_chain, _object = schema.chains.c, schema.objects.c

_COUNTER = "chains"
LOOK_BACK, LOOK_AROUND = 256, 32
"""Headers below a head, and newest incarnations, among which the beginning of the next is looked for."""
_insert = BulkInsert(_OBJECT)
_MOVING = ("head_seq", "head_hash", "first_min", "last_min", "due_seq", "told_seq")  # all else names the chain
_NEW: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _MOVING}
_update = update(schema.chains).where(_chain.chain_id == bindparam("chain")).values(_NEW)


class Chains(Counted):
    """Chains are few and numbered; objects are many and keyed by chain and seq."""

    __slots__ = ()

    async def all(self) -> list[ChainRow]:
        return await self._rows(_CHAIN, _CHAIN.select().order_by(_chain.chain_id))

    async def all_of(self, author: bytes, circle_id: bytes) -> list[ChainRow]:
        """Of one author in one circle, in the order they were first seen."""
        chosen = _CHAIN.select().where(_chain.author == author, _chain.circle_id == circle_id)
        return await self._rows(_CHAIN, chosen.order_by(_chain.chain_id))

    async def take(self, keys: Collection[ChainKey]) -> dict[ChainKey, ChainRow]:
        """Each chain as it stands; new ones begin empty."""
        if not keys:
            return {}
        where = tuple_(_chain.author, _chain.circle_id, _chain.incarnation).in_(list(keys))
        held = await self._rows(_CHAIN, _CHAIN.select().where(where))
        found = {(row.author, row.circle_id, row.incarnation): row for row in held}
        new = [key for key in dict.fromkeys(keys) if key not in found]
        if new:
            numbers = await self._next(_COUNTER, len(new))
            rows = [ChainRow(number, *key, -1, b"") for number, key in zip(numbers, new, strict=True)]
            await self._add(_CHAIN, rows)
            found |= dict(zip(new, rows, strict=True))
        return found

    async def update(self, rows: Sequence[ChainRow]) -> None:
        """Write how far chains have come; their keys stay."""
        values = [{f"new_{name}": getattr(row, name) for name in _MOVING} | {"chain": row.chain_id} for row in rows]
        if values:
            await self._connection.execute(_update, values)

    async def owed(self, circle_id: bytes) -> list[ChainRow]:
        """Chains of a circle that hold something no receipt has told of, the first seen first."""
        chosen = _CHAIN.select().where(_chain.circle_id == circle_id, _chain.due_seq > _chain.told_seq)
        return await self._rows(_CHAIN, chosen.order_by(_chain.chain_id))

    async def lived_at_once(self, apart_min: int, since_min: int) -> list[tuple[bytes, bytes]]:
        """(author, circle) of chains that both went on after the other had begun, more than `apart_min` minutes."""
        one, other = schema.chains.alias("one"), schema.chains.alias("other")
        same = and_(
            one.c.author == other.c.author, one.c.circle_id == other.c.circle_id, one.c.chain_id < other.c.chain_id
        )
        crossed = and_(
            one.c.last_min > other.c.first_min + apart_min,
            other.c.last_min > one.c.first_min + apart_min,
            one.c.last_min > since_min,
            other.c.last_min > since_min,
            one.c.first_min > 0,
            other.c.first_min > 0,
        )
        chosen = select(one.c.author, one.c.circle_id).distinct().join(other, same).where(crossed)
        return [(row[0], row[1]) for row in await self._connection.execute(chosen)]

    async def others_of(self, author: bytes, incarnation: bytes, since_min: int) -> list[bytes]:
        """Circles in which another incarnation of an author has said something since a minute."""
        chosen = select(_chain.circle_id).distinct()
        where = (_chain.author == author, _chain.incarnation != incarnation, _chain.last_min > since_min)
        return await self._values(chosen.where(*where))

    async def insert_objects(self, rows: Sequence[ObjectRow]) -> None:
        """Keep objects; a place (chain, seq) that is taken stays as it is."""
        await _insert.run(self._connection, rows)

    async def object_at(self, chain_id: int, seq: int) -> ObjectRow | None:
        """The object at a place, if it is taken."""
        return await self._row(_OBJECT, _object.chain_id == chain_id, _object.seq == seq)

    async def object_hash(self, chain_id: int, seq: int) -> bytes | None:
        """The header hash at a place, if it is taken."""
        return (await self.existing([(chain_id, seq)])).get((chain_id, seq))

    async def objects_in(self, chain_id: int, first: int, last: int) -> list[ObjectRow]:
        """What stands between two numbers, both included."""
        where = (_object.chain_id == chain_id, _object.seq >= first, _object.seq <= last)
        return await self._rows(_OBJECT, _OBJECT.select().where(*where).order_by(_object.seq))

    async def refs_in(self, chain_id: int, first: int, last: int) -> list[bytes]:
        """The alerts that stand between two numbers."""
        where = (_object.chain_id == chain_id, _object.seq >= first, _object.seq <= last)
        return await self._values(select(_object.ref_id).distinct().where(*where, func.length(_object.ref_id) > 0))

    async def place_of(self, chain_id: int, ref_id: bytes) -> int | None:
        """The first number in a chain under which something was said about an alert."""
        found: int | None = await self._value(
            select(func.min(_object.seq)).where(_object.chain_id == chain_id, _object.ref_id == ref_id)
        )
        return found

    async def newest_of(self, author: bytes, circle_id: bytes, ref_id: bytes, kind: int) -> ObjectRow | None:
        """The last object of one type that an author made about an alert in a circle."""
        chosen = _OBJECT.select().join(schema.chains, _chain.chain_id == _object.chain_id)
        where = (_chain.author == author, _chain.circle_id == circle_id, _object.type == kind, _object.ref_id == ref_id)
        rows = await self._rows(_OBJECT, chosen.where(*where).order_by(_object.created_min.desc()).limit(1))
        return rows[0] if rows else None

    async def erase_older(self, author: bytes, circle_id: bytes, incarnation: bytes, seq: int) -> None:
        """Of an author's receipts the newest is kept; of the others the place in the chain."""
        ours = (_chain.author == author, _chain.circle_id == circle_id, _chain.incarnation == incarnation)
        chain_id: int | None = await self._value(select(_chain.chain_id).where(*ours))
        if chain_id is not None:
            older = (_object.seq < seq, _object.seq >= seq - LOOK_BACK, _object.type == int(ObjectType.RECEIPT))
            await self._set(schema.objects, {"body": b"", "salt": b""}, _object.chain_id == chain_id, *older)

    async def knows_header(self, chains: Sequence[ChainRow], digest: bytes) -> bool:
        """Whether a header of these chains has this hash: one of their heads, or one not far below."""
        if any(chain.head_hash == digest for chain in chains):
            return True
        newest = chains[-LOOK_AROUND:]
        near = [and_(_object.chain_id == c.chain_id, _object.seq >= c.head_seq - LOOK_BACK) for c in newest]
        if not near:
            return False
        return await self._value(select(_object.seq).where(or_(*near), _object.header_hash == digest)) is not None

    async def existing(self, places: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Header hashes of the (chain, seq) places that are taken."""
        if not places:
            return {}
        chosen = select(_object.chain_id, _object.seq, _object.header_hash)
        where = tuple_(_object.chain_id, _object.seq).in_(list(places))
        return {(row[0], row[1]): row[2] for row in await self._connection.execute(chosen.where(where))}

    async def taken(self, author: bytes, circle_id: bytes, incarnation: bytes, seq: int) -> bool:
        """Whether an object of this author stands at this place already."""
        same = and_(_chain.author == author, _chain.circle_id == circle_id, _chain.incarnation == incarnation)
        chosen = select(_object.seq).join(schema.chains, _chain.chain_id == _object.chain_id)
        return await self._value(chosen.where(same, _object.seq == seq)) is not None
