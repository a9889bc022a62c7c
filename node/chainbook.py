"""Every author's chain as it arrives: gaps noted and filled, contradictions kept beside what is held (PROTOCOL §4).

Objects come in any order and are shown at once, so nothing here refuses anything. What comes in order, nearly all,
costs one look at its chain's head; only what comes behind a head is compared with what stands around its place.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from almenara.crypto.identity import NodeId
from almenara.node.authoring import object_row
from almenara.node.circle import anchors
from almenara.node.storage.gaps import LOOSE
from almenara.node.storage.rows import ChainRow, ForkRow, GapRow, ObjectRow, RevisionRow
from almenara.protocol.chain import Fork, ForkKind, Neighbours, find_forks, revision_key
from almenara.protocol.object import ALERT_FAMILY, ObjectType, SignedObject, parse_header
from almenara.protocol.receipt import RECEIPTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almenara.node.register import Register
    from almenara.node.storage.engine import Transaction
    from almenara.node.storage.rows import AlertRow
    from almenara.protocol.object import Header

Arrived = tuple[SignedObject, bytes]
"""A verified object and the id of the envelope that brought it."""

_NOT_HELD = b""  # a twin that is known by its successor's `prev` alone, or an envelope that never came

log = structlog.get_logger()


@dataclass(slots=True)
class _Page:
    """One chain while a batch is written into it."""

    row: ChainRow
    fresh: dict[int, ObjectRow] = field(default_factory=dict)


class Chainbook:
    """Writes objects to their places."""

    def __init__(self, circles: Register) -> None:
        self._circles = circles

    async def keep(self, tx: Transaction, arrived: list[Arrived], now: int) -> set[tuple[bytes, bytes]]:
        """Keep objects of one batch; returns (author, alert) of the alerts that are contradicted now."""
        by_chain: dict[tuple[bytes, bytes, bytes], list[Arrived]] = defaultdict(list)
        for signed, found in arrived:
            header = signed.header
            by_chain[header.author, header.circle, header.incarnation].append((signed, found))
        chains = await tx.chains.take(sorted(by_chain))
        contradicted: set[tuple[bytes, bytes]] = set()
        fresh: list[ObjectRow] = []
        for key, objects in by_chain.items():
            page = _Page(chains[key])
            for signed, found in sorted(objects, key=_seq):
                contradicted |= await self._keep_one(tx, page, signed, found, now)
            fresh += page.fresh.values()
            chains[key] = page.row
        await tx.chains.insert_objects(fresh)
        await tx.chains.update(list(chains.values()))
        if fresh:
            await tx.gaps.found([row.header_hash for row in fresh])
        return contradicted

    async def _keep_one(
        self, tx: Transaction, page: _Page, signed: SignedObject, found: bytes, now: int
    ) -> set[tuple[bytes, bytes]]:
        header, row = signed.header, page.row
        forks: tuple[Fork, ...] = ()
        head = row.head_seq, row.head_hash
        if header.seq > row.head_seq:
            if header.seq > row.head_seq + 1:
                await self._note_gap(tx, row, header, now)
            elif header.seq and header.prev != row.head_hash:
                forks = (Fork(ForkKind.SEQ, header.seq - 1, row.head_hash, header.prev),)
            head, place_is_free = (header.seq, signed.hash), True
        else:
            held = await self._around(tx, page, header.seq)
            forks, place_is_free = find_forks(header, signed.hash, held), held.same is None
            if place_is_free:
                await tx.gaps.fill(row.chain_id, header.seq)
        if place_is_free:
            if not header.seq and header.prev:
                await self._check_beginning(tx, page.row, header, now)
            page.fresh[header.seq] = object_row(signed, row.chain_id, found, now)
            page.row = _lived(row, header, *head)
        contradicted = set()
        for fork in forks:
            contradicted |= await self._contradicts(tx, page, fork, signed, now)
        return contradicted

    async def told(self, tx: Transaction, signed: SignedObject, now: int) -> None:
        """A statement or a leave that came by KEYS fills its place, but shows nothing to be missing before it.

        Newcomers are told statements of times before they came.
        """
        header = signed.header
        key = (header.author, header.circle, header.incarnation)
        if header.seq < (await tx.chains.take([key]))[key].head_seq:
            await self.keep(tx, [(signed, _NOT_HELD)], now)

    async def _note_gap(self, tx: Transaction, row: ChainRow, header: Header, now: int) -> None:
        """What an author said before we came is not missing, and nobody can tell it from what was held back."""
        early = row.head_seq < 0 and not self._came_after_us(header)
        await tx.gaps.add(GapRow(row.chain_id, row.head_seq + 1, header.seq - 1, b"", early, now))

    def _came_after_us(self, header: Header) -> bool:
        """Whether everything the author ever said in this circle was for us too."""
        circle = self._circles.known(header.circle)
        shown = circle.history.find(anchors(circle.row)[0]) if circle else None
        if circle is None or shown is None:
            return False
        before = [step for step in circle.history.chain if step.number < shown.number]
        return self._circles.own in shown.roles or all(NodeId(header.author) not in s.roles for s in (shown, *before))

    async def _check_beginning(self, tx: Transaction, row: ChainRow, header: Header, now: int) -> None:
        """An incarnation goes on from the author's last header before it: if that is not held, something is missing."""
        before = [c for c in await tx.chains.all_of(header.author, header.circle) if c.chain_id != row.chain_id]
        if not before and not self._came_after_us(header):
            return
        if not await tx.chains.knows_header(before, header.prev):
            await tx.gaps.add(GapRow(row.chain_id, LOOSE, LOOSE, header.prev, early=False, noticed_at=now))

    @staticmethod
    async def _around(tx: Transaction, page: _Page, seq: int) -> Neighbours:
        """What is held at a place, before it and after it."""

        async def at(place: int) -> ObjectRow | None:
            return page.fresh.get(place) or await tx.chains.object_at(page.row.chain_id, place)

        same, before, after = await at(seq), await at(seq - 1), await at(seq + 1)
        return Neighbours(
            same=same.header_hash if same else None,
            before=before.header_hash if before else None,
            next_prev=parse_header(after.header).prev if after else None,
        )

    async def _contradicts(
        self, tx: Transaction, page: _Page, fork: Fork, signed: SignedObject, now: int
    ) -> set[tuple[bytes, bytes]]:
        """Keep the pair; the second object whole if it is the one that came, for its place is taken."""
        header = signed.header
        came = fork.second == signed.hash
        held = page.fresh.get(fork.at) or await tx.chains.object_at(page.row.chain_id, fork.at)
        said = [held.ref_id] if held and held.type == ObjectType.ALERT else []
        if came and header.type is ObjectType.ALERT:
            said.append(header.ref_id)
        ref_id = header.ref_id if came else (held.ref_id if held else b"")
        await self._add(tx, header, fork, ref_id, signed.encode() if came else _NOT_HELD, now)
        return {(header.author, ref) for ref in said}

    async def _add(self, tx: Transaction, header: Header, fork: Fork, ref_id: bytes, content: bytes, now: int) -> None:
        log.warning("fork", kind=fork.kind.value, type=int(header.type))
        await tx.forks.add(
            ForkRow(
                first_hash=fork.first,
                second_hash=fork.second,
                author=header.author,
                circle_id=header.circle,
                kind=fork.kind.value,
                ref_id=ref_id,
                at=fork.at,
                content=content,
                found_at=now,
                settled_at=None,
            )
        )

    # revisions: one body each

    async def revise(
        self, tx: Transaction, arrived: Iterable[Arrived], known: Iterable[AlertRow], now: int
    ) -> set[tuple[bytes, bytes]]:
        """Compare what came with the bodies their revisions have; `known` are alerts whose place was taken already.

        Returns (author, alert) as `keep` does.
        """
        contradicted = set()
        objects = [signed for signed, _ in arrived if revision_key(signed.header)]
        again = {(row.alert_id, row.author, row.revision) for row in known}
        alerts = {signed.header.ref_id for signed in objects if signed.header.type is ObjectType.ALERT}
        revised = await tx.forks.alert_commits(alerts)
        for signed in objects:
            header = signed.header
            if header.type is ObjectType.ALERT:
                at = (header.ref_id, header.author, header.revision)
                held = revised.get(at) or (await self._alert_commit(tx, header) if at in again else None)
            else:
                held = await self._revision_commit(tx, header)
            if held is not None and held != header.body_commit:
                fork = Fork(ForkKind.REVISION, header.revision, held, header.body_commit)
                await self._add(tx, header, fork, header.ref_id, signed.encode(), now)
                contradicted.add((header.author, header.ref_id))
        return contradicted

    @staticmethod
    async def _alert_commit(tx: Transaction, header: Header) -> bytes | None:
        rows = await tx.alerts.get(header.ref_id)
        of = (row for row in rows if (row.author, row.revision) == (header.author, header.revision))
        return next((row.body_commit for row in of), None)

    async def _revision_commit(self, tx: Transaction, header: Header) -> bytes | None:
        """Alert, update, cancel and retraction count together, each answer for itself."""
        line = header.type
        if header.type in ALERT_FAMILY:
            line = ObjectType.ALERT
            if held := await self._alert_commit(tx, header):
                return held
        row = RevisionRow(header.ref_id, header.author, int(line), header.revision, header.body_commit)
        return await tx.forks.commit_of(row)


def _seq(arrived: Arrived) -> int:
    return arrived[0].header.seq


def _lived(row: ChainRow, header: Header, head_seq: int, head_hash: bytes) -> ChainRow:
    """Its head, when its objects were made, and what a receipt is owed for: also a number that fills a hole.

    One row made whole: three copies with a change each cost a thirtieth of receiving.
    """
    made, owed = header.created_min, header.type in RECEIPTED
    return ChainRow(
        row.chain_id,
        row.author,
        row.circle_id,
        row.incarnation,
        head_seq,
        head_hash,
        min(row.first_min or made, made),
        max(row.last_min, made),
        max(row.due_seq, header.seq) if owed else row.due_seq,
        min(row.told_seq, header.seq - 1) if owed else row.told_seq,
    )
