"""Sealing to one recipient: what opens, and the one answer to everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.crypto.errors import KeyMalformed, OpenFailed
from almenara.crypto.sealing import OVERHEAD, PUBLIC_BYTES, PrekeySecret, seal_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = PrekeySecret.from_seed(bytes(range(32)))
INFO = b"first 48 bytes and the recipient's id"
SMALL_ORDER_X25519 = (
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
)


@given(st.binary(max_size=5000), st.binary(max_size=200))
def test_what_was_sealed_opens(plaintext: bytes, info: bytes) -> None:
    """1,136 bytes longer (PROTOCOL §4)."""
    sealed = seal_to(SECRET.public, plaintext, info)
    assert len(sealed) == len(plaintext) + OVERHEAD == len(plaintext) + 1136
    assert SECRET.open(sealed, info) == plaintext


def test_sealing_twice_gives_other_bytes() -> None:
    """A fresh encapsulation each time."""
    assert seal_to(SECRET.public, b"x", INFO)[:1120] != seal_to(SECRET.public, b"x", INFO)[:1120]


def test_damage_is_refused_with_one_answer(damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    """Each byte of the ML-KEM ciphertext, the X25519 key, ciphertext and tag; every truncation, down to nothing."""
    answers = set()
    for other in damaged(seal_to(SECRET.public, b"plaintext", INFO)):
        with pytest.raises(OpenFailed) as refused:
            SECRET.open(other, INFO)
        answers.add(str(refused.value))
    assert len(answers) == 1


@pytest.mark.parametrize("info", [b"", INFO[:-1], INFO + b"\0", INFO.upper()])
def test_other_info_is_refused(info: bytes) -> None:
    """Header and recipient are bound."""
    with pytest.raises(OpenFailed):
        SECRET.open(seal_to(SECRET.public, b"plaintext", INFO), info)


def test_another_prekey_is_refused() -> None:
    """A fresh one; and ones that share half of the secret cannot be made from a seed."""
    with pytest.raises(OpenFailed):
        PrekeySecret.generate().open(seal_to(SECRET.public, b"plaintext", INFO), INFO)


@pytest.mark.parametrize("point", SMALL_ORDER_X25519)
def test_a_prekey_with_a_small_order_point_is_refused(point: bytes) -> None:
    """Half of its secret would be known to everybody."""
    with pytest.raises(KeyMalformed):
        seal_to(SECRET.public[:1184] + point, b"plaintext", INFO)


@pytest.mark.parametrize("point", SMALL_ORDER_X25519)
def test_an_encapsulation_with_a_small_order_point_is_refused(point: bytes) -> None:
    """The sender's half likewise, with the same answer as any damage."""
    sealed = seal_to(SECRET.public, b"plaintext", INFO)
    with pytest.raises(OpenFailed):
        SECRET.open(sealed[:1088] + point + sealed[1120:], INFO)


def test_a_prekey_with_a_coefficient_beyond_the_field_is_refused() -> None:
    """The check FIPS 203, section 7.2, asks for: twelve ones are 4,095, and the field ends at 3,328."""
    with pytest.raises(KeyMalformed):
        seal_to(b"\xff\xff\xff" + SECRET.public[3:], b"plaintext", INFO)


@pytest.mark.parametrize("length", [0, 32, 1184, PUBLIC_BYTES - 1, PUBLIC_BYTES + 1])
def test_prekeys_of_other_lengths_are_refused(length: int) -> None:
    """1,216 bytes, no other."""
    with pytest.raises(KeyMalformed):
        seal_to(bytes(length), b"plaintext", INFO)


@pytest.mark.parametrize("length", [0, 31, 33, 96])
def test_seeds_of_other_lengths_are_refused(length: int) -> None:
    """32 bytes, no other."""
    with pytest.raises(KeyMalformed):
        PrekeySecret.from_seed(bytes(length))


def test_a_seed_gives_the_same_prekey_again() -> None:
    """So a node keeps 32 bytes, and destroys 32 bytes."""
    fresh = PrekeySecret.generate()
    assert PrekeySecret.from_seed(fresh.seed).public == fresh.public != SECRET.public
    assert len(fresh.public) == PUBLIC_BYTES == 1216


def test_printing_shows_no_seed() -> None:
    """Nothing at all, in fact."""
    assert repr(SECRET) == "PrekeySecret()"
