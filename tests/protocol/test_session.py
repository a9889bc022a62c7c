"""Sessions, driven two against each other without a socket (PROTOCOL §6, DESIGN §6)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from almenara.protocol.codec import encode
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.limits import MAX_FRAME
from almenara.protocol.messages import MAX_ACKED, MAX_PROOFS, parse_message
from almenara.protocol.scope import ScopeKey, scope
from almenara.protocol.session import (
    MAX_ANSWER_FRAMES,
    MAX_QUESTIONS,
    Acked,
    ByeCode,
    CursorsTold,
    Greeted,
    KeysAsked,
    KeysTold,
    Left,
    Outcome,
    Pushed,
    ScopesProven,
    Session,
)

from .circles import ANA, BEN, CLO
from .nodes import NOW, seed
from .sessions import CIRCLE, ENVELOPE, EPOCHS, SHARED, STATEMENT, Pair, decoys, forbidden, raw, refused

# Greeting.


def test_a_greeting_tells_version_log_and_clock() -> None:
    pair = Pair().greet()
    assert pair.at_ana == [Greeted(version=1, peer_epoch=EPOCHS["ben"], peer_time_min=NOW + 5, ahead_min=5)]
    assert pair.at_ben == [Greeted(version=1, peer_epoch=EPOCHS["ana"], peer_time_min=NOW, ahead_min=0)]


def test_the_highest_common_version_is_spoken() -> None:
    hello = encode([1, [1, 2, 900], seed("nonce"), EPOCHS["ben"], NOW])
    (greeted,) = Pair().ana.receive(hello, NOW)
    assert isinstance(greeted, Greeted)
    assert greeted.version == 1


def test_without_a_common_version_the_session_ends() -> None:
    refused(Defect.UNKNOWN_VERSION, Pair().ana.receive, encode([1, [2, 3], seed("nonce"), EPOCHS["ben"], NOW]), NOW)


@pytest.mark.parametrize("versions", [[], [2, 1], [1, 1], [0], [65_536], list(range(1, 18))])
def test_versions_rise_and_are_few(versions: list[int]) -> None:
    with pytest.raises(RemoteError):
        Pair().ana.receive(encode([1, versions, seed("nonce"), EPOCHS["ben"], NOW]), NOW)


def test_our_own_nonce_is_refused() -> None:
    pair = Pair()
    refused(Defect.REFLECTED, pair.ana.receive, pair.ana.hello(NOW), NOW)


def test_nobody_has_a_session_with_itself() -> None:
    forbidden(Defect.REFLECTED, Session, ANA, ANA, seed("n"), EPOCHS["ana"])


# Scopes.


def test_both_find_the_scopes_they_share_and_no_others() -> None:
    pair = Pair().open()
    shared = frozenset(each.tag for each in SHARED)
    assert pair.ana.proven == pair.ben.proven == shared
    assert pair.at_ana[1] == ScopesProven(tags=shared, fresh=shared)


def test_a_peer_that_knows_only_the_tag_proves_nothing() -> None:
    pair = Pair().greet()
    pair.ben.set_scopes(SHARED)
    pair.ana.set_scopes([ScopeKey(each.tag, seed("guess")) for each in SHARED])
    pair.to_ben(pair.ana.interest(decoys))
    pair.to_ana(pair.ben.interest(decoys))
    assert pair.ben.proven == pair.ana.proven == frozenset()


def test_a_reflected_proof_proves_nothing() -> None:
    """Ben sends back what Ana sent, byte for byte."""
    pair = Pair().greet()
    pair.ana.set_scopes(SHARED)
    pair.to_ana(pair.ana.interest(decoys))
    assert pair.ana.proven == frozenset()


def test_a_proof_of_an_earlier_session_proves_nothing() -> None:
    old = Pair().greet()
    old.ben.set_scopes(SHARED)
    replayed = old.ben.interest(decoys)
    new = Pair()
    new.ana = Session(ANA, BEN, seed("a fresh nonce"), EPOCHS["ana"])
    new.greet()
    new.ana.set_scopes(SHARED)
    new.ana.interest(decoys)
    new.to_ana(replayed)
    assert new.ana.proven == frozenset()


def test_a_proof_made_for_another_peer_proves_nothing() -> None:
    """Clo relays what Ben proved to her, with Ben's nonce as her own."""
    with_clo = Session(BEN, CLO, seed("nonce of ben"), EPOCHS["ben"])
    with_clo.receive(encode([1, [1], seed("nonce of ana"), EPOCHS["ana"], NOW]), NOW)
    with_clo.hello(NOW)
    with_clo.set_scopes(SHARED)
    relayed = with_clo.interest(decoys)
    victim = Session(ANA, CLO, seed("nonce of ana"), EPOCHS["ana"])
    victim.receive(encode([1, [1], seed("nonce of ben"), EPOCHS["ben"], NOW]), NOW)
    victim.hello(NOW)
    victim.set_scopes(SHARED)
    victim.interest(decoys)
    victim.receive(relayed, NOW)
    assert victim.proven == frozenset()


