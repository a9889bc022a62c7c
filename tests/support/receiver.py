"""A real node that receives, and somebody who sends to it as fast as it takes: what crash tests are made of."""

from __future__ import annotations

import asyncio
import random
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from almenara.crypto.identity import NodeId
from almenara.crypto.vault import open_vault
from almenara.node.casebook import parse_id
from almenara.node.config import load_config
from almenara.node.home import Home
from almenara.node.identity import Identity
from almenara.node.service import LOCAL
from almenara.node.storage import sqlcipher
from almenara.node.transport.dialer import Dialer
from almenara.node.transport.door import _certificate_in
from almenara.node.transport.errors import TransportError
from almenara.protocol.session import Outcome
from tests.support.blaster import Blaster
from tests.support.hostile import NETWORK_VIEW, Forger, Outlaw
from tests.support.nodes import PASSPHRASE, make_home, running, until
from tests.support.processes import Office, wait
from tests.support.steps import direct_circle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

VIEW = NETWORK_VIEW | {"tier": 1, "when": "2026-11-20"}


@dataclass(slots=True)
class Receiver:
    """The node's process, the keys of a peer of it in the hands of the test, and what the node has acknowledged."""

    office: Office
    sender: Outlaw
    forger: Forger
    key: bytes = field(repr=False)  # of its database
    acknowledged: set[str] = field(default_factory=set)

    @classmethod
    def started(cls, folder: Path, name: str) -> Receiver:
        """Found both, start the node, pair."""
        office = Office(folder, name)
        office.found()
        home = make_home(folder / f"{name}-sender", "sender")
        office.start()
        office.ready()
        return asyncio.run(cls._paired(office, home))

    @classmethod
    async def _paired(cls, office: Office, home: Home) -> Receiver:
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
        vault = (office.home / "vault.almenara").read_bytes()
        return cls(office, sender, sender.forger(circle), Identity.decode(open_vault(vault, PASSPHRASE)).database_key)

    async def blast(self, end: Callable[[Blaster], Awaitable[None]]) -> None:
        """Send without end until `end` returns or the line is cut, and note all that was acknowledged."""
        blaster = await self._connect()
        first = len(self.forger.sent)
        work = [asyncio.create_task(_later(end, blaster)), asyncio.create_task(self._push(blaster))]
        await asyncio.wait([work[0], blaster._reader], return_when=asyncio.FIRST_COMPLETED)
        for task in work:
            task.cancel()
        blaster.link.cut()
        await blaster.link.close()
        await asyncio.gather(*work, blaster._reader, return_exceptions=True)
        for position, outcome in blaster.outcomes.items():
            assert outcome is Outcome.STORED
            self.acknowledged.add(self.forger.sent[first + position - 1])
        await self.sender.dialer.close()

    async def _connect(self) -> Blaster:
        """Dial until it answers: a node that has just hung up for want of room takes the next call."""
        node = NodeId.parse(self.office.node_id).raw
        self.sender.dialer = Dialer(self.sender.door)
        self.sender.door.pin(node, _certificate_in(self.office.home / "tls.pem"))
        at = load_config(Home(self.office.home)).peer.listen
        blaster = Blaster(await self.sender.dialer.dial(node, at), self.sender.own, self.sender.keyring)
        await blaster.greet()
        return blaster

    async def _push(self, blaster: Blaster) -> None:
        with suppress(TransportError, ConnectionError):
            while True:
                await blaster.push(self.forger.alert(VIEW))

    def kill_after(self, count: int) -> Callable[[Blaster], Awaitable[None]]:
        """SIGKILL once so many are acknowledged."""

        async def end(blaster: Blaster) -> None:
            await answered(blaster, count)
            assert self.office.process is not None
            self.office.process.kill()

        return end

    def check_disk(self) -> None:
        """Asked past the node, which is dead: the file is sound, everything acknowledged stands in it, once."""
        with closing(sqlcipher._open(self.office.home / "data.db", self.key, sqlcipher._PRAGMAS)) as raw:
            told = raw.execute("PRAGMA integrity_check").fetchall()
            assert told + raw.execute("PRAGMA cipher_integrity_check").fetchall() == [("ok",)]
            held = [row[0] for row in raw.execute("SELECT alert_id FROM alerts")]
        assert len(held) == len(set(held))
        lost = {parse_id(alert) for alert in self.acknowledged} - set(held)
        assert not lost, f"{len(lost)} of {len(self.acknowledged)} acknowledged alerts are lost"

    def check_inbox(self) -> None:
        """The same through the node, which runs again."""
        held = inbox(self.office)
        assert len(held) == len(set(held))
        assert self.acknowledged <= set(held)


async def _later(end: Callable[[Blaster], Awaitable[None]], blaster: Blaster) -> None:
    await end(blaster)


async def answered(blaster: Blaster, count: int) -> None:
    """Wait for so many acknowledgements."""

    async def enough() -> bool:
        return len(blaster.outcomes) >= count

    await until(enough, f"{count} acknowledgements")


def some(most: int = 300) -> int:
    """A moment nobody chose."""
    return random.randint(1, most)


def inbox(office: Office) -> list[str]:
    """All alert ids in a node's inbox, page by page."""
    found: list[str] = []
    after = ""
    while True:
        page = office.ask("GET", "inbox", query=f"?limit=500&after={after}")
        if not page["alerts"]:
            return found
        found += [alert["alert_id"] for alert in page["alerts"]]
        after = page["next"]


def _state(office: Office, node_id: str) -> str:
    return next((peer["state"] for peer in office.ask("GET", "peers")["peers"] if peer["node_id"] == node_id), "")
