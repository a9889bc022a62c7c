"""Root keys: two algorithms, both of which must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa

from almenara.crypto.errors import KeyMalformed, SignatureInvalid
from almenara.crypto.identity import NodeId, RootKeys, RootPublic
from almenara.crypto.labels import Label
from almenara.crypto.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

Records = list[dict[str, str]]
MESSAGE = b"a card"


@pytest.fixture(scope="module")
def roots() -> RootKeys:
    return RootKeys.from_seeds(bytes(range(32)), bytes(range(32, 64)))


@pytest.fixture(scope="module")
def signature(roots: RootKeys) -> bytes:
    return roots.sign(Label.CARD, MESSAGE)


def test_ml_dsa_65_known_answers(vector_records: Callable[[str], Records]) -> None:
    """Keys grown from the published seeds are the published keys; the published signatures verify, only unchanged."""
    records = vector_records("asymmetric/MLDSA/kat_MLDSA_65_det_pure.rsp")
    assert len(records) == 100
    for record in records:
        xi, public, message, context = (bytes.fromhex(record[name]) for name in ("xi", "pk", "msg", "ctx"))
        assert RootKeys.from_seeds(bytes(32), xi).public.mldsa65 == public
        signature = bytes.fromhex(record["sm"])[:3309]
        key = mldsa.MLDSA65PublicKey.from_public_bytes(public)
        key.verify(signature, message, context)
        with pytest.raises(InvalidSignature):
            key.verify(signature, message + b"\0", context)


def test_signature_verifies(roots: RootKeys, signature: bytes) -> None:
    """64 + 3,309 bytes."""
    assert len(signature) == 3373
    roots.public.verify(Label.CARD, MESSAGE, signature)


def test_each_half_is_an_ordinary_signature_over_label_and_message(roots: RootKeys, signature: bytes) -> None:
    """So that a second implementation needs no more than the two standards."""
    assert signature[:64] == SigningKey.from_seed(bytes(range(32))).sign(Label.CARD, MESSAGE)
    mldsa.MLDSA65PublicKey.from_public_bytes(roots.public.mldsa65).verify(signature[64:], Label.CARD + MESSAGE)


@pytest.mark.parametrize("place", [0, 31, 32, 63, 64, 64 + 47, 1700, 3372])
def test_a_flipped_bit_in_either_half_is_refused(roots: RootKeys, signature: bytes, place: int) -> None:
    """Ed25519's R and S; the challenge, response and hint of ML-DSA."""
    other = bytearray(signature)
    other[place] ^= 1
    with pytest.raises(SignatureInvalid):
        roots.public.verify(Label.CARD, MESSAGE, bytes(other))


def test_one_valid_half_is_not_enough(roots: RootKeys, signature: bytes) -> None:
    """Whoever breaks one algorithm still cannot sign a card."""
    stranger = RootKeys.generate()
    foreign = stranger.sign(Label.CARD, MESSAGE)
    for mixed in (signature[:64] + foreign[64:], foreign[:64] + signature[64:]):
        with pytest.raises(SignatureInvalid):
            roots.public.verify(Label.CARD, MESSAGE, mixed)


def test_another_label_message_or_key_is_refused(roots: RootKeys, signature: bytes) -> None:
    """A signature over a card is good for nothing else."""
    for label, message in ((Label.PROFILE, MESSAGE), (Label.CARD, MESSAGE + b"\0"), (Label.CARD, b"")):
        with pytest.raises(SignatureInvalid):
            roots.public.verify(label, message, signature)
    with pytest.raises(SignatureInvalid):
        RootKeys.generate().public.verify(Label.CARD, MESSAGE, signature)


@pytest.mark.parametrize("length", [0, 64, 3309, 3372])
def test_a_short_signature_is_refused(roots: RootKeys, signature: bytes, length: int) -> None:
    """Either half alone included; so is a long one."""
    for other in (signature[:length], signature + b"\0"):
        with pytest.raises(SignatureInvalid):
            roots.public.verify(Label.CARD, MESSAGE, other)


def test_seeds_give_the_same_node_again(roots: RootKeys) -> None:
    """What the vault keeps is enough."""
    again = RootKeys.from_seeds(*roots.seeds)
    assert again == roots
    assert again.node_id == roots.node_id == NodeId.of(roots.public.ed25519, roots.public.mldsa65)
    assert RootKeys.generate().node_id != roots.node_id


def test_public_keys_travel_as_one_string(roots: RootKeys) -> None:
    """1,984 bytes; any other length is refused."""
    assert len(roots.public.raw) == 1984
    assert RootPublic.from_raw(roots.public.raw) == roots.public
    for raw in (b"", roots.public.raw[:-1], roots.public.raw + b"\0"):
        with pytest.raises(KeyMalformed):
            RootPublic.from_raw(raw)


@pytest.mark.parametrize(("first", "second"), [(31, 32), (32, 31), (33, 32), (32, 33), (0, 0)])
def test_seeds_of_other_lengths_are_refused(first: int, second: int) -> None:
    """Both have 32 bytes."""
    with pytest.raises(KeyMalformed):
        RootKeys.from_seeds(bytes(first), bytes(second))


def test_keys_of_no_meaning_verify_nothing(signature: bytes) -> None:
    """Zeros and ones have the right lengths, and still the answer is the one typed refusal."""
    for raw in (bytes(1984), b"\xff" * 1984):
        with pytest.raises(SignatureInvalid):
            RootPublic.from_raw(raw).verify(Label.CARD, MESSAGE, signature)


def test_printing_shows_no_seed(roots: RootKeys) -> None:
    """Neither in `repr` nor through a field of it."""
    shown = repr(roots) + str(roots)
    for seed in roots.seeds:
        assert repr(seed)[2:-1] not in shown
        assert seed.hex() not in shown
