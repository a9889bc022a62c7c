"""Neighbours on a local network, by real multicast DNS on loopback: peers meet, nobody else learns who is there."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from zeroconf import DNSIncoming

from almenara.crypto.certificate import certificate_digest
from almenara.crypto.random import random_bytes
from almenara.node import discovery as discovery_module
from almenara.node.clock import HOUR_MS, MINUTE_MS
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from almenara.node.transport.endpoint import parse_endpoint
from almenara.node.transport.mdns import SERVICE, Air, Interface, interfaces
from almenara.protocol.discovery import NOTICE_BYTES, notice
from tests.support.nodes import free_port, make_home, pair, running, until
from tests.support.steps import own_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from almenara.node.discovery import Discovery
    from almenara.node.home import Home
    from almenara.node.service import Service
    from almenara.node.transport.endpoint import Endpoint
    from tests.support.mesh import Mesh

ON_LOOPBACK = '[discovery]\ninterfaces = ["lo"]\n'
GROUP, PORT = "224.0.0.251", 5353
LOOPBACK = Interface("lo", ipaddress.IPv4Interface("127.0.0.1/8"))


def home_on_loopback(folder: Path, name: str, peer: str | None = None) -> Home:
    home = make_home(folder, name, peer)
    home.config_path.write_text(home.config_path.read_text("utf-8") + ON_LOOPBACK, "utf-8")
    return home


def discovery_of(service: Service) -> Discovery:
    return service._open.discovery


@contextlib.asynccontextmanager
async def estranged(folder: Path) -> AsyncIterator[tuple[Service, Service, str]]:
    """Two peers that cannot connect any more: alpha has moved to another port, and beta has no address."""
    alphas, betas = home_on_loopback(folder / "a", "alpha"), home_on_loopback(folder / "b", "beta", 'listen = ""')
    async with running(betas) as beta:
        async with running(alphas) as alpha:
            await pair(alpha, beta)
            node = await own_id(alpha)
            old = alpha.config.peer.listen
        text = alphas.config_path.read_text("utf-8")
        alphas.config_path.write_text(text.replace(old, f"127.0.0.1:{free_port()}"), "utf-8")
        async with running(alphas) as alpha:
            yield alpha, beta, node


async def connected(service: Service, node: str) -> bool:
    return (await service.peer(LOCAL, node)).connected


async def test_peers_that_lost_each_other_meet_on_the_local_network(tmp_path: Path) -> None:
    """Both look; the one that hears dials the address it heard, and the pinned certificate does the rest."""
    async with estranged(tmp_path) as (alpha, beta, node):
        assert not await connected(beta, node)
        assert (await alpha.discover(LOCAL, 10)).announces
        listening = await beta.discover(LOCAL, 10)
        assert (listening.on, listening.announces, listening.interfaces) == (True, False, ["lo"])

        async def met() -> bool:
            return await connected(beta, node)

        await until(met, "beta hears alpha and connects")
        (found,) = (await beta.discovery(LOCAL)).found
        assert (found.node_id, found.name, found.connected) == (node, "alpha", True)
        assert not (await alpha.stop_discovery(LOCAL)).on
        assert (await alpha.discovery(LOCAL)).found == []


async def test_an_announcement_repeated_by_somebody_else_is_trusted_with_nothing(tmp_path: Path) -> None:
    """A liar with alpha's tags of this hour is dialled, shows no pinned certificate, and hears not one byte of ours."""
    heard: list[bytes] = []

    async def lies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.close()

    async with estranged(tmp_path) as (alpha, beta, node):
        trap = await asyncio.start_server(lies, "127.0.0.1", 0)
        air = Air(LOOPBACK, _nobody)
        await air.open(trap.sockets[0].getsockname()[1], discovery_of(alpha)._notice())
        await beta.discover(LOCAL, 10)

        async def dialled() -> bool:
            return bool(heard)

        await until(dialled, "beta dials what it heard")
        hello = heard[0]
        assert hello[0] == 0x16  # a TLS handshake, and in it nothing that says who speaks
        for word in (b"alpha", b"beta", node.encode(), discovery_of(beta)._circles.own.raw):
            assert word not in hello
        assert not await connected(beta, node)
        assert [one.connected for one in (await beta.discovery(LOCAL)).found] == [False]
        await air.close()
        trap.close()
        await trap.wait_closed()


