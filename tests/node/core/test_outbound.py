"""Nodes that cannot be called: they dial out and keep the line, and meet others through whoever can be reached."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from almenara.crypto.identity import NodeId
from almenara.node import silence
from almenara.node.models import CircleNew
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from almenara.node.transport import acceptor
from almenara.node.transport.sockets import listening_sockets
from tests.support.nodes import make_home, pair, running, until
from tests.support.steps import arrived, join, own_id, send

if TYPE_CHECKING:
    from pathlib import Path

    from almenara.node.service import Service
    from tests.support.mesh import Mesh

NO_PORT = 'listen = ""'


async def red(service: Service) -> set[str]:
    return {problem.code for problem in (await service.status(LOCAL)).problems}


async def test_two_nodes_without_an_open_port_warn_each_other_through_one_that_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They use invitations, open no port, keep their line, and what one sends reaches the other both ways."""
    opened: list[int] = []

    async def counted(host: str, port: int) -> Any:
        opened.append(port)
        return await listening_sockets(host, port)

    monkeypatch.setattr(acceptor, "listening_sockets", counted)
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(running(make_home(tmp_path / "hub", "hub")))
        one = await stack.enter_async_context(running(make_home(tmp_path / "one", "one", NO_PORT)))
        other_stack = await stack.enter_async_context(AsyncExitStack())
        other = await other_stack.enter_async_context(running(make_home(tmp_path / "other", "other", NO_PORT)))
        assert len(opened) == 1
        with pytest.raises(Problem) as caught:
            await one.invite(LOCAL)
        assert (caught.value.kind, caught.value.field, bool(caught.value.next)) == (Kind.NOT_READY, "peer.listen", True)
        await pair(hub, one)
        await pair(hub, other)
        circle = await hub.create_circle(LOCAL, CircleNew(name="c-andes", tier="network"))
        await join(hub, one, circle.circle_id)
        await join(hub, other, circle.circle_id)

        async def all_active() -> bool:
            return [m.state for m in (await one.circle(LOCAL, circle.circle_id)).members] == ["active"] * 3

        await until(all_active, "one knows of other")
        await arrived(other, await send(one, circle.circle_id))
        await arrived(one, await send(other, circle.circle_id))
        assert await red(hub) == await red(one) == set()

        node = await own_id(other)
        await other_stack.aclose()

        async def gone() -> bool:
            return not (await hub.peer(LOCAL, node)).connected

        await until(gone, "the line of a node that was stopped")
        peer = await hub.peer(LOCAL, node)
        assert (peer.reason, bool(peer.last_contact_at)) == (silence.CALLS_US.reason, True)
        assert await red(hub) == set()


async def test_a_node_that_only_calls_is_red_after_a_day_of_silence(mesh: Mesh) -> None:
    """Before that its silence is nobody's task; where neither can be called, somebody has to act."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    alpha.node.links._callers.add(beta.id.raw)
    beta.online = False
    assert await red(alpha.service) == set()
    assert (await alpha.service.peer(LOCAL, beta.text)).reason == silence.CALLS_US.reason
    mesh.advance(days=1)
    assert await red(alpha.service) == {"peer-unreachable"}
    assert (await alpha.service.peer(LOCAL, beta.text)).reason == silence.CALLER_SILENT.reason
    config = alpha.node.config
    closed = config.model_copy(update={"peer": config.peer.model_copy(update={"listen": ""})})
    alpha.node.peers._config = closed
    assert (await alpha.service.peer(LOCAL, beta.text)).reason == silence.NO_WAY.reason
    assert await red(alpha.service) == {"peer-unreachable"}


async def test_of_two_dials_at_once_the_one_by_the_lower_node_id_stays(tmp_path: Path) -> None:
    """Both sides know it without a word, so that they never hang up on each other's."""
    async with running(make_home(tmp_path / "a", "alpha")) as alpha, running(make_home(tmp_path / "b", "beta")) as beta:
        await pair(alpha, beta)
        services = {NodeId.parse(await own_id(service)): service for service in (alpha, beta)}
        low, high = sorted(services, key=lambda node: node.raw)
        ends: dict[NodeId, Any] = {node: service._open.health._links for node, service in services.items()}
        addresses = {node: tuple(service.config.endpoints) for node, service in services.items()}

        async def dials(node: NodeId, other: NodeId) -> None:
            await ends[node]._dial_once(other.raw, addresses[other])

        async def settled() -> bool:
            lower, higher = ends[low].of(high.raw), ends[high].of(low.raw)
            if not lower or not higher or not (lower.ready.is_set() and higher.ready.is_set()):
                return False
            return (lower.inbound, higher.inbound) == (False, True)

        async with asyncio.TaskGroup() as group:
            both = [group.create_task(dials(low, high)), group.create_task(dials(high, low))]
            await until(settled, "the session that the lower node id opened, at both ends")
            assert (len(ends[low]), len(ends[high])) == (1, 1)
            for task in both:
                task.cancel()
