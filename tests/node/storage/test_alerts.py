"""Alerts: positions, the inbox, what is ours, what expires."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from almenara.node.storage.rows import AlertRow
from tests.node.storage.samples import row

if TYPE_CHECKING:
    from almenara.node.storage.engine import Store

CIRCLE, OTHER_CIRCLE = b"c" * 16, b"d" * 16


def alert(number: int, **given: Any) -> AlertRow:
    """Another's current alert."""
    usual = {"alert_id": number.to_bytes(16, "big"), "author": b"a" * 32, "circle_id": CIRCLE, "revision": 1}
    return row(AlertRow, **(usual | {"position": None, "state": "current", "own": False, "case_id": None} | given))


async def insert(store: Store, *rows: AlertRow) -> list[int | None]:
    async with store.write() as tx:
        return await tx.alerts.insert(rows)


async def test_positions_rise_in_the_order_of_arrival(store: Store) -> None:
    assert await insert(store, alert(1), alert(2)) == [1, 2]
    assert await insert(store, alert(3)) == [3]


async def test_an_alert_is_there_once_however_often_it_comes(store: Store) -> None:
    assert await insert(store, alert(1), alert(1)) == [1, None]
    assert await insert(store, alert(1), alert(2)) == [None, 2]
    async with store.read() as tx:
        assert await tx.alerts.count() == 2


async def test_author_and_revision_tell_alerts_with_one_id_apart(store: Store) -> None:
    """Ids are the author's choice, so another author's alert must never push one away."""
    rows = [alert(1), alert(1, revision=2), alert(1, author=b"b" * 32)]
    assert await insert(store, *rows) == [1, 2, 3]
    async with store.read() as tx:
        found = await tx.alerts.get(rows[0].alert_id)
    assert [(one.author[:1], one.revision) for one in found] == [(b"a", 1), (b"a", 2), (b"b", 1)]


async def test_an_alert_comes_back_as_it_went_in(store: Store) -> None:
    body = bytes(range(256))
    one = alert(1, body=body, body_sha256=sha256(body).digest(), own=True, case_id=b"k" * 16)
    await insert(store, one)
    async with store.read() as tx:
        (found,) = await tx.alerts.get(one.alert_id)
    assert found.position == 1
    assert [getattr(found, name) for name in AlertRow.__slots__[1:]] == [
        getattr(one, name) for name in AlertRow.__slots__[1:]
    ]


async def test_the_inbox_goes_on_after_a_position_without_ours_and_erased_ones(store: Store) -> None:
    await insert(store, alert(1), alert(2, own=True), alert(3), alert(4, state="erased"), alert(5, state="expired"))
    async with store.read() as tx:
        assert [one.position for one in await tx.alerts.inbox(0, 100)] == [1, 3, 5]
        assert [one.position for one in await tx.alerts.inbox(0, 2)] == [1, 3]
        assert [one.position for one in await tx.alerts.inbox(3, 100)] == [5]
        assert await tx.alerts.inbox(5, 100) == []


async def test_ours_come_newest_first(store: Store) -> None:
    await insert(store, *[alert(number, own=number != 2) for number in (1, 2, 3)])
    async with store.read() as tx:
        assert [one.position for one in await tx.alerts.own()] == [3, 1]
        assert [one.position for one in await tx.alerts.own(limit=1)] == [3]


async def test_only_what_is_current_and_over_expires(store: Store) -> None:
    await insert(
        store, alert(1, expires_at=99), alert(2, expires_at=100), alert(3, expires_at=101), alert(4, state="forked")
    )
    async with store.write() as tx:
        assert await tx.alerts.expire(100) == 2
        assert await tx.alerts.expire(100) == 0
        states = [(await tx.alerts.get(alert(number).alert_id))[0].state for number in (1, 2, 3, 4)]
    assert states == ["expired", "expired", "current", "forked"]


async def test_equal_views_are_counted_within_their_circle(store: Store) -> None:
    view = sha256(b"view").digest()
    rows = [alert(1, body_sha256=view), alert(2, body_sha256=view), alert(3, body_sha256=view, circle_id=OTHER_CIRCLE)]
    await insert(store, *rows, alert(4))
    async with store.read() as tx:
        assert await tx.alerts.same_view(view, CIRCLE) == 2
        assert await tx.alerts.same_view(view, OTHER_CIRCLE) == 1
        assert await tx.alerts.same_view(sha256(b"other").digest(), CIRCLE) == 0


async def test_a_fork_marks_every_revision_of_that_author_alone(store: Store) -> None:
    rows = [alert(1), alert(1, revision=2), alert(1, author=b"b" * 32)]
    await insert(store, *rows)
    async with store.write() as tx:
        await tx.alerts.mark_forked(rows[0].author, rows[0].alert_id)
        assert [one.state for one in await tx.alerts.get(rows[0].alert_id)] == ["forked", "forked", "current"]
