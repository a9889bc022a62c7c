"""A critical alert that is not acknowledged in time: red on the author's panel, and held by two others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from almenara.crypto.identity import NodeId
from almenara.crypto.random import random_bytes
from almenara.node.events import Events
from almenara.node.health import UNACKNOWLEDGED_NEXT, UNACKNOWLEDGED_REASON
from almenara.node.service import LOCAL
from almenara.node.urgent import Sent, Urgent
from tests.support.nodes import make_home, pair, running, until
from tests.support.steps import CASE, direct_circle, own_id, send, stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from almenara.node.service import Service

FOUND, TAG = b"e" * 32, b"t" * 16


async def problems(service: Service) -> list[tuple[str, str | None]]:
    return [
        (problem.code, problem.name)
        for problem in (await service.status(LOCAL)).problems
        if problem.code == "alert-unacknowledged"
    ]


async def red(service: Service) -> bool:
    return await problems(service) == [("alert-unacknowledged", "beta")]


async def test_a_critical_alert_without_an_answer_is_red_until_there_is_one(tmp_path: Path) -> None:
    """With the recipient's name, a reason and a next step, also after a restart; a routine one is not."""
    alpha_home, beta_home = make_home(tmp_path / "a", "alpha"), make_home(tmp_path / "b", "beta")
    async with running(alpha_home) as alpha:
        async with running(beta_home) as beta:
            await pair(alpha, beta)
            circle = await direct_circle(alpha, await own_id(beta))
            answered = await send(alpha, circle)
            await stored(alpha, answered)
        routine = await send(alpha, circle, CASE | {"urgency": "Future"})
        critical = await send(alpha, circle)
        await until(lambda: red(alpha), "the critical alert is red")
        (recipient,) = (await alpha.alert(LOCAL, critical)).recipients or []
        assert (recipient.state, recipient.next) == ("queued", UNACKNOWLEDGED_NEXT)
        (recipient,) = (await alpha.alert(LOCAL, routine)).recipients or []
        assert recipient.next != UNACKNOWLEDGED_NEXT
        (problem,) = [each for each in (await alpha.status(LOCAL)).problems if each.code == "alert-unacknowledged"]
        assert (problem.reason, problem.next) == (UNACKNOWLEDGED_REASON, UNACKNOWLEDGED_NEXT)
    async with running(alpha_home) as alpha:
        await until(lambda: red(alpha), "still red after a restart")
        async with running(beta_home):
            await stored(alpha, critical)

            async def gone() -> bool:
                return not await problems(alpha)

            await until(gone, "no longer red")


class Peer:
    """A live session as far as this module knows it."""

    def __init__(self, *, has: bool = False, in_scope: bool = True, srtt: float = 0.0) -> None:
        self.peer, self.srtt = NodeId(random_bytes(32)), srtt
        self._has, self._in_scope = has, in_scope
        self.given: list[bytes] = []

    def knows(self, _found: bytes) -> bool:
        return self._has

    def proves(self, _tag: bytes) -> bool:
        return self._in_scope

    def offer(self, found: list[bytes]) -> None:
        self.given += found


class Network:
    """Links and deliveries as far as this module knows them, with one alert under way."""

    def __init__(self, *live: Peer, waiting: set[bytes]) -> None:
        self.live, self.open, self.now = list(live), waiting, 0
        parts: Any = self
        self.urgent = Urgent(parts, parts, parts, lambda: self.now, Events())
        self.urgent._sent[FOUND] = Sent(TAG, 0, 60_000)

    def __iter__(self) -> Iterator[Peer]:
        return iter(self.live)

    def of(self, node: bytes) -> Peer | None:
        return next((peer for peer in self.live if peer.peer.raw == node), None)

    def waiting(self, _found: bytes) -> set[bytes]:
        return self.open

    def at(self, ms: int) -> set[NodeId]:
        self.now = ms
        self.urgent.look()
        return self.urgent.late()


def test_late_is_two_time_outs_after_it_came_into_our_log() -> None:
    away = NodeId(b"a" * 32)
    slow, quick = Peer(srtt=2.0), Peer(srtt=0.01)
    network = Network(slow, quick, waiting={away.raw, slow.peer.raw, quick.peer.raw})
    assert network.at(2_000) == set()
    assert network.at(2_001) == {away, quick.peer}
    assert network.at(16_001) == {away, quick.peer, slow.peer}


def test_two_others_in_scope_are_given_it_and_not_again() -> None:
    away, others, stranger = NodeId(b"a" * 32), [Peer() for _ in range(4)], Peer(in_scope=False)
    network = Network(stranger, *others, waiting={away.raw})
    for ms in (1_000, 3_000, 4_000):
        network.at(ms)
    assert sorted(len(peer.given) for peer in others) == [0, 0, 1, 1]
    assert stranger.given == []


def test_who_has_it_already_counts_and_a_new_peer_takes_the_place_of_one_that_left() -> None:
    away, holder, other, newcomer = NodeId(b"a" * 32), Peer(has=True), Peer(), Peer()
    network = Network(holder, other, newcomer, waiting={away.raw})
    network.at(3_000)
    assert (holder.given, other.given, newcomer.given) == ([], [FOUND], [])
    network.live.remove(other)
    network.at(4_000)
    assert newcomer.given == [FOUND]


def test_who_is_late_itself_helps_nobody() -> None:
    late, helper = Peer(), Peer()
    network = Network(late, helper, waiting={late.peer.raw})
    network.at(3_000)
    assert (late.given, helper.given) == ([], [FOUND])


def test_it_ends_with_the_last_answer_or_when_the_alert_expires() -> None:
    away = NodeId(b"a" * 32)
    answered = Network(waiting={away.raw})
    assert answered.at(3_000) == {away}
    answered.open = set()
    assert answered.at(4_000) == set()
    assert not answered.urgent.waits_for(away.raw)
    expired = Network(waiting={away.raw})
    assert expired.at(59_999) == {away}
    assert expired.at(60_000) == set()
