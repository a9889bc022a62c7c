"""Pairing: equal codes mean that nobody stands between, and nothing else leads to a code."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from almenara.crypto.hashing import derive, mac
from almenara.crypto.labels import Label
from almenara.protocol.errors import Defect, LocalError, ProtocolError, RemoteError
from almenara.protocol.pairing import Invitation, Inviter, Joiner, State, invitation_id, parse_link

from .nodes import NOW, TestNode, node, seed

ALPHA, BETA, MALLORY = node("alpha"), node("beta"), node("mallory")
INVITER, JOINER = 1, 2


def invitation(of: TestNode = ALPHA, secret: str = "secret") -> Invitation:
    return Invitation(
        node_id=of.root.node_id,
        tls_digest=of.introduction.card.tls_digest,
        secret=seed(secret, 16),
        expiry=NOW + 60,
        endpoint="127.0.0.1:7790",
    )


INVITATION = invitation()


def inviter(of: TestNode = ALPHA, given_out: Invitation = INVITATION, nonces: str = "nonces") -> Inviter:
    return Inviter(given_out, of.introduction.encode(), of.op, seed(nonces, 160))


def joiner(of: TestNode = BETA, given_out: Invitation = INVITATION, nonce: str = "nonce") -> Joiner:
    return Joiner(given_out, of.introduction.encode(), of.op, seed(nonce))


def converse(one: Inviter, other: Joiner) -> None:
    """Carry the four messages faithfully."""
    answer = one.receive(other.opening(), NOW)
    reveal = other.receive(answer)
    assert reveal is not None
    other.receive(one.receive(reveal, NOW))


def compared() -> tuple[Inviter, Joiner]:
    one, other = inviter(), joiner()
    converse(one, other)
    return one, other


def message(step: int, side: int, *fields: bytes, secret: bytes = INVITATION.secret) -> bytes:
    """Return a message as anybody who holds the invitation can make it."""
    payload = msgpack.packb(list(fields))
    key = derive(Label.PAIR_KEY, secret)
    return bytes(msgpack.packb([step, payload, mac(Label.PAIR_MAC, key, bytes((step,)), bytes((side,)), payload)]))


def fields_of(data: bytes) -> list[bytes]:
    return list(msgpack.unpackb(msgpack.unpackb(data)[1]))


def defect(act: object, *arguments: object) -> Defect:
    with pytest.raises(RemoteError) as caught:
        act(*arguments)  # type: ignore[operator]
    return caught.value.kind


# What should happen


def test_both_sides_see_the_same_code_and_each_other_s_card() -> None:
    one, other = compared()
    assert one.code == other.code
    assert len(one.code.replace(" ", "")) == 12
    assert one.peer == BETA.introduction
    assert other.peer == ALPHA.introduction


def test_the_code_is_new_in_every_attempt() -> None:
    codes = set()
    for number in range(5):
        one, other = inviter(nonces=f"nonces {number}"), joiner(nonce=f"nonce {number}")
        converse(one, other)
        codes.add(one.code)
    assert len(codes) == 5


def test_both_must_confirm_before_the_pairing_is_done() -> None:
    one, other = compared()
    other.receive_confirm(one.confirm())
    assert (one.state, other.state) == (State.COMPARING, State.COMPARING)
    one.receive_confirm(other.confirm())
    assert (one.state, other.state) == (State.DONE, State.DONE)


def test_a_confirmation_may_come_before_our_own_person_has_confirmed_and_again_after() -> None:
    one, other = compared()
    confirmation = other.confirm()
    for _ in range(3):
        one.receive_confirm(confirmation)
    assert (one.state, one.peer_confirmed, one.own_confirmed) == (State.COMPARING, True, False)
    one.confirm()
    one.receive_confirm(confirmation)
    assert one.state is State.DONE
    assert one.confirm() == one.confirm()


def test_a_restart_at_any_moment_changes_nothing() -> None:
    """Both machines are stored and loaded before every step, without losing what was said and confirmed."""
    one, other = inviter(), joiner()

    def again() -> tuple[Inviter, Joiner]:
        return Inviter.load(one.dump(), ALPHA.op), Joiner.load(other.dump(), BETA.op)

    sent: bytes | None = other.opening()
    for _ in range(2):
        one, other = again()
        assert sent is not None
        answer = one.receive(sent, NOW)
        one, other = again()
        sent = other.receive(answer)
    one, other = again()
    confirmation = one.confirm()
    one, other = again()
    other.receive_confirm(confirmation)
    one, other = again()
    one.receive_confirm(other.confirm())
    one, other = again()
    assert (one.state, other.state, one.code) == (State.DONE, State.DONE, other.code)


def test_a_pending_state_is_only_loaded_by_the_side_that_made_it() -> None:
    with pytest.raises(LocalError):
        Joiner.load(inviter().dump(), ALPHA.op)
    with pytest.raises(LocalError):
        Inviter.load(b"damaged", ALPHA.op)


def test_after_a_break_the_joiner_goes_on_where_it_was() -> None:
    """The answer to its reveal was lost: the same reveal is answered with the same signature."""
    one, other = inviter(), joiner()
    reveal = other.receive(one.receive(other.opening(), NOW))
    assert reveal is not None
    one.receive(reveal, NOW)
    other.receive(one.receive(other.opening(), NOW))
    assert one.code == other.code


def test_a_first_message_and_a_confirmation_say_which_invitation_they_mean() -> None:
    one, other = compared()
    assert invitation_id(joiner().opening()) == INVITATION.id
    assert invitation_id(other.confirm()) == INVITATION.id
    assert defect(invitation_id, one.receive(other._reveal(), NOW)) is Defect.WRONG_ORDER


# Somebody stands between


def test_a_middleman_with_two_pairings_of_its_own_gives_different_codes() -> None:
    """Mallory changed the invitation on its way, and pairs with both sides: the people see it."""
    forged = invitation(of=MALLORY)
    towards_beta = inviter(of=MALLORY, given_out=forged)
    towards_alpha = joiner(of=MALLORY)
    one, other = inviter(), joiner(given_out=forged)
    converse(one, towards_alpha)
    converse(towards_beta, other)
    assert one.code != other.code


def test_a_middleman_cannot_try_nonces_until_the_codes_agree() -> None:
    """Alpha has answered, so Mallory knows the code on beta's side; any nonce but the committed one is refused."""
    one, mallory = inviter(), joiner(of=MALLORY)
    one.receive(mallory.opening(), NOW)
    own = MALLORY.introduction.encode()
    for attempt in range(20):
        mallory._peer_nonce, mallory.peer = one._own_nonce, ALPHA.introduction
        ground = message(3, JOINER, seed(f"ground {attempt}"), own, mallory._signature())
        copy = Inviter.load(one.dump(), ALPHA.op)
        assert defect(copy.receive, ground, NOW) is Defect.BAD_COMMIT


