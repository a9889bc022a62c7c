"""Small facts about this node's own database, counters of positions, and answers kept for repeated requests."""

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


@dataclass(frozen=True, slots=True)
class _AnswerRow:
    key: bytes
    response: bytes
    at: int


_META = Shape(_MetaRow, schema.meta)
_ANSWER = Shape(_AnswerRow, schema.idempotency)


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


class Idempotency(Repository):
    """What was answered to a request that carried an idempotency key."""

    __slots__ = ()

    async def get(self, key: bytes) -> bytes | None:
        where = schema.idempotency.c.key == key
        found: bytes | None = await self._value(select(schema.idempotency.c.response).where(where))
        return found

    async def put(self, key: bytes, response: bytes, at: int) -> None:
        await self._put(_ANSWER, _AnswerRow(key, response, at))

    async def expire(self, before: int) -> int:
        """Forget what was answered before this instant; returns how many."""
        return await self._delete(schema.idempotency, schema.idempotency.c.at < before)
