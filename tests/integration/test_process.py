"""The process: one per home, says what is wrong with an exit code, loses nothing to kill -9, leaves nothing behind."""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import re
import shutil
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import sqlcipher3

from almenara.admin_ui.app import ROUTES as PANEL_ROUTES
from almenara.crypto.identity import NodeId
from almenara.crypto.vault import open_vault
from almenara.node.api.app import ROUTES as API_ROUTES
from almenara.node.api.keys import API
from almenara.node.casebook import parse_id
from almenara.node.config import load_config
from almenara.node.home import Home
from almenara.node.identity import Identity
from almenara.node.service import LOCAL
from almenara.node.transport.dialer import Dialer
from almenara.node.transport.door import _certificate_in
from almenara.protocol.session import Outcome
from tests.support.blaster import Blaster
from tests.support.hostile import NETWORK_VIEW, Forger, Outlaw
from tests.support.nodes import PASSPHRASE, make_home, running, until
from tests.support.processes import Office, wait
from tests.support.steps import direct_circle

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLS = 3
FOREIGN = "http://evil.example"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="almenara-process-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def office(folder: Path) -> Iterator[Office]:
    """A node that runs."""
    opened = Office(folder, "alpha")
    opened.found()
    opened.start()
    try:
        opened.ready()
        yield opened
    finally:
        opened.stop()


# one home, one node


def test_a_second_node_on_the_same_home_refuses_to_start(office: Office) -> None:
    code, kind = office.problem("run", "--passphrase-file", str(office.secret))
    assert (code, kind) == (1, "home-in-use")
    assert office.ask("GET", "status")["state"] == "ready"


def test_a_wrong_passphrase_says_so(folder: Path) -> None:
    other = Office(folder, "locked-out")
    other.found()
    other.secret.write_text("not the passphrase at all", encoding="utf-8")
    code, kind = other.problem("run", "--passphrase-file", str(other.secret))
    assert (code, kind) == (1, "wrong-passphrase")
    assert sorted(path.name for path in (other.home / "run").iterdir()) == []


def test_status_exits_3_until_the_node_is_ready_and_a_stop_leaves_nothing(folder: Path) -> None:
    """Not started, starting, ready, stopped: 3, 3, 0, 3; afterwards no process and no word of how to reach one."""
    other = Office(folder, "coming")
    other.found()
    assert other.run("status", "--json")[0] == 3
    other.start()
    assert other.run("status", "--json")[0] in {0, 3}
    other.ready()
    assert other.run("status", "--json")[0] == 0
    assert other.stop(signal.SIGTERM) == 0
    assert other.run("status", "--json")[0] == 3
    assert [path.name for path in (other.home / "run").iterdir()] == []
    listening = load_config(Home(other.home)).panel.listen.rpartition(":")[2]
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", int(listening)).connect()


def test_without_a_passphrase_the_node_starts_locked_and_gives_nothing_away(folder: Path) -> None:
    other = Office(folder, "closed")
    other.found()
    other.start("--json")
    try:
        status = other.ready("locked")
        assert "node_id" not in status
        for words in (["inbox"], ["peers"], ["case", "list"], ["invite"]):
            assert other.problem(*words) == (1, "locked")
        assert not (other.home / "data.db").exists()
    finally:
        assert other.stop() == 0


# kill -9


@pytest.fixture(scope="module")
def receiver(folder: Path) -> Iterator[Receiver]:
    """A node that runs, and the keys of a peer of it in the hands of this test."""
    office = Office(folder, "receiver")
    office.found()
    home = make_home(folder / "sender", "sender")
    office.start()
    try:
        office.ready()
        yield asyncio.run(Receiver.paired(office, home))
    finally:
        office.stop()


