"""Numbers that are missing in authors' chains. One row for each hole: what is asked is few rows, never the objects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from almenara.node.storage import schema
from almenara.node.storage.repository import Repository, Shape
from almenara.node.storage.rows import GapRow

if TYPE_CHECKING:
    from collections.abc import Collection

_GAP = Shape(GapRow, schema.gaps)
_gap, _chain = schema.gaps.c, schema.chains.c

LOOSE = -1
"""`first_seq` of a chain whose beginning names a header that is not held."""


class Gaps(Repository):
    """Noted when something comes that leaves a hole, gone when the hole is filled."""

    __slots__ = ()

    async def add(self, row: GapRow) -> None:
        await self._add(_GAP, [row])

    async def of(self, chain_id: int) -> list[GapRow]:
        """The holes of a chain, in order."""
        return await self._rows(_GAP, _GAP.select().where(_gap.chain_id == chain_id).order_by(_gap.first_seq))

    async def fill(self, chain_id: int, seq: int) -> None:
        """A number has come: the hole it was in shrinks, parts in two, or is gone.

        What is missing above it, in a hole that may be from before we came, is not from before any more.
        """
        found = await self._row(_GAP, _gap.chain_id == chain_id, _gap.first_seq <= seq, _gap.last_seq >= seq)
        if found is None:
            return
        await self._delete(schema.gaps, _gap.chain_id == chain_id, _gap.first_seq == found.first_seq)
        below = replace(found, last_seq=seq - 1)
        above = replace(found, first_seq=seq + 1, early=False)
        await self._add(_GAP, [row for row in (below, above) if row.first_seq <= row.last_seq])

    async def found(self, digests: Collection[bytes]) -> None:
        """These headers have come: no chain's beginning hangs loose because of them."""
        loose = await self._values(select(_gap.prev).where(_gap.first_seq == LOOSE))
        if come := set(loose) & set(digests):
            await self._delete(schema.gaps, _gap.first_seq == LOOSE, _gap.prev.in_(list(come)))

    async def standing(self, before: int, after: int) -> list[tuple[bytes, bytes]]:
        """(author, circle) of holes noticed between two instants that are not from before us."""
        chosen = (
            select(_chain.author, _chain.circle_id)
            .distinct()
            .join(schema.chains, _chain.chain_id == _gap.chain_id)
            .where(_gap.early == 0, _gap.noticed_at <= before, _gap.noticed_at > after)
        )
        return [(row[0], row[1]) for row in await self._connection.execute(chosen)]

    async def give_up(self, before: int) -> int:
        """Forget holes noticed so long ago that nothing can fill them any more; returns how many."""
        return await self._delete(schema.gaps, _gap.noticed_at <= before)
