"""Routine alerts among a dozen real nodes: they reach everybody, and travel far fewer times than by flooding."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from almenara.crypto.identity import NodeId
from almenara.crypto.random import random_bytes
from almenara.node import fanout, wanting
from almenara.node.exchange import Exchange
from almenara.node.fanout import PUSHED, Fanout
from almenara.node.outflow import Outflow
from almenara.protocol.envelope import envelope_id
from almenara.protocol.limits import LARGE, MEDIUM
from tests.support.beacons import Beacon, connect, linked, sealed
from tests.support.nodes import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from almenara.protocol.session import Pushed

NODES = 12
ALERTS = 6
COPIES = 2.8  # of an envelope that a node receives at most; computed 2.7, by flooding here 5.5
SESSIONS = [(left, right) for left, right in combinations(range(NODES), 2) if left == 0 or right - left in {1, 2, 5}]


class Peer:
    """A live session as far as fan-out knows it."""

    def __init__(self, *, offers: bool = True) -> None:
        self.peer, self._offers = NodeId(random_bytes(32)), offers

    def offers(self, _id: bytes, _tag: bytes) -> bool:
        return self._offers


def test_three_are_pushed_the_rest_hear_of_it_and_every_session_is_told_the_same() -> None:
    peers = [Peer() for _ in range(50)]
    chooser = Fanout(lambda: peers)
    for found in range(20):
        choices = [
            {peer.peer.raw for peer in peers if chooser.pushes(bytes([found]), b"tag", peer.peer)} for _ in range(2)
        ]
        assert choices[0] == choices[1]
        assert len(choices[0]) == PUSHED
    assert (
        len({peer.peer.raw for peer in peers for found in range(20) if chooser.pushes(bytes([found]), b"", peer.peer)})
        > 3
    )


def test_who_has_it_or_is_not_in_scope_takes_nobodys_place() -> None:
    inside, outside = [Peer(), Peer()], [Peer(offers=False) for _ in range(20)]
    chooser = Fanout(lambda: [*outside, *inside])
    assert all(chooser.pushes(b"id", b"tag", peer.peer) for peer in inside)
    assert not any(chooser.pushes(b"id", b"tag", peer.peer) for peer in outside)


async def test_routine_envelopes_reach_a_dozen_nodes_with_few_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has six to eleven sessions; each envelope must reach everybody, on few of them."""
    copies: Counter[bytes] = Counter()
    on_push = Exchange._on_push

    async def counted(self: Exchange, event: Pushed) -> None:
        copies[event.envelope] += 1
        await on_push(self, event)

    monkeypatch.setattr(Exchange, "_on_push", counted)
    async with AsyncExitStack() as stack:
        nodes = [await Beacon(tmp_path, f"n{number}").open() for number in range(NODES)]
        for node in nodes:
            stack.push_async_callback(node.close)
        for left, right in SESSIONS:
            connect(nodes[left], nodes[right])
        for left, right in SESSIONS:
            await linked(nodes[left], [nodes[right]])
        envelopes = []
        for number in range(ALERTS):
            envelopes.append(sealed())
            await nodes[number].post(envelopes[-1])
            for node in nodes:
                await until(lambda node=node: node.holds(*envelopes), "everybody has it")  # type: ignore[misc]
        await asyncio.sleep(0.6)  # what is still on its way would count against us
    assert sum(copies[envelope] for envelope in envelopes) <= ALERTS * COPIES * (NODES - 1)
    assert min(copies.values()) >= NODES - 1


async def test_a_critical_envelope_goes_to_everybody_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to ask for it, and it does not come back to whoever brought it."""
    monkeypatch.setattr(Exchange, "want", lambda *_: pytest.fail("a critical envelope was asked for"))
    async with AsyncExitStack() as stack:
        nodes = [await Beacon(tmp_path, f"n{number}").open() for number in range(6)]
        for node in nodes:
            stack.push_async_callback(node.close)
        for other in nodes[1:]:
            connect(nodes[0], other)
        await linked(nodes[0], nodes[1:])
        envelope = sealed(lane=0)
        await nodes[1].post(envelope)
        for node in nodes:
            await until(lambda node=node: node.holds(envelope), "everybody has it")  # type: ignore[misc]
        assert not nodes[0].session(nodes[1])._outflow._in_flight


async def test_an_announced_envelope_is_fetched_when_nobody_pushes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is asked first never answers; the next announcer is asked, and the cursor catches up."""
    monkeypatch.setattr(fanout, "PUSHED", 0)
    monkeypatch.setattr(wanting, "ASK_AGAIN_SECONDS", 0.5)
    deaf: list[Exchange] = []
    wanted = Outflow.wanted

    def once_deaf(self: Outflow, places: Sequence[tuple[int, int]]) -> None:
        if deaf:
            wanted(self, places)
        deaf.append(self)  # type: ignore[arg-type]

    monkeypatch.setattr(Outflow, "wanted", once_deaf)
    async with AsyncExitStack() as stack:
        one, two, three = [await Beacon(tmp_path, name).open() for name in ("one", "two", "three")]
        for node in (one, two, three):
            stack.push_async_callback(node.close)
        connect(three, one)
        connect(three, two)
        await linked(three, [one, two])
        envelope = sealed()
        await one.post(envelope)
        await two.post(envelope)
        await until(lambda: three.holds(envelope), "from the second that was asked")
        wants = three.ingest.wants
        for other in (one, two):
            await until(lambda other=other: _settled(other, three), "both have their answer")  # type: ignore[misc]
            assert wants.frontier(three.session(other), 1).cursor == 1
    assert len(deaf) == 2


async def _settled(sender: Beacon, receiver: Beacon) -> bool:
    return not sender.session(receiver)._outflow._in_flight


async def test_a_backlog_arrives_critical_first_and_within_credit(tmp_path: Path) -> None:
    """More than any credit allows at once: it comes in turn, and large ones in parts."""
    async with AsyncExitStack() as stack:
        one, two = await Beacon(tmp_path, "one").open(), await Beacon(tmp_path, "two").open()
        for node in (one, two):
            stack.push_async_callback(node.close)
        backlog = [*[sealed() for _ in range(600)], *[sealed(size=size) for size in (MEDIUM, LARGE)]]
        critical = [sealed(lane=0) for _ in range(5)]
        await one.post(*backlog, *critical)
        connect(one, two)
        await until(lambda: two.holds(*backlog, *critical), "the whole backlog")
        async with two.store.read() as tx:
            known = await tx.log.known([envelope_id(envelope) for envelope in critical])
        assert sorted(position for position, _ in known.values()) == [1, 2, 3, 4, 5]
