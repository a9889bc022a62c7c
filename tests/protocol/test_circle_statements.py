"""One statement by itself, and a statement after its parent (PROTOCOL §5.1, §5.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from almenara.protocol import limits
from almenara.protocol.envelope import Suite, room
from almenara.protocol.errors import Defect, LocalError, NewerVersion, RemoteError
from almenara.protocol.object import ObjectType, body_commit, sign_object
from almenara.protocol.statement import (
    MAX_STATEMENT,
    Cut,
    Role,
    Statement,
    Tier,
    check_statement_header,
    found_group,
    parse_statement,
    ranked,
)
from almenara.protocol.succession import check_successor

from .circles import (
    ANA,
    BEN,
    CLO,
    DAY,
    DIA,
    EVA,
    NOW,
    TERMS,
    M,
    R,
    S,
    alone,
    commit,
    cut,
    first,
    follow,
    header,
    pair,
    who,
)
from .nodes import node, seed


def sample() -> Statement:
    """A statement with something in every slot."""
    return follow(first(ANA, BEN, others={CLO: M, DIA: R}), ANA, admit={EVA: M}, remove={CLO: (cut(CLO, 5),)})


def refused(kind: Defect) -> Any:
    """Expect LocalError of this kind."""
    return pytest.raises(LocalError, check=lambda error: error.kind is kind)


def broken(kind: Defect) -> Any:
    """Expect RemoteError of this kind."""
    return pytest.raises(RemoteError, check=lambda error: error.kind is kind)


def test_a_statement_is_read_as_it_was_written() -> None:
    assert parse_statement(sample().body) == sample()


def test_the_circle_is_named_by_number_one() -> None:
    one = first(ANA)
    assert one.circle == b""
    assert follow(one, ANA).circle == one.circle_id


def test_a_circle_and_its_first_statement_have_different_names() -> None:
    assert first(ANA).circle_id != first(ANA).id


@pytest.mark.parametrize(
    "change",
    [
        {"issued_min": NOW + 1},
        {"name": "c-andez"},
        {"tier": Tier.PARTNER},
        {"max_tlp": 2},
        {"retention_days": 89},
        {"key_commit": commit("other")},
        {"carry_commit": commit("other")},
    ],
)
def test_every_slot_is_part_of_the_name(change: dict[str, Any]) -> None:
    assert first(ANA, **change).id != first(ANA).id


def test_ranks_follow_the_order_of_stewards() -> None:
    statement = first(BEN, ANA, others={CLO: M})
    assert [statement.rank_of(node) for node in (BEN, ANA, CLO, DIA)] == [1, 2, None, None]
    assert [statement.role_of(node) for node in (BEN, CLO, DIA)] == [S, M, None]


# What a direct circle is must stand in what is signed.


def test_a_direct_circle_is_told_by_its_empty_name() -> None:
    assert pair().direct
    assert not alone().direct


def test_a_group_without_a_name_is_refused() -> None:
    terms = replace(TERMS, name="")
    with refused(Defect.WRONG_LENGTH):
        found_group(terms, founder=ANA, issued_min=NOW, key_commit=commit("k"), carry_commit=commit("c"))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"members": ranked([ANA], {BEN: M})}, Defect.WRONG_COUNT),
        ({"members": ranked([ANA], {})}, Defect.WRONG_COUNT),
        ({"members": ranked([ANA, BEN, CLO], {})}, Defect.WRONG_COUNT),
        ({"members": ranked([ANA, BEN], {CLO: R})}, Defect.WRONG_COUNT),
        ({"tier": Tier.NETWORK}, Defect.OUT_OF_RANGE),
        ({"max_tlp": 3}, Defect.OUT_OF_RANGE),
    ],
)
def test_a_direct_circle_is_two_stewards_partner_and_red(change: dict[str, Any], kind: Defect) -> None:
    good: dict[str, Any] = {"name": "", "tier": Tier.PARTNER, "max_tlp": 4}
    assert first(ANA, BEN, **good).direct
    with refused(kind):
        first(ANA, BEN, **(good | change))


def test_red_is_for_direct_circles_only() -> None:
    with refused(Defect.OUT_OF_RANGE):
        first(ANA, max_tlp=4)


@pytest.mark.parametrize(
    "members", [ranked([ANA, BEN], {CLO: R}), ranked([ANA], {}), ranked([BEN, ANA], {}), ranked([ANA, CLO], {})]
)
def test_nobody_is_added_to_or_taken_from_or_moved_in_a_direct_circle(members: Any) -> None:
    named = "" if len(members) == 2 else "x"  # with another number of members it cannot even claim to be direct
    changes = {"name": named, "tier": Tier.PARTNER, "max_tlp": 3 if named else 4, "members": members}
    removed = tuple((node, ()) for node in (ANA, BEN) if node not in dict(members)) if named else ()
    child = follow(pair(), ANA, carry_commit=commit("new"), removed=removed, **changes)
    with broken(Defect.NOT_ALLOWED):
        check_successor(pair(), child)


def test_a_direct_circle_rotates_its_key() -> None:
    assert check_successor(pair(), follow(pair(), BEN)) == frozenset()


# One statement by itself.


@pytest.mark.parametrize(
    ("changes", "kind", "field"),
    [
        ({"circle": bytes(16)}, Defect.WRONG_LENGTH, "circle"),
        ({"parent": bytes(16)}, Defect.WRONG_LENGTH, "parent"),
        ({"number": 2}, Defect.WRONG_LENGTH, "circle"),
        ({"number": 2, "circle": bytes(16)}, Defect.WRONG_LENGTH, "parent"),
        ({"number": 0}, Defect.OUT_OF_RANGE, "number"),
        ({"issuer": BEN}, Defect.NOT_ALLOWED, "issuer"),
        ({"issuer": EVA}, Defect.NOT_ALLOWED, "issuer"),
        ({"removed": ((EVA, ()),)}, Defect.WRONG_COUNT, "removed"),
        ({"members": ((ANA, M),)}, Defect.NO_STEWARD, "members"),
        ({"members": ()}, Defect.WRONG_COUNT, "members"),
        ({"members": ((ANA, S), (ANA, S))}, Defect.REPEATED, "members"),
        ({"members": ((ANA, S), (ANA, M))}, Defect.REPEATED, "members"),
        ({"members": ((CLO, M), (ANA, S))}, Defect.NOT_SORTED, "members"),
        ({"members": ((ANA, S), (DIA, M), (CLO, M))}, Defect.NOT_SORTED, "members"),
        ({"retention_days": 0}, Defect.OUT_OF_RANGE, "retention_days"),
        ({"retention_days": 367}, Defect.OUT_OF_RANGE, "retention_days"),
        ({"max_tlp": 5}, Defect.OUT_OF_RANGE, "max_tlp"),
        ({"name": "x" * 81}, Defect.WRONG_LENGTH, "name"),
        ({"name": "tab\there"}, Defect.CONTROL_CHARACTER, "name"),
        ({"name": "e\u0301"}, Defect.NOT_NFC, "name"),
        ({"key_commit": bytes(31)}, Defect.WRONG_LENGTH, "key_commit"),
        ({"carry_commit": bytes(33)}, Defect.WRONG_LENGTH, "carry_commit"),
    ],
)
def test_number_one_refuses(changes: dict[str, Any], kind: Defect, field: str) -> None:
    with pytest.raises(LocalError) as caught:
        first(ANA, BEN, others={CLO: M, DIA: M}, **changes)
    assert (caught.value.kind, caught.value.field) == (kind, field)


@pytest.mark.parametrize(
    ("removed", "kind"),
    [
        (((BEN, ()), (BEN, ())), Defect.REPEATED),
        (((CLO, ()), (BEN, ())), Defect.NOT_SORTED),
        (((ANA, ()),), Defect.REMOVED),
        (((BEN, (cut(BEN, 1), cut(BEN, 2))),), Defect.REPEATED),
        (((BEN, tuple(sorted((cut(BEN, 1), cut(BEN, 1, "second")), reverse=True))),), Defect.NOT_SORTED),
        (((BEN, tuple(sorted(cut(BEN, 1, name) for name in "abcd"))),), Defect.WRONG_COUNT),
        (((BEN, (Cut(bytes(15), 1, bytes(32)),)),), Defect.WRONG_LENGTH),
        (((BEN, (Cut(bytes(16), -1, bytes(32)),)),), Defect.OUT_OF_RANGE),
    ],
)
def test_the_removed_are_listed_once_in_order_with_up_to_three_cuts(removed: Any, kind: Defect) -> None:
    with refused(kind):
        follow(first(ANA, others={BEN: M, CLO: M}), ANA, members=ranked([ANA], {}), removed=removed)


def test_a_later_version_is_kept_apart_from_a_broken_one() -> None:
    body = bytearray(sample().body)
    body[1] = 2
    with pytest.raises(NewerVersion):
        parse_statement(bytes(body))


def test_a_received_statement_is_the_other_sides_fault() -> None:
    unsorted = first(ANA, others={CLO: M, DIA: M}).body
    at, to = unsorted.index(CLO.raw), unsorted.index(DIA.raw)
    swapped = bytearray(unsorted)
    swapped[at : at + 32], swapped[to : to + 32] = DIA.raw, CLO.raw
    with broken(Defect.NOT_SORTED):
        parse_statement(bytes(swapped))


# Sizes (computed in PROTOCOL §5.1).


def crowd(members: int, removed: int) -> Statement:
    """A statement with the longest values everywhere."""
    nodes = sorted(who(f"n{number:03}") for number in range(members + removed))
    gone = {
        node: tuple(sorted(Cut(commit(f"{node}{turn}")[:16], 2**32 - 1, bytes(32)) for turn in range(3)))
        for node in nodes[members:]
    }
    parent = first(nodes[0])
    return follow(
        parent,
        nodes[0],
        admit=dict.fromkeys(nodes[1:members], M),
        remove=gone,
        number=2**32 - 1,
        name="n" * 80,
        issued_min=2**32 - 1,
        retention_days=366,
    )


def content_bytes(statement: Statement) -> int:
    """How long the statement's object is, with the longest header."""
    salt = seed("salt")
    top = 2**32 - 1
    values = header(
        statement.issuer,
        statement,
        seq=top,
        type=ObjectType.STATEMENT,
        ref_id=b"",
        card_counter=top,
        revision=2**16 - 1,
        created_min=top - 527_040,
        expires_min=top,
        body_commit=body_commit(salt, statement.body),
    )
    return len(sign_object(values, salt, statement.body, node("alpha").op).encode())


