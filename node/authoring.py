"""Our own objects: signed into our chain of the circle, sealed, appended to the log (PROTOCOL §4).

All of it happens in the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from almenara.crypto.random import random_bytes
from almenara.node.clock import Clock, minute_of
from almenara.node.problem import Kind, Problem
from almenara.node.storage.rows import EnvelopeRow, ObjectRow
from almenara.node.words import N_
from almenara.protocol.envelope import Outer, Suite, envelope_id, parse_outer, seal_circle, seal_packet
from almenara.protocol.errors import Defect, LocalError
from almenara.protocol.object import Header, ObjectType, SignedObject, body_commit, sign_object, size_for

if TYPE_CHECKING:
    from almenara.crypto.identity import NodeId
    from almenara.crypto.signing import SigningKey
    from almenara.node.cards import Cards
    from almenara.node.keyring import HeldKey, Keyring
    from almenara.node.storage.engine import Transaction
    from almenara.node.storage.rows import ChainRow

CRITICAL, ROUTINE = 0, 1
LONG_LIFE = 1  # class 1: travels 35 days
INCARNATION_BYTES = 16
_NONCE_BYTES = 24
_SALT_BYTES = 32
_NO_REF = b""
_NO_PREVIOUS = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is to be said in a circle, before it has a place in our chain.

    `created_min` is now unless given; `salt` is fresh unless the same body is said again.
    """

    circle_id: bytes
    statement_id: bytes
    type: ObjectType
    body: bytes
    tlp: int
    expires_min: int
    lane: int = ROUTINE
    cls: int = LONG_LIFE
    ref_id: bytes = _NO_REF
    revision: int = 0
    created_min: int | None = None
    salt: bytes = b""


@dataclass(frozen=True, slots=True)
class Posted:
    """An object of ours in its envelope, as it stands in the log."""

    object: SignedObject
    envelope_id: bytes
    position: int