@pytest.mark.parametrize(("step", "field"), [(1, 1), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 0)], ids=str)
def test_a_middleman_that_changes_any_field_is_refused_or_seen(step: int, field: int) -> None:
    """It holds the invitation, so it can make every mac anew; each field in turn is its own instead."""
    own = {
        (1, 1): seed("a commitment"),
        (2, 0): seed("a nonce"),
        (2, 1): MALLORY.introduction.encode(),
        (3, 0): seed("a nonce"),
        (3, 1): MALLORY.introduction.encode(),
        (3, 2): MALLORY.op.sign(Label.PAIR_SIGN, b"anything"),
        (4, 0): MALLORY.op.sign(Label.PAIR_SIGN, b"anything"),
    }

    def through(number: int, side: int, data: bytes) -> bytes:
        fields = fields_of(data)
        if number == step:
            fields[field] = own[step, field]
        return message(number, side, *fields)

    one, other = inviter(), joiner()

    def talk() -> None:
        answer = one.receive(through(1, JOINER, other.opening()), NOW)
        reveal = other.receive(through(2, INVITER, answer)) or b""
        other.receive(through(4, INVITER, one.receive(through(3, JOINER, reveal), NOW)))

    assert defect(talk) in {Defect.BAD_COMMIT, Defect.BAD_SIGNATURE, Defect.WRONG_NODE}
    with pytest.raises(LocalError):
        assert one.code == other.code


def test_without_the_invitation_s_secret_no_message_is_taken() -> None:
    one, other = inviter(), joiner()
    stranger = joiner(of=MALLORY, given_out=replace(INVITATION, secret=seed("a guess", 16)))
    assert defect(one.receive, stranger.opening(), NOW) is Defect.BAD_MAC
    answer = one.receive(other.opening(), NOW)
    forged = message(2, INVITER, *fields_of(answer), secret=seed("a guess", 16))
    assert defect(other.receive, forged) is Defect.BAD_MAC


