"""What a node says about itself: card, profile and prekey (PROTOCOL §1).

Each is a blob `[fields, signature]` that proves itself, so it may come from anyone.  The root keys sign the card, and
the operational key the card names signs profile and prekey.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Final

from almenara.crypto import signing
from almenara.crypto.certificate import certificate_digest, check_certificate
from almenara.crypto.errors import CryptoError
from almenara.crypto.hashing import digest
from almenara.crypto.identity import NodeId, RootKeys, RootPublic
from almenara.crypto.labels import Label
from almenara.protocol.codec import Shape, array, blob, code, country, endpoint, integer, octets, text
from almenara.protocol.envelope import Suite
from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.limits import (
    ID_BYTES,
    MAX_CARD,
    MAX_CERTIFICATE,
    MAX_ENDPOINTS,
    MAX_INTRODUCTION,
    MAX_NAME,
    MAX_PREKEY,
    MAX_PROFILE,
    MAX_SUITES,
    MINUTES_PER_DAY,
    NODE_ID_BYTES,
    OLD_KEY_DAYS,
    PREKEY_BYTES,
    PREKEY_USE_DAYS,
    PUBLIC_KEY_BYTES,
    ROOT_PUBLIC_BYTES,
    ROOT_SIGNATURE_BYTES,
    SIGNATURE_BYTES,
    UINT16,
    VERSION,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almenara.crypto.signing import SigningKey

OUR_SUITES: Final = (int(Suite.X_WING), int(Suite.CIRCLE))


class Status(IntEnum):
    """What a card says of its node."""

    ACTIVE = 1
    REVOKED = 2
    """For ever: no later card counts, and the node is out of every circle."""


class PreviousOp(IntEnum):
    """What a card says of every operational key before its own."""

    NONE = 0
    """There was none, or it is the same."""
    RETIRED = 1
    """What it signed still counts if created before this card and arriving within 35 days."""
    COMPROMISED = 2
    """Of what it signed, only what is already held counts."""


_CARD = Shape(
    "card",
    ("root_pks", octets(ROOT_PUBLIC_BYTES)),
    ("counter", integer(1)),
    ("op_sign_pk", octets(PUBLIC_KEY_BYTES)),
    ("tls_cert", blob(MAX_CERTIFICATE, 1)),
    ("endpoints", array(endpoint(), MAX_ENDPOINTS)),
    ("suites", array(integer(1, UINT16), MAX_SUITES, 1, rising=True)),
    ("issued", integer()),
    ("expires", integer()),
    ("status", integer(Status.ACTIVE, Status.REVOKED)),
    ("previous_op", integer(PreviousOp.NONE, PreviousOp.COMPROMISED)),
    version=VERSION,
)
_PROFILE = Shape(
    "profile",
    ("node_id", octets(NODE_ID_BYTES)),
    ("issued", integer()),
    ("name", text(MAX_NAME, 1)),
    ("kind", code()),
    ("country", country(optional=True)),
    version=VERSION,
)
_PREKEY = Shape(
    "prekey",
    ("node_id", octets(NODE_ID_BYTES)),
    ("public", octets(PREKEY_BYTES)),
    ("issued", integer()),
    version=VERSION,
)
_SIGNED_BY_ROOT = Shape("signed card", ("fields", blob(MAX_CARD)), ("signature", octets(ROOT_SIGNATURE_BYTES)))
_SIGNED_BY_OP = Shape("signed blob", ("fields", blob(MAX_PREKEY)), ("signature", octets(SIGNATURE_BYTES)))
_INTRODUCTION = Shape(
    "introduction", ("card", blob(MAX_CARD)), ("profile", blob(MAX_PROFILE)), ("prekey", blob(MAX_PREKEY))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A node's operational keys, certificate (DER), endpoints and suites; `issued` and `expires` in minutes since 1970.

    `blob` is the card as signed.  Past `expires` a card only warns.
    """

    root: RootPublic
    counter: int
    op_sign: bytes
    tls_cert: bytes = field(repr=False)
    endpoints: tuple[str, ...]
    suites: tuple[int, ...]
    issued: int
    expires: int
    status: Status
    previous_op: PreviousOp
    blob: bytes = field(repr=False, compare=False)  # ML-DSA signs the same fields differently each time

    @property
    def node_id(self) -> NodeId:
        """The node this card speaks of."""
        return self.root.node_id

    @property
    def tls_digest(self) -> bytes:
        """The 32 bytes that an invitation names and a connection pins."""
        return certificate_digest(self.tls_cert)

    def encode(self) -> bytes:
        """Return the signed blob, as made or as received."""
        return self.blob


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """How a node wishes to be called: name, kind (a code) and country ("" when it does not say)."""

    node_id: NodeId
    issued: int
    name: str
    kind: str
    country: str
    blob: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Return the signed blob, as made or as received."""
        return self.blob


@dataclass(frozen=True, kw_only=True, slots=True)
class Prekey:
    """An X-Wing public key others may seal key packets to for 35 days from `issued` (minutes since 1970)."""

    node_id: NodeId
    public: bytes = field(repr=False)
    issued: int
    blob: bytes = field(repr=False)

    @property
    def kid(self) -> bytes:
        """The key id that envelopes sealed to it carry: 16 bytes."""
        return prekey_id(self.public)

    def is_usable(self, now_min: int) -> bool:
        """Whether others may still seal to it."""
        return now_min < self.issued + PREKEY_USE_DAYS * MINUTES_PER_DAY

    def encode(self) -> bytes:
        """Return the signed blob, as made or as received."""
        return self.blob


@dataclass(frozen=True, kw_only=True, slots=True)
class Introduction:
    """Card, profile and prekey of one node, each verified."""

    card: Card
    profile: Profile
    prekey: Prekey

    @property
    def node_id(self) -> NodeId:
        """The node introduced."""
        return self.card.node_id

    def encode(self) -> bytes:
        """Return the three as one array."""
        return encode_introduction(self.card, self.profile, self.prekey)


def prekey_id(public: bytes) -> bytes:
    """Return the 16-byte key id of a prekey."""
    return digest(Label.PREKEY_ID, public)[:ID_BYTES]


def sign_card(
    *,
    root: RootKeys,
    counter: int,
    op_sign: bytes,
    tls_cert: bytes,
    endpoints: Iterable[str],
    issued: int,
    expires: int,
    suites: Iterable[int] = OUR_SUITES,
    status: Status = Status.ACTIVE,
    previous_op: PreviousOp = PreviousOp.NONE,
) -> Card:
    """Sign a card with both root algorithms.

    Raises:
        LocalError: a field breaks a rule.

    """
    fields = _CARD.write(
        root.public.raw,
        counter,
        op_sign,
        tls_cert,
        list(endpoints),
        list(suites),
        issued,
        expires,
        int(status),
        int(previous_op),
    )
    blob_ = _SIGNED_BY_ROOT.write(fields, root.sign(Label.CARD, fields))
    try:
        return _card(fields, blob_)
    except RemoteError as error:
        raise LocalError.like(error) from None


def parse_card(data: bytes) -> Card:
    """Read a card and verify both root signatures.

    Raises:
        RemoteError: a field breaks a rule, OUT_OF_RANGE (expires before issued), BAD_CERTIFICATE or BAD_SIGNATURE.
        NewerVersion: a later version: keep it.

    """
    fields, signature = _SIGNED_BY_ROOT.read(data, MAX_CARD)
    card = _card(fields, data)
    try:
        card.root.verify(Label.CARD, fields, signature)
    except CryptoError:
        raise RemoteError(Defect.BAD_SIGNATURE, "card", "both root signatures") from None
    return card


def _card(fields: bytes, signed: bytes) -> Card:
    values = _CARD.read(fields, MAX_CARD)
    _, root, counter, op_sign, tls_cert, endpoints, suites, issued, expires, status, previous_op = values
    if expires <= issued:
        raise RemoteError(Defect.OUT_OF_RANGE, "expires", "a minute after issued")
    try:
        check_certificate(tls_cert)
    except CryptoError:
        raise RemoteError(Defect.BAD_CERTIFICATE, "tls_cert", "a self-signed Ed25519 certificate") from None
    return Card(
        root=RootPublic.from_raw(root),
        counter=counter,
        op_sign=op_sign,
        tls_cert=tls_cert,
        endpoints=tuple(endpoints),
        suites=tuple(suites),
        issued=issued,
        expires=expires,
        status=Status(status),
        previous_op=PreviousOp(previous_op),
        blob=signed,
    )


def sign_profile(*, node_id: NodeId, issued: int, name: str, kind: str, country: str, key: SigningKey) -> Profile:
    """Sign a profile with the operational key.

    Raises:
        LocalError: a field breaks a rule.

    """
    fields = _PROFILE.write(node_id.raw, issued, name, kind, country)
    signed = _SIGNED_BY_OP.write(fields, key.sign(Label.PROFILE, fields))
    return Profile(node_id=node_id, issued=issued, name=name, kind=kind, country=country, blob=signed)


def parse_profile(data: bytes, op_sign_public: bytes) -> Profile:
    """Read a profile and verify it with the operational key of its node's card.

    Raises:
        RemoteError: a field breaks a rule, or BAD_SIGNATURE.
        NewerVersion: a later version: keep it.

    """
    fields, signature = _SIGNED_BY_OP.read(data, MAX_PROFILE)
    _, node, issued, name, kind, land = _PROFILE.read(fields, MAX_PROFILE)
    _verify(op_sign_public, Label.PROFILE, fields, signature)
    return Profile(node_id=NodeId(node), issued=issued, name=name, kind=kind, country=land, blob=data)


def sign_prekey(*, node_id: NodeId, public: bytes, issued: int, key: SigningKey) -> Prekey:
    """Sign a prekey with the operational key.

    Raises:
        LocalError: a field breaks a rule.

    """
    fields = _PREKEY.write(node_id.raw, public, issued)
    signed = _SIGNED_BY_OP.write(fields, key.sign(Label.PREKEY, fields))
    return Prekey(node_id=node_id, public=public, issued=issued, blob=signed)


def parse_prekey(data: bytes, op_sign_public: bytes) -> Prekey:
    """Read a prekey and verify it with the operational key of its node's card.

    Raises:
        RemoteError: a field breaks a rule, or BAD_SIGNATURE.
        NewerVersion: a later version: keep it.

    """
    fields, signature = _SIGNED_BY_OP.read(data, MAX_PREKEY)
    _, node, public, issued = _PREKEY.read(fields, MAX_PREKEY)
    _verify(op_sign_public, Label.PREKEY, fields, signature)
    return Prekey(node_id=NodeId(node), public=public, issued=issued, blob=data)


def _verify(public: bytes, label: Label, fields: bytes, signature: bytes) -> None:
    try:
        signing.verify(public, label, fields, signature)
    except CryptoError:
        raise RemoteError(Defect.BAD_SIGNATURE, "signature", "the operational key's") from None


def encode_introduction(card: Card, profile: Profile, prekey: Prekey) -> bytes:
    """Return card, profile and prekey as one array."""
    return _INTRODUCTION.write(card.blob, profile.blob, prekey.blob)


def parse_introduction(data: bytes) -> Introduction:
    """Read and verify a card, and with its operational key the profile and prekey beside it.

    Raises:
        RemoteError: what the three parsers refuse, or WRONG_NODE when they speak of different nodes.
        NewerVersion: one of them is of a later version.

    """
    card_blob, profile_blob, prekey_blob = _INTRODUCTION.read(data, MAX_INTRODUCTION)
    card = parse_card(card_blob)
    profile = parse_profile(profile_blob, card.op_sign)
    prekey = parse_prekey(prekey_blob, card.op_sign)
    # Nothing keeps a card from naming a stranger's operational key: then profile and prekey would be the stranger's.
    if profile.node_id != card.node_id or prekey.node_id != card.node_id:
        raise RemoteError(Defect.WRONG_NODE, "introduction", "card, profile and prekey of one node")
    return Introduction(card=card, profile=profile, prekey=prekey)


class Succession(Enum):
    """What to do with a card when another of the same node is held."""

    ACCEPT = "accept"
    SAME = "same"
    """The same fields as the card that is held."""
    LOWER = "lower"
    """Refuse: it is older than the one held."""
    CONFLICT = "conflict"
    """Two cards with one counter and different fields: block the node until a human decides."""
    TERMINAL = "terminal"
    """Refuse: the node is revoked, for ever."""


def supersedes(held: Card, received: Card) -> Succession:
    """Judge a verified card against the one held of the same node (PROTOCOL §1).

    Raises:
        LocalError: WRONG_NODE, the two are of different nodes.

    """
    if held.node_id != received.node_id:
        raise LocalError(Defect.WRONG_NODE, "card", "two cards of one node")
    if held == received:
        return Succession.SAME
    if held.status is Status.REVOKED:
        return Succession.TERMINAL
    if received.status is Status.REVOKED:
        return Succession.ACCEPT
    if received.counter < held.counter:
        return Succession.LOWER
    if received.counter == held.counter:
        return Succession.CONFLICT
    return Succession.ACCEPT


def check_old_key(signer: Card, later: Iterable[Card], *, created_min: int, arrived_min: int) -> None:
    """Check that something newly arrived, signed under the card `signer`, still counts given later cards of its node.

    The strictest later card decides, so a key once called compromised is not made good by the card after it.

    Raises:
        RemoteError: OLD_KEY or REVOKED.

    """
    for card in later:
        if card.status is Status.REVOKED:
            raise RemoteError(Defect.REVOKED, "card_counter", "a node that is not revoked")
        if card.op_sign == signer.op_sign:
            continue
        retired = card.previous_op is PreviousOp.RETIRED
        in_time = arrived_min <= card.issued + OLD_KEY_DAYS * MINUTES_PER_DAY
        if not (retired and created_min < card.issued and in_time):
            raise RemoteError(Defect.OLD_KEY, "card_counter", "a key that was in use when this was signed")