class Author:
    """Signs for this node.

    An incarnation is drawn anew each time the database opens, so that a restore never looks like a fork.
    """

    def __init__(self, own: NodeId, key: SigningKey, cards: Cards, keyring: Keyring, clock: Clock) -> None:
        self._own, self._key, self._cards, self._keyring, self._clock = own, key, cards, keyring, clock
        self._incarnation, self._since_min = b"", 0
        self.begin_anew()

    def begin_anew(self) -> None:
        """Draw a new incarnation: what we say from now on is a chain of its own."""
        self._incarnation, self._since_min = random_bytes(INCARNATION_BYTES), minute_of(self._clock())

    @property
    def life(self) -> tuple[bytes, int]:
        """The incarnation we write as, and the minute since when."""
        return self._incarnation, self._since_min

    async def post(self, tx: Transaction, draft: Draft) -> Posted:
        """Sign, seal and append one object. Raises `Problem(TOO_LARGE)` when the body does not fit its envelope."""
        held = self._keyring.seal_with(draft.statement_id, draft.cls)
        if held is None:
            raise LocalError(Defect.UNKNOWN_KEY, "statement")
        now = self._clock()
        created_min = minute_of(now) if draft.created_min is None else draft.created_min
        signed, chain = await self._sign(tx, draft, created_min)
        envelope = self._seal(signed, held, draft)
        (position,) = await tx.log.append([self._row(envelope)])
        found = envelope_id(envelope)
        await tx.chains.insert_objects([object_row(signed, chain.chain_id, found, now)])
        grown = replace(chain, head_seq=signed.header.seq, head_hash=signed.hash)
        lived = (min(chain.first_min or created_min, created_min), max(chain.last_min, created_min))
        await tx.chains.update([replace(grown, first_min=lived[0], last_min=lived[1])])
        if position is None:
            raise LocalError(Defect.REPEATED, "envelope")
        return Posted(signed, found, position)

    async def _sign(self, tx: Transaction, draft: Draft, created_min: int) -> tuple[SignedObject, ChainRow]:
        ours = [chain for chain in await tx.chains.all_of(self._own.raw, draft.circle_id) if chain.head_seq >= 0]
        current = next((chain for chain in ours if chain.incarnation == self._incarnation), None)
        last = current or max(ours, key=lambda chain: chain.chain_id, default=None)
        key = (self._own.raw, draft.circle_id, self._incarnation)
        chain = current or (await tx.chains.take([key]))[key]
        salt = draft.salt or random_bytes(_SALT_BYTES)
        header = Header(
            type=draft.type,
            author=self._own.raw,
            circle=draft.circle_id,
            statement=draft.statement_id,
            card_counter=self._card_counter,
            incarnation=self._incarnation,
            seq=current.head_seq + 1 if current else 0,
            prev=last.head_hash if last else _NO_PREVIOUS,
            ref_id=draft.ref_id,
            revision=draft.revision,
            body_commit=body_commit(salt, draft.body),
            created_min=created_min,
            expires_min=draft.expires_min,
            tlp=draft.tlp,
            lane=draft.lane,
        )
        return sign_object(header, salt, draft.body, self._key), chain

    @property
    def _card_counter(self) -> int:
        card = self._cards.newest(self._own)
        if card is None:
            raise LocalError(Defect.UNKNOWN_AUTHOR, "card_counter")
        return card.counter

    def _seal(self, signed: SignedObject, held: HeldKey, draft: Draft) -> bytes:
        outer = self._outer(draft, held.kid, signed.header.created_min)
        content = signed.encode()
        try:
            size = size_for(draft.type, len(content))
            return seal_circle(outer, size, held.key, random_bytes(_NONCE_BYTES), content)
        except LocalError as error:
            raise Problem(
                Kind.TOO_LARGE,
                N_("The text of this message does not fit its envelope."),
                field=error.field,
                expected=error.expected,
                got=error.got,
            ) from error

    def _outer(self, draft: Draft, kid: bytes, created_min: int) -> Outer:
        hour = created_min // 60
        tag = self._keyring.tag(draft.statement_id, hour)
        if tag is None:
            raise LocalError(Defect.UNKNOWN_KEY, "tag")
        return Outer(suite=Suite.CIRCLE, tag=tag, created_hour=hour, cls=draft.cls, lane=draft.lane, kid=kid)

    def seal_packet(self, content: bytes, recipient: NodeId, prekey: tuple[bytes, bytes], tag: bytes) -> bytes:
        """Seal one key packet to one recipient's prekey `(kid, public)`."""
        kid, public = prekey
        hour = minute_of(self._clock()) // 60
        outer = Outer(suite=Suite.X_WING, tag=tag, created_hour=hour, cls=LONG_LIFE, lane=CRITICAL, kid=kid)
        return seal_packet(outer, size_for(ObjectType.KEY_PACKET, len(content)), recipient, public, content)

    async def post_packet(
        self, tx: Transaction, content: bytes, recipient: NodeId, prekey: tuple[bytes, bytes], tag: bytes
    ) -> None:
        """Seal a key packet and append it, under a tag the recipient can prove or a random one."""
        envelope = self.seal_packet(content, recipient, prekey, tag)
        await tx.log.append([self._row(envelope, recipient.raw)])

    def _row(self, envelope: bytes, recipient: bytes = b"") -> EnvelopeRow:
        outer = parse_outer(envelope)
        return EnvelopeRow(
            envelope_id=envelope_id(envelope),
            tag=outer.tag,
            created_hour=outer.created_hour,
            cls=outer.cls,
            lane=outer.lane,
            kid=outer.kid,
            suite=int(outer.suite),
            source=self._own.raw,
            recipient=recipient,
            data=envelope,
            state="own",
            received_at=self._clock(),
        )


def object_row(signed: SignedObject, chain_id: int, envelope: bytes, now: int) -> ObjectRow:
    """The row that keeps an opened object."""
    header = signed.header
    return ObjectRow(
        chain_id=chain_id,
        seq=header.seq,
        type=int(header.type),
        ref_id=header.ref_id,
        revision=header.revision,
        header=signed.header_bytes,
        header_hash=signed.hash,
        signature=signed.signature,
        salt=signed.salt,
        body=signed.body,
        envelope_id=envelope,
        created_min=header.created_min,
        expires_min=header.expires_min,
        received_at=now,
    )
