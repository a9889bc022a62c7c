"""A peer that pushes prepared envelopes as fast as the other side takes them: the load of benchmarks and hostile tests.

It pairs as a real node, then speaks the session protocol itself, so that it can also send what no honest node would.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from almenara.crypto.identity import NodeId
from almenara.crypto.random import random_bytes
from almenara.node.clock import minute_of, now_ms
from almenara.protocol.envelope import Outer, Suite, seal_circle
from almenara.protocol.flow import ROUTINE, Granted, cost, parts_of
from almenara.protocol.limits import MINUTES_PER_DAY, SMALL
from almenara.protocol.object import Header, ObjectType, body_commit, sign_object
from almenara.protocol.scope import ScopeKey
from almenara.protocol.session import (
    DECOY_BYTES,
    Acked,
    CursorsTold,
    Greeted,
    Outcome,
    Session,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almenara.crypto.signing import SigningKey
    from almenara.node.keyring import HeldKey, Keyring
    from almenara.node.transport.link import Link

PER_DAY = 3_000  # alerts of one author: below what a receiver takes from it, and 100,000 within the life of an envelope


@dataclass(slots=True)
class Sealer:
    """Signs and seals alerts as one author in one circle, without a database."""

    own: NodeId
    key: SigningKey
    keyring: Keyring
    held: HeldKey
    body: bytes
    tlp: int = 3
    incarnation: bytes = field(default_factory=lambda: random_bytes(16))
    seq: int = 0
    prev: bytes = b""

    def alert(self) -> bytes:
        """The next alert of the chain, in its envelope."""
        now = minute_of(now_ms())
        created = now - self.seq // PER_DAY * MINUTES_PER_DAY  # as a node writes that has done so for weeks
        salt = random_bytes(32)
        header = Header(
            type=ObjectType.ALERT,
            author=self.own.raw,
            circle=self.held.circle_id,
            statement=self.held.statement_id,
            card_counter=1,
            incarnation=self.incarnation,
            seq=self.seq,
            prev=self.prev,
            ref_id=uuid4().bytes,
            revision=1,
            body_commit=body_commit(salt, self.body),
            created_min=created,
            expires_min=now + 30 * MINUTES_PER_DAY,
            tlp=self.tlp,
            lane=1,
        )
        signed = sign_object(header, salt, self.body, self.key)
        self.seq, self.prev = self.seq + 1, signed.hash
        return self.seal(signed.encode(), created // 60)

    def seal(self, content: bytes, hour: int, **changes: object) -> bytes:
        """Any content under the circle's key; `changes` replace fields of the outer header."""
        tag = self.keyring.tag(self.held.statement_id, hour) or bytes(16)
        fields = {"tag": tag, "created_hour": hour, "cls": self.held.cls, "lane": 1, "kid": self.held.kid} | changes
        outer = Outer(suite=Suite.CIRCLE, **fields)  # type: ignore[arg-type] # a test may break every rule
        return seal_circle(outer, SMALL, self.held.key, random_bytes(24), content)


class Blaster:
    """One raw session over a link."""

    def __init__(self, link: Link, own: NodeId, keyring: Keyring) -> None:
        self.link, self.keyring = link, keyring
        self.session = Session(own, NodeId(link.peer), random_bytes(32), random_bytes(16))
        self.position = 0
        self.outcomes: dict[int, Outcome] = {}
        self.acked_at: dict[int, float] = {}
        self.sent_at: dict[int, float] = {}
        self._progress = asyncio.Event()
        self._ready = asyncio.Event()
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(lambda _: self._progress.set())

    async def greet(self) -> None:
        """Until pushes may flow."""
        await self.link.send(self.session.hello(minute_of(now_ms())))
        async with asyncio.timeout(20):
            await self._ready.wait()

    async def _read(self) -> None:
        told = False
        async for frame in self.link:
            for event in self.session.receive(frame, minute_of(now_ms())):
                match event:
                    case Greeted():
                        scopes = self.keyring.scopes(minute_of(now_ms()) // 60)
                        self.session.set_scopes(ScopeKey(tag, key) for tag, key in scopes.items())
                        await self.link.send(self.session.interest(random_bytes(DECOY_BYTES)))
                        await self.link.send(self.session.cursors({0: (bytes(16), 0), 1: (bytes(16), 0)}))
                    case CursorsTold():
                        told = True
                    case Acked():
                        now = time.perf_counter()
                        for position, outcome in event.outcomes:
                            self.outcomes[position] = outcome
                            self.acked_at[position] = now
                        self._progress.set()
                    case Granted():
                        self._progress.set()
                if told and self.session.proven:
                    self._ready.set()

    async def push(self, envelope: bytes, lane: int = 1) -> int:
        """Push one envelope, waiting while there is no credit; returns its position."""
        while self.session.credit(lane) < cost(envelope):
            await self._answers()
        self.position += 1
        self.sent_at[self.position] = time.perf_counter()
        if lane == ROUTINE and len(envelope) > SMALL:
            pieces = parts_of(envelope)
            for left, piece in zip(reversed(range(len(pieces))), pieces, strict=True):
                await self.link.send(self.session.part(self.position, left, piece))
        else:
            await self.link.send(self.session.push(lane, self.position, envelope))
        return self.position

    async def push_all(self, envelopes: Sequence[bytes]) -> float:
        """Push and wait for every acknowledgement; returns the seconds from the first push to the last answer."""
        begun = time.perf_counter()
        for envelope in envelopes:
            await self.push(envelope)
        await self.settled()
        return time.perf_counter() - begun

    async def settled(self) -> None:
        """Until everything pushed was answered. Raises ConnectionError if the other side hangs up before."""
        while len(self.outcomes) < self.position:
            await self._answers()

    async def settled_at(self, position: int) -> None:
        """Until one position was answered."""
        while position not in self.outcomes:
            await self._answers()

    async def _answers(self) -> None:
        if self._reader.done():
            raise ConnectionError("the other side hung up")
        self._progress.clear()
        await self._progress.wait()

    async def close(self) -> None:
        """Hang up."""
        await self.link.close()
        await asyncio.gather(self._reader, return_exceptions=True)
