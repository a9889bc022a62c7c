"""Hashes, derived keys and codes, against definitions written out here and tested on the RFCs' own vectors."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.crypto import hashing
from almenara.crypto.errors import MacInvalid
from almenara.crypto.labels import Label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = bytes(range(32))
Records = list[dict[str, str]]


def hmac_by_hand(key: bytes, message: bytes) -> bytes:
    """RFC 2104 from SHA-256 alone."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).digest()


def hkdf_by_hand(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 from the HMAC above."""
    pseudo_random_key = hmac_by_hand(salt, key)
    made, block = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac_by_hand(pseudo_random_key, block + info + bytes([counter]))
        made += block
    return made[:length]


def test_rfc_5869_vectors_pass_by_hand(vector_records: Callable[[str], Records]) -> None:
    """All HKDF-SHA256 test cases of RFC 5869, so that the definition below may judge `derive`."""
    records = vector_records("KDF/rfc-5869-HKDF-SHA256.txt")
    assert len(records) == 3
    for record in records:
        key, salt, info = (bytes.fromhex(record[name]) for name in ("IKM", "salt", "info"))
        assert hkdf_by_hand(key, salt, info, int(record["L"])).hex() == record["OKM"]


def test_rfc_4231_vectors_pass_by_hand(vector_records: Callable[[str], Records]) -> None:
    """The HMAC-SHA256 test cases of RFC 4231, likewise for `mac`."""
    for line in vector_records("HMAC/rfc-4231-sha256.txt"):
        assert hmac_by_hand(bytes.fromhex(line["Key"]), bytes.fromhex(line["Msg"])).hex() == line["MD"]


@given(st.sampled_from(Label), st.binary(max_size=100), st.binary(max_size=100), st.integers(1, 200))
def test_derive_is_hkdf_without_salt(label: Label, key: bytes, context: bytes, length: int) -> None:
    """Info is label ‖ context; the key is the input key."""
    assert hashing.derive(label, key, context, length=length) == hkdf_by_hand(key, b"", label + context, length)


@given(st.sampled_from(Label), st.binary(max_size=100), st.lists(st.binary(max_size=40), max_size=4))
def test_mac_is_hmac_over_label_and_parts(label: Label, key: bytes, parts: list[bytes]) -> None:
    """The label comes first, the parts follow without lengths."""
    assert hashing.mac(label, key, *parts) == hmac_by_hand(key, label + b"".join(parts))
    hashing.check_mac(label, key, hashing.mac(label, key, *parts), *parts)


@given(st.sampled_from(Label), st.lists(st.binary(max_size=40), max_size=4))
def test_digests_are_sha_2_over_label_and_parts(label: Label, parts: list[bytes]) -> None:
    """SHA-256 and SHA-512."""
    assert hashing.digest(label, *parts) == hashlib.sha256(label + b"".join(parts)).digest()
    assert hashing.digest512(label, *parts) == hashlib.sha512(label + b"".join(parts)).digest()


def test_another_label_gives_another_result() -> None:
    """For every pair of labels: hash, key and code all differ."""
    for results in (
        {hashing.digest(label, b"x") for label in Label},
        {hashing.derive(label, KEY, b"x") for label in Label},
        {hashing.mac(label, KEY, b"x") for label in Label},
    ):
        assert len(results) == len(Label)


def test_derived_keys_have_the_length_asked_for() -> None:
    """32 bytes unless told otherwise; a longer key begins with the shorter one, as HKDF is defined."""
    assert len(hashing.derive(Label.CLASS_KEY, KEY)) == 32
    assert hashing.derive(Label.CLASS_KEY, KEY, length=80).startswith(hashing.derive(Label.CLASS_KEY, KEY, length=16))


def test_mac_refuses_damage(damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    """One flipped bit anywhere, a shortened or a lengthened code."""
    for other in damaged(hashing.mac(Label.PAIR_MAC, KEY, b"message")):
        with pytest.raises(MacInvalid):
            hashing.check_mac(Label.PAIR_MAC, KEY, other, b"message")


def test_mac_refuses_another_key_label_or_message() -> None:
    """Each input is bound."""
    code = hashing.mac(Label.PAIR_MAC, KEY, b"message")
    for label, key, message in (
        (Label.PAIR_CONFIRM, KEY, b"message"),
        (Label.PAIR_MAC, bytes(32), b"message"),
        (Label.PAIR_MAC, KEY, b"massage"),
    ):
        with pytest.raises(MacInvalid):
            hashing.check_mac(label, key, code, message)


def test_equal_compares_whole_values() -> None:
    """A prefix is not equal."""
    assert hashing.equal(KEY, bytes(KEY))
    assert not hashing.equal(KEY, KEY[:-1])
    assert not hashing.equal(KEY, hmac.digest(KEY, b"", "sha256"))
