"""Circles, members, statements and their keys."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from almenara.node.storage.rows import CircleRow, ClassKeyRow, LeaveRow, MemberRow, StatementRow
from tests.node.storage.samples import row

if TYPE_CHECKING:
    from almenara.node.storage.engine import Store

CIRCLE, OTHER = b"c" * 16, b"o" * 16


async def test_circles_come_back_as_they_went_in_oldest_first(store: Store) -> None:
    new, old = row(CircleRow, created_at=2, peer=None, joined_at=None), row(CircleRow, created_at=1, invited_by=None)
    async with store.write() as tx:
        await tx.circles.put(new)
        await tx.circles.put(old)
        assert await tx.circles.all() == [old, new]
        assert await tx.circles.get(new.circle_id) == new
        assert await tx.circles.get(b"?") is None
        await tx.circles.set(new.circle_id, state="left", name="renamed")
        assert await tx.circles.get(new.circle_id) == replace(new, state="left", name="renamed")
        await tx.circles.put(replace(old, tier=3))
        assert await tx.circles.get(old.circle_id) == replace(old, tier=3)


async def test_members_belong_to_their_circle(store: Store) -> None:
    ana, bo = row(MemberRow, circle_id=CIRCLE, node_id=b"a"), row(MemberRow, circle_id=CIRCLE, node_id=b"b")
    elsewhere = row(MemberRow, circle_id=OTHER, node_id=b"a")
    async with store.write() as tx:
        for member in (bo, ana, elsewhere):
            await tx.circles.put_member(member)
        await tx.circles.put_member(replace(bo, state="left"))
        assert await tx.circles.members(CIRCLE) == [ana, replace(bo, state="left")]
        assert await tx.circles.member(OTHER, b"a") == elsewhere
        assert await tx.circles.member(OTHER, b"b") is None
        assert await tx.circles.all_members() == [ana, replace(bo, state="left"), elsewhere]


async def test_what_a_circle_was_told_of_a_case_is_kept(store: Store) -> None:
    async with store.write() as tx:
        assert await tx.circles.frozen(b"case", CIRCLE) is None
        await tx.circles.put_frozen(b"case", CIRCLE, {"area": "KE-30", "when": "2026-W47"})
        assert await tx.circles.frozen(b"case", CIRCLE) == {"area": "KE-30", "when": "2026-W47"}
        assert await tx.circles.frozen(b"case", OTHER) is None


async def test_statements_come_parents_first(store: Store) -> None:
    rows = [row(StatementRow, circle_id=CIRCLE, number=number) for number in (2, 1)]
    other = row(StatementRow, circle_id=OTHER, number=1, statement_id=b"zz", epoch_key=None, carry_secret=None)
    async with store.write() as tx:
        for statement in (*rows, other):
            await tx.statements.put(statement)
        assert await tx.statements.of(CIRCLE) == [rows[1], rows[0]]
        assert await tx.statements.all() == [rows[1], other, rows[0]]
        await tx.statements.set(other.statement_id, number=9)
        assert await tx.statements.get(other.statement_id) == replace(other, number=9)
        assert await tx.statements.get(b"?") is None


async def test_content_comes_later_without_touching_the_secrets(store: Store) -> None:
    known = row(StatementRow, content=b"", epoch_key=b"epoch", carry_secret=b"carry", received_at=1)
    full = replace(known, content=b"signed", epoch_key=None, carry_secret=None, received_at=2)
    async with store.write() as tx:
        await tx.statements.put_content(known)
        await tx.statements.put_content(full)
        assert await tx.statements.get(known.statement_id) == replace(known, content=b"signed")
        await tx.statements.put_content(replace(full, content=b""))
        assert await tx.statements.content(known.statement_id) == b"signed"
        assert await tx.statements.content(b"?") == b""


async def test_a_statements_secrets_are_kept_until_the_epoch_key_is_erased(store: Store) -> None:
    one = row(StatementRow, epoch_key=None, carry_secret=None)
    async with store.write() as tx:
        await tx.statements.put(one)
        assert await tx.statements.secrets(one.statement_id) is None
        await tx.statements.put_secrets(one.circle_id, one.statement_id, b"epoch", b"carry")
        assert await tx.statements.secrets(one.statement_id) == (b"epoch", b"carry")
        await tx.statements.erase_epoch_key(one.statement_id)
        assert await tx.statements.secrets(one.statement_id) is None
        assert await tx.statements.get(one.statement_id) == replace(one, carry_secret=b"carry")


async def test_leaves_come_in_order_of_arrival(store: Store) -> None:
    async with store.write() as tx:
        await tx.statements.put_leave(CIRCLE, b"b", b"s", b"signed b", 2)
        await tx.statements.put_leave(CIRCLE, b"a", b"s", b"signed a", 3)
        await tx.statements.put_leave(OTHER, b"a", b"s", b"signed", 1)
        assert await tx.statements.leaves(CIRCLE) == [
            LeaveRow(CIRCLE, b"b", b"s", b"signed b", 2),
            LeaveRow(CIRCLE, b"a", b"s", b"signed a", 3),
        ]


async def test_class_keys_die_on_their_day(store: Store) -> None:
    keys = [row(ClassKeyRow, statement_id=b"s", cls=cls, destroy_at=None) for cls in (0, 1)]
    async with store.write() as tx:
        for key in keys:
            await tx.keys.put(key)
        assert await tx.keys.all() == keys
        assert await tx.keys.destroy_due(10**15) == 0
        await tx.keys.set_destroy(b"s", 0, 100)
        assert await tx.keys.destroy_due(99) == 0
        assert await tx.keys.destroy_due(100) == 1
        assert await tx.keys.all() == keys[1:]


async def test_a_keys_day_is_never_put_off(store: Store) -> None:
    """A successor heard of again, or a branch that wins later, must not keep a key alive."""
    async with store.write() as tx:
        await tx.keys.put(row(ClassKeyRow, statement_id=b"s", cls=0, destroy_at=None))
        await tx.keys.set_destroy(b"s", 0, 100)
        await tx.keys.set_destroy(b"s", 0, 200)
        assert [key.destroy_at for key in await tx.keys.all()] == [100]