def test_interest_is_renewed_at_any_time_and_replaces() -> None:
    pair = Pair().open()
    pair.ben.set_scopes(SHARED[:1])
    (event,) = pair.to_ana(pair.ben.interest(decoys))
    assert event == ScopesProven(tags=frozenset({SHARED[0].tag}), fresh=frozenset())
    assert pair.ben.proven == pair.ana.proven == {SHARED[0].tag}


def test_fresh_are_only_scopes_that_were_never_proven_before() -> None:
    pair = Pair().open()
    more = scope(seed("shared"), 9)
    pair.ana.set_scopes([*SHARED, more])
    pair.ben.set_scopes([*SHARED, more])
    pair.to_ben(pair.ana.interest(decoys))
    assert more.tag not in pair.ana.proven
    (event,) = pair.to_ana(pair.ben.interest(decoys))
    assert isinstance(event, ScopesProven)
    assert event.fresh == {more.tag}
    assert more.tag in pair.ben.proven


def test_a_scope_the_peer_proved_first_is_proven_as_soon_as_we_prove_it() -> None:
    pair = Pair().greet()
    pair.ben.set_scopes(SHARED)
    pair.to_ana(pair.ben.interest(decoys))
    assert pair.ana.proven == frozenset()
    pair.ana.set_scopes(SHARED)
    pair.ana.interest(decoys)
    assert pair.ana.proven == {each.tag for each in SHARED}


@pytest.mark.parametrize(
    ("scopes", "shown"), [(0, 16), (1, 16), (15, 16), (16, 16), (17, 32), (MAX_PROOFS, MAX_PROOFS)]
)
def test_the_number_of_scopes_is_hidden_in_a_multiple_of_sixteen(scopes: int, shown: int) -> None:
    pair = Pair().greet()
    pair.ana.set_scopes(scope(seed("many"), week) for week in range(scopes))
    frame = pair.ana.interest(decoys)
    (proofs,) = parse_message(frame).slots()
    assert len(proofs) == shown
    assert proofs == sorted(proofs)
    assert len(frame) <= MAX_FRAME


def test_more_scopes_than_fit_are_our_own_fault() -> None:
    many = [ScopeKey(week.to_bytes(16, "big"), seed("k")) for week in range(MAX_PROOFS + 1)]
    forbidden(Defect.WRONG_COUNT, Pair().ana.set_scopes, many)


def test_interest_needs_the_peers_greeting_and_enough_decoys() -> None:
    pair = Pair()
    pair.ana.hello(NOW)
    forbidden(Defect.WRONG_ORDER, pair.ana.interest, decoys)
    pair = Pair().greet()
    forbidden(Defect.WRONG_LENGTH, pair.ana.interest, decoys[1:])


@pytest.mark.parametrize(
    ("proofs", "kind"),
    [
        ([], Defect.WRONG_COUNT),
        ([bytes([number]) * 16 for number in range(15)], Defect.WRONG_COUNT),
        ([bytes([number]) * 16 for number in range(17)], Defect.WRONG_COUNT),
        ([bytes(16)] * 16, Defect.NOT_SORTED),
        ([bytes([255 - number]) * 16 for number in range(16)], Defect.NOT_SORTED),
        ([bytes([number]) * 15 for number in range(16)], Defect.WRONG_LENGTH),
    ],
)
def test_interest_is_refused(proofs: list[bytes], kind: Defect) -> None:
    refused(kind, Pair().greet().ana.receive, encode([2, proofs]), NOW)


# Cursors, pushes, acknowledgements.


def test_cursors_are_told() -> None:
    pair = Pair().greet()
    pair.ben.interest(decoys)
    pair.to_ana(pair.ben.interest(decoys))
    told = {0: (EPOCHS["ana"], 7), 1: (EPOCHS["ana"], 9)}
    assert pair.to_ana(pair.ben.cursors(told)) == [CursorsTold(cursors=told)]


def test_one_lane_has_one_cursor() -> None:
    pair = Pair().greet()
    pair.to_ana(pair.ben.interest(decoys))
    twice = encode([3, [[0, EPOCHS["ana"], 1], [0, EPOCHS["ana"], 2]]])
    refused(Defect.REPEATED, pair.ana.receive, twice, NOW)


