"""Invitations: the one-time link with which a pairing begins (PROTOCOL §3)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final

from almenara.crypto.hashing import derive, digest
from almenara.crypto.identity import NodeId
from almenara.crypto.labels import Label
from almenara.protocol.codec import Shape, endpoint, integer, octets
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.limits import (
    HASH_BYTES,
    ID_BYTES,
    MAX_INVITATION,
    NODE_ID_BYTES,
    PAIRING_SECRET_BYTES,
    VERSION,
)

SCHEME: Final = "almenara:"
_INVITATION = Shape(
    "invitation",
    ("node_id", octets(NODE_ID_BYTES)),
    ("tls_digest", octets(HASH_BYTES)),
    ("secret", octets(PAIRING_SECRET_BYTES)),
    ("expiry", integer()),
    ("endpoint", endpoint()),
    version=VERSION,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Invitation:
    """Where and who the inviter is, and a secret that lets the bearer try to pair until `expiry` (minutes since 1970).

    The secret alone makes no pairing: two people still compare a code.
    """

    node_id: NodeId
    tls_digest: bytes
    secret: bytes = field(repr=False)
    expiry: int
    endpoint: str

    def __post_init__(self) -> None:
        self.encode()

    def encode(self) -> bytes:
        """Return the canonical bytes, which both sides hash into the transcript.

        Raises:
            LocalError: a field breaks a rule.

        """
        return _INVITATION.write(self.node_id.raw, self.tls_digest, self.secret, self.expiry, self.endpoint)

    @property
    def link(self) -> str:
        """The `almenara:` link: base32 in lower case without padding, which a QR code holds well in capitals."""
        return SCHEME + base64.b32encode(self.encode()).decode("ascii").rstrip("=").lower()

    @property
    def id(self) -> bytes:
        """The 16 bytes by which the joiner names the invitation without showing its secret."""
        return derive(Label.PAIR_ID, self.secret, length=ID_BYTES)

    @property
    def key(self) -> bytes:
        """The key that authenticates every message of this pairing."""
        return derive(Label.PAIR_KEY, self.secret)

    @property
    def hash(self) -> bytes:
        """The hash that begins the transcript."""
        return digest(Label.PAIR_INVITATION, self.encode())

    def is_expired(self, now_min: int) -> bool:
        """Whether no attempt may begin any more."""
        return now_min >= self.expiry


def parse_invitation(data: bytes) -> Invitation:
    """Read an invitation's bytes.

    Raises:
        RemoteError: a field breaks a rule.
        NewerVersion: a later version of almenara made it.

    """
    _, node_id, tls_digest, secret, expiry, address = _INVITATION.read(data, MAX_INVITATION)
    return Invitation(node_id=NodeId(node_id), tls_digest=tls_digest, secret=secret, expiry=expiry, endpoint=address)


def parse_link(link: str) -> Invitation:
    """Read an `almenara:` link as a person pasted or scanned it; case and surrounding white space do not matter.

    Raises:
        RemoteError: BAD_FORM, or what `parse_invitation` refuses.
        NewerVersion: a later version of almenara made it.

    """
    letters = link.strip().lower()
    if not letters.isascii() or not letters.startswith(SCHEME) or len(letters) > 2 * MAX_INVITATION:
        raise RemoteError(Defect.BAD_FORM, "invitation", f"a link that begins with {SCHEME}")
    letters = letters.removeprefix(SCHEME).upper()
    try:
        data = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except (binascii.Error, ValueError):
        raise RemoteError(Defect.BAD_FORM, "invitation", "base32 letters") from None
    if base64.b32encode(data).decode("ascii").rstrip("=") != letters:
        raise RemoteError(Defect.BAD_FORM, "invitation", "base32 without padding or spare bits")
    return parse_invitation(data)
