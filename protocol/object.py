"""Objects: one signed message in a circle (PROTOCOL §4, §8).

An object is `[header, signature, salt, body]`.  The author signs the header only, and the header commits to the body
through a salt, so a body can be erased and the chain of headers still verifies.  What was received is what is hashed
and verified.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from almenara.crypto import signing
from almenara.crypto.errors import CryptoError
from almenara.crypto.hashing import digest
from almenara.crypto.labels import Label
from almenara.protocol.codec import Shape, blob, integer, octets
from almenara.protocol.envelope import LARGE, MEDIUM, SMALL, Outer, Suite, smallest_size
from almenara.protocol.errors import Defect, LocalError, NewerVersion, RemoteError
from almenara.protocol.limits import (
    HASH_BYTES,
    ID_BYTES,
    MAX_CONTENT,
    MAX_HEADER,
    MAX_RETENTION_DAYS,
    MINUTES_PER_DAY,
    MINUTES_PER_HOUR,
    NODE_ID_BYTES,
    SALT_BYTES,
    SIGNATURE_BYTES,
    UINT16,
    VERSION,
)

if TYPE_CHECKING:
    from almenara.crypto.signing import SigningKey

SIG_ED25519: Final = 1  # the one signature algorithm of this version
TLP_MAX: Final = 4  # CLEAR 0, GREEN 1, AMBER 2, AMBER+STRICT 3, RED 4


class ObjectType(IntEnum):
    """Type numbers, in the order of PROTOCOL §8."""

    ALERT = 1
    UPDATE = 2
    CANCEL = 3
    RETRACT = 4
    ACK = 5
    RESPONSE = 6
    OUTCOME = 7
    CONFIRM = 8
    DISPUTE = 9
    CORRECTION = 10
    RECEIPT = 11
    STATEMENT = 12
    LEAVE = 13
    CARD = 14
    PROFILE = 15
    PREKEY = 16
    INVITE = 17
    ACCEPT = 18
    DECLINE = 19
    KEY_PACKET = 20


_TYPES: Final = {int(kind): kind for kind in ObjectType}  # the hot path's way from number to member

ALERT_FAMILY: Final = frozenset(
    {ObjectType.ALERT, ObjectType.UPDATE, ObjectType.CANCEL, ObjectType.RETRACT}
)  # by the alert's author alone; one line of revisions
ANSWERS: Final = frozenset(
    {
        ObjectType.ACK,
        ObjectType.RESPONSE,
        ObjectType.OUTCOME,
        ObjectType.CONFIRM,
        ObjectType.DISPUTE,
        ObjectType.CORRECTION,
    }
)
_ABOUT_ALERTS = ALERT_FAMILY | ANSWERS
_WITHOUT_REFERENCE = frozenset(
    {
        ObjectType.RECEIPT,
        ObjectType.STATEMENT,
        ObjectType.LEAVE,
        ObjectType.CARD,
        ObjectType.PROFILE,
        ObjectType.PREKEY,
    }
)

# Sizes tell observers what travels: alerts and all that answers them look alike (SCHEMAS §3).
_SIZES: Final[dict[ObjectType, tuple[int, ...]]] = dict.fromkeys(ObjectType, (SMALL,)) | {
    ObjectType.CARD: (MEDIUM,),
    ObjectType.STATEMENT: (MEDIUM, LARGE),
    ObjectType.INVITE: (MEDIUM, LARGE),  # holds a statement
    ObjectType.ACCEPT: (MEDIUM,),  # holds a card
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """The signed header; slots in wire order, as PROTOCOL §4 lists them.

    `author` and the ids are raw bytes; `prev` and `ref_id` may be empty; times are minutes since 1970 UTC, and
    `expires_min` 0 means that the type's own rule says how long it is kept.
    """

    ver: int = VERSION
    type: ObjectType
    author: bytes
    circle: bytes
    statement: bytes
    card_counter: int
    incarnation: bytes
    seq: int
    prev: bytes
    ref_id: bytes
    revision: int
    body_commit: bytes
    created_min: int
    expires_min: int
    tlp: int
    lane: int
    sig_alg: int = SIG_ED25519

    def encode(self) -> bytes:
        """Return the canonical bytes.

        Raises:
            LocalError: a slot, or two slots together, break a rule.

        """
        encoded = _HEADER.write(int(self.type), *astuple(self)[2:])
        try:
            _check_together(self)
        except RemoteError as error:
            raise LocalError.like(error) from None
        return encoded


_HEADER = Shape(
    "header",
    ("type", integer(1, UINT16)),
    ("author", octets(NODE_ID_BYTES)),
    ("circle", octets(ID_BYTES)),
    ("statement", octets(ID_BYTES)),
    ("card_counter", integer(1)),
    ("incarnation", octets(ID_BYTES)),
    ("seq", integer()),
    ("prev", octets(0, HASH_BYTES)),
    ("ref_id", octets(0, ID_BYTES)),
    ("revision", integer(0, UINT16)),
    ("body_commit", octets(HASH_BYTES)),
    ("created_min", integer()),
    ("expires_min", integer()),
    ("tlp", integer(0, TLP_MAX)),
    ("lane", integer(0, 1)),
    ("sig_alg", integer(1, UINT16)),
    version=VERSION,
)

_OBJECT = Shape(
    "object",
    ("header", blob(MAX_HEADER, 1)),
    ("signature", octets(SIGNATURE_BYTES)),
    ("salt", octets(SALT_BYTES)),
    ("body", blob(MAX_CONTENT)),
)


def parse_header(data: bytes) -> Header:
    """Read a header as it was received.

    Raises:
        RemoteError: not canonical, or a slot, or two slots together, break a rule.
        NewerVersion: well-formed, but of a later version, type or signature algorithm: keep it.

    """
    values = _HEADER.read(data, MAX_HEADER)
    kind = _TYPES.get(values[1])
    if kind is None:
        raise NewerVersion(Defect.UNKNOWN_TYPE, "type", f"1 to {ObjectType.KEY_PACKET:d}", f"{values[1]}")
    if values[16] != SIG_ED25519:
        raise NewerVersion(Defect.UNKNOWN_ALGORITHM, "sig_alg", f"{SIG_ED25519}", f"{values[16]}")
    (ver, _, author, circle, statement, card_counter, incarnation, seq, prev) = values[:9]
    (ref_id, revision, body_commit, created_min, expires_min, tlp, lane, sig_alg) = values[9:]
    header = Header(
        ver=ver,
        type=kind,
        author=author,
        circle=circle,
        statement=statement,
        card_counter=card_counter,
        incarnation=incarnation,
        seq=seq,
        prev=prev,
        ref_id=ref_id,
        revision=revision,
        body_commit=body_commit,
        created_min=created_min,
        expires_min=expires_min,
        tlp=tlp,
        lane=lane,
        sig_alg=sig_alg,
    )
    _check_together(header)
    return header


def _check_together(header: Header) -> None:
    """Check what slots must be to each other."""
    if header.type is ObjectType.KEY_PACKET:
        raise RemoteError(Defect.WRONG_SUITE, "type", "an object type: a key packet is none")
    if header.seq > 0 and not header.prev:
        raise RemoteError(Defect.WRONG_LENGTH, "prev", f"{HASH_BYTES} bytes after the first", "0 bytes")
    if header.type in _ABOUT_ALERTS and not header.ref_id:
        raise RemoteError(Defect.WRONG_LENGTH, "ref_id", f"{ID_BYTES} bytes for this type", "0 bytes")
    if header.type in _WITHOUT_REFERENCE and header.ref_id:
        raise RemoteError(Defect.WRONG_LENGTH, "ref_id", "0 bytes for this type", f"{ID_BYTES} bytes")
    if header.expires_min:
        life = header.expires_min - header.created_min
        if not 0 < life <= MAX_RETENTION_DAYS * MINUTES_PER_DAY:
            raise RemoteError(Defect.OUT_OF_RANGE, "expires_min", f"1 minute to {MAX_RETENTION_DAYS} days of life")
    elif header.type is ObjectType.ALERT:
        raise RemoteError(Defect.OUT_OF_RANGE, "expires_min", "an expiry: every alert ends")


def header_hash(header_bytes: bytes) -> bytes:
    """Return the 32 bytes by which the next header, receipts and repair name this header."""
    return digest(Label.HEADER_HASH, header_bytes)


def body_commit(salt: bytes, body: bytes) -> bytes:
    """Return the commitment to a body; without the salt nobody can test a guess at it."""
    return digest(Label.BODY, salt, body)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedObject:
    """An object with the header bytes as they were signed."""

    header: Header
    header_bytes: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    body: bytes = field(repr=False)
    hash: bytes = field(init=False, repr=False, compare=False)
    """The header hash: 32 bytes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", header_hash(self.header_bytes))

    def encode(self) -> bytes:
        """Return the content of an envelope.

        Raises:
            LocalError: longer than any envelope holds.

        """
        content = _OBJECT.write(self.header_bytes, self.signature, self.salt, self.body)
        if len(content) > MAX_CONTENT:
            raise LocalError(Defect.TOO_LARGE, "object", f"at most {MAX_CONTENT} bytes", f"{len(content)} bytes")
        return content


