"""Cards, profiles and prekeys prove themselves; counters only grow, and revocation is for ever."""

from __future__ import annotations

from contextlib import suppress
from itertools import permutations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from almenara.crypto.labels import Label
from almenara.protocol.card import (
    Card,
    PreviousOp,
    Status,
    Succession,
    check_old_key,
    encode_introduction,
    parse_card,
    parse_introduction,
    parse_prekey,
    parse_profile,
    sign_card,
    sign_prekey,
    sign_profile,
    supersedes,
)
from almenara.protocol.errors import Defect, LocalError, RemoteError

from .nodes import NOW, TestNode, certificate, node, seed

DAY = 1440
ALPHA = node("alpha")
GOOD = ALPHA.introduction


def card(counter: int = 1, *, of: TestNode = ALPHA, op: bytes = ALPHA.op.public, **changes: object) -> Card:
    fields: dict[str, object] = {
        "tls_cert": certificate("alpha"),
        "endpoints": ["127.0.0.1:7790"],
        "issued": NOW,
        "expires": NOW + 365 * DAY,
    }
    return sign_card(root=of.root, counter=counter, op_sign=op, **(fields | changes))


def test_what_is_signed_is_what_is_parsed() -> None:
    assert parse_card(GOOD.card.encode()) == GOOD.card
    assert parse_profile(GOOD.profile.encode(), ALPHA.op.public) == GOOD.profile
    assert parse_prekey(GOOD.prekey.encode(), ALPHA.op.public) == GOOD.prekey
    assert parse_introduction(GOOD.encode()) == GOOD
    assert GOOD.node_id == ALPHA.root.node_id


def test_a_card_fits_its_envelope_and_a_prekey_the_smallest() -> None:
    """About 6 KB (PROTOCOL §1), also with every slot at its longest."""
    long = card(endpoints=[f"{'a' * 250}{n}.x:65535" for n in range(8)], suites=range(1, 17))
    assert len(GOOD.card.encode()) < 7_000
    assert len(long.encode()) < 12_288
    assert len(GOOD.prekey.encode()) < 1_600


@settings(max_examples=60)
@given(st.integers(0, len(GOOD.card.encode()) - 1), st.integers(1, 255))
def test_any_changed_byte_of_a_card_is_refused(at: int, flip: int) -> None:
    changed = bytearray(GOOD.card.encode())
    changed[at] ^= flip
    with pytest.raises(RemoteError):
        parse_card(bytes(changed))


@pytest.mark.parametrize("parse", [parse_profile, parse_prekey], ids=["profile", "prekey"])
def test_any_changed_byte_of_a_profile_or_prekey_is_refused(parse: object) -> None:
    whole = GOOD.profile.encode() if parse is parse_profile else GOOD.prekey.encode()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1
        with pytest.raises(RemoteError):
            parse(bytes(changed), ALPHA.op.public)  # type: ignore[operator]


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused_as_the_other_side_s_fault(data: bytes) -> None:
    for parse in (
        parse_card,
        parse_introduction,
        lambda given: parse_profile(given, ALPHA.op.public),
        lambda given: parse_prekey(given, ALPHA.op.public),
    ):
        with suppress(RemoteError):
            parse(data)


ANYTHING = st.none() | st.booleans() | st.integers(-2, 2**33) | st.binary(max_size=40) | st.text(max_size=9)


@settings(max_examples=60)
@given(st.integers(0, 10), ANYTHING | st.lists(ANYTHING, max_size=3))
def test_a_card_with_anything_in_any_slot_is_refused_though_it_is_signed(at: int, value: object) -> None:
    """Whatever a malicious node signs, the reader takes it whole or refuses it as the other side's fault."""
    fields = msgpack.unpackb(msgpack.unpackb(GOOD.card.encode())[0])
    fields[at] = value
    data = msgpack.packb(fields)
    blob = msgpack.packb([data, ALPHA.root.sign(Label.CARD, data)])
    with suppress(RemoteError):
        assert parse_card(blob).encode() == blob


@pytest.mark.parametrize("part", [slice(0, 64), slice(64, None)], ids=["ed25519", "mldsa65"])
def test_one_of_the_two_root_signatures_is_not_enough(part: slice) -> None:
    fields, signature = msgpack.unpackb(GOOD.card.encode())
    forged = bytearray(signature)
    forged[part] = node("beta").root.sign(Label.CARD, fields)[part]
    with pytest.raises(RemoteError) as caught:
        parse_card(msgpack.packb([fields, bytes(forged)]))
    assert caught.value.kind is Defect.BAD_SIGNATURE