def test_a_hundred_members_and_twenty_removed_fit_the_middle_envelope() -> None:
    assert content_bytes(crowd(100, 20)) <= room(Suite.CIRCLE, limits.MEDIUM)


def test_a_hundred_members_and_a_hundred_removed_fit_the_largest_envelope() -> None:
    full = crowd(100, 100)
    assert len(full.body) == MAX_STATEMENT
    assert content_bytes(full) <= room(Suite.CIRCLE, limits.LARGE)


@pytest.mark.parametrize(("members", "removed"), [(101, 0), (1, 101)])
def test_one_more_is_refused(members: int, removed: int) -> None:
    with refused(Defect.WRONG_COUNT):
        crowd(members, removed)


# A statement and the object that brings it.


def test_a_statement_names_itself_in_its_header() -> None:
    statement = sample()
    good = header(ANA, statement, type=ObjectType.STATEMENT, ref_id=b"", created_min=statement.issued_min)
    check_statement_header(good, statement)
    for change, kind in [
        ({"author": BEN.raw}, Defect.NOT_ALLOWED),
        ({"circle": bytes(16)}, Defect.WRONG_CIRCLE),
        ({"statement": statement.parent}, Defect.WRONG_STATEMENT),
        ({"created_min": statement.issued_min + 1}, Defect.OUT_OF_RANGE),
    ]:
        with broken(kind):
            check_statement_header(replace(good, **change), statement)


