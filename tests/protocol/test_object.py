"""Objects: every slot is checked, every byte is signed or committed to, and the envelope cannot say otherwise."""

from __future__ import annotations

from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.crypto.signing import SigningKey
from almenara.protocol.envelope import LARGE, MEDIUM, SMALL, Outer, Suite
from almenara.protocol.errors import Defect, LocalError, NewerVersion, RemoteError
from almenara.protocol.object import (
    ObjectType,
    body_commit,
    check_against_envelope,
    check_size,
    header_hash,
    parse_header,
    parse_object,
    sign_object,
    size_for,
    sizes_of,
    verify_object,
)

from .nodes import NOW, node, seed
from .objects import BODY, SALT, header, signed

GOOD = signed()
CONTENT = GOOD.encode()
OP = node("alpha").op.public
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=40)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(0, 3), inner, max_size=2),
    max_leaves=4,
)


def test_an_object_comes_back_as_it_was_signed() -> None:
    parsed = parse_object(CONTENT)
    verify_object(parsed, OP)
    assert parsed == GOOD
    assert parsed.encode() == CONTENT
    assert parsed.hash == header_hash(GOOD.header_bytes)


@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(at: int, flip: int) -> None:
    changed = bytearray(CONTENT)
    changed[at] ^= flip
    with pytest.raises(RemoteError):
        verify_object(parse_object(bytes(changed)), OP)


@given(st.integers(0, len(CONTENT)))
def test_any_cut_is_refused(length: int) -> None:
    if length < len(CONTENT):
        with pytest.raises(RemoteError):
            parse_object(CONTENT[:length])


@given(st.binary(max_size=400))
def test_any_bytes_are_parsed_or_refused_as_the_other_side_s_fault(data: bytes) -> None:
    for reader in (parse_object, parse_header):
        with suppress(RemoteError):
            reader(data)


@given(st.integers(0, 16), ANYTHING)
def test_a_header_with_anything_in_any_slot_is_refused_or_encodes_to_itself(at: int, value: object) -> None:
    slots = msgpack.unpackb(GOOD.header_bytes)
    slots[at] = value
    data = msgpack.packb(slots, unicode_errors="surrogatepass")
    try:
        parsed = parse_header(data)
    except RemoteError:
        return
    assert parsed.encode() == data


@given(st.integers(0, 3), ANYTHING)
def test_an_object_with_anything_in_any_slot_is_refused_or_the_same(at: int, value: object) -> None:
    slots = msgpack.unpackb(CONTENT)
    slots[at] = value
    try:
        verify_object(parse_object(msgpack.packb(slots, unicode_errors="surrogatepass")), OP)
    except RemoteError:
        return
    assert value == msgpack.unpackb(CONTENT)[at]


def test_no_other_label_signs_an_object() -> None:
    """A signature over a profile with the same bytes is none over an object."""
    with pytest.raises(RemoteError) as caught:
        verify_object(GOOD, SigningKey.from_seed(seed("someone else")).public)
    assert caught.value.kind is Defect.BAD_SIGNATURE


@pytest.mark.parametrize("public", [b"", bytes(32), b"\xff" * 32, bytes(31)])
def test_a_malformed_public_key_is_a_typed_error(public: bytes) -> None:
    with pytest.raises(RemoteError) as caught:
        verify_object(GOOD, public)
    assert caught.value.kind is Defect.BAD_SIGNATURE


def test_the_commitment_hides_the_body_behind_its_salt() -> None:
    assert body_commit(SALT, BODY) != body_commit(seed("another salt"), BODY)


def test_a_header_must_commit_to_the_body_it_is_signed_with() -> None:
    with pytest.raises(LocalError) as caught:
        sign_object(header(body_commit=seed("another body")), SALT, BODY, node("alpha").op)
    assert caught.value.kind is Defect.BAD_COMMIT


def test_a_salt_of_another_length_cannot_be_signed() -> None:
    with pytest.raises(LocalError):
        sign_object(header(body_commit=body_commit(b"short", BODY)), b"short", BODY, node("alpha").op)


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 1},
        {"ref_id": b""},
        {"expires_min": 0},
        {"expires_min": NOW},
        {"type": ObjectType.KEY_PACKET, "ref_id": b""},
        {"type": ObjectType.STATEMENT},
        {"tlp": 5},
        {"lane": True},
        {"author": bytes(31)},
    ],
)
def test_our_own_side_cannot_sign_a_header_others_would_refuse(change: dict[str, object]) -> None:
    with pytest.raises(LocalError):
        signed(**change)


def test_a_later_type_is_newer_and_a_broken_one_is_not() -> None:
    slots = msgpack.unpackb(GOOD.header_bytes)
    slots[1] = 21
    with pytest.raises(NewerVersion):
        parse_header(msgpack.packb(slots))
    slots[7] = -1
    with pytest.raises(RemoteError) as caught:
        parse_header(msgpack.packb(slots))
    assert not isinstance(caught.value, NewerVersion)


def outer(**changes: int) -> Outer:
    fields = {"created_hour": NOW // 60, "cls": 0, "lane": 0} | changes
    return Outer(suite=Suite.CIRCLE, tag=bytes(16), kid=bytes(16), **fields)


@pytest.mark.parametrize(
    ("change", "defect"),
    [
        ({"circle": seed("another", 16)}, Defect.WRONG_CIRCLE),
        ({"statement": seed("another", 16)}, Defect.WRONG_STATEMENT),
        ({"cls": 1}, Defect.WRONG_CLASS),
        ({"outer": outer(lane=1)}, Defect.WRONG_LANE),
        ({"outer": outer(created_hour=NOW // 60 - 1)}, Defect.WRONG_HOUR),
    ],
)
def test_an_object_in_an_envelope_that_says_otherwise_is_refused(change: dict[str, object], defect: Defect) -> None:
    """Otherwise whoever holds the key could re-seal an object into another circle, epoch, class, lane or hour."""
    good = {"outer": outer(), "circle": GOOD.header.circle, "statement": GOOD.header.statement, "cls": 0}
    check_against_envelope(GOOD.header, **good)
    with pytest.raises(RemoteError) as caught:
        check_against_envelope(GOOD.header, **(good | change))
    assert caught.value.kind is defect


ANSWERS_AND_ALERTS = [kind for kind in ObjectType if kind <= ObjectType.CORRECTION]


@pytest.mark.parametrize("kind", ANSWERS_AND_ALERTS, ids=lambda kind: kind.name)
def test_alerts_and_all_that_answers_them_have_one_size(kind: ObjectType) -> None:
    """Otherwise size would tell which is which (SCHEMAS §3)."""
    assert sizes_of(kind) == (SMALL,)
    assert size_for(kind, 4004) == SMALL
    with pytest.raises(LocalError) as caught:
        size_for(kind, 4005)
    assert caught.value.kind is Defect.TOO_LARGE
    with pytest.raises(RemoteError):
        check_size(kind, MEDIUM)


def test_a_statement_moves_up_when_it_grows() -> None:
    assert size_for(ObjectType.STATEMENT, 100) == MEDIUM
    assert size_for(ObjectType.STATEMENT, 16_293) == LARGE


def test_a_key_packet_has_the_room_of_its_suite() -> None:
    assert size_for(ObjectType.KEY_PACKET, 2_908) == SMALL
    with pytest.raises(LocalError):
        size_for(ObjectType.KEY_PACKET, 2_909)


def test_an_object_larger_than_any_envelope_is_refused() -> None:
    body = bytes(65_444)
    large = signed(body, type=ObjectType.STATEMENT, ref_id=b"", expires_min=0)
    with pytest.raises(LocalError):
        large.encode()