async def test_a_node_that_nobody_here_is_paired_with_is_counted_and_not_dialled(tmp_path: Path) -> None:
    """Whoever announces what we cannot read is one more, and a notice that breaks the rules is nobody."""
    dialled: list[Any] = []

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.append(writer)
        writer.close()

    async with running(home_on_loopback(tmp_path / "a", "alpha")) as alpha:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        airs = [Air(LOOPBACK, _nobody), Air(LOOPBACK, _nobody)]
        await airs[0].open(port, b"not a notice")
        await airs[1].open(port, notice(set(), random_bytes(NOTICE_BYTES)))
        await alpha.discover(LOCAL, 10)

        async def counted() -> bool:
            return (await alpha.discovery(LOCAL)).others > 0

        await until(counted, "alpha hears the stranger")
        state = await alpha.discovery(LOCAL)
        assert (state.found, dialled) == ([], [])
        for air in airs:
            await air.close()
        server.close()
        await server.wait_closed()


@dataclass
class Ear:
    """What goes to the multicast group on loopback about the node with this port; other tests may be on the air too."""

    port: int
    packets: list[bytes] = field(default_factory=list)

    def listen(self) -> asyncio.DatagramProtocol:
        ear = self

        class Listener(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002 - the protocol's form
                if any(getattr(record, "port", None) == ear.port for record in DNSIncoming(data).answers()):
                    ear.packets.append(data)

        return Listener()

    def told(self) -> tuple[set[str], set[bytes]]:
        """Names and TXT strings of all records so far, cut up: labels, and tags of eight bytes."""
        labels: set[str] = set()
        parts: set[bytes] = set()
        for packet in self.packets:
            for record in DNSIncoming(packet).answers():
                names = [record.name, getattr(record, "server", ""), getattr(record, "alias", "")]
                labels |= {label for name in names for label in name.split(".") if label}
                text = getattr(record, "text", b"")
                if b"t=" in text:
                    tags = text.partition(b"t=")[2][:NOTICE_BYTES]
                    parts |= {tags[start : start + 8] for start in range(0, NOTICE_BYTES, 8)}
        return labels, parts


@contextlib.asynccontextmanager
async def ear(port: int) -> AsyncIterator[Ear]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((GROUP, PORT))
        member = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("127.0.0.1"))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        sock.setblocking(False)
        made = Ear(port)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(made.listen, sock=sock)
        yield made
        transport.close()


async def test_what_is_announced_names_nobody_and_nothing_in_it_is_the_same_an_hour_later(tmp_path: Path) -> None:
    """Captured from the wire: no name, id, fingerprint or host name; no label and no tag of the hour before."""
    alphas, betas = home_on_loopback(tmp_path / "a", "alpha-office"), home_on_loopback(tmp_path / "b", "beta-office")
    async with running(alphas) as alpha, running(betas) as beta:
        await pair(alpha, beta)
        discovery, hours = discovery_of(alpha), []
        real = discovery._clock
        for hour in (0, 1):
            discovery._clock = lambda hour=hour: real() + hour * HOUR_MS
            async with ear(parse_endpoint(alpha.config.peer.listen).port) as listening:
                await discovery.look(10)

                async def announced(listening: Ear = listening) -> bool:
                    return bool(listening.told()[1])

                await until(announced, "the announcement on the wire")
                await discovery.stop()
            hours.append(listening)
        certificate = alpha._open.health._links._door.certificate
        own = discovery._circles.own
        secret = discovery._secret(next(iter(discovery._circles.verified)))
        assert secret is not None
        wire = b"".join(packet for one in hours for packet in one.packets)
        for word in (
            b"alpha-office", b"beta-office", own.raw, own.text.encode(), own.raw.hex().encode(), own.short.encode(),
            certificate, certificate_digest(certificate), certificate_digest(certificate).hex().encode(),
            discovery._circles.direct_with(next(iter(map(type(own), discovery._circles.verified)))).id, secret,
            socket.gethostname().encode(),
        ):  # fmt: skip
            assert word not in wire
        (labels, tags), (later_labels, later_tags) = (one.told() for one in hours)
        kind = set(SERVICE.split(".")) | {"_services", "_dns-sd", "_udp"}
        assert len(labels - kind) >= 2
        assert len(tags) == len(later_tags) == 16
        assert (labels & later_labels) - kind == set()
        assert tags & later_tags == set()