def test_a_card_cannot_lend_a_node_a_stranger_s_profile_and_prekey() -> None:
    """Mallory's card may name beta's operational key; beta's profile beside it still says beta."""
    beta = node("beta")
    lent = card(op=beta.op.public)
    with pytest.raises(RemoteError) as caught:
        parse_introduction(encode_introduction(lent, beta.introduction.profile, beta.introduction.prekey))
    assert caught.value.kind is Defect.WRONG_NODE


@pytest.mark.parametrize(
    ("held", "received", "verdict"),
    [
        (card(2), card(3), Succession.ACCEPT),
        (card(3), card(2), Succession.LOWER),
        (card(2), card(2, issued=NOW + 1), Succession.CONFLICT),
        (card(5), card(2, status=Status.REVOKED), Succession.ACCEPT),
        (card(5), card(5, status=Status.REVOKED), Succession.ACCEPT),
        (card(2, status=Status.REVOKED), card(9), Succession.TERMINAL),
        (card(2, status=Status.REVOKED), card(9, status=Status.REVOKED), Succession.TERMINAL),
    ],
)
def test_counters_only_grow_and_revocation_is_terminal(held: Card, received: Card, verdict: Succession) -> None:
    assert supersedes(held, received) is verdict


def test_signing_the_same_fields_again_is_no_conflict() -> None:
    """ML-DSA signs differently each time; a node that crashed before storing its card must not be blocked for it."""
    first, second = card(2), card(2)
    assert first.encode() != second.encode()
    assert supersedes(first, second) is Succession.SAME


def test_whatever_the_order_of_arrival_a_revoked_node_stays_revoked() -> None:
    cards = [card(1), card(3), card(2, status=Status.REVOKED), card(4)]
    for order in permutations(cards):
        held = order[0]
        for received in order[1:]:
            held = received if supersedes(held, received) is Succession.ACCEPT else held
        assert held.status is Status.REVOKED


def test_cards_of_two_nodes_are_never_compared() -> None:
    with pytest.raises(LocalError):
        supersedes(card(), card(of=node("beta")))


OLD, NEW_OP = card(1), seed("new operational key")


@pytest.mark.parametrize(
    ("later", "created", "arrived", "counts"),
    [
        ([], 0, 0, True),
        ([card(2, issued=NOW + 9)], DAY, DAY, True),  # the same key
        ([card(2, op=NEW_OP, previous_op=PreviousOp.RETIRED)], -1, 35 * DAY, True),
        ([card(2, op=NEW_OP, previous_op=PreviousOp.RETIRED)], -1, 35 * DAY + 1, False),
        ([card(2, op=NEW_OP, previous_op=PreviousOp.RETIRED)], 0, 1, False),
        ([card(2, op=NEW_OP, previous_op=PreviousOp.COMPROMISED)], -1, 0, False),
        ([card(2, op=NEW_OP, previous_op=PreviousOp.NONE)], -1, 0, False),
        ([card(2, status=Status.REVOKED)], -1, 0, False),
    ],
)
def test_what_an_old_key_signed_counts_by_what_the_next_card_says(
    later: list[Card], created: int, arrived: int, counts: bool
) -> None:
    """PROTOCOL §1: retired, compromised, revoked; minutes counted from the new card's issue."""
    if counts:
        check_old_key(OLD, later, created_min=NOW + created, arrived_min=NOW + arrived)
        return
    with pytest.raises(RemoteError) as caught:
        check_old_key(OLD, later, created_min=NOW + created, arrived_min=NOW + arrived)
    assert caught.value.kind in {Defect.OLD_KEY, Defect.REVOKED}


def test_a_key_once_compromised_is_not_made_good_by_the_card_after_it() -> None:
    later = [
        card(2, op=NEW_OP, previous_op=PreviousOp.COMPROMISED),
        card(3, op=seed("third key"), previous_op=PreviousOp.RETIRED, issued=NOW + 5),
    ]
    with pytest.raises(RemoteError):
        check_old_key(OLD, later, created_min=NOW - 1, arrived_min=NOW)


def test_a_prekey_can_be_used_for_35_days() -> None:
    prekey = GOOD.prekey
    assert prekey.is_usable(NOW + 35 * DAY - 1)
    assert not prekey.is_usable(NOW + 35 * DAY)


@pytest.mark.parametrize("change", [{"counter": 0}, {"expires": NOW}, {"endpoints": ["nowhere"]}, {"tls_cert": b"x"}])
def test_our_own_side_cannot_sign_a_card_others_would_refuse(change: dict[str, object]) -> None:
    with pytest.raises(LocalError):
        card(**change)


def test_our_own_side_cannot_sign_a_profile_or_prekey_others_would_refuse() -> None:
    good = {"node_id": ALPHA.root.node_id, "issued": NOW, "key": ALPHA.op}
    with pytest.raises(LocalError):
        sign_profile(**good, name="a" * 81, kind="organisation", country="KE")
    with pytest.raises(LocalError):
        sign_prekey(**good, public=bytes(1215))