def test_a_stranger_without_the_secret_cannot_disturb_a_pairing() -> None:
    """Neither its state nor its attempts change."""
    one, other = inviter(), joiner()
    answer = one.receive(other.opening(), NOW)
    before = one.dump(), other.dump()
    for junk in (b"", b"\x93", message(1, JOINER, bytes(16), bytes(32), secret=bytes(16)), other.opening()[:-1]):
        with suppress(RemoteError):
            one.receive(junk, NOW)
        with suppress(RemoteError):
            other.receive(junk)
    assert (one.dump(), other.dump()) == before
    assert other.receive(answer) is not None


def test_a_reflected_message_is_refused() -> None:
    one, other = inviter(), joiner()
    assert defect(other.receive, other.opening()) is Defect.REFLECTED
    assert defect(one.receive, one.receive(other.opening(), NOW), NOW) is Defect.REFLECTED
    one, other = compared()
    assert defect(one.receive_confirm, one.confirm()) is Defect.REFLECTED


def test_a_confirmation_cannot_be_turned_round() -> None:
    """Mallory makes the mac anew, but the proof inside says which side made it."""
    _, other = compared()
    turned = message(5, INVITER, *fields_of(other.confirm()))
    assert defect(other.receive_confirm, turned) is Defect.BAD_CONFIRM


def test_a_replayed_conversation_leads_nowhere() -> None:
    """Everything beta once said, said again to the same invitation: alpha's nonce is new."""
    one, other = inviter(), joiner()
    opening = other.opening()
    reveal = other.receive(one.receive(opening, NOW))
    one.receive(opening, NOW)
    assert defect(one.receive, reveal, NOW) is Defect.BAD_SIGNATURE
    assert one.state is State.WAITING


def test_a_swapped_card_behind_a_commitment_is_refused() -> None:
    one, other = inviter(), joiner()
    reveal = fields_of(other.receive(one.receive(other.opening(), NOW)) or b"")
    reveal[1] = MALLORY.introduction.encode()
    assert defect(one.receive, message(3, JOINER, *reveal), NOW) is Defect.BAD_COMMIT


def test_the_inviter_s_certificate_must_be_the_invitation_s() -> None:
    other = joiner(given_out=replace(INVITATION, tls_digest=seed("another certificate")))
    one = inviter(given_out=other.invitation)
    answer = one.receive(other.opening(), NOW)
    assert defect(other.receive, answer) is Defect.BAD_CERTIFICATE
    assert other.state is State.VOID


def test_a_node_does_not_pair_with_itself() -> None:
    with pytest.raises(LocalError) as caught:
        joiner(of=ALPHA)
    assert caught.value.kind is Defect.REFLECTED


# Order, time, attempts


def test_a_wrong_confirmation_makes_the_pairing_void_for_good() -> None:
    one, other = compared()
    wrong = message(5, JOINER, INVITATION.id, seed("wrong"))
    assert defect(one.receive_confirm, wrong) is Defect.BAD_CONFIRM
    assert one.state is State.VOID
    for act in (one.confirm, lambda: one.code):
        with pytest.raises(LocalError):
            act()
    assert defect(one.receive_confirm, other.confirm()) is Defect.WRONG_ORDER


def test_no_new_attempt_takes_the_place_of_the_code_people_look_at() -> None:
    """Mallory holds the invitation too, and waits for alpha's person to have compared, but not yet confirmed."""
    one, _ = compared()
    code = one.code
    assert defect(one.receive, joiner(of=MALLORY).opening(), NOW) is Defect.WRONG_ORDER
    assert (one.code, one.peer) == (code, BETA.introduction)


def test_another_reveal_while_people_compare_is_refused() -> None:
    one, _ = compared()
    other = message(3, JOINER, seed("nonce"), MALLORY.introduction.encode(), bytes(64))
    assert defect(one.receive, other, NOW) is Defect.WRONG_ORDER
    assert one.state is State.COMPARING


@pytest.mark.parametrize(("minutes", "open_"), [(59, True), (60, False)])
def test_an_invitation_ends_at_its_minute(minutes: int, open_: bool) -> None:
    one, other = inviter(), joiner()
    if open_:
        assert one.receive(other.opening(), NOW + minutes)
    else:
        assert defect(one.receive, other.opening(), NOW + minutes) is Defect.EXPIRED


