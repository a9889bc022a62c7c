"""What every receiving member checks before any effect: PROTOCOL §5.6 and the table of §8."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.object import ObjectType
from almenara.protocol.permission import SENDERS, check_permission
from almenara.protocol.statement import Role

from .circles import (
    ANA,
    BEN,
    CLO,
    DAY,
    DIA,
    EVA,
    FAY,
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
)

if TYPE_CHECKING:
    from almenara.crypto.identity import NodeId
    from almenara.protocol.circle import CircleHistory
    from almenara.protocol.statement import Statement

ONE = first(ANA, BEN, CLO, others={DIA: M, EVA: R})
CASE_TYPES = [kind for kind in ObjectType if kind <= ObjectType.CORRECTION]


def verdict(
    history: CircleHistory, author: NodeId, statement: Statement, seq: int = 0, **changes: Any
) -> Defect | Role:
    """The role this author is found to have, or why its object is refused."""
    incarnation = changes.pop("incarnation_name", "first")
    sent = header(author, statement, seq, incarnation, **changes)
    try:
        return history.check_author(sent, hash_of(author, seq, incarnation))
    except RemoteError as error:
        return error.kind


# Membership and roles.


def test_a_member_may_send_an_alert() -> None:
    assert verdict(knowing(ONE), DIA, ONE) is M


def test_a_subscriber_may_not_send_an_alert() -> None:
    assert verdict(knowing(ONE), EVA, ONE) is Defect.NOT_ALLOWED


def test_whoever_is_no_member_of_the_statement_named_is_refused() -> None:
    two = follow(ONE, ANA, admit={FAY: M})
    history = knowing(ONE, two)
    assert verdict(history, FAY, ONE) is Defect.UNKNOWN_AUTHOR
    assert verdict(history, FAY, two) is M


def test_a_statement_that_is_not_known_or_waits_authorises_nobody() -> None:
    two = follow(ONE, ANA)
    assert verdict(knowing(ONE), ANA, two) is Defect.WRONG_STATEMENT
    assert verdict(knowing(ONE, follow(two, ANA)), ANA, follow(two, ANA)) is Defect.WRONG_STATEMENT


def test_an_unfair_removal_authorises_nobody() -> None:
    unfair = follow(ONE, CLO, remove={ANA: ()}, admit={FAY: M})
    assert verdict(knowing(ONE, unfair), FAY, unfair) is Defect.WRONG_STATEMENT


def test_a_member_of_a_losing_branch_may_send_under_it() -> None:
    losing = follow(ONE, BEN, admit={FAY: M})
    assert verdict(knowing(ONE, losing, follow(ONE, ANA)), FAY, losing) is M


def test_an_object_of_another_circle_is_refused() -> None:
    assert verdict(knowing(ONE), DIA, ONE, circle=bytes(16)) is Defect.WRONG_CIRCLE


def allowed(kind: ObjectType, role: Role, statement: Statement) -> bool:
    """Whether the table lets this role send this type here."""
    reference = {"ref_id": b""} if ObjectType.RECEIPT <= kind <= ObjectType.PREKEY else {}
    sent = replace(header(ANA, statement), type=kind, **reference)
    try:
        check_permission(statement, role, sent)
    except RemoteError:
        return False
    return True


@pytest.mark.parametrize("kind", list(ObjectType), ids=lambda kind: kind.name.lower())
def test_the_table_of_types_and_roles(kind: ObjectType) -> None:
    """PROTOCOL §8, written out a second time."""
    group = {role for role in Role if allowed(kind, role, ONE)}
    direct = {role for role in Role if allowed(kind, role, pair())}
    everybody = {S, M, R}
    match kind:
        case ObjectType.ALERT | ObjectType.UPDATE:
            assert group == direct == {S, M}
        case ObjectType.STATEMENT:
            assert group == direct == {S}
        case ObjectType.LEAVE:
            assert (group, direct) == (everybody, set())
        case ObjectType.INVITE | ObjectType.ACCEPT | ObjectType.DECLINE:
            assert (group, direct) == (set(), everybody)
        case ObjectType.KEY_PACKET:
            assert group == direct == set()
        case _:
            assert group == direct == everybody


def test_every_type_has_a_row() -> None:
    assert set(SENDERS) == set(ObjectType)


# TLP.


@pytest.mark.parametrize("kind", CASE_TYPES, ids=lambda kind: kind.name.lower())
def test_what_speaks_of_a_case_stays_under_the_ceiling(kind: ObjectType) -> None:
    history = knowing(first(ANA, BEN, max_tlp=2))
    assert verdict(history, ANA, history.current, type=kind, tlp=2) is S
    assert verdict(history, ANA, history.current, type=kind, tlp=3) is Defect.OUT_OF_RANGE


def test_red_travels_in_direct_circles_only() -> None:
    assert verdict(knowing(pair()), BEN, pair(), tlp=4) is S
    assert verdict(knowing(ONE), ANA, ONE, tlp=4) is Defect.OUT_OF_RANGE


# Time.


def test_what_was_created_up_to_48_hours_after_the_successor_counts() -> None:
    two = follow(ONE, ANA)
    history = knowing(ONE, two)
    last = two.issued_min + 2 * DAY
    assert verdict(history, DIA, ONE, created_min=last, expires_min=last + DAY) is M
    assert verdict(history, DIA, ONE, created_min=last + 1, expires_min=last + DAY) is Defect.AFTER_SUCCESSOR


def test_the_successor_is_the_one_that_wins() -> None:
    early, late = follow(ONE, BEN, issued_min=ONE.issued_min), follow(ONE, ANA, issued_min=ONE.issued_min + 30 * DAY)
    between = ONE.issued_min + 10 * DAY
    history = knowing(ONE, early)
    assert verdict(history, DIA, ONE, created_min=between, expires_min=between + DAY) is Defect.AFTER_SUCCESSOR
    history.add(late, ANA)
    assert verdict(history, DIA, ONE, created_min=between, expires_min=between + DAY) is M


# Cuts.


def test_from_a_removed_author_only_what_comes_up_to_its_cut_counts() -> None:
    history = knowing(ONE, follow(ONE, ANA, remove={DIA: (cut(DIA, 5),)}))
    assert [verdict(history, DIA, ONE, seq) for seq in (4, 5, 6)] == [M, M, Defect.AFTER_CUT]


def test_another_header_in_the_place_of_the_cut_does_not_count() -> None:
    history = knowing(ONE, follow(ONE, ANA, remove={DIA: (cut(DIA, 5),)}))
    with pytest.raises(RemoteError) as caught:
        history.check_author(header(DIA, ONE, 5), hash_of(DIA, 5, "forged"))
    assert caught.value.kind is Defect.AFTER_CUT


def test_an_incarnation_without_a_cut_does_not_count_at_all() -> None:
    history = knowing(ONE, follow(ONE, ANA, remove={DIA: (cut(DIA, 5),)}))
    assert verdict(history, DIA, ONE, 0, incarnation_name="second") is Defect.AFTER_CUT


def test_each_named_incarnation_has_its_own_cut() -> None:
    cuts = tuple(sorted((cut(DIA, 5), cut(DIA, 1, "second"))))
    history = knowing(ONE, follow(ONE, ANA, remove={DIA: cuts}))
    assert verdict(history, DIA, ONE, 5) is M
    assert verdict(history, DIA, ONE, 1, incarnation_name="second") is M
    assert verdict(history, DIA, ONE, 2, incarnation_name="second") is Defect.AFTER_CUT


def test_a_removal_without_cuts_leaves_everything_to_a_human() -> None:
    assert verdict(knowing(ONE, follow(ONE, ANA, remove={DIA: ()})), DIA, ONE) is Defect.AFTER_CUT


def test_after_its_return_an_author_is_free_of_the_old_cut() -> None:
    removing = follow(ONE, ANA, remove={DIA: (cut(DIA, 5),)})
    back = follow(removing, ANA, admit={DIA: M})
    history = knowing(ONE, removing, back)
    assert verdict(history, DIA, back, 6) is M
    assert verdict(history, DIA, ONE, 6) is Defect.AFTER_CUT


def test_the_first_removal_on_a_line_is_the_one_that_cuts_what_came_before_it() -> None:
    removing = follow(ONE, ANA, remove={DIA: (cut(DIA, 5),)})
    back = follow(removing, ANA, admit={DIA: M})
    again = follow(back, ANA, remove={DIA: (cut(DIA, 2, "second"),)})
    history = knowing(ONE, removing, back, again)
    assert verdict(history, DIA, ONE, 5) is M
    assert verdict(history, DIA, back, 2, incarnation_name="second") is M
    assert verdict(history, DIA, back, 3, incarnation_name="second") is Defect.AFTER_CUT


def test_a_losing_removal_cuts_until_the_winning_branch_says_where() -> None:
    losing, winning = follow(ONE, BEN, remove={DIA: (cut(DIA, 3),)}), follow(ONE, ANA)
    history = knowing(ONE, losing, winning)
    assert [verdict(history, DIA, ONE, seq) for seq in (3, 4)] == [M, Defect.AFTER_CUT]
    assert verdict(history, DIA, winning, 4) is Defect.AFTER_CUT
    history.add(follow(winning, BEN, remove={DIA: (cut(DIA, 6),)}), BEN)
    assert [verdict(history, DIA, ONE, seq) for seq in (6, 7)] == [M, Defect.AFTER_CUT]


def test_a_leave_is_its_own_cut() -> None:
    history = knowing(ONE, leaves=(leave(DIA, ONE, seq=7),))
    assert [verdict(history, DIA, ONE, seq) for seq in (6, 7, 8)] == [M, M, Defect.AFTER_CUT]


def test_what_another_incarnation_sent_before_the_leave_counts() -> None:
    left = leave(DIA, ONE, created_min=ONE.issued_min + 60)
    history = knowing(ONE, leaves=(left,))
    made = {"incarnation_name": "second", "expires_min": ONE.issued_min + DAY}
    assert verdict(history, DIA, ONE, 0, created_min=left.created_min, **made) is M
    assert verdict(history, DIA, ONE, 0, created_min=left.created_min + 1, **made) is Defect.AFTER_CUT


def test_the_statement_that_removes_a_leaver_says_the_cut() -> None:
    history = knowing(ONE, follow(ONE, ANA, remove={DIA: (cut(DIA, 5),)}), leaves=(leave(DIA, ONE, seq=7),))
    assert [verdict(history, DIA, ONE, seq) for seq in (5, 6)] == [M, Defect.AFTER_CUT]


# What a removed steward still issues gives nobody a voice.


def test_whom_a_removed_steward_admits_late_is_not_heard() -> None:
    rotation = follow(ONE, CLO)
    removing, late = follow(rotation, ANA, remove={BEN: ()}), follow(ONE, BEN, admit={FAY: M, EVA: M})
    history = knowing(ONE, rotation, removing, late)
    assert verdict(history, FAY, late) is Defect.AFTER_CUT
    assert verdict(history, EVA, late) is Defect.NOT_ALLOWED  # a subscriber before, and so still
    assert verdict(history, DIA, late) is M  # honest, and had not heard


def test_whom_it_admitted_before_its_cut_is_heard() -> None:
    rotation = follow(ONE, CLO)
    removing, early = follow(rotation, ANA, remove={BEN: (cut(BEN, 5),)}), follow(ONE, BEN, admit={FAY: M})
    history = knowing(ONE, rotation, removing, early, places={early: cut(BEN, 4)})
    assert verdict(history, FAY, early) is M