async def test_the_names_change_when_the_hour_does(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stay on the air never crosses the hour, and ends when the time that was asked for does."""
    alpha = await mesh.office("alpha")
    discovery, stays = alpha.node.discovery, []
    mesh.now = mesh.now // HOUR_MS * HOUR_MS + 50 * MINUTE_MS

    async def stay(seconds: float) -> None:
        stays.append(seconds)
        mesh.advance(minutes=seconds / 60)

    monkeypatch.setattr(discovery, "_hour", stay)
    monkeypatch.setattr(discovery, "_interfaces", lambda: [LOOPBACK])
    await discovery.look(30)
    assert discovery._task is not None
    await discovery._task
    assert stays == [600.0, 1200.0]
    assert not discovery.state().on


async def test_it_is_off_until_somebody_asks_and_only_for_so_long(mesh: Mesh) -> None:
    alpha = await mesh.office("alpha")
    assert not alpha.node.discovery.state().on
    for minutes in (0, 61):
        with pytest.raises(Problem) as caught:
            await alpha.service.discover(LOCAL, minutes)
        assert caught.value.field == "minutes"


async def test_behind_a_proxy_or_without_a_network_nothing_is_announced(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that hides behind Tor does not show itself to the café it sits in."""
    alpha = await mesh.office("alpha")
    discovery = alpha.node.discovery
    monkeypatch.setattr(discovery, "_interfaces", list)
    with pytest.raises(Problem) as caught:
        await alpha.service.discover(LOCAL, 10)
    assert (caught.value.kind, caught.value.field) == (Kind.NOT_READY, "discovery.interfaces")
    peer = discovery._config.peer.model_copy(update={"proxy": "socks5://127.0.0.1:9050"})
    monkeypatch.setattr(discovery, "_config", discovery._config.model_copy(update={"peer": peer}))
    with pytest.raises(Problem) as caught:
        await alpha.service.discover(LOCAL, 10)
    assert (caught.value.kind, caught.value.field) == (Kind.NOT_READY, "peer.proxy")
    assert not discovery.state().on


async def test_a_network_that_is_away_is_looked_for_again(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched on in the configuration, it begins when there is something to be on."""
    alpha = await mesh.office("alpha")
    config, there, came = alpha.node.config, asyncio.Event(), asyncio.Event()

    class Stub:
        def __init__(self, on: Interface, _heard: Any) -> None:
            assert on is LOOPBACK

        async def open(self, _port: int | None, _notice: bytes) -> None:
            came.set()

        async def close(self) -> None:
            """Nothing was opened."""

    monkeypatch.setattr(discovery_module, "RETRY_S", 0.01)
    monkeypatch.setattr(discovery_module, "Air", Stub)
    discovery = alpha.node.discovery
    asked: list[bool] = []
    monkeypatch.setattr(discovery, "_interfaces", lambda: [LOOPBACK] if there.is_set() else asked.append(True) or [])
    settings = config.discovery.model_copy(update={"enabled": True, "interfaces": ["lo"]})
    monkeypatch.setattr(discovery, "_config", config.model_copy(update={"discovery": settings}))
    await discovery.start()

    async def tried() -> bool:
        return len(asked) > 2

    await until(tried, "it looks for a network again and again")
    there.set()
    async with asyncio.timeout(20):
        await came.wait()
    assert discovery.state().on
    assert discovery.state().until is None
    await discovery.stop()


def test_only_private_addresses_are_used_and_loopback_only_when_it_is_named() -> None:
    assert [one.name for one in interfaces(["lo"])] == ["lo"]
    assert interfaces(["no-such-interface"]) == []
    for one in interfaces():
        assert one.address.is_private
        assert not one.address.is_loopback


async def test_an_address_outside_the_network_is_no_hint() -> None:
    """Else anybody on the local network could make us call anywhere."""
    narrow: set[Endpoint] = set()
    wide: set[Endpoint] = set()
    here = Interface("lo", ipaddress.IPv4Interface("127.0.0.1/32"))
    elsewhere = Interface("lo", ipaddress.IPv4Interface("127.0.0.2/32"))
    airs = [Air(here, lambda at, _: narrow.add(at)), Air(LOOPBACK, lambda at, _: wide.add(at))]
    airs += [Air(elsewhere, _nobody), Air(here, _nobody)]
    filler = notice(set(), random_bytes(NOTICE_BYTES))
    for air, port in zip(airs, (None, None, 7790, 7791), strict=True):
        await air.open(port, filler)
    outside, inside = parse_endpoint("127.0.0.2:7790"), parse_endpoint("127.0.0.1:7791")

    async def heard() -> bool:
        return wide == {outside, inside} and inside in narrow

    await until(heard, "both announcements, where the network is wide enough")
    assert narrow == {inside}
    for air in airs:
        await air.close()


def _nobody(_at: Endpoint, _told: bytes) -> None:
    """Heard, and let be."""