def test_an_attempt_begun_in_time_may_end_after_expiry() -> None:
    one, other = inviter(), joiner()
    reveal = other.receive(one.receive(other.opening(), NOW + 59))
    other.receive(one.receive(reveal or b"", NOW + 61))
    assert one.code == other.code


def test_after_five_attempts_the_invitation_dies_also_over_restarts() -> None:
    """A middleman's chance stays at five in 10^12."""
    one = inviter()
    nonces = set()
    for number in range(5):
        one = Inviter.load(one.dump(), ALPHA.op)
        nonces.add(fields_of(one.receive(joiner(nonce=f"nonce {number}").opening(), NOW))[0])
        assert defect(one.receive, message(3, JOINER, bytes(32), b"", bytes(64)), NOW) is Defect.BAD_COMMIT
    assert one.state is State.VOID
    assert defect(one.receive, joiner().opening(), NOW) is Defect.TOO_MANY_ATTEMPTS
    assert len(nonces) == 5


def test_a_failed_attempt_leaves_no_peer_behind() -> None:
    """Somebody whose signature failed must not be shown as the one who is pairing."""
    one, other = inviter(), joiner(of=MALLORY)
    reveal = fields_of(other.receive(one.receive(other.opening(), NOW)) or b"")
    assert defect(one.receive, message(3, JOINER, reveal[0], reveal[1], bytes(64)), NOW) is Defect.BAD_SIGNATURE
    assert (one.peer, one.state) == (None, State.WAITING)


@pytest.mark.parametrize("length", [0, 32, 159])
def test_an_inviter_needs_a_nonce_for_every_attempt(length: int) -> None:
    with pytest.raises(LocalError):
        Inviter(INVITATION, ALPHA.introduction.encode(), ALPHA.op, bytes(length))


def test_a_pending_state_that_lost_its_peer_shows_no_code() -> None:
    """A damaged database must not lead to a code over nothing."""
    one, _ = compared()
    slots = msgpack.unpackb(one.dump())
    slots[9] = b""
    with pytest.raises(LocalError):
        assert Inviter.load(msgpack.packb(slots), ALPHA.op).code


def test_a_call_out_of_order_is_our_own_fault() -> None:
    one, other = inviter(), joiner()
    for act in (one.confirm, other.confirm, lambda: one.code):
        with pytest.raises(LocalError) as caught:
            act()
        assert caught.value.kind is Defect.WRONG_ORDER
    converse(one, other)
    with pytest.raises(LocalError):
        other.opening()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["inviter", "joiner"]),
    st.lists(
        st.binary(max_size=80)
        | st.tuples(st.integers(0, 6), st.integers(0, 3), st.lists(st.binary(max_size=64), max_size=3)).map(
            lambda parts: message(parts[0], parts[1], *parts[2])
        ),
        max_size=5,
    ),
)
def test_any_messages_are_taken_or_refused_as_the_other_side_s_fault(side: str, messages: list[bytes]) -> None:
    """Junk, and junk with a right mac, in any order: never another exception, never a code."""
    machine = inviter() if side == "inviter" else joiner()
    for data in messages:
        with suppress(RemoteError):
            machine.receive(data, NOW) if isinstance(machine, Inviter) else machine.receive(data)
        with suppress(RemoteError):
            machine.receive_confirm(data)
    with pytest.raises(ProtocolError):
        assert machine.code


# The link


def test_a_link_comes_back_whatever_the_case_and_spaces_around() -> None:
    link = INVITATION.link
    assert link.startswith("almenara:")
    assert parse_link(link) == parse_link(f"\n  {link.upper()} ") == INVITATION


@given(st.text(max_size=80) | st.binary(max_size=60).map(lambda data: "almenara:" + data.hex()))
def test_any_text_is_an_invitation_or_refused(text: str) -> None:
    with suppress(RemoteError):
        parse_link(text)


def test_one_invitation_has_one_link() -> None:
    """Spare bits, padding and look-alike letters are refused, so a link seen twice is the same link."""
    link = INVITATION.link
    for changed in (link + "=", link[:-1] + "b", link.replace("a", "\u0430"), link + "a", link.replace(":", "://")):
        with pytest.raises(RemoteError):
            parse_link(changed)


def test_the_secret_is_not_shown_in_logs() -> None:
    assert repr(INVITATION.secret) not in repr(INVITATION)
    assert INVITATION.secret.hex() not in repr(INVITATION)
