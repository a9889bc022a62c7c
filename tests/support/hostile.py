"""A member that breaks every rule: it paired as a real node, and now signs, seals and pushes what a test makes up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import msgpack

from almenara.crypto import box
from almenara.crypto.hashing import digest
from almenara.crypto.identity import NodeId
from almenara.crypto.labels import Label
from almenara.crypto.random import random_bytes
from almenara.crypto.vault import open_vault
from almenara.node.casebook import id_text
from almenara.node.clock import minute_of, now_ms
from almenara.node.identity import Identity
from almenara.node.keyring import Keyring
from almenara.node.transport.dialer import Dialer
from almenara.node.transport.door import Door, _certificate_in
from almenara.protocol.alert import encode_view
from almenara.protocol.card import parse_prekey
from almenara.protocol.envelope import Outer, Suite, open_circle, parse_outer, seal_packet
from almenara.protocol.limits import MINUTES_PER_DAY, SMALL
from almenara.protocol.messages import Kind
from almenara.protocol.object import ObjectType
from almenara.protocol.statement import parse_statement
from tests.support.blaster import Blaster
from tests.support.nodes import PASSPHRASE, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from almenara.crypto.signing import SigningKey
    from almenara.node.home import Home
    from almenara.node.keyring import HeldKey
    from almenara.node.service import Service
    from almenara.node.transport.link import Link
    from almenara.protocol.card import Prekey
    from almenara.protocol.keys import KeyPacket
    from almenara.protocol.statement import Statement

NETWORK_VIEW: dict[str, Any] = {
    "schema": 1,
    "vocab": 1,
    "tier": 2,
    "status": "Test",
    "threats": ["intimidation.threat"],
    "phase": "ongoing",
    "severity": "Severe",
    "urgency": "Immediate",
    "certainty": "Observed",
    "verification": "unverified",
    "permitted_actions": "contact-for-instruction",
    "perpetrator": "unknown",
    "target_unit": "individual",
    "country": "CO",
    "area": "CO-CAU",
    "when": "2026-W47",
}
HEADER = (
    "ver", "type", "author", "circle", "statement", "card_counter", "incarnation", "seq", "prev", "ref_id",
    "revision", "body_commit", "created_min", "expires_min", "tlp", "lane", "sig_alg",
)  # fmt: skip


def now_min() -> int:
    """Minutes since 1970."""
    return minute_of(now_ms())


@dataclass(slots=True)
class Recorder:
    """A link that remembers every frame, both ways."""

    link: Link
    said: list[bytes] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)

    @property
    def peer(self) -> bytes:
        """The raw node id of the other side."""
        return self.link.peer

    @property
    def pushed(self) -> list[bytes]:
        """Envelopes that the other side pushed."""
        frames = [msgpack.unpackb(frame) for frame in self.heard]
        return [frame[3] for frame in frames if frame[0] == Kind.PUSH]

    async def send(self, frame: bytes) -> None:
        """Remember, then send."""
        self.said.append(frame)
        await self.link.send(frame)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for frame in self.link:
            self.heard.append(frame)
            yield frame

    async def close(self) -> None:
        """Hang up."""
        await self.link.close()


class Outlaw:
    """The identity and the keys of a node that was closed, in other hands."""

    def __init__(self, home: Home, identity: Identity) -> None:
        self.home, self.identity = home, identity
        self.own: NodeId = identity.node_id
        self.key: SigningKey = identity.operational
        self.keyring = Keyring()
        self.statements: dict[bytes, Statement] = {}
        self.prekeys: dict[bytes, Prekey] = {}
        self.door = Door(home.tls_path, lambda: identity.tls_password)
        self.dialer = Dialer(self.door)

    @classmethod
    def of(cls, home: Home) -> Self:
        """Open the vault as its owner."""
        return cls(home, Identity.decode(open_vault(home.vault_path.read_bytes(), PASSPHRASE)))

    async def learn(self, service: Service) -> None:
        """Take over what its node held, before that is closed."""

        async def committed() -> bool:
            async with service._open.store.read() as tx:
                return all(row.body for row in await tx.statements.all())

        await until(committed, "every statement that a key came for")
        async with service._open.store.read() as tx:
            self.keyring.load(await tx.keys.all(), await tx.statements.all(), await tx.prekeys.own())
            self.statements = {row.statement_id: parse_statement(row.body) for row in await tx.statements.all()}
            cards = {row.node_id: row.sign_public for row in await tx.cards.all_cards()}
            prekeys = await tx.prekeys.all_peers()
            self.prekeys = {row.node_id: parse_prekey(row.blob, cards[row.node_id]) for row in prekeys}

    async def dial(self, victim: Service, victim_home: Home) -> Recorder:
        """A bare link, with no word said."""
        status = await victim.status(None)
        self.door.pin(_id(victim), _certificate_in(victim_home.tls_path))
        return Recorder(await self.dialer.dial(_id(victim), status.listen))

    async def connect(self, victim: Service, victim_home: Home) -> Blaster:
        """A session that has greeted."""
        blaster = Blaster(await self.dial(victim, victim_home), self.own, self.keyring)  # type: ignore[arg-type]
        await blaster.greet()
        return blaster

    async def close(self) -> None:
        """Release the dialer."""
        await self.dialer.close()

    def statement(self, circle_id: bytes) -> Statement:
        """The newest that we know of a circle."""
        known = (one for one in self.statements.values() if one.circle_id == circle_id)
        return max(known, key=lambda one: one.number)

    def read(self, envelope: bytes) -> bytes:
        """What stands in an envelope that its node could open; nothing for others."""
        held = self.keyring.open_with(parse_outer(envelope).kid)
        return open_circle(envelope, held.key) if held else b""

    def hold(self, statement: Statement, epoch_key: bytes, carry_secret: bytes) -> Forger:
        """A statement of our own making; whoever is asked to write under it."""
        *_, held = self.keyring.add_statement(statement.circle_id, statement.id, epoch_key)
        self.keyring.add_carry(statement.id, carry_secret)
        return Forger(self, held)

    def packet(self, packet: KeyPacket, to: bytes, tag: bytes, *, content: bytes | None = None) -> bytes:
        """A key packet in its envelope, sealed to somebody's prekey; `content` replaces what is inside."""
        prekey = self.prekeys[to]
        outer = Outer(suite=Suite.X_WING, tag=tag, created_hour=now_min() // 60, cls=1, lane=0, kid=prekey.kid)
        inside = packet.sign(self.key) if content is None else content
        return seal_packet(outer, SMALL, NodeId(to), prekey.public, inside)

    def forger(self, circle_id: bytes, cls: int = 1) -> Forger:
        """Somebody who writes in this circle, under the newest key held for it."""
        held = self.keyring.seal_with(self.statement(circle_id).id, cls)
        assert held is not None
        return Forger(self, held)


def _id(service: Service) -> bytes:
    return service._open.peers._circles.own.raw


@dataclass(slots=True)
class Forger:
    """Writes one author's chain in one circle; every slot of every layer can be replaced."""

    outlaw: Outlaw
    held: HeldKey
    incarnation: bytes = field(default_factory=lambda: random_bytes(16))
    seq: int = 0
    prev: bytes = b""
    sent: list[str] = field(default_factory=list)

    def slots(self, body: bytes, salt: bytes, **changes: Any) -> list[Any]:
        """A header's slots in wire order: a good alert's, with `changes`."""
        now = now_min()
        good = {
            "ver": 1,
            "type": int(ObjectType.ALERT),
            "author": self.outlaw.own.raw,
            "circle": self.held.circle_id,
            "statement": self.held.statement_id,
            "card_counter": 1,
            "incarnation": self.incarnation,
            "seq": self.seq,
            "prev": self.prev,
            "ref_id": uuid4().bytes,
            "revision": 1,
            "body_commit": digest(Label.BODY, salt, body),
            "created_min": now,
            "expires_min": now + 30 * MINUTES_PER_DAY,
            "tlp": 3,
            "lane": 1,
            "sig_alg": 1,
        }
        return [(good | changes)[name] for name in HEADER]

    def content(
        self, body: bytes, *, key: SigningKey | None = None, header: bytes | None = None, **changes: Any
    ) -> bytes:
        """A signed object; `header` replaces the header's bytes whole."""
        salt = random_bytes(32)
        header = header if header is not None else msgpack.packb(self.slots(body, salt, **changes))
        signature = (key or self.outlaw.key).sign(Label.OBJECT, header)
        return bytes(msgpack.packb([header, signature, salt, body]))

    def alert(self, view: dict[str, Any] | None = None, **changes: Any) -> bytes:
        """The next good alert of the chain, in its envelope; with `changes` one that is not so good."""
        content = self.content(encode_view(view or NETWORK_VIEW), **changes)
        if not changes:
            (header, *_) = msgpack.unpackb(content)
            self.seq, self.prev = self.seq + 1, digest(Label.HEADER_HASH, header)
            self.sent.append(id_text(msgpack.unpackb(header)[HEADER.index("ref_id")]))
        return self.seal(content)

    def seal(self, content: bytes, *, size: int = SMALL, plaintext: bytes | None = None, **outer: Any) -> bytes:
        """Any content under the circle's key; `plaintext` replaces length, content and padding, `outer` outer slots."""
        head = self.outer(**outer)
        whole = len(content).to_bytes(4, "big") + content if plaintext is None else plaintext
        whole = whole.ljust(size - 48 - box.OVERHEAD, b"\0") if plaintext is None else whole
        return head + box.seal(self.held.key, random_bytes(24), whole, head)

    def outer(self, **changes: Any) -> bytes:
        """The 48 readable bytes."""
        hour = changes.get("created_hour", now_min() // 60)
        slots = {
            "magic": 0xA1,
            "version": 1,
            "suite": 0x0201,
            "tag": self.outlaw.keyring.tag(self.held.statement_id, hour),
            "created_hour": hour,
            "cls": self.held.cls,
            "lane": 1,
            "zero": bytes(6),
            "kid": self.held.kid,
        } | changes
        return b"".join(
            value if isinstance(value, bytes) else value.to_bytes(size, "big")
            for value, size in zip(slots.values(), (1, 1, 2, 16, 4, 1, 1, 6, 16), strict=True)
        )