def test_an_envelope_is_pushed_and_acknowledged() -> None:
    pair = Pair().open()
    assert pair.to_ben(pair.ana.push(0, 3, ENVELOPE)) == [Pushed(lane=0, position=3, envelope=ENVELOPE)]
    assert pair.to_ana(pair.ben.ack(0, 3, [(3, Outcome.STORED)])) == [
        Acked(lane=0, cursor=3, outcomes=((3, Outcome.STORED),))
    ]


def test_what_was_held_may_be_stored_later() -> None:
    pair = Pair().open()
    pair.to_ben(pair.ana.push(0, 3, ENVELOPE))
    pair.to_ana(pair.ben.ack(0, 3, [(3, Outcome.HELD)]))
    (event,) = pair.to_ana(pair.ben.ack(0, 3, [(3, Outcome.STORED)]))
    assert isinstance(event, Acked)
    assert event.outcomes == ((3, Outcome.STORED),)


def test_a_bad_envelope_is_no_matter_of_the_session() -> None:
    pair = Pair().open()
    for junk in (b"", b"junk", bytes(70_000)):
        pair.to_ben(pair.ana.push(0, 1, junk))
    assert pair.to_ben(pair.ana.push(1, 2, ENVELOPE)) == [Pushed(lane=1, position=2, envelope=ENVELOPE)]


def test_an_acknowledgement_of_what_was_not_pushed_is_refused() -> None:
    pair = Pair().open()
    pair.ana.push(0, 3, ENVELOPE)
    refused(Defect.OUT_OF_RANGE, pair.ana.receive, encode([5, 0, 4, []]), NOW)
    refused(Defect.OUT_OF_RANGE, pair.ana.receive, encode([5, 0, 3, [[4, 0]]]), NOW)
    refused(Defect.OUT_OF_RANGE, pair.ana.receive, encode([5, 1, 3, []]), NOW)


def test_a_cursor_never_goes_back() -> None:
    pair = Pair().open()
    pair.ana.push(0, 3, ENVELOPE)
    pair.to_ana(pair.ben.ack(0, 3, []))
    refused(Defect.OUT_OF_RANGE, pair.ana.receive, encode([5, 0, 2, []]), NOW)


def test_after_a_reconnect_a_cursor_may_stand_where_it_was_told() -> None:
    pair = Pair().greet()
    pair.ana.interest(decoys)
    pair.to_ana(pair.ben.interest(decoys), pair.ben.cursors({1: (EPOCHS["ana"], 500)}))
    pair.ana.cursors({})
    pair.ana.push(1, 3, ENVELOPE)  # an old position, for a scope proven late
    assert pair.ana.receive(encode([5, 1, 500, [[3, 0]]]), NOW)


def test_what_was_pushed_before_the_other_cursors_came_may_be_acknowledged() -> None:
    """Frames cross: a side that has told its own cursors may push, and the other may not have spoken yet."""
    pair = Pair().greet()
    pair.ana.interest(decoys)
    pair.ana.cursors({})
    pair.ana.push(1, 300, ENVELOPE)
    pair.to_ana(pair.ben.interest(decoys), pair.ben.cursors({1: (EPOCHS["ana"], 0)}))
    assert pair.ana.receive(encode([5, 1, 300, [[300, 0]]]), NOW)


def test_a_cursor_in_another_epoch_means_nothing() -> None:
    pair = Pair().greet()
    pair.to_ana(pair.ben.interest(decoys), pair.ben.cursors({1: (seed("an old log", 16), 500)}))
    refused(Defect.OUT_OF_RANGE, pair.ana.receive, encode([5, 1, 500, []]), NOW)


@pytest.mark.parametrize(
    ("outcomes", "kind"),
    [
        ([[1, 4]], Defect.OUT_OF_RANGE),
        ([[2, 0], [1, 0]], Defect.NOT_SORTED),
        ([[1, 0], [1, 2]], Defect.REPEATED),
        ([[1]], Defect.WRONG_COUNT),
        ([[position, 0] for position in range(MAX_ACKED + 1)], Defect.MALFORMED),
    ],
)
def test_outcomes_are_known_sorted_and_once_each(outcomes: list[list[int]], kind: Defect) -> None:
    pair = Pair().open()
    pair.ana.push(0, 2_000, ENVELOPE)
    refused(kind, pair.ana.receive, raw([5, 0, 2_000, outcomes]), NOW)


# Keys.


def test_a_question_is_answered() -> None:
    pair = Pair().open()
    assert pair.to_ben(pair.ana.keyreq(CIRCLE, STATEMENT)) == [KeysAsked(circle=CIRCLE, statement=STATEMENT)]
    (frame,) = pair.ben.keys(CIRCLE, [b"statement"], [b"introduction"], ENVELOPE)
    told = KeysTold(circle=CIRCLE, statements=(b"statement",), introductions=(b"introduction",), packet=ENVELOPE)
    assert pair.to_ana(frame) == [told]


