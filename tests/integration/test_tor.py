"""Over a real Tor network on loopback: two nodes that never learn each other's address pair and warn each other."""

from __future__ import annotations

import base64
import shutil
import tempfile
from dataclasses import dataclass
from hashlib import sha3_256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from almenara.crypto.certificate import make_tls_identity
from almenara.node.silence import FAULTS
from almenara.node.transport.dialer import Dialer
from almenara.node.transport.door import Door
from almenara.node.transport.errors import DialFault, Unreachable
from almenara.node.transport.proxy import parse_proxy
from tests.support.nodes import free_port
from tests.support.processes import Office, arrived, direct, pair, send, settled, wait
from tests.support.steps import CASE
from tests.support.tor import Network, Tor, tor_network

if TYPE_CHECKING:
    from collections.abc import Iterator

# Six processes of tor, and two nodes with Argon2id, on a machine that does other things too.
pytestmark = pytest.mark.timeout(300)


@dataclass
class World:
    """Alpha has an onion service and no other address; beta has no open port at all. Each has a tor of its own."""

    network: Network
    alpha: Office
    beta: Office
    onion: str
    betas_tor: Tor
    proxy: str


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="almenara-tor-"))
    offices: list[Office] = []
    try:
        with tor_network(folder) as network:
            listen = f"127.0.0.1:{free_port()}"
            alphas_tor, onion, alphas_proxy = network.service(listen)
            betas_tor, proxy = network.client()
            alpha, beta = Office(folder, "alpha"), Office(folder, "beta")
            offices += [alpha, beta]
            alpha.found(peer=f'listen = "{listen}"\nadvertise = ["{onion}"]\nproxy = "socks5://{alphas_proxy}"')
            beta.found(peer=f'listen = ""\nproxy = "socks5://{proxy}"')
            for office in offices:
                office.start()
            for office in offices:
                office.ready()
            for tor in (alphas_tor, betas_tor):
                wait(lambda tor=tor: tor.says("Bootstrapped 100%"), "tor has found its network")
            yield World(network, alpha, beta, onion, betas_tor, proxy)
            for office in offices:
                office.stop()
    finally:
        for office in offices:
            if office.process is not None:
                office.stop()
        shutil.rmtree(folder)


def test_two_nodes_pair_and_warn_each_other_through_an_onion_service(world: World) -> None:
    """Pairing, session, and an alert each way; then beta's tor ends, and beta says what is wrong and what to do."""
    alpha, beta = world.alpha, world.beta
    pair(alpha, beta)
    for author, reader in ((alpha, beta), (beta, alpha)):
        circle = direct(author, reader.node_id)
        case = author.ask("POST", "cases", body=CASE)["case_id"]
        alert = send(author, circle, case)
        arrived(reader, alert)
        settled(author, alert)
    (peer,) = beta.ask("GET", "peers")["peers"]
    assert peer["connected"]
    assert beta.ask("GET", "status")["problems"] == []

    world.betas_tor.stop()
    silent = FAULTS[DialFault.PROXY_SILENT]
    wait(lambda: beta.ask("GET", "peers")["peers"][0].get("reason") == silent.reason, "beta says that its tor is gone")
    (problem,) = beta.ask("GET", "status")["problems"]
    assert (problem["code"], problem["next"]) == ("peer-unreachable", silent.next)


async def test_an_onion_service_that_nobody_runs_does_not_answer(world: World, tmp_path: Path) -> None:
    """Tor itself says so, in the words of its protocol, and ours says it in ours."""
    key = bytes(range(32))
    check = sha3_256(b".onion checksum" + key + b"\x03").digest()[:2]
    nobody = base64.b32encode(key + check + b"\x03").decode("ascii").lower() + ".onion:7790"
    identity = make_tls_identity(b"a password")
    (tmp_path / "tls.pem").write_bytes(identity.pem)
    door = Door(tmp_path / "tls.pem", lambda: b"a password")
    door.pin(bytes(32), make_tls_identity(b"another").cert_der)
    _, proxy = world.network.client()
    dialer = Dialer(door, proxy=parse_proxy(f"socks5://{proxy}"))
    tor = world.network.running[-1]
    wait(lambda: tor.says("Bootstrapped 100%"), "tor has found its network")
    with pytest.raises(Unreachable) as caught:
        await dialer.dial(bytes(32), nobody)
    await dialer.close()
    assert caught.value.fault is DialFault.NO_ANSWER
