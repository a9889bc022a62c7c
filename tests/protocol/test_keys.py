"""Keys of a circle: derivation, destruction, and packets from member to member (PROTOCOL §5.7, §5.8)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.crypto.labels import Label
from almenara.protocol import keys, limits
from almenara.protocol.envelope import Outer, Suite, open_circle, open_packet, room, seal_circle, seal_packet
from almenara.protocol.errors import Defect, LocalError, NewerVersion, RemoteError
from almenara.protocol.keys import (
    KeyPacket,
    carry_commit,
    class_key,
    class_key_ends,
    give_key,
    key_commit,
    kid,
    parse_key_packet,
)

from .circles import M, first, follow, who
from .nodes import node, seed

if TYPE_CHECKING:
    from almenara.crypto.identity import NodeId

ALPHA, BETA, GAMMA = (node(name).root.node_id for name in ("alpha", "beta", "gamma"))
KEY, SECRET = seed("epoch key"), seed("carry secret")
ONE = first(ALPHA, others={BETA: M, GAMMA: M}, key_commit=key_commit(KEY), carry_commit=carry_commit(SECRET))


def hkdf(label: bytes, key: bytes, context: bytes) -> bytes:
    """HKDF-SHA256 with one block of output, by RFC 5869's letter."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, label + context + b"\x01", "sha256")


# Derivation, against the formulas of SPEC.md.


def test_commitments_are_labelled_hashes() -> None:
    assert key_commit(KEY) == hashlib.sha256(b"almenara/1/key-commit\0" + KEY).digest()
    assert carry_commit(KEY) == hashlib.sha256(b"almenara/1/carry-commit\0" + KEY).digest()


@pytest.mark.parametrize("cls", [0, 1])
def test_class_keys_and_their_names_follow_the_formula(cls: int) -> None:
    where = ONE.circle_id + ONE.id + bytes([cls])
    derived = class_key(KEY, ONE.circle_id, ONE.id, cls)
    assert derived == hkdf(b"almenara/1/class-key\0", KEY, where)
    assert kid(derived, ONE.circle_id, ONE.id, cls) == hkdf(b"almenara/1/kid\0", derived, where)[:16]


def test_class_circle_and_statement_each_give_another_key() -> None:
    two = follow(ONE, ALPHA)
    places = [
        (ONE.circle_id, ONE.id, 0),
        (ONE.circle_id, ONE.id, 1),
        (ONE.circle_id, two.id, 0),
        (bytes(16), ONE.id, 0),
    ]
    assert len({class_key(KEY, *place) for place in places}) == len(places)
    assert len({kid(KEY, *place) for place in places}) == len(places)


def test_the_key_of_one_class_opens_nothing_of_the_other() -> None:
    outer = Outer(suite=Suite.CIRCLE, tag=bytes(16), created_hour=1, cls=1, lane=0, kid=bytes(16))
    sealed = seal_circle(outer, limits.SMALL, class_key(KEY, ONE.circle_id, ONE.id, 1), bytes(24), b"text")
    assert open_circle(sealed, class_key(KEY, ONE.circle_id, ONE.id, 1)) == b"text"
    with pytest.raises(RemoteError) as caught:
        open_circle(sealed, class_key(KEY, ONE.circle_id, ONE.id, 0))
    assert caught.value.kind is Defect.BAD_TAG


# Destruction.


@pytest.mark.parametrize(("cls", "days"), [(0, 9), (1, 37)])
def test_class_keys_die_9_and_37_days_after_the_successor_is_known(cls: int, days: int) -> None:
    assert class_key_ends(1_000, cls) == 1_000 + days * 1_440


@given(st.integers(0, 2**31), st.integers(0, 1))
def test_a_key_outlives_all_that_may_still_come_under_it(superseded: int, cls: int) -> None:
    """Sent up to 48 h after the successor, and then as long on the way as its class allows."""
    latest_arrival = superseded + 2 * 1_440 + limits.CLASS_DAYS[cls] * 1_440
    assert class_key_ends(superseded, cls) >= latest_arrival


# Packets.


def packet(**changes: Any) -> KeyPacket:
    """What ALPHA gives BETA."""
    return replace(give_key(ONE, epoch_key=KEY, carry_secret=SECRET, recipient=BETA, giver=ALPHA), **changes)


