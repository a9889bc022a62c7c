"""Small facts about this node's own database, and counters of positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from almenara.node.storage import schema
from almenara.node.storage.repository import Repository, Shape

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence


@dataclass(frozen=True, slots=True)
class _MetaRow:
    key: str
    value: bytes


_META = Shape(_MetaRow, schema.meta)


class Meta(Repository):
    """Named values: the log's epoch, the hash of the first-run code and the like."""

    __slots__ = ()

    async def get(self, key: str) -> bytes | None:
        found: bytes | None = await self._value(select(schema.meta.c.value).where(schema.meta.c.key == key))
        return found

    async def set(self, key: str, value: bytes) -> None:
        await self._put(_META, _MetaRow(key, value))

    async def delete(self, key: str) -> None:
        await self._delete(schema.meta, schema.meta.c.key == key)


class Counted(Repository):
    """Base of repositories that number their rows."""

    __slots__ = ()

    async def _next(self, counter: str, count: int) -> range:
        """`count` fresh numbers. Writers are serialised, so numbers are committed in the order they are given."""
        name, value = schema.counters.c.name, schema.counters.c.value
        taken = update(schema.counters).where(name == counter).values(value=value + count).returning(value)
        last: int = (await self._connection.execute(taken)).scalar_one()
        return range(last - count + 1, last + 1)

    async def _number(self, counter: str, keys: Sequence[Hashable], held: Iterable[Hashable]) -> list[int | None]:
        """A fresh number for each key; None for one that is held, or that came earlier in the same list."""
        seen = set(held)
        new: list[bool] = []
        for key in keys:
            new.append(key not in seen)
            seen.add(key)
        numbers = iter(await self._next(counter, sum(new)) if any(new) else ())
        return [next(numbers) if is_new else None for is_new in new]

    async def _last(self, counter: str) -> int:
        found: int = await self._value(select(schema.counters.c.value).where(schema.counters.c.name == counter))
        return found
