"""Which statement holds, who is out, and who waits: PROTOCOL §5.2 to §5.5, rule by rule."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from almenara.protocol.circle import CircleHistory
from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.lineage import Leave
from almenara.protocol.records import MAX_LEAVES, MAX_RIVALS, MAX_WAITING

from .circles import (
    ANA,
    BEN,
    CLO,
    DAY,
    DIA,
    EVA,
    FAY,
    NOW,
    M,
    R,
    S,
    cut,
    first,
    follow,
    hash_of,
    header,
    knowing,
    leave,
    pair,
    who,
)

if TYPE_CHECKING:
    from almenara.protocol.statement import Cut

ONE = first(ANA, BEN, CLO, others={DIA: M, EVA: M})


# Statements come in any order.


def test_number_one_is_current_at_first() -> None:
    history = CircleHistory(ONE)
    assert history.current == ONE
    assert history.recipients() == (ANA, BEN, CLO, *sorted([DIA, EVA]))


def test_a_statement_waits_for_its_parent() -> None:
    two = follow(ONE, ANA)
    three = follow(two, ANA)
    history = knowing(ONE, three)
    assert (history.current, history.waiting) == (ONE, {three.id})
    history.add(two, ANA)
    assert (history.current, history.waiting) == (three, frozenset())


def test_what_may_not_follow_is_refused_where_the_parent_is_known() -> None:
    with pytest.raises(RemoteError) as caught:
        knowing(ONE, follow(ONE, DIA))
    assert caught.value.kind is Defect.NOT_ALLOWED


def test_what_may_not_follow_is_dropped_when_the_parent_comes_later() -> None:
    two = follow(ONE, ANA)
    wrong, right = follow(two, DIA), follow(two, BEN)
    history = knowing(ONE, wrong, right)
    history.add(two, ANA)
    assert (history.current, history.waiting) == (right, frozenset())


def test_a_statement_signed_by_another_than_its_issuer_is_refused() -> None:
    with pytest.raises(RemoteError) as caught:
        CircleHistory(ONE).add(follow(ONE, ANA), BEN)
    assert caught.value.kind is Defect.NOT_ALLOWED


def test_a_statement_of_another_circle_is_refused() -> None:
    other = first(ANA, name="c-other")
    with pytest.raises(RemoteError) as caught:
        CircleHistory(ONE).add(follow(other, ANA), ANA)
    assert caught.value.kind is Defect.WRONG_CIRCLE


def test_statements_without_a_parent_are_bounded() -> None:
    history = CircleHistory(ONE)
    orphan = follow(ONE, ANA)
    for number in range(MAX_WAITING):
        orphan = follow(orphan, ANA, mark=str(number))
        history.add(orphan, ANA)
    with pytest.raises(RemoteError) as caught:
        history.add(follow(orphan, ANA), ANA)
    assert caught.value.kind is Defect.TOO_LARGE
    history.add(follow(ONE, ANA), ANA)
    assert history.current == orphan


# Rule 4: concurrent statements.


def test_of_two_stewards_the_higher_rank_wins() -> None:
    by_ana, by_clo = follow(ONE, ANA), follow(ONE, CLO)
    assert knowing(ONE, by_clo, by_ana).current == by_ana


def test_the_higher_rank_wins_against_a_longer_branch() -> None:
    by_ana, by_ben = follow(ONE, ANA), follow(ONE, BEN)
    longer = follow(follow(by_ben, BEN), BEN)
    assert knowing(ONE, by_ben, follow(by_ben, BEN), longer, by_ana).current == by_ana


def test_of_two_by_one_issuer_the_lower_hash_wins_and_the_fork_shows() -> None:
    rivals = sorted((follow(ONE, ANA, mark=mark) for mark in "ab"), key=lambda rival: rival.hash)
    history = knowing(ONE, *reversed(rivals))
    assert history.current == rivals[0]
    assert history.forks == (tuple(rivals),)


def test_two_stewards_at_once_are_no_fork() -> None:
    assert knowing(ONE, follow(ONE, ANA), follow(ONE, BEN)).forks == ()


def test_a_steward_gone_wild_fills_no_memory_and_everybody_keeps_the_same() -> None:
    wild = [follow(ONE, ANA, mark=str(number)) for number in range(3 * MAX_RIVALS)]
    kept = sorted(wild, key=lambda rival: rival.hash)[:MAX_RIVALS]
    for order in (wild, wild[::-1]):
        assert knowing(ONE, *order).forks == (tuple(kept),)


def test_a_rank_is_that_in_the_parent_not_in_number_one() -> None:
    two = follow(ONE, ANA, remove={ANA: ()})
    by_ben, by_clo = follow(two, BEN), follow(two, CLO)
    assert knowing(ONE, two, by_clo, by_ben).current == by_ben


# Rule 2: who removes a steward.


def test_a_lower_steward_cannot_remove_a_higher_one() -> None:
    history = knowing(ONE, follow(ONE, CLO, remove={BEN: ()}))
    assert (history.current, history.out) == (ONE, frozenset())


def test_a_higher_steward_removes_a_lower_one() -> None:
    two = follow(ONE, BEN, remove={CLO: ()})
    history = knowing(ONE, two)
    assert (history.current, history.out) == (two, {CLO})


def test_a_steward_removes_itself() -> None:
    history = knowing(ONE, follow(ONE, ANA, remove={ANA: ()}))
    assert history.out == {ANA}


def test_whoever_left_is_removed_by_any_steward_once_the_leave_is_known() -> None:
    two = follow(ONE, CLO, remove={ANA: ()})
    history = knowing(ONE, two)
    assert history.current == ONE
    history.add_leave(leave(ANA, ONE))
    assert (history.current, history.out) == (two, {ANA})


def test_a_leave_of_the_past_does_not_let_lower_ranks_remove_who_came_back() -> None:
    gone = follow(ONE, BEN, remove={ANA: ()})
    back = follow(gone, BEN, admit={ANA: S})
    again = follow(back, CLO, remove={BEN: ()})
    unfair = follow(back, who("new"), remove={ANA: ()})
    history = knowing(ONE, gone, back, leaves=(leave(ANA, ONE),))
    assert history.current == back
    assert back.stewards == (BEN, CLO, ANA)
    history.add(again, CLO)
    with pytest.raises(RemoteError):
        history.add(unfair, who("new"))
    assert history.current == back


def test_a_revoked_steward_is_out_for_ever_and_any_rank_removes_it() -> None:
    history = CircleHistory(ONE)
    history.add_revocation(ANA)
    assert history.out == {ANA}
    two = follow(ONE, CLO, remove={ANA: ()})
    three = follow(two, CLO, admit={ANA: M})
    history.add(two, CLO)
    history.add(three, CLO)
    assert (history.current, history.out) == (three, {ANA})


def test_a_leave_beside_a_return_still_lets_lower_ranks_remove() -> None:
    """It was sent under a statement of the same number as the removal that was undone, so it is not answered."""
    root = first(BEN, ANA, CLO)
    under, gone = follow(root, CLO), follow(root, BEN, remove={ANA: ()})
    back = follow(gone, BEN, admit={ANA: S, DIA: S})
    assert back.stewards == (BEN, CLO, ANA, DIA)
    removing = follow(back, DIA, remove={ANA: ()})
    history = knowing(root, under, gone, back, removing)
    assert history.current == back
    history.add_leave(leave(ANA, under))
    assert history.current == removing


def test_a_revocation_leaves_the_past_of_the_revoked_as_it_was() -> None:
    """Even of one that had been removed and came back: its rotations since then do not lose to old rivals."""
    gone = follow(ONE, ANA, remove={BEN: ()})
    back = follow(gone, ANA, admit={BEN: S, EVA: S})
    since, rival = follow(back, BEN), follow(back, EVA)
    history = knowing(ONE, gone, back, since, rival)
    before = history.chain
    assert before[-1] == since
    history.add_revocation(BEN)
    assert history.chain == before
    assert history.check_author(header(BEN, since, 9), hash_of(BEN, 9)) is S


# Rule 4: removals are sticky.


def test_a_removal_on_the_losing_branch_holds() -> None:
    removing, winning = follow(ONE, BEN, remove={DIA: ()}), follow(ONE, ANA)
    history = knowing(ONE, removing, winning)
    assert (history.current, history.out) == (winning, {DIA})
    assert DIA not in history.recipients()


def test_an_addition_on_the_losing_branch_does_not_hold_but_is_told() -> None:
    adding, winning = follow(ONE, BEN, admit={FAY: M}), follow(ONE, ANA)
    history = knowing(ONE, adding, winning)
    assert FAY not in history.recipients()
    assert history.stranded == {FAY}


def test_a_leave_holds_until_the_next_statement_and_after() -> None:
    history = knowing(ONE, leaves=(leave(DIA, ONE),))
    assert history.out == {DIA}
    two = follow(ONE, ANA)  # its issuer had not heard of the leave
    history.add(two, ANA)
    assert history.out == {DIA}


def test_a_leave_waits_for_the_statement_it_was_sent_under() -> None:
    two = follow(ONE, ANA)
    history = knowing(ONE, leaves=(leave(DIA, two),))
    assert history.out == frozenset()
    history.add(two, ANA)
    assert history.out == {DIA}


def test_nobody_fills_memory_with_leaves() -> None:
    many = [leave(DIA, ONE, seq=seq, created_min=NOW + seq) for seq in range(3 * MAX_LEAVES)]
    for order in (many, many[::-1]):
        history = knowing(ONE, leaves=(*order, leave(EVA, ONE)))
        assert set(history.leaves()) == {*many[-MAX_LEAVES:], leave(EVA, ONE)}
        assert history.out == {DIA, EVA}


def test_a_leave_by_no_member_does_nothing() -> None:
    assert knowing(ONE, leaves=(leave(FAY, ONE),)).out == frozenset()


def test_nobody_leaves_a_direct_circle() -> None:
    assert knowing(pair(), leaves=(leave(BEN, pair()),)).out == frozenset()


def test_a_descendant_of_the_removal_re_admits() -> None:
    removing = follow(ONE, ANA, remove={DIA: ()})
    back = follow(removing, BEN, admit={DIA: M})
    assert knowing(ONE, removing, back).out == frozenset()


def test_a_second_removal_after_the_return_holds_again() -> None:
    removing = follow(ONE, ANA, remove={DIA: ()})
    back = follow(removing, BEN, admit={DIA: M})
    assert knowing(ONE, removing, back, follow(back, CLO, remove={DIA: ()})).out == {DIA}


def test_a_sibling_of_the_removal_does_not_re_admit() -> None:
    removing = follow(ONE, BEN, remove={DIA: ()})
    winning = follow(ONE, ANA)
    assert knowing(ONE, removing, winning, follow(winning, ANA), follow(follow(winning, ANA), ANA)).out == {DIA}


def test_a_re_issue_on_the_winning_branch_stands_for_a_lost_removal() -> None:
    removing, winning = follow(ONE, BEN, remove={DIA: ()}), follow(ONE, ANA)
    again = follow(winning, BEN, remove={DIA: ()})
    back = follow(again, ANA, admit={DIA: M})
    assert knowing(ONE, removing, winning, again).out == {DIA}
    assert knowing(ONE, removing, winning, again, back).out == frozenset()


def test_an_admission_without_re_issue_does_not_undo_a_lost_removal() -> None:
    adding = follow(ONE, BEN, admit={FAY: M})
    removing, winning = follow(adding, BEN, remove={FAY: ()}), follow(ONE, ANA)
    admitting = follow(winning, ANA, admit={FAY: M})
    assert knowing(ONE, adding, removing, winning, admitting).out == {FAY}


def test_a_concurrent_removal_of_the_same_number_is_not_undone_by_the_return() -> None:
    removing, winning = follow(ONE, BEN, remove={DIA: ()}), follow(ONE, ANA, remove={DIA: ()})
    back = follow(winning, ANA, admit={DIA: M})
    assert knowing(ONE, removing, winning, back).out == {DIA}


# A removed steward cannot take the circle back.


def test_a_late_rival_by_a_removed_steward_does_not_displace_the_branch_that_removed_it() -> None:
    rotation = follow(ONE, CLO)
    removing = follow(rotation, ANA, remove={BEN: ()})
    late = follow(ONE, BEN, mark="years later")  # BEN outranks CLO in ONE, so by rank alone this would win
    assert knowing(ONE, rotation, late).current == late
    assert knowing(ONE, rotation, removing, late).current == removing


def test_what_it_issued_before_its_removal_stays() -> None:
    rotation, rival = follow(ONE, BEN), follow(ONE, CLO)
    removing = follow(rotation, ANA, remove={BEN: ()})
    assert knowing(ONE, rotation, rival, removing).chain == (ONE, rotation, removing)


def test_after_its_return_its_statements_count_as_before() -> None:
    removing = follow(ONE, ANA, remove={BEN: ()})
    back = follow(removing, ANA, admit={BEN: S})
    assert back.stewards == (ANA, CLO, BEN)
    assert knowing(ONE, removing, back, follow(back, BEN)).current == follow(back, BEN)


def circle_with_a_removed_steward() -> tuple[CircleHistory, tuple[Cut, ...]]:
    """CLO rotates, then ANA removes BEN, of whom header 5 is the last that counts."""
    rotation = follow(ONE, CLO)
    cuts = (cut(BEN, 5),)
    return knowing(ONE, rotation, follow(rotation, ANA, remove={BEN: cuts})), cuts


def test_a_removed_steward_removes_nobody_any_more() -> None:
    history, _ = circle_with_a_removed_steward()
    tip = history.current
    late = follow(ONE, BEN, remove={CLO: (), DIA: (), EVA: ()})
    history.add(late, BEN, cut(BEN, 6))
    assert (history.current, history.out, history.hold_reasons({tip.id})) == (tip, {BEN}, ())
    assert history.contested == {CLO, DIA, EVA}
    assert history.reissues(ANA) == {}


def test_what_a_removed_steward_removed_before_its_cut_holds() -> None:
    history, cuts = circle_with_a_removed_steward()
    history.add(follow(ONE, BEN, remove={DIA: ()}), BEN, cuts[0])
    assert (history.out, history.contested) == ({BEN, DIA}, frozenset())


def test_the_place_of_a_statement_may_become_known_later() -> None:
    history, cuts = circle_with_a_removed_steward()
    removing = follow(ONE, BEN, remove={DIA: ()})
    history.add(removing, BEN)
    assert history.out == {BEN}
    history.add(removing, BEN, cuts[0])
    assert history.out == {BEN, DIA}


def test_of_two_places_of_one_statement_the_first_counts_whichever_came_first() -> None:
    removing = follow(ONE, BEN, remove={DIA: ()})
    for places in ([cut(BEN, 4), cut(BEN, 9)], [cut(BEN, 9), cut(BEN, 4)]):
        history, _ = circle_with_a_removed_steward()
        for place in places:
            history.add(removing, BEN, place)
        assert history.out == {BEN, DIA}


def test_whom_a_removed_steward_admits_late_is_not_to_be_asked_again() -> None:
    history, _ = circle_with_a_removed_steward()
    history.add(follow(ONE, BEN, admit={FAY: M}), BEN, cut(BEN, 6))
    assert history.stranded == frozenset()


def test_a_steward_that_left_removes_nobody_any_more() -> None:
    two = follow(ONE, ANA)
    left = leave(BEN, two, seq=7)
    history = knowing(ONE, two, leaves=(left,))
    history.add(follow(ONE, BEN, remove={DIA: ()}), BEN, cut(BEN, 8))
    assert history.out == {BEN}
    history.add(follow(ONE, BEN, remove={EVA: ()}), BEN, cut(BEN, 6))
    assert history.out == {BEN, EVA}


def test_a_removed_steward_cannot_revive_an_old_losing_branch() -> None:
    """By removing, late, the steward whose rotation won at the time."""
    root = first(ANA, BEN, CLO, DIA, others={EVA: M})
    winning, losing = follow(root, CLO), follow(root, DIA)
    removing = follow(winning, ANA, remove={BEN: ()})
    late = follow(root, BEN, remove={CLO: ()})
    assert knowing(root, winning, losing, removing, late).chain == (root, winning, removing)


def test_a_removal_by_the_only_branch_counts_even_if_its_issuer_had_left() -> None:
    """It holds, so whoever it left out must be named to a sender with the older key."""
    late = follow(ONE, BEN, remove={DIA: ()})
    history = knowing(ONE, late, leaves=(leave(BEN, ONE),))
    assert (history.current, history.out) == (late, {BEN, DIA})
    assert history.hold_reasons({ONE.id}) == (BEN, DIA)
    winning = follow(ONE, CLO)
    history.add(winning, CLO)
    assert (history.current, history.out, history.contested) == (winning, {BEN}, {DIA})


def test_stewards_that_removed_each_other_are_both_out() -> None:
    """BEN removed CLO while it ranked higher; ANA removed and re-admitted BEN; then CLO, now higher, removed BEN."""
    gone = follow(ONE, ANA, remove={BEN: (cut(BEN, 5),)})
    back = follow(gone, ANA, admit={BEN: S})
    removing_ben = follow(back, CLO, remove={BEN: (cut(BEN, 2),)})
    removing_clo = follow(ONE, BEN, remove={CLO: ()})
    for order in itertools.permutations([gone, back, removing_ben, removing_clo]):
        history = knowing(ONE, *order, places={removing_clo: cut(BEN, 4)})
        assert (history.current, history.out) == (removing_ben, {BEN, CLO})
        assert history.lineage.void == frozenset()


# Anchors.


def test_a_newcomer_begins_at_the_statement_it_was_shown() -> None:
    two = follow(ONE, ANA)
    three = follow(two, BEN, admit={FAY: M})
    assert knowing(two, three).current == three


def test_earlier_branches_count_for_a_newcomer_through_the_hash() -> None:
    shown, winning = follow(ONE, BEN), follow(ONE, ANA)
    newcomer = knowing(shown, winning)
    assert newcomer.current == shown
    newcomer.add(ONE, ANA)
    assert newcomer.current == winning


def test_a_second_invitation_is_trusted_like_the_first() -> None:
    later = follow(follow(follow(ONE, ANA), ANA), ANA)
    history = knowing(ONE, leaves=(leave(DIA, ONE),))
    history.trust(later)
    assert (history.current, history.out) == (later, frozenset())
    with pytest.raises(LocalError):
        history.trust(first(ANA, name="c-other"))


# Rule 5: what a sender asks.


def test_nothing_holds_a_sender_with_the_current_key() -> None:
    history = knowing(ONE, follow(ONE, ANA))
    assert history.hold_reasons({follow(ONE, ANA).id}) == ()


def test_senders_use_the_latest_winning_statement_whose_key_they_hold() -> None:
    two, losing = follow(ONE, ANA), follow(ONE, BEN)
    history = knowing(ONE, two, losing)
    assert history.sendable({ONE.id, losing.id}) == ONE
    assert history.sendable({ONE.id, two.id}) == two
    assert history.sendable({losing.id}) is None
    assert history.hold_reasons({losing.id}) == ()


def test_sending_waits_while_a_member_is_sticky_removed() -> None:
    removing, winning = follow(ONE, BEN, remove={DIA: ()}), follow(ONE, ANA)
    assert knowing(ONE, removing, winning).hold_reasons({winning.id}) == (DIA,)


def test_sending_waits_with_an_older_key_when_someone_was_removed_since() -> None:
    history = knowing(ONE, follow(ONE, ANA, remove={DIA: ()}))
    assert history.hold_reasons({ONE.id}) == (DIA,)


def test_sending_goes_on_with_an_older_key_when_nobody_was_removed_since() -> None:
    history = knowing(ONE, follow(ONE, ANA, admit={FAY: M}))
    assert history.hold_reasons({ONE.id}) == ()


def test_sending_waits_while_whoever_drew_the_key_is_out() -> None:
    two = follow(ONE, ANA, remove={ANA: ()})
    assert knowing(ONE, two).hold_reasons({two.id}) == (ANA,)
    assert knowing(ONE, two, follow(two, BEN)).hold_reasons({follow(two, BEN).id}) == ()


# Rotation.


@pytest.mark.parametrize(("steward", "days"), [(ANA, 7), (BEN, 8), (CLO, 9)])
def test_rank_r_rotates_after_seven_days_and_one_more_for_each_rank_above(steward: object, days: int) -> None:
    history = CircleHistory(ONE)
    assert isinstance(steward, type(ANA))
    assert not history.rotation_due(steward, NOW + days * DAY - 1)
    assert history.rotation_due(steward, NOW + days * DAY)


def test_only_stewards_who_are_in_rotate_and_issue() -> None:
    history = knowing(ONE, leaves=(leave(ANA, ONE),))
    late = NOW + 90 * DAY
    assert not history.rotation_due(DIA, late)
    assert not history.rotation_due(ANA, late)
    assert [history.may_issue(node) for node in (ANA, BEN, DIA, FAY)] == [False, True, False, False]


def test_an_overdue_rotation_only_warns() -> None:
    history = CircleHistory(ONE)
    assert not history.rotation_overdue(NOW + 10 * DAY - 1)
    assert history.rotation_overdue(NOW + 10 * DAY)
    assert history.hold_reasons({ONE.id}) == ()


# What goes to whoever asks.


def test_an_answer_holds_what_came_since() -> None:
    two = follow(ONE, ANA)
    three, losing = follow(two, ANA), follow(two, BEN)
    history = knowing(ONE, two, three, losing)
    assert set(history.since(two.id)) == {three, losing}
    assert history.since(b"")[0] == ONE
    assert set(history.since(losing.id)) == {two, three}


def test_an_answer_holds_old_losing_branches_that_removed_a_present_member() -> None:
    removing, winning = follow(ONE, BEN, remove={DIA: ()}), follow(ONE, ANA)
    two = follow(winning, ANA)
    history = knowing(ONE, winning, two, removing)
    assert history.since(two.id) == (removing,)


def test_leaves_that_count_go_along() -> None:
    left = leave(DIA, ONE)
    stranger = Leave(author=FAY, statement=ONE.id, cut=cut(FAY, 1), created_min=NOW)
    assert knowing(ONE, leaves=(left, stranger)).leaves() == (left,)


def test_superseded_is_everything_but_the_current_one() -> None:
    winning, losing = follow(ONE, ANA), follow(ONE, BEN)
    history = knowing(ONE, winning, losing)
    assert [history.is_superseded(each.id) for each in (ONE, winning, losing)] == [True, False, True]
    assert not history.is_superseded(bytes(16))


def test_a_subscriber_is_a_recipient() -> None:
    assert knowing(ONE, follow(ONE, ANA, admit={FAY: R})).recipients()[-1] in {DIA, EVA, FAY}