# A statement after its parent.

PARENT = first(ANA, BEN, CLO, others={DIA: M, EVA: R})


@pytest.mark.parametrize(
    ("child", "kind"),
    [
        (follow(PARENT, BEN, circle=bytes(16)), Defect.WRONG_CIRCLE),
        (follow(PARENT, BEN, parent=bytes(16)), Defect.UNKNOWN_PARENT),
        (follow(PARENT, BEN, number=3), Defect.WRONG_NUMBER),
        (follow(PARENT, BEN, issued_min=NOW - 1), Defect.TOO_EARLY),
        (follow(PARENT, DIA), Defect.NOT_ALLOWED),
        (follow(PARENT, EVA), Defect.NOT_ALLOWED),
        (follow(PARENT, who("stranger")), Defect.NOT_ALLOWED),
        (follow(PARENT, BEN, tier=Tier.PARTNER), Defect.NOT_ALLOWED),
        (follow(PARENT, BEN, key_commit=PARENT.key_commit), Defect.KEY_NOT_FRESH),
        (follow(PARENT, BEN, admit={who("new"): M}, carry_commit=PARENT.carry_commit), Defect.KEY_NOT_FRESH),
        (follow(PARENT, BEN, remove={DIA: ()}, carry_commit=PARENT.carry_commit), Defect.KEY_NOT_FRESH),
        (follow(PARENT, BEN, remove={DIA: ()}, removed=()), Defect.REMOVED),
        (follow(PARENT, BEN, admit={ANA: M}), Defect.RANK_TOO_LOW),
        (follow(PARENT, BEN, members=ranked([BEN, ANA, CLO], {DIA: M, EVA: R})), Defect.NOT_SORTED),
        (follow(PARENT, BEN, members=ranked([DIA, ANA, BEN, CLO], {EVA: R})), Defect.NOT_SORTED),
    ],
)
def test_a_child_may_not(child: Statement, kind: Defect) -> None:
    with broken(kind):
        check_successor(PARENT, child)


