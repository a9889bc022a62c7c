"""Ed25519 signatures with labels, on the published vectors and against damage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from almenara.crypto import signing
from almenara.crypto.errors import KeyMalformed, SignatureInvalid
from almenara.crypto.labels import Label
from almenara.crypto.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = SigningKey.from_seed(bytes(range(32)))
MESSAGE = b"a header"


def test_published_ed25519_vectors(vector_lines: Callable[[str], list[list[str]]]) -> None:
    """All 1,024 of the Ed25519 authors, among them those of RFC 8032: same public keys, every signature verifies."""
    lines = vector_lines("asymmetric/Ed25519/sign.input")
    assert len(lines) == 1024
    for secret, public, message, signed, _ in lines:
        assert SigningKey.from_seed(bytes.fromhex(secret[:64])).public.hex() == public
        signature = bytes.fromhex(signed[:128])
        signing.verify_unlabelled(bytes.fromhex(public), bytes.fromhex(message), signature)
        with pytest.raises(SignatureInvalid):
            signing.verify_unlabelled(bytes.fromhex(public), bytes.fromhex(message) + b"\0", signature)


@given(st.binary(min_size=32, max_size=32), st.sampled_from(Label), st.binary())
def test_signature_is_plain_ed25519_over_label_and_message(seed: bytes, label: Label, message: bytes) -> None:
    """Byte for byte what another library makes, since RFC 8032 signatures are deterministic."""
    signature = SigningKey.from_seed(seed).sign(label, message)
    assert signature == ed25519.Ed25519PrivateKey.from_private_bytes(seed).sign(label + message)
    signing.verify(SigningKey.from_seed(seed).public, label, message, signature)


def test_damage_is_refused(damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    """Every bit of R and S that is flipped, every truncation, one byte more."""
    for other in damaged(KEY.sign(Label.OBJECT, MESSAGE)):
        with pytest.raises(SignatureInvalid):
            signing.verify(KEY.public, Label.OBJECT, MESSAGE, other)


@pytest.mark.parametrize("label", [label for label in Label if label is not Label.OBJECT])
def test_signature_under_one_label_is_worth_nothing_under_another(label: Label) -> None:
    """Whatever the purpose."""
    with pytest.raises(SignatureInvalid):
        signing.verify(KEY.public, label, MESSAGE, KEY.sign(Label.OBJECT, MESSAGE))


def test_another_message_is_refused(damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    """The whole message is bound."""
    signature = KEY.sign(Label.OBJECT, MESSAGE)
    for other in damaged(MESSAGE):
        with pytest.raises(SignatureInvalid):
            signing.verify(KEY.public, Label.OBJECT, other, signature)


def test_bytes_do_not_move_between_signature_and_message() -> None:
    """The library sees both as one string, and would take a longer signature over a shorter message."""
    message = Label.OBJECT + MESSAGE
    signature = KEY.sign(Label.OBJECT, MESSAGE)
    for moved in (1, 12, len(message)):
        with pytest.raises(SignatureInvalid):
            signing.verify_unlabelled(KEY.public, message[moved:], signature + message[:moved])
        with pytest.raises(SignatureInvalid):
            signing.verify_unlabelled(KEY.public, signature[-moved:] + message, signature[:-moved])


def test_another_key_is_refused() -> None:
    """Also one that differs in a single bit, a valid point or not."""
    signature = KEY.sign(Label.OBJECT, MESSAGE)
    for at in range(32):
        other = bytearray(KEY.public)
        other[at] ^= 1
        with pytest.raises(SignatureInvalid):
            signing.verify(bytes(other), Label.OBJECT, MESSAGE, signature)
    with pytest.raises(SignatureInvalid):
        signing.verify(SigningKey.generate().public, Label.OBJECT, MESSAGE, signature)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_keys_of_other_lengths_are_refused(length: int) -> None:
    """Seeds and public keys have 32 bytes."""
    with pytest.raises(KeyMalformed):
        SigningKey.from_seed(bytes(length))
    with pytest.raises(KeyMalformed):
        signing.verify(bytes(length), Label.OBJECT, MESSAGE, bytes(64))


def test_fresh_keys_differ() -> None:
    """And grow again from their seed."""
    one, other = SigningKey.generate(), SigningKey.generate()
    assert one != other
    assert SigningKey.from_seed(one.seed) == one


def test_printing_shows_no_seed() -> None:
    """Only the public key."""
    assert repr(KEY) == f"SigningKey(public={KEY.public!r})"
