"""The log: positions, what a peer is offered, what waits for a key, and cursors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.clock import HOUR_MS
from almenara.node.storage.log import GRACE_HOURS
from almenara.node.storage.rows import EnvelopeRow, IdRow
from almenara.protocol.envelope import CLASS_DAYS
from tests.node.storage.conftest import NOW
from tests.node.storage.samples import row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almenara.node.storage.engine import Store

TAG, OTHER_TAG, STRANGE_TAG = b"t" * 16, b"u" * 16, b"v" * 16
US, PEER, THIRD = b"us" * 16, b"peer" * 8, b"third-one-of-all" * 2


def envelope(number: int, **given: Any) -> EnvelopeRow:
    """An envelope of ours under TAG in lane 1."""
    usual = {"tag": TAG, "lane": 1, "cls": 1, "source": US, "recipient": b"", "state": "opened"}
    return row(EnvelopeRow, **({"envelope_id": number.to_bytes(32, "big")} | usual | given))


async def append(store: Store, *rows: EnvelopeRow) -> list[int | None]:
    async with store.write() as tx:
        return await tx.log.append(rows)


async def offered(store: Store, position: int = 0, *, lane: int = 1, tags: Any = (TAG,), limit: int = 100) -> list[int]:
    async with store.read() as tx:
        rows = await tx.log.after(lane, position, tags, PEER, exclude_source=PEER, limit=limit)
    return [found.position for found in rows]


async def test_positions_rise_in_the_order_of_arrival(store: Store) -> None:
    assert await append(store, envelope(1), envelope(2)) == [1, 2]
    assert await append(store, envelope(3)) == [3]
    async with store.read() as tx:
        assert await tx.log.head() == 3


async def test_an_envelope_has_one_position_however_often_it_comes(store: Store) -> None:
    assert await append(store, envelope(1), envelope(1), envelope(2)) == [1, None, 2]
    assert await append(store, envelope(2, state="held"), envelope(3)) == [None, 3]
    async with store.read() as tx:
        ids = [envelope(number).envelope_id for number in (1, 2, 3, 4)]
        assert await tx.log.known(ids) == dict(zip(ids, [(1, "opened"), (2, "opened"), (3, "opened")], strict=False))


async def test_nothing_is_appended_for_nothing(store: Store) -> None:
    assert await append(store) == []
    async with store.read() as tx:
        assert await tx.log.known([]) == {}


async def test_a_position_is_never_given_twice(store: Store) -> None:
    """Positions are cursors at peers: after the newest envelope was deleted, its position must stay unused."""
    await append(store, envelope(1, created_hour=0), envelope(2, created_hour=0))
    async with store.write() as tx:
        assert await tx.log.delete_past_life(1000 * HOUR_MS) == 2
    assert await append(store, envelope(3)) == [3]


async def test_a_rolled_back_batch_leaves_no_gap(store: Store) -> None:
    with pytest.raises(LookupError):  # noqa: PT012 - the transaction is what must raise
        async with store.write() as tx:
            await tx.log.append([envelope(1)])
            raise LookupError
    assert await append(store, envelope(2)) == [1]


async def test_an_envelope_comes_back_as_it_went_in(store: Store) -> None:
    one = envelope(1, data=bytes(range(256)) * 16, recipient=THIRD)
    await append(store, one)
    async with store.read() as tx:
        assert await tx.log.get(one.envelope_id) == one
        assert await tx.log.get(b"?" * 32) is None


async def test_a_peer_is_offered_what_is_under_its_tags(store: Store) -> None:
    await append(store, envelope(1), envelope(2, tag=OTHER_TAG), envelope(3, tag=STRANGE_TAG), envelope(4))
    assert await offered(store, tags=(TAG, OTHER_TAG)) == [1, 2, 4]
    assert await offered(store, tags=[]) == []


async def test_a_peer_is_offered_what_is_addressed_to_it_under_any_tag(store: Store) -> None:
    await append(store, envelope(1, tag=STRANGE_TAG, recipient=PEER), envelope(2, tag=STRANGE_TAG, recipient=THIRD))
    assert await offered(store) == [1]
    assert await offered(store, tags=()) == [1]


async def test_what_is_under_a_tag_and_addressed_is_offered_once(store: Store) -> None:
    await append(store, envelope(1, recipient=PEER))
    assert await offered(store) == [1]


async def test_a_peer_is_not_offered_what_it_sent_nor_what_was_refused(store: Store) -> None:
    await append(store, envelope(1, source=PEER), envelope(2, state="refused"), envelope(3, state="held"), envelope(4))
    assert await offered(store) == [3, 4]


async def test_offers_go_on_after_the_cursor_lane_by_lane_and_end_at_the_limit(store: Store) -> None:
    rows = [envelope(number, lane=number % 2, tag=TAG if number % 3 else OTHER_TAG) for number in range(1, 41)]
    await append(store, *rows)
    odd = list(range(1, 41, 2))
    assert await offered(store, tags=(TAG, OTHER_TAG), limit=5) == odd[:5]
    assert await offered(store, odd[4], tags=(TAG, OTHER_TAG), limit=5) == odd[5:10]
    assert await offered(store, lane=0, tags=(TAG, OTHER_TAG)) == list(range(2, 41, 2))


async def test_a_peer_may_share_more_scopes_than_one_statement_can_follow(store: Store) -> None:
    """146 circles of seven weeks are allowed; SQLite ends a union at 500 parts."""
    tags = [number.to_bytes(16, "big") for number in range(1, 1025)]
    await append(
        store, *[envelope(n, tag=tags[n * 97]) for n in range(1, 9)], envelope(9, tag=bytes(16), recipient=PEER)
    )
    assert await offered(store, tags=tags) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert await offered(store, 2, tags=tags, limit=3) == [3, 4, 5]


async def test_envelopes_by_their_ids(store: Store) -> None:
    await append(store, *[envelope(number) for number in (1, 2, 3)])
    async with store.read() as tx:
        found = await tx.log.of_ids([envelope(3).envelope_id, envelope(1).envelope_id, b"?" * 32])
    assert [one.position for one in found] == [1, 3]


async def test_what_waits_for_a_key_is_found_by_it_until_it_is_opened(store: Store) -> None:
    kid, other = b"k" * 16, b"l" * 16
    waiting = [
        envelope(number, state="held", kid=kid if number < 3 else other, data=b"d" * 100) for number in (1, 2, 3)
    ]
    await append(store, *waiting, envelope(4, kid=kid))
    async with store.write() as tx:
        assert await tx.log.held([kid]) == waiting[:2]
        assert await tx.log.held([kid, other]) == waiting
        assert await tx.log.held([]) == []
        assert await tx.log.held_bytes(TAG) == 300
        await tx.log.set_state([waiting[0].envelope_id], "opened")
        assert await tx.log.held([kid]) == waiting[1:2]
        assert await tx.log.held_bytes(TAG) == 200
        assert await tx.log.held_bytes(OTHER_TAG) == 0


@pytest.mark.parametrize("cls", [0, 1])
async def test_an_envelope_is_kept_for_its_class_and_the_grace(store: Store, cls: int) -> None:
    hour = 500_000
    last_kept = hour - CLASS_DAYS[cls] * 24 - GRACE_HOURS
    ages = [envelope(1, cls=cls, created_hour=last_kept - 1), envelope(2, cls=cls, created_hour=last_kept)]
    await append(store, *ages)
    async with store.write() as tx:
        assert await tx.log.delete_past_life(hour * HOUR_MS + HOUR_MS - 1) == 1
        assert list(await tx.log.known([one.envelope_id for one in ages])) == [ages[1].envelope_id]


async def test_the_backlog_counts_what_a_peer_has_not_taken(store: Store) -> None:
    await append(store, *[envelope(number, lane=number % 2) for number in range(1, 11)], envelope(11, source=PEER))
    async with store.write() as tx:
        assert await tx.log.backlog(PEER, [TAG]) == 10
        await tx.log.set_outgoing(PEER, 1, 5)
        assert await tx.log.outgoing(PEER) == {1: 5}
        assert await tx.log.backlog(PEER, [TAG]) == 7
        assert await tx.log.backlog(PEER, [STRANGE_TAG]) == 0


async def test_cursors_are_kept_for_each_peer_and_lane(open_place: Callable[[], Awaitable[Store]]) -> None:
    store = await open_place()
    async with store.write() as tx:
        await tx.log.set_incoming(PEER, 0, b"epoch", 7)
        await tx.log.set_incoming(PEER, 1, b"epoch", 9)
        await tx.log.set_incoming(THIRD, 1, b"other", 1)
    async with (await open_place()).read() as tx:
        assert await tx.log.incoming(PEER) == {0: (b"epoch", 7), 1: (b"epoch", 9)}
        assert await tx.log.incoming(US) == {}


async def test_a_raised_cursor_never_goes_back_within_an_epoch(store: Store) -> None:
    async with store.write() as tx:
        for epoch, position, reached in ((b"e", 7, 7), (b"e", 5, 7), (b"e", 8, 8), (b"new", 2, 2)):
            await tx.log.raise_incoming(PEER, 1, epoch, position)
            assert await tx.log.incoming(PEER) == {1: (epoch, reached)}


async def test_ids_are_read_in_order_of_arrival_and_go_on_from_where_they_ended(store: Store) -> None:
    await append(store, *[envelope(n, tag=TAG if n < 4 else OTHER_TAG) for n in range(1, 6)])
    async with store.read() as tx:
        first = await tx.log.ids_after(0, 3)
        rest = await tx.log.ids_after(first[-1].position or 0, 3)
        assert [row.position for row in [*first, *rest]] == [1, 2, 3, 4, 5]
        assert [row.tag for row in rest] == [OTHER_TAG, OTHER_TAG]
        assert await tx.log.ids_after(5, 3) == []


async def test_what_was_refused_is_known_by_its_id_until_its_life_and_the_grace_are_over(store: Store) -> None:
    hour = NOW // HOUR_MS
    rows = [IdRow(None, bytes([n]) * 32, TAG, 0, hour - age) for n, age in enumerate((0, 7 * 24 + 48, 7 * 24 + 49))]
    ids = [row.envelope_id for row in rows]
    async with store.write() as tx:
        await tx.log.refuse(rows[:2])
        await tx.log.refuse(rows)  # once more changes nothing
        assert [row.position for row in await tx.log.refused_after(0, 9)] == [1, 2, 3]
        assert await tx.log.refused([*ids, bytes(32)]) == set(ids)
        await tx.log.delete_past_life(NOW)
        assert await tx.log.refused(ids) == set(ids[:2])
        assert await tx.log.known(ids) == {}


async def test_places_are_of_what_may_be_handed_on(store: Store) -> None:
    rows = [envelope(1), envelope(2, lane=0, tag=OTHER_TAG), envelope(3, state="refused")]
    await append(store, *rows)
    async with store.read() as tx:
        found = await tx.log.places([row.envelope_id for row in rows])
    assert {(place.envelope_id, place.lane, place.position, place.tag) for place in found} == {
        (rows[0].envelope_id, 1, 1, TAG),
        (rows[1].envelope_id, 0, 2, OTHER_TAG),
    }


async def test_key_packets_for_one_node(store: Store) -> None:
    rows = [envelope(1), envelope(2, recipient=PEER), envelope(3, recipient=THIRD), envelope(4, recipient=PEER)]
    await append(store, *rows)
    async with store.read() as tx:
        assert await tx.log.addressed(PEER) == [rows[1].envelope_id, rows[3].envelope_id]


async def test_places_come_newest_first_lane_by_lane_without_what_was_refused(store: Store) -> None:
    await append(store, *[envelope(number, lane=number % 2) for number in range(1, 9)], envelope(9, state="refused"))
    async with store.read() as tx:
        first = await tx.log.newest(1, before=10**9, limit=3)
        rest = await tx.log.newest(1, before=first[-1].position, limit=3)
        other = await tx.log.newest(0, before=10**9, limit=10)
    assert [place.position for place in first + rest] == [7, 5, 3, 1]
    assert [place.position for place in other] == [8, 6, 4, 2]
    assert (first[0].envelope_id, first[0].tag, first[0].source) == ((7).to_bytes(32, "big"), TAG, US)
