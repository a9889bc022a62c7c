"""Keys of a circle: what derives from an epoch key, when each dies, and the packet that hands it on (PROTOCOL §5.7-8).

Every statement has a fresh random epoch key and commits to it.  Objects are sealed under two class keys derived from
it, so that the key of what travels a week dies weeks before the key of what travels five.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from almenara.crypto import signing
from almenara.crypto.errors import CryptoError
from almenara.crypto.hashing import derive, digest, equal
from almenara.crypto.identity import NodeId
from almenara.crypto.labels import Label
from almenara.protocol.codec import Shape, blob, integer, octets
from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.limits import (
    CLASS_DAYS,
    HASH_BYTES,
    ID_BYTES,
    MINUTES_PER_DAY,
    NODE_ID_BYTES,
    SIGNATURE_BYTES,
    VERSION,
)

if TYPE_CHECKING:
    from almenara.crypto.signing import SigningKey
    from almenara.protocol.statement import Statement

KEY_BYTES: Final = 32  # epoch keys, class keys and carry secrets
MAX_KEY_PACKET: Final = 512  # bytes of a signed packet; the slots allow at most 303
LATE_DAYS: Final = 2  # what was sent within 48 h of the successor counts, so class keys outlive their class by as much
KEEP_DAYS: Final = tuple(days + LATE_DAYS for days in CLASS_DAYS)
"""Days from knowing the successor to destroying the key of class 0 and of class 1: 9 and 37."""

_PACKET = Shape(
    "key packet",
    ("circle", octets(ID_BYTES)),
    ("statement", octets(HASH_BYTES)),
    ("number", integer(1)),
    ("key", octets(KEY_BYTES)),
    ("carry_secret", octets(KEY_BYTES)),
    ("recipient", octets(NODE_ID_BYTES)),
    ("giver", octets(NODE_ID_BYTES)),
    version=VERSION,
)
_SIGNED = Shape("signed key packet", ("fields", blob(MAX_KEY_PACKET)), ("signature", octets(SIGNATURE_BYTES)))


def key_commit(epoch_key: bytes) -> bytes:
    """Return what a statement says of its epoch key: 32 bytes."""
    return digest(Label.KEY_COMMIT, epoch_key)


def carry_commit(carry_secret: bytes) -> bytes:
    """Return what a statement says of its carry secret: 32 bytes."""
    return digest(Label.CARRY_COMMIT, carry_secret)


def class_key(epoch_key: bytes, circle: bytes, statement: bytes, cls: int) -> bytes:
    """Derive the key that seals objects of one class (0 or 1) under one statement (its 16-byte id): 32 bytes."""
    return derive(Label.CLASS_KEY, epoch_key, circle, statement, bytes([cls]))


def kid(key: bytes, circle: bytes, statement: bytes, cls: int) -> bytes:
    """Derive the name that envelopes sealed under a class key carry: 16 bytes."""
    return derive(Label.KID, key, circle, statement, bytes([cls]))[:ID_BYTES]


def class_key_ends(superseded_min: int, cls: int) -> int:
    """Return the minute in which a class key is destroyed, given the minute its statement was known to be superseded.

    The epoch key is destroyed in `superseded_min` itself.  While a statement is current, nothing of it is destroyed.
    """
    return superseded_min + KEEP_DAYS[cls] * MINUTES_PER_DAY


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPacket:
    """One statement's epoch key and carry secret, from one member to another.  `statement` is the 32-byte hash."""

    circle: bytes
    statement: bytes
    number: int
    key: bytes = field(repr=False)
    carry_secret: bytes = field(repr=False)
    recipient: NodeId
    giver: NodeId

    def _fields(self) -> bytes:
        return _PACKET.write(
            self.circle,
            self.statement,
            self.number,
            self.key,
            self.carry_secret,
            self.recipient.raw,
            self.giver.raw,
        )

    def sign(self, op_sign: SigningKey) -> bytes:
        """Return the content of a key packet's envelope: fields and the giver's signature.

        Raises:
            LocalError: a field breaks a rule.

        """
        fields = self._fields()
        return _SIGNED.write(fields, op_sign.sign(Label.KEY_PACKET, fields))


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedKeyPacket:
    """A key packet as received.  Nothing in it counts before `verify`."""

    packet: KeyPacket
    fields: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def verify(self, statement: Statement, own: NodeId, giver_op_sign: bytes) -> None:
        """Check the packet against the valid statement it names, ourselves, and the giver's operational key.

        Raises:
            RemoteError: WRONG_CIRCLE, WRONG_STATEMENT, WRONG_NUMBER, WRONG_RECIPIENT (not us, or we are no member),
                UNKNOWN_AUTHOR (the giver is no member), BAD_COMMIT (key or carry secret), BAD_SIGNATURE.

        """
        self._check_place(statement)
        self._check_nodes(statement, own)
        if not equal(key_commit(self.packet.key), statement.key_commit):
            raise RemoteError(Defect.BAD_COMMIT, "key", "the key the statement commits to")
        if not equal(carry_commit(self.packet.carry_secret), statement.carry_commit):
            raise RemoteError(Defect.BAD_COMMIT, "carry_secret", "the carry secret the statement commits to")
        try:
            signing.verify(giver_op_sign, Label.KEY_PACKET, self.fields, self.signature)
        except CryptoError:
            raise RemoteError(Defect.BAD_SIGNATURE, "signature", "the giver's") from None

    def _check_place(self, statement: Statement) -> None:
        if self.packet.circle != statement.circle_id:
            raise RemoteError(Defect.WRONG_CIRCLE, "circle", "the statement's circle")
        if self.packet.statement != statement.hash:
            raise RemoteError(Defect.WRONG_STATEMENT, "statement", "the hash of the statement")
        if self.packet.number != statement.number:
            raise RemoteError(Defect.WRONG_NUMBER, "number", str(statement.number), str(self.packet.number))

    def _check_nodes(self, statement: Statement, own: NodeId) -> None:
        if self.packet.recipient != own or statement.role_of(own) is None:
            raise RemoteError(Defect.WRONG_RECIPIENT, "recipient", "this node, a member of the statement")
        if statement.role_of(self.packet.giver) is None:
            raise RemoteError(Defect.UNKNOWN_AUTHOR, "giver", "a member of the statement")


