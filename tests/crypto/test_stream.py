"""libsodium's secretstream: chunks open at their place, under their key, and the last one says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from almenara.crypto.errors import KeyMalformed, OpenFailed
from almenara.crypto.stream import HEADER_BYTES, OVERHEAD, StreamOpener, StreamSealer

KEY = bytes(range(32))


def sealed(*chunks: bytes) -> tuple[bytes, list[bytes]]:
    sealer = StreamSealer(KEY)
    return sealer.header, [sealer.seal(one, last=at == len(chunks) - 1) for at, one in enumerate(chunks)]


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_chunks_open_in_order_and_the_last_is_known(chunks: list[bytes]) -> None:
    header, parts = sealed(*chunks)
    assert [len(part) for part in parts] == [len(chunk) + OVERHEAD for chunk in chunks]
    opener = StreamOpener(KEY, header)
    found = [opener.open(part) for part in parts]
    assert found == [(chunk, at == len(chunks) - 1) for at, chunk in enumerate(chunks)]


def test_two_streams_of_one_key_share_nothing() -> None:
    first, second = sealed(bytes(64)), sealed(bytes(64))
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_another_order_another_header_or_another_key_opens_nothing() -> None:
    header, parts = sealed(b"one", b"two", b"three")
    for opener, part in (
        (StreamOpener(KEY, header), parts[1]),
        (StreamOpener(KEY, bytes(HEADER_BYTES)), parts[0]),
        (StreamOpener(bytes(32), header), parts[0]),
        (StreamOpener(KEY, header), b""),
        (StreamOpener(KEY, header), parts[0][:-1]),
        (StreamOpener(KEY, header), parts[0][:16]),
    ):
        with pytest.raises(OpenFailed):
            opener.open(part)


def test_a_chunk_opens_once() -> None:
    header, parts = sealed(b"one", b"two")
    opener = StreamOpener(KEY, header)
    opener.open(parts[0])
    with pytest.raises(OpenFailed):
        opener.open(parts[0])


def test_every_changed_byte_is_noticed() -> None:
    header, (part,) = sealed(b"twenty bytes of text")
    for at in range(len(part)):
        changed = bytearray(part)
        changed[at] ^= 1
        with pytest.raises(OpenFailed):
            StreamOpener(KEY, header).open(bytes(changed))


@pytest.mark.parametrize("name", ["PUSH", "REKEY"])
def test_a_tag_that_we_never_set_is_refused(name: str) -> None:
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    header = bindings.crypto_secretstream_xchacha20poly1305_init_push(state, KEY)
    tag = getattr(bindings, f"crypto_secretstream_xchacha20poly1305_TAG_{name}")
    part = bindings.crypto_secretstream_xchacha20poly1305_push(state, b"text", b"", tag)
    with pytest.raises(OpenFailed):
        StreamOpener(KEY, header).open(part)


def test_keys_and_headers_have_one_length() -> None:
    with pytest.raises(KeyMalformed):
        StreamSealer(bytes(31))
    with pytest.raises(KeyMalformed):
        StreamOpener(bytes(33), bytes(HEADER_BYTES))
    with pytest.raises(KeyMalformed):
        StreamOpener(KEY, bytes(23))
