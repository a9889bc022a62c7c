"""Looking for neighbours: announced and heard for minutes at a time, and only because a person asked (SPEC §15)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from almenara.crypto.identity import NodeId
from almenara.crypto.random import random_bytes
from almenara.node import models
from almenara.node.clock import HOUR_MS, MINUTE_MS, Clock, rfc3339
from almenara.node.problem import Kind, Problem
from almenara.node.transport.endpoint import Endpoint, parse_endpoint
from almenara.node.transport.mdns import Air, Interface, interfaces
from almenara.node.words import N_
from almenara.protocol.discovery import NOTICE_BYTES, TAGS, discovery_tag, notice, parse_notice
from almenara.protocol.errors import RemoteError

if TYPE_CHECKING:
    from almenara.node.circles import Circles
    from almenara.node.config import Config
    from almenara.node.events import Events
    from almenara.node.keyring import Keyring
    from almenara.node.links import Links

NEVER = 1 << 62  # ms; the end of what is switched on in the configuration
HOURS_HEARD = (-1, 0, 1)  # a neighbour's clock may be an hour off
RETRY_S = 60.0  # after a network that went away

BEHIND_PROXY = N_("This node sends everything through a proxy, so it tells the network around it nothing.")
WITHOUT_PROXY = N_("If the network around may know of this node: remove peer.proxy, and start the node again.")
NO_NETWORK = N_("This computer is on no local network that may be used.")
CONNECT = N_("Connect it to one; or correct discovery.interfaces, and start the node again.")

log = structlog.get_logger()


class Discovery:
    """Whether we look, until when, and whom we found."""

    def __init__(
        self, config: Config, circles: Circles, keyring: Keyring, links: Links, clock: Clock, events: Events
    ) -> None:
        self._config, self._circles, self._keyring, self._links = config, circles, keyring, links
        self._clock, self._events = clock, events
        self._until = 0
        self._task: asyncio.Task[None] | None = None
        self._found: set[bytes] = set()
        self._others: set[str] = set()

    async def start(self) -> None:
        """Begin where the configuration says so."""
        if self._config.discovery.enabled:
            await self._begin(NEVER)

    async def look(self, minutes: int) -> models.Discovery:
        """Look for so many minutes from now, or for as long as was said before if that is longer.

        Raises `Problem`: WRONG_TYPE for other than 1 to 60 minutes, NOT_READY behind a proxy or without a network.
        """
        if not 1 <= minutes <= models.DISCOVERY_MINUTES:
            raise Problem(Kind.WRONG_TYPE, field="minutes", expected=f"1 to {models.DISCOVERY_MINUTES}")
        if self._config.proxy is not None:
            raise Problem(Kind.NOT_READY, BEHIND_PROXY, field="peer.proxy", next=WITHOUT_PROXY)
        if not self._interfaces():
            raise Problem(Kind.NOT_READY, NO_NETWORK, field="discovery.interfaces", next=CONNECT)
        until = self._clock() + minutes * MINUTE_MS
        if until > self._until:
            await self._begin(until)
        return self.state()

    async def stop(self) -> models.Discovery:
        """Fall silent now; what the configuration switches on comes back with the next start."""
        self._until = 0
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._events.publish("status")
        return self.state()

    def state(self) -> models.Discovery:
        """What is going on, whom we found, and what others would see of us."""
        on = self._clock() < self._until
        used = self._interfaces()
        return models.Discovery(
            on=on,
            until=rfc3339(self._until) or None if on and self._until != NEVER else None,
            interfaces=sorted({one.name for one in used}),
            announces=self._port(used) is not None,
            found=[self._neighbour(NodeId(node)) for node in sorted(self._found)] if on else [],
            others=len(self._others) if on else 0,
        )

    def _neighbour(self, node: NodeId) -> models.Neighbour:
        name = self._circles.cards.name(node)
        return models.Neighbour(node_id=node.text, name=name, connected=self._links.connected(node.raw))

    async def _begin(self, until: int) -> None:
        await self.stop()
        self._until = until
        self._found, self._others = set(), set()
        self._task = asyncio.create_task(self._run())
        self._events.publish("status")

    async def _run(self) -> None:
        while (left := self._until - self._clock()) > 0:
            hour_left = HOUR_MS - self._clock() % HOUR_MS
            try:
                await self._hour(max(1.0, min(left, hour_left) / 1000))
            except OSError as error:  # the network went away; it may come back
                log.warning("discovery-failed", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)
        self._events.publish("status")

    async def _hour(self, seconds: float) -> None:
        """Be on the air under names of this hour, until it ends. Raises OSError where there is no network."""
        used = self._interfaces()
        if not used:
            raise OSError("no interface")
        async with AsyncExitStack() as stack:
            for one in used:
                air = Air(one, self._heard)
                stack.push_async_callback(air.close)
                await air.open(self._port([one]), self._notice())
            await asyncio.sleep(seconds)

    def _interfaces(self) -> list[Interface]:
        return interfaces(self._config.discovery.interfaces)

    def _port(self, used: list[Interface]) -> int | None:
        """The peer port, if it is open on one of these interfaces; else we only listen."""
        if not self._config.peer.listen:
            return None
        own = parse_endpoint(self._config.peer.listen)
        open_here = own.host in {"0.0.0.0", *(str(one.address.ip) for one in used)}  # noqa: S104 - compared, not bound
        return own.port if open_here else None

    def _hour_now(self) -> int:
        return self._clock() // HOUR_MS

    def _secret(self, peer: bytes) -> bytes | None:
        circle = self._circles.direct_with(NodeId(peer))
        return self._keyring.carry_secret(circle.current.id) if circle is not None else None

    def _notice(self) -> bytes:
        """Our tags of this hour; with more than sixteen peers, those that are not connected first."""
        peers = sorted(self._circles.verified, key=lambda peer: (self._links.connected(peer), random_bytes(8)))
        secrets = [secret for peer in peers if (secret := self._secret(peer)) is not None][:TAGS]
        hour = self._hour_now()
        tags = {discovery_tag(secret, hour, self._circles.own) for secret in secrets}
        return notice(tags, random_bytes(NOTICE_BYTES))

    def _heard(self, at: Endpoint, told: bytes) -> None:
        """Somebody announced itself: a peer of ours, or nobody we know. An address is a hint; the pin decides."""
        try:
            tags = parse_notice(told)
        except RemoteError as error:
            log.info("notice-refused", defect=str(error.kind))
            return
        peers = [peer for peer in self._circles.verified if self._known_by(peer) & tags]
        for peer in peers:
            self._found.add(peer)
            self._links.hint(peer, str(at))
        if not peers:
            self._others.add(str(at))
        self._events.publish("peers")

    def _known_by(self, peer: bytes) -> set[bytes]:
        """The tags that a peer would announce about now."""
        secret = self._secret(peer)
        if secret is None:
            return set()
        hour = self._hour_now()
        return {discovery_tag(secret, hour + step, NodeId(peer)) for step in HOURS_HEARD}

    async def close(self) -> None:
        """At the end of the node."""
        await self.stop()