def verdict(given: KeyPacket, own: NodeId = BETA, signer: str = "alpha", public: str = "alpha") -> Defect | None:
    """Why BETA refuses a packet; None when it takes it."""
    received = parse_key_packet(given.sign(node(signer).op))
    assert received.packet == given
    try:
        received.verify(ONE, own, node(public).op.public)
    except RemoteError as error:
        return error.kind
    return None


def test_a_member_takes_the_key_from_any_other_member() -> None:
    assert verdict(packet()) is None
    assert verdict(packet(giver=GAMMA), signer="gamma", public="gamma") is None


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"circle": bytes(16)}, Defect.WRONG_CIRCLE),
        ({"statement": bytes(32)}, Defect.WRONG_STATEMENT),
        ({"statement": ONE.id + bytes(16)}, Defect.WRONG_STATEMENT),
        ({"number": 2}, Defect.WRONG_NUMBER),
        ({"key": bytes(32)}, Defect.BAD_COMMIT),
        ({"carry_secret": bytes(32)}, Defect.BAD_COMMIT),
        ({"key": SECRET, "carry_secret": KEY}, Defect.BAD_COMMIT),
        ({"recipient": GAMMA}, Defect.WRONG_RECIPIENT),
        ({"giver": who("eva")}, Defect.UNKNOWN_AUTHOR),
    ],
)
def test_a_packet_is_refused(changes: dict[str, Any], kind: Defect) -> None:
    assert verdict(packet(**changes)) is kind


def test_whoever_is_no_member_takes_no_key() -> None:
    stranger = who("eva")
    assert verdict(packet(recipient=stranger), own=stranger) is Defect.WRONG_RECIPIENT


def test_a_packet_signed_by_another_than_the_giver_is_refused() -> None:
    assert verdict(packet(), signer="gamma") is Defect.BAD_SIGNATURE
    assert verdict(packet(giver=GAMMA), signer="alpha", public="gamma") is Defect.BAD_SIGNATURE


def test_a_signature_for_another_purpose_is_refused() -> None:
    good = parse_key_packet(packet().sign(node("alpha").op))
    borrowed = replace(good, signature=node("alpha").op.sign(Label.PREKEY, good.fields))
    with pytest.raises(RemoteError) as caught:
        borrowed.verify(ONE, BETA, node("alpha").op.public)
    assert caught.value.kind is Defect.BAD_SIGNATURE


def test_a_later_version_is_told_apart() -> None:
    signed = packet().sign(node("alpha").op)
    at = signed.index(b"\x98\x01\xc4\x10")
    with pytest.raises(NewerVersion):
        parse_key_packet(signed[: at + 1] + b"\x02" + signed[at + 2 :])


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"epoch_key": SECRET}, Defect.BAD_COMMIT),
        ({"carry_secret": KEY}, Defect.BAD_COMMIT),
        ({"recipient": who("eva")}, Defect.WRONG_RECIPIENT),
        ({"giver": who("eva")}, Defect.UNKNOWN_AUTHOR),
    ],
)
def test_we_give_only_the_statements_secrets_and_only_among_members(changes: dict[str, Any], kind: Defect) -> None:
    good: dict[str, Any] = {"epoch_key": KEY, "carry_secret": SECRET, "recipient": BETA, "giver": ALPHA}
    with pytest.raises(LocalError) as caught:
        give_key(ONE, **(good | changes))
    assert caught.value.kind is kind


def test_the_longest_packet_fits_its_limit_and_the_smallest_envelope() -> None:
    content = packet(number=2**32 - 1).sign(node("alpha").op)
    assert len(parse_key_packet(content).fields) <= keys.MAX_KEY_PACKET
    assert len(content) <= room(Suite.X_WING, limits.SMALL)


def test_a_packet_travels_sealed_to_its_recipient() -> None:
    prekey = node("beta").introduction.prekey
    outer = Outer(suite=Suite.X_WING, tag=bytes(16), created_hour=1, cls=0, lane=0, kid=prekey.kid)
    sealed = seal_packet(outer, limits.SMALL, BETA, prekey.public, packet().sign(node("alpha").op))
    received = parse_key_packet(open_packet(sealed, BETA, node("beta").prekey))
    received.verify(ONE, BETA, node("alpha").op.public)


def test_secrets_do_not_show_in_the_text_of_a_packet() -> None:
    signed = parse_key_packet(packet().sign(node("alpha").op))
    for shown in (repr(packet()), repr(signed), str(signed)):
        assert repr(KEY)[2:-1] not in shown
        assert KEY.hex() not in shown
        assert repr(SECRET)[2:-1] not in shown