@pytest.mark.parametrize(
    "child",
    [
        follow(PARENT, CLO),
        follow(PARENT, CLO, carry_commit=commit("fresh")),
        follow(PARENT, CLO, admit={who("new"): S, DIA: S}),
        follow(PARENT, CLO, remove={DIA: (cut(DIA, 4),)}),
        follow(PARENT, BEN, remove={CLO: ()}),
        follow(PARENT, BEN, admit={CLO: R}),
        follow(PARENT, BEN, remove={BEN: ()}),
        follow(PARENT, BEN, admit={BEN: M}),
        follow(PARENT, BEN, remove={who("never seen"): ()}),
        follow(PARENT, BEN, name="renamed", max_tlp=2, retention_days=30),
        follow(PARENT, BEN, issued_min=NOW),
    ],
)
def test_a_child_may(child: Statement) -> None:
    assert check_successor(PARENT, child) == frozenset()


def test_a_lower_rank_that_removes_a_higher_one_rests_on_that_ones_leave() -> None:
    assert check_successor(PARENT, follow(PARENT, CLO, remove={ANA: (), BEN: ()})) == {ANA, BEN}


def test_roles_have_the_numbers_of_the_wire() -> None:
    assert [int(role) for role in Role] == [1, 2, 3]
    assert follow(PARENT, ANA).issued_min == (NOW + DAY)
