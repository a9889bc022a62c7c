"""Joining and leaving: the bodies of `invite`, `accept`, `decline` and `leave` (PROTOCOL §5.9, §8).

A steward invites its own verified peer in their direct circle, and the peer answers there.  A leave stands in the
circle that is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from almenara.crypto.identity import NodeId
from almenara.protocol.codec import Shape, blob, integer, octets
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.limits import ID_BYTES, MAX_INTRODUCTION, VERSION
from almenara.protocol.lineage import Leave
from almenara.protocol.statement import MAX_STATEMENT, Cut, Role, Statement, parse_statement

if TYPE_CHECKING:
    from almenara.protocol.object import SignedObject

_INVITE = Shape(
    "invite",
    ("statement", blob(MAX_STATEMENT, 1)),
    ("role", integer(Role.STEWARD, Role.SUBSCRIBER)),
    version=VERSION,
)
_ACCEPT = Shape(
    "accept",
    ("circle", octets(ID_BYTES)),
    ("statement", octets(ID_BYTES)),
    ("introduction", blob(MAX_INTRODUCTION, 1)),
    version=VERSION,
)
_ANSWER = Shape("answer", ("circle", octets(ID_BYTES)), ("statement", octets(ID_BYTES)), version=VERSION)
_MAX_ACCEPT = MAX_INTRODUCTION + 64  # bytes: two ids and what frames the blob
_MAX_ANSWER = 64  # bytes of a decline or leave; the slots allow 36


@dataclass(frozen=True, kw_only=True, slots=True)
class Invite:
    """An invitation into a circle: its current statement, which shows terms and members, and the role offered."""

    statement: Statement
    role: Role

    def encode(self) -> bytes:
        """Return the body."""
        return _INVITE.write(self.statement.body, int(self.role))


@dataclass(frozen=True, kw_only=True, slots=True)
class Accept:
    """A yes, to the circle under the statement that was shown; `introduction` is our card, profile and prekey."""

    circle: bytes
    statement: bytes
    introduction: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Return the body."""
        return _ACCEPT.write(self.circle, self.statement, self.introduction)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decline:
    """A no."""

    circle: bytes
    statement: bytes

    def encode(self) -> bytes:
        """Return the body."""
        return _ANSWER.write(self.circle, self.statement)


def parse_invite(body: bytes) -> Invite:
    """Read an invitation.

    Raises:
        RemoteError: a slot or the statement breaks a rule; NOT_ALLOWED, nobody is invited into a direct circle.
        NewerVersion: it, or the statement in it, is of a later version.

    """
    _, statement_body, role = _INVITE.read(body, MAX_STATEMENT + 16)
    statement = parse_statement(statement_body)
    if statement.direct:
        raise RemoteError(Defect.NOT_ALLOWED, "statement", "a group: nobody joins a direct circle")
    return Invite(statement=statement, role=Role(role))


def parse_accept(body: bytes) -> Accept:
    """Read a yes; the introduction is verified by `card.parse_introduction`.

    Raises:
        RemoteError: a slot breaks its rule.

    """
    _, circle, statement, introduction = _ACCEPT.read(body, _MAX_ACCEPT)
    return Accept(circle=circle, statement=statement, introduction=introduction)


def parse_decline(body: bytes) -> Decline:
    """Read a no.

    Raises:
        RemoteError: a slot breaks its rule.

    """
    _, circle, statement = _ANSWER.read(body, _MAX_ANSWER)
    return Decline(circle=circle, statement=statement)


def encode_leave(statement: Statement) -> bytes:
    """Return the body of a leave under a statement; its header names the same circle and statement."""
    return _ANSWER.write(statement.circle_id, statement.id)


def parse_leave(signed: SignedObject) -> Leave:
    """Read a verified leave object, as `CircleHistory.add_leave` takes it.

    Raises:
        RemoteError: a slot breaks its rule, or WRONG_CIRCLE or WRONG_STATEMENT, where body and header differ.

    """
    _, circle, statement = _ANSWER.read(signed.body, _MAX_ANSWER)
    header = signed.header
    if circle != header.circle:
        raise RemoteError(Defect.WRONG_CIRCLE, "circle", "the circle of the header")
    if statement != header.statement:
        raise RemoteError(Defect.WRONG_STATEMENT, "statement", "the statement of the header")
    return Leave(
        author=NodeId(header.author),
        statement=statement,
        cut=Cut(header.incarnation, header.seq, signed.hash),
        created_min=header.created_min,
    )
