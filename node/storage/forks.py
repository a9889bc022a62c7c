"""Authors' contradictions, and which body each revision has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from almenara.node.storage import schema
from almenara.node.storage.bulk import BulkSelect
from almenara.node.storage.repository import Repository, Shape
from almenara.node.storage.rows import ForkRow, RevisionRow
from almenara.protocol.object import ObjectType

if TYPE_CHECKING:
    from collections.abc import Collection

_FORK = Shape(ForkRow, schema.forks)
_REVISION = Shape(RevisionRow, schema.revisions)
_fork, _revision = schema.forks.c, schema.revisions.c

_revised = BulkSelect(_revision.ref_id, _revision.ref_id)
_ALERTS = int(ObjectType.ALERT)

RIVALS_KEPT = 16
"""Contradictions kept of one author about one place: more prove nothing more, and would only fill the disk."""


class Forks(Repository):
    """One row for each pair; found again, it changes nothing."""

    __slots__ = ()

    async def add(self, row: ForkRow) -> None:
        pair = (_fork.first_hash == row.first_hash, _fork.second_hash == row.second_hash)
        held = await self._row(_FORK, *pair)
        if held is not None:
            if row.content and not held.content:  # so far known by its successor alone
                await self._set(schema.forks, {"content": row.content, "ref_id": row.ref_id}, *pair)
            return
        same = (_fork.author == row.author, _fork.first_hash == row.first_hash)
        if await self._value(select(func.count()).where(*same)) < RIVALS_KEPT:
            await self._add(_FORK, [row])

    async def of(self, author: bytes, ref_id: bytes) -> list[ForkRow]:
        """The second versions of what an author said under this id, in the order they were found."""
        chosen = _FORK.select().where(_fork.author == author, _fork.ref_id == ref_id)
        return await self._rows(_FORK, chosen.order_by(_fork.found_at))

    async def since(self, found_at: int) -> list[ForkRow]:
        """Those found after an instant, newest first."""
        chosen = _FORK.select().where(_fork.found_at > found_at)
        return await self._rows(_FORK, chosen.order_by(_fork.found_at.desc()))

    async def unsettled(self, author: bytes) -> list[ForkRow]:
        """What somebody has still to look at."""
        chosen = _FORK.select().where(_fork.author == author, _fork.settled_at.is_(None))
        return await self._rows(_FORK, chosen.order_by(_fork.found_at))

    async def settle(self, author: bytes, now: int) -> int:
        """Somebody has looked; returns at how many."""
        return await self._set(schema.forks, {"settled_at": now}, _fork.author == author, _fork.settled_at.is_(None))

    async def alert_commits(self, ref_ids: Collection[bytes]) -> dict[tuple[bytes, bytes, int], bytes]:
        """Bodies that updates, cancels and retractions of these alerts have, by alert, author and revision."""
        rows = await _revised.run(self._connection, ref_ids)
        if not rows:
            return {}
        chosen = _REVISION.select().where(_revision.ref_id.in_({row[0] for row in rows}), _revision.line == _ALERTS)
        return {(row.ref_id, row.author, row.revision): row.body_commit for row in await self._rows(_REVISION, chosen)}

    async def commit_of(self, row: RevisionRow) -> bytes:
        """The body commitment this revision has; that of `row`, which is kept, where it had none."""
        await self._add(_REVISION, [row])
        same = (_revision.ref_id == row.ref_id, _revision.author == row.author)
        at = (_revision.line == row.line, _revision.revision == row.revision)
        found: bytes = await self._value(select(_revision.body_commit).where(*same, *at))
        return found
