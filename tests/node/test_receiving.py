"""The parts of receiving: cursor, queue, quotas, credit, and what is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.crypto.identity import NodeId
from almenara.crypto.random import random_bytes
from almenara.node import frontier, inflow, quotas
from almenara.node.clock import DAY_MS, now_ms
from almenara.node.frontier import Frontier
from almenara.node.inflow import Inflow
from almenara.node.queueing import FairQueue
from almenara.node.quotas import Quotas
from almenara.node.storage.engine import open_store
from almenara.node.wanting import ASK_AGAIN_SECONDS, ASKED_AT_ONCE, Wants
from almenara.protocol.flow import INITIAL_CREDIT
from almenara.protocol.limits import SMALL
from almenara.protocol.session import Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

# the cursor


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=60))
def test_the_cursor_never_falls_and_never_passes_what_is_open(script: list[tuple[bool, int]]) -> None:
    lane, waiting, settled, before = Frontier(), set[int](), {0}, 0
    for settles, position in script:
        if settles:
            lane.settle([position])
            waiting.discard(position)
            settled.add(position)
        elif position > before:
            lane.wait(position)
            waiting.add(position)
        else:
            lane.wait(position)
        assert lane.cursor >= before
        assert not [position for position in waiting if before < position <= lane.cursor]
        before = lane.cursor
    for position in waiting:
        lane.settle([position])
    assert lane.cursor == max(settled | waiting)


def test_more_open_positions_than_are_remembered_hold_the_cursor_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontier, "MAX_WAITING", 3)
    lane = Frontier()
    for position in (10, 20, 30, 40):
        lane.wait(position)
    lane.settle([10, 20, 30, 40, 50])
    assert lane.cursor == 39


# the queue


async def test_every_peer_gets_its_turn_and_its_own_order() -> None:
    queue: FairQueue[str, tuple[str, int]] = FairQueue(2)
    for number in range(100):
        await queue.put(1, "loud", ("loud", number), 1, 1_000)
    for number in range(2):
        await queue.put(1, "quiet", ("quiet", number), 1, 1_000)
    taken = await queue.take(6)
    assert taken == [("loud", 0), ("quiet", 0), ("loud", 1), ("quiet", 1), ("loud", 2), ("loud", 3)]
    assert len(queue) == 96


async def test_only_the_peer_that_fills_its_share_waits() -> None:
    queue: FairQueue[str, int] = FairQueue(2)
    for number in range(3):
        await queue.put(1, "loud", number, 4, 10)
    waiting = asyncio.create_task(queue.put(1, "loud", 3, 4, 10))
    await asyncio.sleep(0)
    assert not waiting.done()
    await asyncio.wait_for(queue.put(1, "quiet", 9, 4, 10), 1)
    assert await queue.take(10) == [0, 9, 1, 2]
    await asyncio.wait_for(waiting, 1)
    assert await queue.take(10) == [3]


async def test_what_is_critical_goes_before_everything_routine() -> None:
    queue: FairQueue[str, int] = FairQueue(2)
    for number in range(3):
        await queue.put(1, "loud", number, 1, 10)
    await queue.put(0, "loud", 8, 1, 10)
    await queue.put(0, "quiet", 9, 1, 10)
    assert await queue.take(3) == [8, 9, 0]
    assert await queue.take(3) == [1, 2]
    assert queue._weights == {}


# quotas


class Header:
    """As much of one as counts."""

    def __init__(self, author: bytes = b"a", circle: bytes = b"c", created_min: int = 0) -> None:
        self.author, self.circle, self.created_min = author, circle, created_min


def test_a_peer_has_one_quota_for_each_scope_and_lane_and_it_refills_through_the_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quotas, "SCOPE_COUNT", 4)
    now = 0
    found = Quotas(lambda: now)
    assert [found.admits(b"p", b"t", 1, SMALL) for _ in range(5)] == [True] * 4 + [False]
    assert found.admits(b"p", b"t", 0, SMALL)
    assert found.admits(b"p", b"u", 1, SMALL)
    assert found.admits(b"q", b"t", 1, SMALL)
    now = DAY_MS // 4
    assert [found.admits(b"p", b"t", 1, SMALL) for _ in range(2)] == [True, False]
    now = 9 * DAY_MS
    assert [found.admits(b"p", b"t", 1, SMALL) for _ in range(5)] == [True] * 4 + [False]


def test_bytes_count_too_and_a_clock_that_goes_back_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "SCOPE_BYTES", 3 * SMALL)
    now = DAY_MS
    found = Quotas(lambda: now)
    assert [found.admits(b"p", b"t", 1, 2 * SMALL) for _ in range(2)] == [True, False]
    now = 0
    assert not found.admits(b"p", b"t", 1, 2 * SMALL)
    assert found.admits(b"p", b"t", 1, SMALL)


def test_an_author_has_one_for_each_circle_and_day_of_creation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "AUTHOR_COUNT", 2)
    found, day = Quotas(lambda: 0), 24 * 60
    headers: list[Any] = [Header(), Header(created_min=day - 1), Header(), Header(created_min=day), Header(circle=b"d")]
    assert [found.writes(header) for header in headers] == [True, True, False, True, True]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "MAX_BUCKETS", 10)
    found = Quotas(lambda: 0)
    for number in range(100):
        found.admits(b"p", bytes([number]), 1, SMALL)
        header: Any = Header(author=bytes([number]))
        found.writes(header)
    assert len(found._delivered) == len(found._written) == 10


# credit


async def test_credit_comes_back_when_a_quarter_is_owed_and_slowly_above_a_quota() -> None:
    granted: list[tuple[int, int]] = []
    flow = Inflow(lambda lane, amount: granted.append((lane, amount)))
    quarter = INITIAL_CREDIT[1] // SMALL // inflow.GRANT_SHARE
    for position in range(2 * quarter):
        flow.took(1, position, bytes(SMALL))
    flow.answered(1, [(position, Outcome.STORED) for position in range(quarter - 1)])
    assert granted == []
    flow.answered(1, [(quarter - 1, Outcome.HELD)])
    assert granted == [(1, INITIAL_CREDIT[1] // inflow.GRANT_SHARE)]
    flow.answered(1, [(position, Outcome.BUSY) for position in range(quarter, 2 * quarter)])
    assert len(granted) == 1
    flow._forgive()
    assert granted[1:] == [(1, inflow.BUSY_BYTES)]
    flow.close()


async def test_what_is_answered_twice_gives_its_credit_once() -> None:
    granted: list[int] = []
    flow = Inflow(lambda _, amount: granted.append(amount))
    for position in range(INITIAL_CREDIT[0] // SMALL):
        flow.took(0, position, b"")
    for _ in range(2):
        flow.answered(0, [(position, Outcome.HELD) for position in range(INITIAL_CREDIT[0] // SMALL)])
    assert granted == [INITIAL_CREDIT[0]]


# wishes


class Announcer:
    """A session that notes what it is told."""

    def __init__(self) -> None:
        self.peer, self.peer_epoch = NodeId(random_bytes(32)), random_bytes(16)
        self.wanted: list[tuple[int, int]] = []
        self.answers: dict[int, Outcome] = {}

    def want(self, places: Sequence[tuple[int, int]]) -> None:
        self.wanted += places

    def acknowledge(self, _lane: int, outcomes: list[tuple[int, Outcome]]) -> None:
        self.answers.update(outcomes)


@pytest.fixture
async def wants(tmp_path: Path) -> AsyncIterator[Wants]:
    store = await open_store(tmp_path / "data.db", bytes(32), bytes(32), clock=now_ms)
    yield Wants(store)
    await store.close()


def soon() -> float:
    return asyncio.get_running_loop().time() + 1.0


async def test_one_announcer_is_asked_after_a_moment_and_all_are_answered(wants: Wants) -> None:
    one, two, found = Announcer(), Announcer(), random_bytes(32)
    await wants.announced(one, [(1, 5, found)])
    await wants.announced(two, [(1, 7, found)])
    wants.ask(asyncio.get_running_loop().time())
    assert one.wanted + two.wanted == []
    wants.ask(soon())
    assert sorted([*one.wanted, *two.wanted]) in ([(1, 5)], [(1, 7)])
    wants.arrived({found: Outcome.STORED})
    assert (one.answers, two.answers) == ({5: Outcome.STORED}, {7: Outcome.STORED})
    assert [wants.frontier(each, 1).cursor for each in (one, two)] == [5, 7]


async def test_what_is_in_the_queue_is_not_asked_for(wants: Wants) -> None:
    one, found = Announcer(), random_bytes(32)
    await wants.announced(one, [(1, 5, found)])
    wants.coming(found)
    wants.ask(soon())
    assert one.wanted == []
    wants.came([found])
    wants.ask(soon() + 1)
    assert one.wanted == [(1, 5)]


async def test_the_next_announcer_is_asked_when_the_first_is_silent_or_leaves(wants: Wants) -> None:
    announcers, found = [Announcer() for _ in range(3)], random_bytes(32)
    for each in announcers:
        await wants.announced(each, [(1, 5, found)])
    wants.ask(soon())
    wants.ask(soon() + ASK_AGAIN_SECONDS)
    asked = [each for each in announcers if each.wanted]
    assert len(asked) == 2
    for each in asked:
        wants.left(each)
    wants.ask(soon())
    assert [each.wanted for each in announcers if each not in asked] == [[(1, 5)]]


async def test_what_was_answered_busy_may_be_announced_and_asked_for_again(wants: Wants) -> None:
    one, found = Announcer(), random_bytes(32)
    await wants.announced(one, [(1, 5, found)])
    wants.ask(soon())
    await wants.announced(one, [(1, 5, found)])
    wants.ask(soon() + ASK_AGAIN_SECONDS)
    assert one.wanted == [(1, 5), (1, 5)]


async def test_only_so_much_is_asked_of_one_peer_at_once(wants: Wants) -> None:
    one, two = Announcer(), Announcer()
    ids = [random_bytes(32) for _ in range(2 * ASKED_AT_ONCE)]
    await wants.announced(one, [(1, number, found) for number, found in enumerate(ids)])
    wants.ask(soon())
    assert len(one.wanted) == ASKED_AT_ONCE
    await wants.announced(two, [(1, number, found) for number, found in enumerate(ids)])
    wants.ask(soon() + 1)
    assert (len(one.wanted), len(two.wanted)) == (ASKED_AT_ONCE, ASKED_AT_ONCE)


async def test_a_refused_envelope_is_not_fetched_from_everybody_who_has_it(wants: Wants) -> None:
    one, found = Announcer(), random_bytes(32)
    wants.arrived({found: Outcome.REFUSED})
    await wants.announced(one, [(1, 5, found)])
    wants.ask(soon())
    assert (one.wanted, one.answers) == ([], {5: Outcome.REFUSED})


async def test_cursors_that_rise_without_a_push_are_written_down(wants: Wants) -> None:
    one, found = Announcer(), random_bytes(32)
    await wants.announced(one, [(1, 5, found)])
    wants.arrived({found: Outcome.STORED})
    async with wants._store.write() as tx:
        await wants.write(tx)
        assert (await tx.log.incoming(one.peer.raw))[1] == (one.peer_epoch, 5)