def sign_object(header: Header, salt: bytes, body: bytes, key: SigningKey) -> SignedObject:
    """Sign a header whose `body_commit` is that of `salt` (32 fresh random bytes) and `body`.

    Raises:
        LocalError: a slot breaks a rule, or BAD_COMMIT.

    """
    if len(salt) != SALT_BYTES:
        raise LocalError(Defect.WRONG_LENGTH, "salt", f"{SALT_BYTES} bytes", f"{len(salt)} bytes")
    if header.body_commit != body_commit(salt, body):
        raise LocalError(Defect.BAD_COMMIT, "body_commit", "the hash of salt and body")
    header_bytes = header.encode()
    signature = key.sign(Label.OBJECT, header_bytes)
    return SignedObject(header=header, header_bytes=header_bytes, signature=signature, salt=salt, body=body)


def parse_object(content: bytes) -> SignedObject:
    """Read an object and check its commitment; the signature waits for the author's card (`verify_object`).

    Raises:
        RemoteError: not canonical, a slot breaks a rule, or BAD_COMMIT.
        NewerVersion: well-formed, but of a later version, type or signature algorithm: keep it.

    """
    header_bytes, signature, salt, body = _OBJECT.read(content, MAX_CONTENT)
    header = parse_header(header_bytes)
    if header.body_commit != body_commit(salt, body):
        raise RemoteError(Defect.BAD_COMMIT, "body_commit", "the hash of salt and body")
    return SignedObject(header=header, header_bytes=header_bytes, signature=signature, salt=salt, body=body)


