"""The next statement, as a steward makes it."""

from __future__ import annotations

import pytest

from almenara.protocol.circle import CircleHistory
from almenara.protocol.errors import Defect, LocalError
from almenara.protocol.revision import successor
from almenara.protocol.succession import check_successor

from .circles import ANA, BEN, CLO, DIA, EVA, FAY, NOW, M, R, S, commit, cut, first, follow, fresh, knowing, leave, pair

ONE = first(ANA, BEN, CLO, others={DIA: M})


def test_a_rotation_changes_the_key_and_nothing_else() -> None:
    two = successor(CircleHistory(ONE), issuer=BEN, now_min=NOW + 9, key_commit=commit("k2"))
    assert (two.members, two.removed, two.carry_commit) == (ONE.members, (), ONE.carry_commit)
    assert (two.number, two.parent, two.issuer, two.issued_min) == (2, ONE.id, BEN, NOW + 9)
    assert two.key_commit != ONE.key_commit
    check_successor(ONE, two)


def test_a_clock_that_is_behind_never_makes_a_child_older_than_its_parent() -> None:
    two = successor(CircleHistory(ONE), issuer=ANA, now_min=NOW - 99, key_commit=commit("k2"))
    assert two.issued_min == ONE.issued_min


def test_stewards_keep_their_ranks_and_new_ones_come_last() -> None:
    two = successor(
        CircleHistory(ONE),
        issuer=CLO,
        now_min=NOW,
        key_commit=fresh(),
        carry_commit=fresh(),
        admit={DIA: S, EVA: R, FAY: S},
    )
    assert two.stewards == (ANA, BEN, CLO, *sorted([DIA, FAY]))
    assert two.role_of(EVA) is R
    assert knowing(ONE, two).current == two


def test_a_change_of_members_without_a_fresh_carry_secret_is_refused() -> None:
    with pytest.raises(LocalError) as caught:
        successor(CircleHistory(ONE), issuer=ANA, now_min=NOW, key_commit=fresh(), admit={EVA: M})
    assert caught.value.kind is Defect.KEY_NOT_FRESH


@pytest.mark.parametrize("issuer", [DIA, FAY])
def test_only_a_steward_issues(issuer: object) -> None:
    assert isinstance(issuer, type(ANA))
    with pytest.raises(LocalError) as caught:
        successor(CircleHistory(ONE), issuer=issuer, now_min=NOW, key_commit=fresh())
    assert caught.value.kind is Defect.NOT_ALLOWED


def test_a_steward_does_not_remove_itself_because_it_drew_the_key() -> None:
    with pytest.raises(LocalError) as caught:
        successor(
            CircleHistory(ONE), issuer=ANA, now_min=NOW, key_commit=fresh(), carry_commit=fresh(), remove={ANA: ()}
        )
    assert caught.value.kind is Defect.NOT_ALLOWED


def test_a_lower_rank_cannot_remove_a_higher_one_that_did_not_leave() -> None:
    wish = {"issuer": CLO, "now_min": NOW, "key_commit": fresh(), "carry_commit": fresh(), "remove": {ANA: ()}}
    with pytest.raises(LocalError) as caught:
        successor(CircleHistory(ONE), **wish)  # type: ignore[arg-type]  # one wish, asked twice
    assert caught.value.kind is Defect.RANK_TOO_LOW
    history = knowing(ONE, leaves=(leave(ANA, ONE),))
    two = successor(history, **wish)  # type: ignore[arg-type]  # the same
    assert knowing(ONE, two, leaves=(leave(ANA, ONE),)).current == two


def test_whoever_is_out_is_removed_along_with_the_cuts_known() -> None:
    losing, winning = follow(ONE, BEN, remove={DIA: (cut(DIA, 3),)}), follow(ONE, ANA)
    history = knowing(ONE, losing, winning)
    three = successor(history, issuer=BEN, now_min=NOW, key_commit=fresh(), carry_commit=fresh())
    assert three.removed == ((DIA, (cut(DIA, 3),)),)
    history.add(three, BEN)
    assert (history.current, history.reissues(BEN), history.hold_reasons({three.id})) == (three, {}, ())


def test_a_leaver_is_removed_with_its_leave_as_cut() -> None:
    history = knowing(ONE, leaves=(leave(DIA, ONE, seq=7),))
    two = successor(history, issuer=ANA, now_min=NOW, key_commit=fresh(), carry_commit=fresh())
    assert two.removed == ((DIA, (cut(DIA, 7),)),)


def test_a_steward_still_rotates_while_somebody_out_stands_above_it() -> None:
    removing = follow(ONE, ANA, remove={BEN: ()})
    rivals = (follow(ONE, ANA, mark=str(number)) for number in range(99))
    winning = next(rival for rival in rivals if rival.hash < removing.hash)
    history = knowing(ONE, removing, winning)
    assert (history.current, history.out) == (winning, {BEN})
    three = successor(history, issuer=CLO, now_min=NOW, key_commit=fresh())
    assert three.role_of(BEN) is S
    history.add(three, CLO)
    assert history.hold_reasons({three.id}) == (BEN,)


def test_somebody_removed_on_a_losing_branch_returns_once_a_later_number_removed_it_here() -> None:
    adding = follow(ONE, BEN, admit={FAY: M})
    removing, winning = follow(adding, BEN, remove={FAY: ()}), follow(ONE, ANA)
    history = knowing(ONE, adding, removing, winning)
    with pytest.raises(LocalError) as caught:
        successor(history, issuer=ANA, now_min=NOW, key_commit=fresh(), carry_commit=fresh(), admit={FAY: M})
    assert caught.value.kind is Defect.REMOVED
    for number, wish in enumerate([{"remove": {FAY: ()}}, {"remove": {FAY: ()}}, {"admit": {FAY: M}}]):
        step = successor(
            history,
            issuer=ANA,
            now_min=NOW + number,
            key_commit=fresh(),
            carry_commit=fresh(),
            **wish,  # type: ignore[arg-type]  # each wish is one keyword
        )
        history.add(step, ANA)
    assert (history.current.role_of(FAY), history.out) == (M, frozenset())


def test_the_revoked_never_return() -> None:
    history = knowing(ONE, follow(ONE, ANA, remove={DIA: ()}))
    history.add_revocation(DIA)
    with pytest.raises(LocalError) as caught:
        successor(history, issuer=ANA, now_min=NOW, key_commit=fresh(), carry_commit=fresh(), admit={DIA: M})
    assert caught.value.kind is Defect.REMOVED


def test_a_direct_circle_is_rotated_and_nothing_else() -> None:
    history = CircleHistory(pair())
    two = successor(history, issuer=BEN, now_min=NOW, key_commit=fresh())
    history.add(two, BEN)
    assert history.current == two
    for wish in ({"admit": {CLO: M}}, {"remove": {ANA: ()}}, {"name": "now a group", "max_tlp": 3}):
        with pytest.raises(LocalError):
            successor(history, issuer=BEN, now_min=NOW, key_commit=fresh(), carry_commit=fresh(), **wish)  # type: ignore[arg-type]  # the same
