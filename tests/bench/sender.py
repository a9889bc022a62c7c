"""The other side: a real node that pairs and sends, and afterwards a raw session that pushes prepared envelopes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from almenara.crypto.identity import NodeId
from almenara.node.authoring import LONG_LIFE
from almenara.node.keyring import Keyring
from almenara.node.service import LOCAL
from almenara.node.transport.dialer import Dialer
from almenara.protocol.alert import encode_view
from almenara.protocol.session import Outcome
from tests.support.blaster import Blaster, Sealer
from tests.support.nodes import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from almenara.node.service import Service
    from tests.bench.receiver import Receiver

VIEW = {
    "schema": 1, "vocab": 1, "tier": 1, "status": "Actual", "threats": ["legal.charges", "digital.surveillance"],
    "phase": "ongoing", "severity": "Severe", "urgency": "Immediate", "certainty": "Observed",
    "verification": "unverified", "permitted_actions": "contact-for-instruction", "perpetrator": "unknown",
    "target_unit": "individual", "country": "CO", "area": "CO-CAU", "role": "community-leader",
    "issue": "land-environment-climate", "when": "2026-11-20",
}  # fmt: skip


async def pair(service: Service, receiver: Receiver) -> str:
    """Pair with a receiver and wait for the direct circle; returns the receiver's node id."""
    invitation = (await asyncio.to_thread(receiver.ask, "POST", "invitations"))["invitation"]
    theirs = await service.pair(LOCAL, invitation)
    waiting = (await asyncio.to_thread(receiver.ask, "GET", "peers"))["peers"]
    (ours,) = [peer["node_id"] for peer in waiting if peer["code"] == theirs.code]
    await asyncio.to_thread(receiver.ask, "POST", "peers", ours, "confirm")
    await service.confirm_peer(LOCAL, theirs.node_id)

    async def settled() -> bool:
        here = await direct_circle(service, theirs.node_id)
        there = (await asyncio.to_thread(receiver.ask, "GET", "circles"))["circles"]
        connected = (await service.peer(LOCAL, theirs.node_id)).connected
        return connected and here in {circle["circle_id"] for circle in there if circle["state"] == "active"}

    await until(settled, "paired, connected, and in a direct circle")
    return theirs.node_id


async def direct_circle(service: Service, peer: str) -> str | None:
    """The direct circle with a peer, once it is active."""
    for circle in (await service.circles(LOCAL)).circles:
        if circle.kind == "direct" and circle.state == "active" and peer in {m.node_id for m in circle.members}:
            return circle.circle_id
    return None


class Author:
    """What is left of a node after it was closed: keys to write in its name to one peer, and to dial as it."""

    def __init__(self, service: Service, peer: str) -> None:
        """Take them out of a node that is still open."""
        runtime = service._runtime
        assert runtime is not None
        circles, self._peer = runtime.groups._circles, NodeId.parse(peer)
        self._own, self._key, self._door = circles.own, circles._epochs._key, runtime.peers._links._door
        circle = circles.direct_with(self._peer)
        assert circle is not None
        statement = circle.current.id
        held, carry = circles._keyring.seal_with(statement, LONG_LIFE), circles._keyring.carry_secret(statement)
        assert held is not None
        assert carry is not None
        self._held, self._keyring = held, Keyring()
        self._keyring.add(held)
        self._keyring.add_carry(statement, carry)

    def sealer(self) -> Sealer:
        """A chain of alerts of its own."""
        return Sealer(self._own, self._key, self._keyring, self._held, encode_view(VIEW))

    @asynccontextmanager
    async def stream(self, receiver: Receiver) -> AsyncIterator[Stream]:
        """A raw session with the receiver, once it is free of the one before, and alerts for our direct circle."""

        async def free() -> bool:
            peers = (await asyncio.to_thread(receiver.ask, "GET", "peers"))["peers"]
            return not any(peer["connected"] for peer in peers)

        await until(free, "the session before has ended")
        dialer = Dialer(self._door)
        try:
            blaster = Blaster(await dialer.dial(self._peer.raw, receiver.listen), self._own, self._keyring)
            await blaster.greet()
            yield Stream(blaster, self.sealer())
            await blaster.close()
        finally:
            await dialer.close()


@dataclass(frozen=True, slots=True)
class Stream:
    """Alerts of one author on their way to one receiver."""

    blaster: Blaster
    sealer: Sealer

    def seal(self, count: int) -> list[bytes]:
        """Fresh alerts, each in its envelope."""
        return [self.sealer.alert() for _ in range(count)]

    async def push(self, envelopes: list[bytes]) -> float:
        """Push; returns the seconds until the last one was acknowledged as stored."""
        took = await self.blaster.push_all(envelopes)
        assert set(self.blaster.outcomes.values()) == {Outcome.STORED}
        return took
