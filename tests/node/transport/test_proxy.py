"""Dialling through a SOCKS5 proxy: names are the proxy's business, and TLS is pinned end to end as ever."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from almenara.crypto.certificate import certificate_digest
from almenara.node.transport import dialer
from almenara.node.transport.dialer import Dialer
from almenara.node.transport.endpoint import Endpoint, parse_endpoint
from almenara.node.transport.errors import DialFault, EndpointMalformed, Unreachable
from almenara.node.transport.proxy import parse_proxy
from tests.support.nodes import free_port
from tests.support.socks import REFUSED_CREDENTIALS, Socks, socks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.node.transport.conftest import Tower

    Build = Callable[..., Awaitable[Tower]]

ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:7790"
NAME = "node.example.org:7790"


@pytest.fixture
async def through(pair: tuple[Tower, Tower]) -> AsyncIterator[tuple[Tower, Tower, Socks]]:
    """Two towers, the second of which dials through a proxy that finds the first under two names."""
    a, b = pair
    async with socks() as proxy:
        proxy.places = {ONION: a.listener.port, NAME: a.listener.port, a.endpoint: a.listener.port}
        b.dialer = Dialer(b.door, proxy=parse_proxy(f"socks5://{proxy.address}"))
        yield a, b, proxy
        await b.dialer.close()


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every name that anybody in this process asks the system for."""
    asked: list[Any] = []
    real = socket.getaddrinfo

    def recorded(host: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", recorded)
    return asked


async def fault_of(tower: Tower, peer: Tower, endpoint: str) -> DialFault:
    with pytest.raises(Unreachable) as caught:
        await tower.dialer.dial(peer.id, endpoint)
    return caught.value.fault


async def test_a_link_through_a_proxy_is_pinned_and_no_name_is_looked_up_here(
    through: tuple[Tower, Tower, Socks], looked_up: list[Any]
) -> None:
    a, b, proxy = through
    for endpoint in (ONION, NAME, a.endpoint):
        async with await b.dialer.dial(a.id, endpoint) as link:
            await link.send(b"hello")
            assert await link.receive() == b"hello"
        assert (await a.links.get()).peer == b.id
    assert proxy.asked == [ONION, NAME, a.endpoint]
    assert [host for host in looked_up if host not in {"127.0.0.1", None}] == []


async def test_the_recorder_of_lookups_hears_one_where_there_is_no_proxy(
    pair: tuple[Tower, Tower], looked_up: list[Any]
) -> None:
    """Else the test before this one could not fail."""
    a, b = pair
    assert await fault_of(b, a, "node.invalid:7790") is DialFault.NO_SUCH_NAME
    assert "node.invalid" in looked_up


async def test_pairing_goes_through_the_proxy_by_the_digest(through: tuple[Tower, Tower, Socks]) -> None:
    a, b, proxy = through
    a.door.open_for_strangers(allowed=True)
    digest = certificate_digest(a.identity.cert_der)
    async with await b.dialer.dial_pairing(ONION, digest) as channel:
        await channel.send(b"hello")
        assert await channel.receive() == b"hello"
    assert proxy.asked == [ONION]


async def test_another_node_behind_the_proxy_is_told_from_the_right_one(
    through: tuple[Tower, Tower, Socks], build: Build
) -> None:
    """Whoever the proxy connects us to has to show the pinned certificate: pairing and sessions alike."""
    a, b, proxy = through
    mallory = await build("mallory")
    mallory.knows(b)
    mallory.door.open_for_strangers(allowed=True)
    proxy.places[ONION] = mallory.listener.port
    assert await fault_of(b, a, ONION) is DialFault.WRONG_CERTIFICATE
    with pytest.raises(Unreachable) as caught:
        await b.dialer.dial_pairing(ONION, certificate_digest(a.identity.cert_der))
    assert caught.value.fault is DialFault.WRONG_CERTIFICATE
    assert mallory.links.empty()
    assert mallory.channels.empty()


async def test_two_peers_never_share_the_credentials_by_which_tor_shares_circuits(
    through: tuple[Tower, Tower, Socks],
) -> None:
    a, b, proxy = through
    for endpoint in (ONION, NAME, ONION):
        await (await b.dialer.dial(a.id, endpoint)).close()
    onion, name, again = proxy.credentials
    assert onion == again != name


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (1, DialFault.NO_ANSWER),
        (2, DialFault.PROXY_REFUSED),
        (3, DialFault.NO_ANSWER),
        (4, DialFault.NO_ANSWER),
        (5, DialFault.NO_ANSWER),
        (6, DialFault.NO_ANSWER),
        (7, DialFault.PROXY_REFUSED),
        (8, DialFault.PROXY_REFUSED),
        (0xF6, DialFault.PROXY_REFUSED),
        (REFUSED_CREDENTIALS, DialFault.PROXY_REFUSED),
    ],
)
async def test_every_refusal_of_a_proxy_has_its_fault(
    through: tuple[Tower, Tower, Socks], reply: int, fault: DialFault
) -> None:
    a, b, proxy = through
    proxy.reply = reply
    assert await fault_of(b, a, ONION) is fault


