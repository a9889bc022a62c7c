"""Authors' chains of headers, and the objects in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, select, tuple_, update

from almenara.node.storage import schema
from almenara.node.storage.bulk import BulkInsert
from almenara.node.storage.meta import Counted
from almenara.node.storage.repository import Shape
from almenara.node.storage.rows import ChainKey, ChainRow, ObjectRow

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_CHAIN = Shape(ChainRow, schema.chains)
_OBJECT = Shape(ObjectRow, schema.objects)
_chain, _object = schema.chains.c, schema.objects.c

_COUNTER = "chains"
_insert = BulkInsert(_OBJECT)
_HEAD: dict[str, Any] = {"head_seq": bindparam("new_seq"), "head_hash": bindparam("new_hash")}
_set_head = update(schema.chains).where(_chain.chain_id == bindparam("chain")).values(_HEAD)
_raise_head = _set_head.where(_chain.head_seq < bindparam("new_seq"))


class Chains(Counted):
    """Chains are few and numbered; objects are many and keyed by chain and seq."""

    __slots__ = ()

    async def all(self) -> list[ChainRow]:
        return await self._rows(_CHAIN, _CHAIN.select().order_by(_chain.chain_id))

    async def all_of(self, author: bytes, circle_id: bytes) -> list[ChainRow]:
        """Of one author in one circle, in the order they were first seen."""
        chosen = _CHAIN.select().where(_chain.author == author, _chain.circle_id == circle_id)
        return await self._rows(_CHAIN, chosen.order_by(_chain.chain_id))

    async def get_or_create(self, keys: Collection[ChainKey]) -> dict[ChainKey, int]:
        """The number of each chain; new ones begin empty."""
        found = await self._numbers(keys)
        new = [key for key in dict.fromkeys(keys) if key not in found]
        if new:
            numbers = await self._next(_COUNTER, len(new))
            rows = [ChainRow(number, *key, -1, b"") for number, key in zip(numbers, new, strict=True)]
            await self._add(_CHAIN, rows)
            found |= dict(zip(new, numbers, strict=True))
        return found

    async def _numbers(self, keys: Collection[ChainKey]) -> dict[ChainKey, int]:
        if not keys:
            return {}
        columns = (_chain.author, _chain.circle_id, _chain.incarnation)
        chosen = select(_chain.chain_id, *columns).where(tuple_(*columns).in_(list(keys)))
        return {(row[1], row[2], row[3]): row[0] for row in await self._connection.execute(chosen)}

    async def set_heads(self, heads: Sequence[tuple[int, int, bytes]]) -> None:
        """Set (chain, seq, header hash)."""
        if heads:
            await self._connection.execute(_set_head, _head_values(heads))

    async def raise_heads(self, heads: Sequence[tuple[int, int, bytes]]) -> None:
        """The same, but a head never goes back: objects may come in any order."""
        if heads:
            await self._connection.execute(_raise_head, _head_values(heads))

    async def insert_objects(self, rows: Sequence[ObjectRow]) -> None:
        """Keep objects; a place (chain, seq) that is taken stays as it is."""
        await _insert.run(self._connection, rows)

    async def object_hash(self, chain_id: int, seq: int) -> bytes | None:
        """The header hash at a place, if it is taken."""
        return (await self.existing([(chain_id, seq)])).get((chain_id, seq))

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


def _head_values(heads: Sequence[tuple[int, int, bytes]]) -> list[dict[str, int | bytes]]:
    return [{"chain": chain, "new_seq": seq, "new_hash": found} for chain, seq, found in heads]
