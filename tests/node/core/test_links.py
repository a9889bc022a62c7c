"""When a peer is dialled again: soon, spread out, and not before it asked for (sync rules of DESIGN §6)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from random import Random
from typing import TYPE_CHECKING

from almenara.node.links import CAP_SECONDS, URGENT_CAP_SECONDS
from almenara.node.transport.backoff import Backoff
from almenara.protocol.session import ByeCode
from tests.support.beacons import Beacon, connect, linked
from tests.support.nodes import until

if TYPE_CHECKING:
    from pathlib import Path

RETRY_AFTER = 3_600
PEER = b"p" * 32


async def test_a_peer_that_asks_for_time_is_not_dialled_before_unless_it_calls(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one, two = await Beacon(tmp_path, "one").open(), await Beacon(tmp_path, "two").open()
        for node in (one, two):
            stack.push_async_callback(node.close)
        connect(two, one)  # one dials
        await linked(two, [one])
        session = two.session(one)
        session._say(session._session.bye(ByeCode.BUSY, RETRY_AFTER))

        async def hung_up() -> bool:
            return not one.links.connected(two.id.raw) and one.links._asked_to_wait(two.id.raw) > 0

        await until(hung_up, "one has hung up")
        backoff = Backoff(1.0, CAP_SECONDS, Random(1))
        assert one.links._wait(two.id.raw, backoff) > URGENT_CAP_SECONDS - 60  # no peer can keep us away for longer
        connect(one, two)  # now two dials
        await linked(one, [two])
        assert one.links._asked_to_wait(two.id.raw) == 0


async def test_waits_grow_to_half_an_hour_and_to_five_minutes_while_something_critical_waits(tmp_path: Path) -> None:
    links = Beacon(tmp_path, "one").links
    backoff = Backoff(1.0, CAP_SECONDS, Random(1))
    waits = [links._wait(PEER, backoff) for _ in range(200)]
    assert URGENT_CAP_SECONDS < max(waits) <= CAP_SECONDS
    links.is_urgent = lambda peer: peer == PEER
    assert max(links._wait(PEER, backoff) for _ in range(200)) == URGENT_CAP_SECONDS


async def test_something_critical_ends_a_long_wait_at_once(tmp_path: Path) -> None:
    links = Beacon(tmp_path, "one").links
    backoff = links._backoffs[PEER] = Backoff(1.0, CAP_SECONDS, Random(1))
    ended = links._ended[PEER] = asyncio.Event()
    for _ in range(50):
        backoff.next()
    links.hurry(PEER)
    assert ended.is_set()
    assert backoff.next() <= 3.0
    links.hurry(b"nobody")  # whom we do not dial