async def test_a_proxy_that_is_not_there_is_told_from_a_peer_that_is_not(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    b.dialer = Dialer(b.door, proxy=Endpoint("127.0.0.1", free_port()))
    assert await fault_of(b, a, NAME) is DialFault.PROXY_SILENT
    await b.dialer.close()


async def test_a_proxy_that_says_nothing_times_out(through: tuple[Tower, Tower, Socks]) -> None:
    a, b, proxy = through
    proxy.silent.set()
    b.dialer = Dialer(b.door, proxy=Endpoint("127.0.0.1", proxy.port), dial_seconds=0.3)
    assert await fault_of(b, a, NAME) is DialFault.TIMED_OUT
    await b.dialer.close()


async def test_an_onion_address_without_a_proxy_is_neither_looked_up_nor_dialled(
    pair: tuple[Tower, Tower], looked_up: list[Any]
) -> None:
    """Asking a resolver for it would tell the line whom we look for."""
    a, b = pair
    assert await fault_of(b, a, ONION) is DialFault.NEEDS_TOR
    assert looked_up == []


def test_a_node_behind_a_proxy_is_more_patient(pair: tuple[Tower, Tower]) -> None:
    _, b = pair
    assert b.dialer.pace is dialer.DIRECT
    proxied = Dialer(b.door, proxy=Endpoint("127.0.0.1", 9050))
    assert proxied.pace.dial_seconds > dialer.DIRECT.dial_seconds
    assert proxied.pace.retry_seconds == 5.0


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1:9050", "http://127.0.0.1:1", "socks4://h:1", "socks5://", "socks5://h", "socks5://u:CANARY@h:1",
     "socks5://CANARY@h:1", "socks5://h:1/x"],
)  # fmt: skip
def test_anything_but_a_socks5_proxy_without_a_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(EndpointMalformed) as caught:
        parse_proxy(text)
    assert "CANARY" not in str(caught.value)


def test_a_slip_of_the_pen_in_an_onion_address_is_found() -> None:
    """Any one letter changed, one left out, one too many, another version."""
    host = parse_endpoint(ONION).host
    for place in range(56):
        other = "a" if host[place] != "a" else "b"
        with pytest.raises(EndpointMalformed):
            parse_endpoint(f"{host[:place]}{other}{host[place + 1 :]}:7790")
    for wrong in (host[1:], "a" + host, "x.onion", "expyuzz4wqqyqhjn.onion", ".onion"):
        with pytest.raises(EndpointMalformed):
            parse_endpoint(f"{wrong}:7790")
    assert parse_endpoint(f"www.{host}:7790").host == f"www.{host}"
