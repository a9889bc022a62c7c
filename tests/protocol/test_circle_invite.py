"""The bodies of invite, accept, decline and leave (PROTOCOL §5.9)."""

from __future__ import annotations

import pytest

from almenara.protocol.codec import encode
from almenara.protocol.errors import Defect, NewerVersion, RemoteError
from almenara.protocol.invite import (
    Accept,
    Decline,
    Invite,
    encode_leave,
    parse_accept,
    parse_decline,
    parse_invite,
    parse_leave,
)
from almenara.protocol.object import ObjectType, body_commit, sign_object, size_for
from almenara.protocol.statement import Role

from .circles import ANA, BEN, commit, first, follow, header, knowing, pair
from .nodes import node, seed

SALT = seed("salt")
ONE = first(ANA, BEN)


def test_an_invitation_shows_the_whole_statement_and_the_role() -> None:
    invite = Invite(statement=follow(ONE, ANA), role=Role.SUBSCRIBER)
    assert parse_invite(invite.encode()) == invite
    assert knowing(parse_invite(invite.encode()).statement).current == follow(ONE, ANA)


def test_nobody_is_invited_into_a_direct_circle() -> None:
    with pytest.raises(RemoteError) as caught:
        parse_invite(Invite(statement=pair(), role=Role.MEMBER).encode())
    assert caught.value.kind is Defect.NOT_ALLOWED


@pytest.mark.parametrize("role", [0, 4])
def test_an_invitation_offers_one_of_three_roles(role: int) -> None:
    with pytest.raises(RemoteError) as caught:
        parse_invite(encode([1, ONE.body, role]))
    assert caught.value.kind is Defect.OUT_OF_RANGE


def test_a_broken_statement_breaks_the_invitation() -> None:
    with pytest.raises(RemoteError) as caught:
        parse_invite(encode([1, ONE.body[:-1], 2]))
    assert caught.value.kind is Defect.MALFORMED


def test_a_later_version_of_an_invitation_is_told_apart() -> None:
    with pytest.raises(NewerVersion):
        parse_invite(encode([2, "something else"]))


def test_a_yes_carries_the_introduction() -> None:
    blob = node("alpha").introduction.encode()
    accept = Accept(circle=ONE.circle_id, statement=ONE.id, introduction=blob)
    assert parse_accept(accept.encode()) == accept


def test_a_yes_fits_its_envelope() -> None:
    blob = node("alpha").introduction.encode()
    body = Accept(circle=ONE.circle_id, statement=ONE.id, introduction=blob).encode()
    made = header(ANA, ONE, type=ObjectType.ACCEPT, body_commit=body_commit(SALT, body))
    content = sign_object(made, SALT, body, node("alpha").op).encode()
    assert size_for(ObjectType.ACCEPT, len(content)) == 16_384


def test_a_no_names_circle_and_statement() -> None:
    decline = Decline(circle=ONE.circle_id, statement=ONE.id)
    assert parse_decline(decline.encode()) == decline


def left(body: bytes, **changes: object) -> object:
    """Read a leave object with this body."""
    values = {"type": ObjectType.LEAVE, "ref_id": b"", "body_commit": body_commit(SALT, body)} | changes
    return parse_leave(sign_object(header(BEN, ONE, 3, **values), SALT, body, node("alpha").op))


def test_a_leave_is_told_with_its_place_in_the_chain() -> None:
    body = encode_leave(ONE)
    made = header(BEN, ONE, 3, type=ObjectType.LEAVE, ref_id=b"", body_commit=body_commit(SALT, body))
    signed = sign_object(made, SALT, body, node("alpha").op)
    leave = parse_leave(signed)
    assert (leave.author, leave.statement, leave.created_min) == (BEN, ONE.id, made.created_min)
    assert leave.cut == (made.incarnation, 3, signed.hash)
    assert knowing(ONE, leaves=(leave,)).out == {BEN}


@pytest.mark.parametrize(
    ("change", "kind"),
    [({"circle": bytes(16)}, Defect.WRONG_CIRCLE), ({"statement": bytes(16)}, Defect.WRONG_STATEMENT)],
)
def test_a_leave_that_differs_from_its_header_is_refused(change: dict[str, object], kind: Defect) -> None:
    with pytest.raises(RemoteError) as caught:
        left(encode_leave(ONE), **change)
    assert caught.value.kind is kind


@pytest.mark.parametrize("body", [b"", encode([1, bytes(16)]), encode([1, bytes(16), bytes(15)]), encode([1] * 40)])
def test_junk_is_refused(body: bytes) -> None:
    for read in (parse_invite, parse_accept, parse_decline, left):
        with pytest.raises(RemoteError):
            read(body)


def test_commitments_in_the_sample_are_what_they_seem() -> None:
    assert ONE.key_commit == commit("key 1")