def verify_object(signed: SignedObject, op_sign_public: bytes) -> None:
    """Verify the author's signature with the operational key of the card that `header.card_counter` names.

    Raises:
        RemoteError: BAD_SIGNATURE.

    """
    try:
        signing.verify(op_sign_public, Label.OBJECT, signed.header_bytes, signed.signature)
    except CryptoError:
        raise RemoteError(Defect.BAD_SIGNATURE, "signature") from None


def check_against_envelope(header: Header, outer: Outer, *, circle: bytes, statement: bytes, cls: int) -> None:
    """Check that a header says what its envelope says; circle, statement and class are those of the key that opened it.

    Raises:
        RemoteError: WRONG_CIRCLE, WRONG_STATEMENT, WRONG_CLASS, WRONG_LANE or WRONG_HOUR.

    """
    if header.circle != circle:
        raise RemoteError(Defect.WRONG_CIRCLE, "circle", "the circle of the key")
    if header.statement != statement:
        raise RemoteError(Defect.WRONG_STATEMENT, "statement", "the statement of the key")
    if outer.cls != cls:
        raise RemoteError(Defect.WRONG_CLASS, "class", "the class of the key")
    if header.lane != outer.lane:
        raise RemoteError(Defect.WRONG_LANE, "lane", "the lane of the envelope")
    if header.created_min // MINUTES_PER_HOUR != outer.created_hour:
        raise RemoteError(Defect.WRONG_HOUR, "created_min", "a minute of the envelope's hour")


def sizes_of(kind: ObjectType) -> tuple[int, ...]:
    """Return the envelope sizes this type may travel in, smallest first (SCHEMAS §3)."""
    return _SIZES[kind]


def size_for(kind: ObjectType, length: int) -> int:
    """Return the size of envelope for `length` bytes of content of this type.

    Raises:
        LocalError: TOO_LARGE; an alert is never moved up to a larger envelope.

    """
    suite = Suite.X_WING if kind is ObjectType.KEY_PACKET else Suite.CIRCLE
    return smallest_size(suite, length, sizes_of(kind))


def check_size(kind: ObjectType, size: int) -> None:
    """Check that a received object came in an envelope of a size its type may have.

    Raises:
        RemoteError: BAD_SIZE.

    """
    if size not in sizes_of(kind):
        wanted = " or ".join(str(allowed) for allowed in sizes_of(kind))
        raise RemoteError(Defect.BAD_SIZE, "envelope", f"{wanted} bytes for this type", f"{size} bytes")
