"""XChaCha20-Poly1305."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.crypto import box
from almenara.crypto.errors import KeyMalformed, OpenFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY, NONCE, AD = bytes(range(32)), bytes(range(24)), b"first 48 bytes"


def test_draft_irtf_cfrg_xchacha_a_3_1() -> None:
    """The AEAD example of draft-irtf-cfrg-xchacha-03, appendix A.3.1."""
    plaintext = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you "
        b"only one tip for the future, sunscreen would be it."
    )
    key, nonce = bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x58))
    ad = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    ciphertext = bytes.fromhex(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
        "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
        "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52e"
    )
    tag = bytes.fromhex("c0875924c1c7987947deafd8780acf49")
    assert box.seal(key, nonce, plaintext, ad) == nonce + ciphertext + tag
    assert box.open(key, nonce + ciphertext + tag, ad) == plaintext


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=24, max_size=24), st.binary(), st.binary())
def test_what_was_sealed_opens(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> None:
    """40 bytes longer, nonce first."""
    sealed = box.seal(key, nonce, plaintext, ad)
    assert len(sealed) == len(plaintext) + box.OVERHEAD
    assert sealed.startswith(nonce)
    assert box.open(key, sealed, ad) == plaintext


def test_damage_is_refused(damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    """Every flipped bit (nonce, ciphertext, tag) and every truncation, down to nothing: the same answer."""
    answers = set()
    for other in damaged(box.seal(KEY, NONCE, b"plaintext", AD)):
        with pytest.raises(OpenFailed) as refused:
            box.open(KEY, other, AD)
        answers.add(str(refused.value))
    assert len(answers) == 1


def test_another_key_or_associated_data_does_not_open() -> None:
    """The outer bytes of an envelope are bound though they are not encrypted."""
    sealed = box.seal(KEY, NONCE, b"plaintext", AD)
    for key, ad in ((bytes(32), AD), (KEY, b""), (KEY, AD + b"\0"), (KEY, AD[:-1])):
        with pytest.raises(OpenFailed):
            box.open(key, sealed, ad)


def test_bytes_do_not_move_between_associated_data_and_plaintext() -> None:
    """Lengths are bound."""
    sealed = box.seal(KEY, NONCE, b"bcd", b"a")
    with pytest.raises(OpenFailed):
        box.open(KEY, sealed, b"ab")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_keys_of_other_lengths_are_refused(length: int) -> None:
    """For sealing and opening alike."""
    with pytest.raises(KeyMalformed):
        box.seal(bytes(length), NONCE, b"", b"")
    with pytest.raises(KeyMalformed):
        box.open(bytes(length), bytes(64), b"")


@pytest.mark.parametrize("length", [0, 12, 23, 25])
def test_nonces_of_other_lengths_are_refused(length: int) -> None:
    """A 12-byte nonce belongs to another cipher."""
    with pytest.raises(KeyMalformed):
        box.seal(KEY, bytes(length), b"", b"")