@dataclass(slots=True)
class Receiver:
    """The node, and somebody who sends to it as fast as it takes."""

    office: Office
    sender: Outlaw
    forger: Forger
    acknowledged: set[str] = field(default_factory=set)

    @classmethod
    async def paired(cls, office: Office, home: Home) -> Receiver:
        sender = Outlaw.of(home)
        async with running(home) as service:
            invitation = (await asyncio.to_thread(office.ask, "POST", "invitations"))["invitation"]
            peer = await service.pair(LOCAL, invitation)
            own = sender.own.text
            await asyncio.to_thread(wait, lambda: _state(office, own) == "unconfirmed", "the sender at the receiver")
            await service.confirm_peer(LOCAL, peer.node_id)
            await asyncio.to_thread(office.ask, "POST", "peers", own, "confirm")

            async def active() -> bool:
                return [circle.state for circle in (await service.circles(LOCAL)).circles] == ["active"]

            await until(active, "the direct circle")
            circle = parse_id(await direct_circle(service, peer.node_id))
            await sender.learn(service)
        return cls(office, sender, sender.forger(circle))

    async def blast(self, count: int) -> None:
        """Send without end, kill the node after so many acknowledgements, and note all that came."""
        assert self.office.process is not None
        self.sender.dialer = Dialer(self.sender.door)
        at = load_config(Home(self.office.home)).peer.listen
        self.sender.door.pin(NodeId.parse(self.office.node_id).raw, _certificate_in(self.office.home / "tls.pem"))
        link = await self.sender.dialer.dial(NodeId.parse(self.office.node_id).raw, at)
        blaster = Blaster(link, self.sender.own, self.sender.keyring)
        await blaster.greet()
        first = len(self.forger.sent)
        pushing = asyncio.create_task(self._push(blaster))

        async def enough() -> bool:
            return len(blaster.outcomes) >= count

        await until(enough, f"{count} acknowledgements")
        self.office.process.kill()
        pushing.cancel()
        await asyncio.gather(pushing, blaster._reader, return_exceptions=True)
        for position, outcome in blaster.outcomes.items():
            assert outcome is Outcome.STORED
            self.acknowledged.add(self.forger.sent[first + position - 1])
        await self.sender.dialer.close()

    async def _push(self, blaster: Blaster) -> None:
        while True:
            await blaster.push(self.forger.alert(NETWORK_VIEW | {"tier": 1, "when": "2026-11-20"}))


def test_killed_in_the_middle_of_it_the_node_has_everything_that_it_acknowledged(receiver: Receiver) -> None:
    """Three times, at a moment nobody chose: it starts again, nothing acknowledged is missing or there twice."""
    for _ in range(KILLS):
        before = len(receiver.acknowledged)
        asyncio.run(receiver.blast(random.randint(1, 300)))
        assert receiver.office.stop() == -signal.SIGKILL
        receiver.office.start()
        receiver.office.ready()
        held = _inbox(receiver.office)
        assert len(held) == len(set(held))
        assert receiver.acknowledged <= set(held)
        assert len(receiver.acknowledged) > before
    assert receiver.office.stop() == 0
    assert _faults_in(receiver.office.home) == []


def _state(office: Office, node_id: str) -> str:
    return next((peer["state"] for peer in office.ask("GET", "peers")["peers"] if peer["node_id"] == node_id), "")


def _inbox(office: Office) -> list[str]:
    found: list[str] = []
    after = ""
    while True:
        page = office.ask("GET", "inbox", query=f"?limit=500&after={after}")
        if not page["alerts"]:
            return found
        found += [alert["alert_id"] for alert in page["alerts"]]
        after = page["next"]


def _faults_in(home: Path) -> list[str]:
    """What SQLite and SQLCipher find wrong with the file."""
    key = Identity.decode(open_vault((home / "vault.almenara").read_bytes(), PASSPHRASE)).database_key
    connection = sqlcipher3.dbapi2.connect(str(home / "data.db"))
    try:
        connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
        connection.execute("PRAGMA cipher_hmac_algorithm = HMAC_SHA256")
        told = connection.execute("PRAGMA integrity_check").fetchall()
        told += connection.execute("PRAGMA cipher_integrity_check").fetchall()
    finally:
        connection.close()
    return [row[0] for row in told if row[0] != "ok"]


# the door of panel and API


def _routes() -> list[tuple[str, str]]:
    found = [(route.method, API + route.path) for route in API_ROUTES]
    found += [(route.method, route.path) for route in PANEL_ROUTES]
    return [(method if method != "*" else "GET", re.sub(r"\{[^}]*\}", "x", path)) for method, path in found]


def _answer(office: Office, method: str, path: str, **headers: str) -> int:
    local = json.loads((office.home / "run" / "local.json").read_text(encoding="utf-8"))
    at = urlsplit(local["url"])
    told = {"Host": at.netloc, "Authorization": f"Bearer {local['token']}"} | headers
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in told.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", ""])
def test_every_route_answers_421_to_a_name_that_is_not_ours(office: Office, host: str) -> None:
    """Panel and API, with the right token: a page whose name was bound to this machine learns nothing."""
    routes = _routes()
    assert len(routes) > 40
    wrong = {(method, path): _answer(office, method, path, Host=host) for method, path in routes}
    assert {route: status for route, status in wrong.items() if status != 421} == {}


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://localhost:1"])
def test_every_route_that_changes_something_refuses_a_foreign_page(office: Office, origin: str) -> None:
    """Forms and scripts of other pages, with the right token: 403, and nothing changes."""
    before = office.ask("GET", "circles")
    changing = [(method, path) for method, path in _routes() if method not in {"GET", "HEAD"}]
    assert len(changing) > 20
    told = {(method, path): _answer(office, method, path, Origin=origin) for method, path in changing}
    assert {route: status for route, status in told.items() if status != 403} == {}
    told = {route: _answer(office, *route, **{"Sec-Fetch-Site": "cross-site"}) for route in changing}
    assert {route: status for route, status in told.items() if status != 403} == {}
    assert office.ask("GET", "circles") == before
