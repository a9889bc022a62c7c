"""Envelopes: what is sealed comes back, and nothing a carrier could change goes unnoticed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from almenara.protocol.envelope import (
    SIZES,
    Outer,
    Suite,
    envelope_id,
    is_past_life,
    open_circle,
    open_packet,
    parse_outer,
    room,
    seal_circle,
    seal_packet,
    smallest_size,
)
from almenara.protocol.errors import Defect, LocalError, RemoteError

from .nodes import NOW, node, seed

KEY, NONCE = seed("key"), seed("nonce", 24)
OUTER = Outer(suite=Suite.CIRCLE, tag=seed("tag", 16), created_hour=NOW // 60, cls=0, lane=1, kid=seed("kid", 16))
PACKET = replace(OUTER, suite=Suite.X_WING)
ENVELOPE = seal_circle(OUTER, 4096, KEY, NONCE, b"content")


def test_the_rooms_are_those_of_the_protocol() -> None:
    """PROTOCOL §4."""
    assert [room(Suite.X_WING, size) for size in SIZES] == [2_908, 15_196, 64_348]
    assert [room(Suite.CIRCLE, size) for size in SIZES] == [4_004, 16_292, 65_444]


@given(st.binary(max_size=5000))
@example(bytes(4004))
@example(b"")
def test_content_comes_back_from_the_smallest_envelope_that_holds_it(content: bytes) -> None:
    size = smallest_size(Suite.CIRCLE, len(content))
    envelope = seal_circle(OUTER, size, KEY, NONCE, content)
    assert len(envelope) == size
    assert parse_outer(envelope) == OUTER
    assert open_circle(envelope, KEY) == content


@pytest.mark.parametrize("size", SIZES)
def test_a_key_packet_comes_back_in_every_size(size: int) -> None:
    alpha, content = node("alpha"), b"\0" * room(Suite.X_WING, size)
    envelope = seal_packet(PACKET, size, alpha.root.node_id, alpha.prekey.public, content)
    assert len(envelope) == size
    assert open_packet(envelope, alpha.root.node_id, alpha.prekey) == content


@pytest.mark.parametrize("size", SIZES)
def test_one_byte_more_than_the_room_is_our_own_fault(size: int) -> None:
    with pytest.raises(LocalError) as caught:
        seal_circle(OUTER, size, KEY, NONCE, bytes(room(Suite.CIRCLE, size) + 1))
    assert caught.value.kind is Defect.TOO_LARGE


@given(st.integers(0, 4095), st.integers(1, 255))
def test_any_changed_byte_is_refused_under_a_circle_key(at: int, flip: int) -> None:
    changed = bytearray(ENVELOPE)
    changed[at] ^= flip
    with pytest.raises(RemoteError):
        open_circle(bytes(changed), KEY)


def test_every_changed_outer_byte_is_refused_under_a_prekey() -> None:
    alpha = node("alpha")
    envelope = seal_packet(PACKET, 4096, alpha.root.node_id, alpha.prekey.public, b"content")
    for at in [*range(48), 48, 1167, 1168, 4095]:
        changed = bytearray(envelope)
        changed[at] ^= 1
        with pytest.raises(RemoteError):
            open_packet(bytes(changed), alpha.root.node_id, alpha.prekey)


@given(
    st.binary(max_size=100)
    | st.sampled_from(SIZES).flatmap(lambda size: st.binary(max_size=99).map(lambda b: b.ljust(size, b"\0")))
)
def test_any_bytes_are_an_envelope_or_refused(data: bytes) -> None:
    for reader in (
        parse_outer,
        lambda given: open_circle(given, KEY),
        lambda given: open_packet(given, node("alpha").root.node_id, node("alpha").prekey),
    ):
        with suppress(RemoteError):
            reader(data)


def test_an_envelope_cannot_be_moved_to_another_recipient() -> None:
    """The recipient's node id is in HPKE's info: a key packet forwarded to a prekey's new owner stays shut."""
    alpha, beta = node("alpha"), node("beta")
    envelope = seal_packet(PACKET, 4096, beta.root.node_id, alpha.prekey.public, b"content")
    with pytest.raises(RemoteError) as caught:
        open_packet(envelope, alpha.root.node_id, alpha.prekey)
    assert caught.value.kind is Defect.BAD_TAG


def test_two_sealings_of_one_content_share_nothing_but_the_outer_bytes() -> None:
    other = seal_circle(OUTER, 4096, KEY, seed("another nonce", 24), b"content")
    assert other[:48] == ENVELOPE[:48]
    assert not {ENVELOPE[at : at + 8] for at in range(48, 4088)} & {other[at : at + 8] for at in range(48, 4088)}
    assert envelope_id(other) != envelope_id(ENVELOPE)


@pytest.mark.parametrize(
    "change",
    [
        {"tag": bytes(15)},
        {"kid": bytes(17)},
        {"created_hour": -1},
        {"created_hour": 2**32},
        {"cls": 2},
        {"lane": 2},
    ],
)
def test_illegal_outer_bytes_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(LocalError):
        replace(OUTER, **change)


def test_the_suites_cannot_be_confused() -> None:
    alpha = node("alpha")
    with pytest.raises(LocalError):
        seal_circle(PACKET, 4096, KEY, NONCE, b"")
    with pytest.raises(LocalError):
        seal_packet(OUTER, 4096, alpha.root.node_id, alpha.prekey.public, b"")


@pytest.mark.parametrize("public", [bytes(1216), b"\xff" * 1216, b"short"])
def test_a_prekey_that_is_none_is_a_typed_error(public: bytes) -> None:
    with pytest.raises(LocalError) as caught:
        seal_packet(PACKET, 4096, node("alpha").root.node_id, public, b"")
    assert caught.value.kind is Defect.BAD_KEY


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_a_class_key_of_a_wrong_length_is_our_own_fault(key: bytes) -> None:
    for act in (lambda: seal_circle(OUTER, 4096, key, NONCE, b""), lambda: open_circle(ENVELOPE, key)):
        with pytest.raises(LocalError) as caught:
            act()
        assert caught.value.kind is Defect.BAD_KEY


def test_a_size_that_is_none_of_the_three_is_our_own_fault() -> None:
    with pytest.raises(LocalError) as caught:
        seal_circle(OUTER, 8192, KEY, NONCE, b"")
    assert caught.value.kind is Defect.BAD_SIZE


@pytest.mark.parametrize(("cls", "days"), [(0, 7), (1, 35)])
def test_an_envelope_lives_its_class_s_days_to_the_hour(cls: int, days: int) -> None:
    outer = replace(OUTER, cls=cls)
    last = (outer.created_hour + days * 24) * 60 + 59
    assert not is_past_life(outer, last)
    assert is_past_life(outer, last + 1)