def test_an_answer_to_nothing_is_refused() -> None:
    pair = Pair().open()
    refused(Defect.WRONG_ORDER, pair.ana.receive, encode([7, CIRCLE, [], [], b""]), NOW)
    forbidden(Defect.WRONG_ORDER, pair.ana.keys, CIRCLE, [], [], b"")


def test_an_answer_about_another_circle_is_refused() -> None:
    pair = Pair().open()
    pair.ana.keyreq(CIRCLE, b"")
    refused(Defect.WRONG_ORDER, pair.ana.receive, encode([7, seed("other", 16), [], [], b""]), NOW)


def test_a_question_welcomes_only_so_many_frames() -> None:
    pair = Pair().open()
    pair.ana.keyreq(CIRCLE, b"")
    frame = encode([7, CIRCLE, [b"x"], [], b""])
    for _ in range(MAX_ANSWER_FRAMES):
        pair.ana.receive(frame, NOW)
    refused(Defect.WRONG_ORDER, pair.ana.receive, frame, NOW)


def test_a_second_question_about_a_circle_is_answered_too() -> None:
    pair = Pair().open()
    pair.to_ben(pair.ana.keyreq(CIRCLE, b""), pair.ana.keyreq(CIRCLE, STATEMENT))
    for _ in range(2):
        assert len(pair.to_ana(*pair.ben.keys(CIRCLE, [], [], b""))) == 1


def test_open_questions_are_bounded_on_both_sides() -> None:
    pair = Pair().open()
    for number in range(MAX_QUESTIONS):
        pair.to_ben(pair.ana.keyreq(number.to_bytes(16, "big"), b""))
    forbidden(Defect.TOO_LARGE, pair.ana.keyreq, CIRCLE, b"")
    refused(Defect.TOO_LARGE, pair.ben.receive, encode([6, CIRCLE, b""]), NOW)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 30_000), max_size=40),
    st.lists(st.integers(1, 12_000), max_size=40),
    st.sampled_from([0, 4_096, 65_536]),
)
def test_a_long_answer_is_dealt_into_frames_that_fit_and_nothing_is_lost(
    statements: list[int], introductions: list[int], packet: int
) -> None:
    pair = Pair().open()
    pair.to_ben(pair.ana.keyreq(CIRCLE, b""))
    told = [size.to_bytes(2, "big") * (size // 2) + b"x" for size in statements]
    introduced = [size.to_bytes(2, "big") * (size // 2) + b"y" for size in introductions]
    frames = pair.ben.keys(CIRCLE, told, introduced, bytes(packet))
    assert all(len(frame) <= MAX_FRAME for frame in frames)
    events = [event for event in pair.to_ana(*frames) if isinstance(event, KeysTold)]
    assert [each for event in events for each in event.statements] == told
    assert [each for event in events for each in event.introductions] == introduced
    assert [event.packet for event in events] == [b""] * (len(events) - 1) + [bytes(packet)]


def test_a_thousand_small_statements_are_dealt_by_number_too() -> None:
    pair = Pair().open()
    pair.to_ben(pair.ana.keyreq(CIRCLE, b""))
    events = pair.to_ana(*pair.ben.keys(CIRCLE, [b"s"] * 1_000, [b"i"] * 100, b""))
    assert sum(len(event.statements) for event in events if isinstance(event, KeysTold)) == 1_000


# Hanging up.


@pytest.mark.parametrize("code", [*ByeCode, 65_535])
def test_bye_tells_why_and_for_how_long(code: int) -> None:
    pair = Pair().open()
    assert pair.to_ben(pair.ana.bye(code, 30)) == [Left(code=code, retry_after=30)]
    assert pair.ana.ended
    assert pair.ben.ended


def test_nothing_follows_a_bye() -> None:
    pair = Pair().open()
    pair.to_ben(pair.ana.bye(0, 0))
    forbidden(Defect.WRONG_ORDER, pair.ana.push, 0, 1, ENVELOPE)
    forbidden(Defect.WRONG_ORDER, pair.ana.bye, 0, 0)
    forbidden(Defect.WRONG_ORDER, pair.ben.push, 0, 1, ENVELOPE)
    refused(Defect.WRONG_ORDER, pair.ben.receive, encode([8, 0, 0]), NOW)


def test_a_bye_is_possible_from_the_first_moment() -> None:
    pair = Pair()
    assert pair.to_ben(pair.ana.bye(ByeCode.BUSY, 60)) == [Left(code=ByeCode.BUSY, retry_after=60)]
