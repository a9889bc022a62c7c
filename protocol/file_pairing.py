"""Pairing by files, where there is no network (PROTOCOL §3, last paragraph).

Each side writes an offer and reads the other's.  Two messages leave no room for a commitment, so a middleman could try
nonces until a short code agrees: the code here has 60 digits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from almenara.crypto import signing
from almenara.crypto.codes import long_code
from almenara.crypto.errors import CryptoError
from almenara.crypto.hashing import digest512
from almenara.crypto.labels import Label
from almenara.protocol.card import Introduction, Status, parse_introduction
from almenara.protocol.codec import Shape, blob, octets
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.limits import MAX_INTRODUCTION, MAX_PAIRING_MESSAGE, NONCE_BYTES, SIGNATURE_BYTES, VERSION

if TYPE_CHECKING:
    from almenara.crypto.signing import SigningKey

_OFFER = Shape(
    "pairing offer",
    ("introduction", blob(MAX_INTRODUCTION)),
    ("nonce", octets(NONCE_BYTES)),
    ("signature", octets(SIGNATURE_BYTES)),
    version=VERSION,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileOffer:
    """One side's file, verified: it was made by the operational key of the card inside."""

    peer: Introduction
    data: bytes = field(repr=False)


def file_offer(introduction: bytes, nonce: bytes, key: SigningKey) -> bytes:
    """Return our file; `nonce` is 32 fresh random bytes, `key` our operational key.

    Raises:
        LocalError: a field breaks a rule.

    """
    return _OFFER.write(introduction, nonce, key.sign(Label.FILE_PAIR_SIGN, nonce + introduction))


def parse_file_offer(data: bytes) -> FileOffer:
    """Read and verify the other side's file.

    Raises:
        RemoteError: a field breaks a rule, what `parse_introduction` refuses, REVOKED or BAD_SIGNATURE.
        NewerVersion: a later version of almenara made it.

    """
    _, introduction, nonce, signature = _OFFER.read(data, MAX_PAIRING_MESSAGE)
    peer = parse_introduction(introduction)
    if peer.card.status is Status.REVOKED:
        raise RemoteError(Defect.REVOKED, "card", "a node that is not revoked")
    try:
        signing.verify(peer.card.op_sign, Label.FILE_PAIR_SIGN, nonce + introduction, signature)
    except CryptoError:
        raise RemoteError(Defect.BAD_SIGNATURE, "signature", "the operational key's of the card inside") from None
    return FileOffer(peer=peer, data=data)


def file_code(own: bytes, other: bytes) -> str:
    """Return the 60 digits, 12 groups of 5, that both people compare; the order of the two files does not matter.

    Raises:
        RemoteError: one of them is no valid offer, or REFLECTED when both are of one node.

    """
    offers = sorted((parse_file_offer(own), parse_file_offer(other)), key=lambda offer: offer.peer.node_id)
    if offers[0].peer.node_id == offers[1].peer.node_id:
        raise RemoteError(Defect.REFLECTED, "offer", "files of two nodes")
    return long_code(digest512(Label.FILE_PAIR_CODE, offers[0].data, offers[1].data))