def give_key(
    statement: Statement, *, epoch_key: bytes, carry_secret: bytes, recipient: NodeId, giver: NodeId
) -> KeyPacket:
    """Make the packet by which one member of a statement hands its key to another.

    Raises:
        LocalError: BAD_COMMIT, these are not the statement's secrets; WRONG_RECIPIENT or UNKNOWN_AUTHOR, no member.

    """
    if key_commit(epoch_key) != statement.key_commit or carry_commit(carry_secret) != statement.carry_commit:
        raise LocalError(Defect.BAD_COMMIT, "key", "the secrets the statement commits to")
    if statement.role_of(recipient) is None:
        raise LocalError(Defect.WRONG_RECIPIENT, "recipient", "a member of the statement")
    if statement.role_of(giver) is None:
        raise LocalError(Defect.UNKNOWN_AUTHOR, "giver", "a member of the statement")
    return KeyPacket(
        circle=statement.circle_id,
        statement=statement.hash,
        number=statement.number,
        key=epoch_key,
        carry_secret=carry_secret,
        recipient=recipient,
        giver=giver,
    )


def parse_key_packet(content: bytes) -> SignedKeyPacket:
    """Read what a key packet's envelope held.

    Raises:
        RemoteError: a field breaks a rule.
        NewerVersion: a later version: keep it.

    """
    fields, signature = _SIGNED.read(content, MAX_KEY_PACKET + SIGNATURE_BYTES + 8)
    _, circle, statement, number, key, carry_secret, recipient, giver = _PACKET.read(fields, MAX_KEY_PACKET)
    packet = KeyPacket(
        circle=circle,
        statement=statement,
        number=number,
        key=key,
        carry_secret=carry_secret,
        recipient=NodeId(recipient),
        giver=NodeId(giver),
    )
    return SignedKeyPacket(packet=packet, fields=fields, signature=signature)
