"""Circles, their members as seen from here, and what a circle was told of a case's place and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from almenara.node.storage import schema
from almenara.node.storage.repository import Repository, Shape
from almenara.node.storage.rows import CircleRow, MemberRow


@dataclass(frozen=True, slots=True)
class _FrozenRow:
    case_id: bytes
    circle_id: bytes
    frozen: dict[str, Any]


_CIRCLE = Shape(CircleRow, schema.circles)
_MEMBER = Shape(MemberRow, schema.members)
_FROZEN = Shape(_FrozenRow, schema.frozen)
_circle, _member, _frozen = schema.circles.c, schema.members.c, schema.frozen.c


class Circles(Repository):
    """The named groups we share in, direct circles included."""

    __slots__ = ()

    async def get(self, circle_id: bytes) -> CircleRow | None:
        return await self._row(_CIRCLE, _circle.circle_id == circle_id)

    async def all(self) -> list[CircleRow]:
        """Oldest first."""
        return await self._rows(_CIRCLE, _CIRCLE.select().order_by(_circle.created_at, _circle.circle_id))

    async def put(self, row: CircleRow) -> None:
        await self._put(_CIRCLE, row)

    async def set(self, circle_id: bytes, **columns: Any) -> None:
        await self._set(schema.circles, columns, _circle.circle_id == circle_id)

    async def put_member(self, row: MemberRow) -> None:
        await self._put(_MEMBER, row)

    async def member(self, circle_id: bytes, node_id: bytes) -> MemberRow | None:
        return await self._row(_MEMBER, _member.circle_id == circle_id, _member.node_id == node_id)

    async def members(self, circle_id: bytes) -> list[MemberRow]:
        return await self._rows(
            _MEMBER, _MEMBER.select().where(_member.circle_id == circle_id).order_by(_member.node_id)
        )

    async def all_members(self) -> list[MemberRow]:
        return await self._rows(_MEMBER, _MEMBER.select().order_by(_member.circle_id, _member.node_id))

    async def frozen(self, case_id: bytes, circle_id: bytes) -> dict[str, Any] | None:
        """What the circle was told of the case's place and time; later alerts may only be coarser."""
        where = (_frozen.case_id == case_id, _frozen.circle_id == circle_id)
        found: dict[str, Any] | None = await self._value(select(_frozen.frozen).where(*where))
        return found

    async def put_frozen(self, case_id: bytes, circle_id: bytes, frozen: dict[str, Any]) -> None:
        await self._put(_FROZEN, _FrozenRow(case_id, circle_id, frozen))
