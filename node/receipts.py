"""Receipts: telling authors who are no peers of ours what we hold of theirs, and taking what we are told (PROTOCOL §7).

A peer's ACK says the same sooner and for nothing, so a receipt is owed only to authors that are no peers of ours.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from random import SystemRandom
from typing import TYPE_CHECKING

from almenara.node.authoring import ROUTINE, Author, Draft
from almenara.node.clock import HOUR_MS, MINUTE_MS
from almenara.node.problem import Problem
from almenara.node.storage.rows import HoldingRow
from almenara.protocol.object import ObjectType
from almenara.protocol.receipt import RECEIPTED, Receipt, Run, fitting, parse_receipt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almenara.node.circle import Circle
    from almenara.node.circles import Circles
    from almenara.node.clock import Clock
    from almenara.node.deliveries import Deliveries, Settled
    from almenara.node.storage.engine import Transaction
    from almenara.node.storage.rows import AlertRow, ChainRow
    from almenara.protocol.object import Header, SignedObject

AFTER_CRITICAL_MS = 15 * MINUTE_MS
OTHERWISE_MS = 6 * HOUR_MS
SMALL_CIRCLE = (
    24  # members whose receipts, 4 KiB each, stay under 100 KiB; larger circles wait in proportion (ADR 0023)
)
NEWEST_RUNS = 4  # of a chain with many holes: older ones were told before, or are as good as lost
JITTER = 0.5  # of the wait, at its end: members must not all answer in one minute


def wait_ms(members: int, *, critical: bool) -> int:
    """The shortest time between two receipts of ours in a circle of so many members, us included."""
    return (AFTER_CRITICAL_MS if critical else OTHERWISE_MS) * max(1, ceil((members - 1) / SMALL_CIRCLE))


def due_at(now: int, told_at: int | None, planned: int | None, wait: int, jitter: float) -> int:
    """When the next is due, with something new since `now`: the sooner of this and what was planned.

    `jitter`, 0 to 1, takes away up to half of the wait, but never lets two receipts be nearer than that.
    """
    at = max(now + round(wait * (1 - JITTER * jitter)), (told_at or 0) + wait)
    return at if planned is None else min(planned, at)


class Receipts:
    """When a receipt is due stands in the database; maintenance writes it."""

    def __init__(self, circles: Circles, author: Author, deliveries: Deliveries, clock: Clock) -> None:
        self._circles, self._author, self._deliveries, self._clock = circles, author, deliveries, clock
        self._random = SystemRandom()

    # ours

    async def owe(self, tx: Transaction, headers: Iterable[Header], now: int) -> None:
        """These objects have come: for those of authors who do not hear it from us otherwise, a receipt is due."""
        owed: dict[bytes, bool] = {}
        for header in headers:
            if header.type in RECEIPTED and not self._hears_otherwise(header.author):
                owed[header.circle] = owed.get(header.circle, False) or header.lane < ROUTINE
        for circle_id, critical in owed.items():
            circle = self._circles.known(circle_id)
            if circle is not None:
                await self._plan(tx, circle, now, critical=critical)

    def _hears_otherwise(self, author: bytes) -> bool:
        return author == self._circles.own.raw or author in self._circles.verified

    async def _plan(self, tx: Transaction, circle: Circle, now: int, *, critical: bool) -> None:
        """The sooner of what was planned and what this asks for, never sooner after the last than the wait."""
        row = await tx.receipts.due(circle.id)
        wait = wait_ms(len(circle.current.members), critical=critical)
        at = due_at(now, row.told_at, row.due_at, wait, self._random.random())
        if at != row.due_at:
            await tx.receipts.put_due(replace(row, due_at=at))

    async def write_due(self, tx: Transaction) -> int:
        """Write every receipt whose time has come; returns how many."""
        written = 0
        for row in await tx.receipts.due_by(self._clock()):
            circle = self._circles.known(row.circle_id)
            if circle is None or circle.row.state != "active":
                await tx.receipts.put_due(replace(row, due_at=None))
            else:
                written += await self._write(tx, circle)
        return written

    async def _write(self, tx: Transaction, circle: Circle) -> bool:
        try:
            statement_id = self._circles.sendable(circle)
        except Problem:
            return False  # somebody who is out could still read: with the next key
        now = self._clock()
        owed = [chain for chain in await tx.chains.owed(circle.id) if not self._hears_otherwise(chain.author)]
        runs = sorted([run for chain in owed for run in await self._runs(tx, chain)])
        told, rest = fitting(runs)
        if told:
            draft = Draft(
                circle_id=circle.id,
                statement_id=statement_id,
                type=ObjectType.RECEIPT,
                body=Receipt(told).encode(),
                tlp=circle.max_tlp,
                expires_min=0,
            )
            await self._author.post(tx, draft)
        late = {run[:2] for run in rest}
        done = [chain for chain in owed if (chain.author, chain.incarnation) not in late]
        await tx.chains.update([replace(chain, told_seq=chain.due_seq) for chain in done])
        row = await tx.receipts.due(circle.id)
        again = now + wait_ms(len(circle.current.members), critical=True) if rest else None
        await tx.receipts.put_due(replace(row, told_at=now if told else row.told_at, due_at=again))
        return bool(told)

    @staticmethod
    async def _runs(tx: Transaction, chain: ChainRow) -> list[Run]:
        """What is held of a chain, up to the last that a receipt is owed for."""
        runs, first = [], 0
        for gap in await tx.gaps.of(chain.chain_id):
            if gap.first_seq > first and gap.first_seq <= chain.due_seq:
                runs.append(Run(chain.author, chain.incarnation, first, gap.first_seq - 1))
            first = max(first, gap.last_seq + 1)
        if first <= chain.due_seq:
            runs.append(Run(chain.author, chain.incarnation, first, chain.due_seq))
        return runs[-NEWEST_RUNS:]

    # others'

    async def take(self, tx: Transaction, signed: SignedObject) -> list[Settled]:
        """What a member says it holds: of ours, that is *stored* there. Of its receipts the newest is kept.

        Returns the deliveries that are settled by it. Raises `RemoteError`.
        """
        header, own = signed.header, self._circles.own.raw
        stored: list[Settled] = []
        for run in parse_receipt(signed.body, header.author).runs:
            if run.author == own:
                row = HoldingRow(header.circle, header.author, run.incarnation, run.first, run.last)
                before = await tx.receipts.put_holding(row)
                stored += await self._settle(tx, header, run._replace(first=max(run.first, before + 1)))
        await tx.chains.erase_older(header.author, header.circle, header.incarnation, header.seq)
        return stored

    async def holders(self, tx: Transaction, alert: AlertRow) -> set[bytes]:
        """Members whose receipts cover an alert of ours."""
        for chain in await tx.chains.all_of(alert.author, alert.circle_id):
            seq = await tx.chains.place_of(chain.chain_id, alert.alert_id)
            if seq is not None:
                return set(await tx.receipts.holders(alert.circle_id, chain.incarnation, seq))
        return set()

    async def _settle(self, tx: Transaction, header: Header, run: Run) -> list[Settled]:
        ours = {chain.incarnation: chain for chain in await tx.chains.all_of(run.author, header.circle)}
        chain = ours.get(run.incarnation)
        if chain is None:
            return []  # lost in a restore; if it comes back, the member's word is still here
        alerts = await tx.chains.refs_in(chain.chain_id, run.first, run.last)
        return await self._deliveries.receipted(tx, header.author, alerts)
