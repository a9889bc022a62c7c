"""A circle's statement: who belongs to it, under which terms, and the commitments to its keys (PROTOCOL §5.1).

A statement is the body of an ordinary object.  This module says what one statement may hold by itself; `succession`
says which statement may follow which, and `circle` which of several holds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from almenara.crypto.hashing import digest
from almenara.crypto.identity import NodeId
from almenara.crypto.labels import Label
from almenara.protocol.codec import Shape, array, integer, octets, text
from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.limits import HASH_BYTES, ID_BYTES, MAX_NAME, MAX_RETENTION_DAYS, NODE_ID_BYTES, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from almenara.protocol.object import Header

MAX_MEMBERS: Final = 100  # people cannot know more organisations by name; with 20 removals it fits 16,384 bytes
MAX_REMOVED: Final = 100  # in one statement: everybody of a full circle
MAX_CUTS: Final = 3  # incarnations of one removed author whose last header is named: the live ones of a node
MAX_STATEMENT: Final = 24_843  # bytes of a body: exactly what the longest slots need; its object fits 65,536
RED: Final = 4  # TLP:RED as a header and a ceiling write it: direct circles only
DIRECT_NODES: Final = 2


class Role(IntEnum):
    """What a member may do: a steward also issues statements; a subscriber receives and answers."""

    STEWARD = 1
    MEMBER = 2
    SUBSCRIBER = 3


class Tier(IntEnum):
    """The widest view of a case that a circle's alerts may show (SCHEMAS §3)."""

    PARTNER = 1
    NETWORK = 2
    INTERNATIONAL = 3


class Cut(NamedTuple):
    """The last header of a removed author that counts, in one of its incarnations."""

    incarnation: bytes
    seq: int
    hash: bytes


_CUT = Shape("cut", ("incarnation", octets(ID_BYTES)), ("seq", integer()), ("hash", octets(HASH_BYTES)))
_MEMBER = Shape("member", ("node_id", octets(NODE_ID_BYTES)), ("role", integer(Role.STEWARD, Role.SUBSCRIBER)))
_REMOVAL = Shape("removal", ("node_id", octets(NODE_ID_BYTES)), ("cuts", array(_CUT, MAX_CUTS)))
_STATEMENT = Shape(
    "statement",
    ("circle", octets(0, ID_BYTES)),
    ("number", integer(1)),
    ("parent", octets(0, ID_BYTES)),
    ("issuer", octets(NODE_ID_BYTES)),
    ("issued_min", integer()),
    ("name", text(MAX_NAME)),
    ("tier", integer(Tier.PARTNER, Tier.INTERNATIONAL)),
    ("max_tlp", integer(0, RED)),
    ("retention_days", integer(1, MAX_RETENTION_DAYS)),
    ("members", array(_MEMBER, MAX_MEMBERS, 1)),
    ("removed", array(_REMOVAL, MAX_REMOVED)),
    ("key_commit", octets(HASH_BYTES)),
    ("carry_commit", octets(HASH_BYTES)),
    version=VERSION,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One statement.  Making one that breaks a rule raises LocalError; `parse_statement` raises RemoteError instead.

    `circle` and `parent` are the slots as they travel: empty in number 1.  `issued_min` is in minutes since 1970 UTC.
    `members` stand in rank order: stewards first, then the others by node id.  `removed` names those whom this very
    statement puts out, by node id; it does not repeat what earlier ones removed.
    """

    circle: bytes
    number: int
    parent: bytes
    issuer: NodeId
    issued_min: int
    name: str
    tier: Tier
    max_tlp: int
    retention_days: int
    members: tuple[tuple[NodeId, Role], ...]
    removed: tuple[tuple[NodeId, tuple[Cut, ...]], ...] = ()
    key_commit: bytes
    carry_commit: bytes
    body: bytes = field(init=False, repr=False)
    hash: bytes = field(init=False, repr=False)
    """SHA-256 of the body, 32 bytes; the id is its first half, and key packets name it whole."""
    roles: dict[NodeId, Role] = field(init=False, repr=False, compare=False)
    stewards: tuple[NodeId, ...] = field(init=False, repr=False, compare=False)
    """In rank order: the first is rank 1."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "body", _STATEMENT.write(*self._slots()))
        put(self, "hash", digest(Label.STATEMENT_ID, self.body))
        put(self, "roles", dict(self.members))
        put(self, "stewards", tuple(node for node, role in self.members if role is Role.STEWARD))
        try:
            _check(self)
        except RemoteError as error:
            raise LocalError.like(error) from None

    def _slots(self) -> tuple[Any, ...]:
        return (
            self.circle,
            self.number,
            self.parent,
            self.issuer.raw,
            self.issued_min,
            self.name,
            int(self.tier),
            int(self.max_tlp),
            self.retention_days,
            [[node.raw, int(role)] for node, role in self.members],
            [[node.raw, [list(cut) for cut in cuts]] for node, cuts in self.removed],
            self.key_commit,
            self.carry_commit,
        )

    @property
    def id(self) -> bytes:
        """What headers, parents and keys name this statement by: 16 bytes."""
        return self.hash[:ID_BYTES]

    @property
    def circle_id(self) -> bytes:
        """The circle: hash of the body of its number 1, 16 bytes."""
        return self.circle or digest(Label.CIRCLE_ID, self.body)[:ID_BYTES]

    @property
    def direct(self) -> bool:
        """Whether this is the circle of two that a pairing makes.  Its empty name says so, signed as all else."""
        return not self.name

    @property
    def nodes(self) -> frozenset[NodeId]:
        """The members, whatever their role."""
        return frozenset(self.roles)

    def role_of(self, node: NodeId) -> Role | None:
        """The role this statement gives a node; None for a node that is no member."""
        return self.roles.get(node)

    def rank_of(self, node: NodeId) -> int | None:
        """The rank of a steward, from 1 (highest); None for everybody else."""
        return self.stewards.index(node) + 1 if self.roles.get(node) is Role.STEWARD else None

    def cuts_of(self, node: NodeId) -> tuple[Cut, ...] | None:
        """The cuts with which this very statement removes a node; None where it does not."""
        return next((cuts for removed, cuts in self.removed if removed == node), None)


def parse_statement(body: bytes) -> Statement:
    """Read the body of a statement.

    Raises:
        RemoteError: a slot breaks its rule, or two slots contradict each other.
        NewerVersion: the body is of a later version.

    """
    slots = _STATEMENT.read(body, MAX_STATEMENT)
    names = [name for name, _ in _STATEMENT.slots]
    found = dict(zip(names, slots, strict=True))
    found.pop("ver")
    found["issuer"] = NodeId(found["issuer"])
    found["tier"] = Tier(found["tier"])
    found["members"] = tuple((NodeId(node), Role(role)) for node, role in found["members"])
    found["removed"] = tuple((NodeId(node), tuple(Cut(*cut) for cut in cuts)) for node, cuts in found["removed"])
    try:
        return Statement(**found)
    except LocalError as error:
        raise RemoteError(error.kind, error.field, error.expected, error.got) from None


def check_statement_header(header: Header, statement: Statement) -> None:
    """Check that the object that brought a statement says the same as its body.

    Raises:
        RemoteError: NOT_ALLOWED (another author than the issuer), WRONG_CIRCLE, WRONG_STATEMENT (its header names the
            statement itself), OUT_OF_RANGE (created at another minute than issued).

    """
    if header.author != statement.issuer.raw:
        raise RemoteError(Defect.NOT_ALLOWED, "author", "the issuer of the statement")
    if header.circle != statement.circle_id:
        raise RemoteError(Defect.WRONG_CIRCLE, "circle", "the statement's circle")
    if header.statement != statement.id:
        raise RemoteError(Defect.WRONG_STATEMENT, "statement", "the statement in the body")
    if header.created_min != statement.issued_min:
        raise RemoteError(Defect.OUT_OF_RANGE, "created_min", "the statement's issued_min")


def ranked(stewards: Iterable[NodeId], others: Mapping[NodeId, Role]) -> tuple[tuple[NodeId, Role], ...]:
    """Put members in the one order a statement may have: stewards as given, then the others by node id."""
    return (*((node, Role.STEWARD) for node in stewards), *sorted(others.items()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What a group asks of whoever joins: its name, tier, ceiling (TLP as headers write it) and retention in days."""

    name: str
    tier: Tier
    max_tlp: int
    retention_days: int


def found_group(terms: Terms, *, founder: NodeId, issued_min: int, key_commit: bytes, carry_commit: bytes) -> Statement:
    """Make number 1 of a group: its founder alone, rank 1.

    Raises:
        LocalError: the terms break a rule; a group needs a name and its ceiling is below TLP:RED.

    """
    if not terms.name:
        raise LocalError(Defect.WRONG_LENGTH, "name", "a name; without one it would be a direct circle")
    return Statement(
        circle=b"",
        number=1,
        parent=b"",
        issuer=founder,
        issued_min=issued_min,
        name=terms.name,
        tier=terms.tier,
        max_tlp=terms.max_tlp,
        retention_days=terms.retention_days,
        members=((founder, Role.STEWARD),),
        key_commit=key_commit,
        carry_commit=carry_commit,
    )


def found_direct(
    *, inviter: NodeId, joiner: NodeId, issued_min: int, retention_days: int, key_commit: bytes, carry_commit: bytes
) -> Statement:
    """Make number 1 of the circle of two that a pairing ends in: the inviter rank 1, the joiner rank 2.

    Raises:
        LocalError: both are one node, or a value breaks the rule of its slot.

    """
    return Statement(
        circle=b"",
        number=1,
        parent=b"",
        issuer=inviter,
        issued_min=issued_min,
        name="",
        tier=Tier.PARTNER,
        max_tlp=RED,
        retention_days=retention_days,
        members=ranked((inviter, joiner), {}),
        key_commit=key_commit,
        carry_commit=carry_commit,
    )


def _check(statement: Statement) -> None:
    _check_lists(statement)
    _check_beginning(statement)
    if statement.direct:
        _check_direct(statement)
    elif statement.max_tlp >= RED:
        raise RemoteError(Defect.OUT_OF_RANGE, "max_tlp", "less than TLP:RED in a group", "TLP:RED")


def _check_beginning(statement: Statement) -> None:
    first = statement.number == 1
    for name, slot in (("circle", statement.circle), ("parent", statement.parent)):
        if bool(slot) is first:
            wanted = "empty in number 1, else 16 bytes"
            raise RemoteError(Defect.WRONG_LENGTH, name, wanted, f"{len(slot)} bytes")
    if first and statement.removed:
        raise RemoteError(Defect.WRONG_COUNT, "removed", "nobody removed in number 1")
    if first and statement.rank_of(statement.issuer) != 1:
        raise RemoteError(Defect.NOT_ALLOWED, "issuer", "the steward of rank 1 in number 1")


def _check_lists(statement: Statement) -> None:
    if not statement.stewards:
        raise RemoteError(Defect.NO_STEWARD, "members", "at least one steward")
    removed = [node for node, _ in statement.removed]
    _refuse_repeats("members", (node for node, _ in statement.members))
    _refuse_repeats("removed", removed)
    for _, cuts in statement.removed:
        _refuse_repeats("cuts", (cut.incarnation for cut in cuts))
        _require_rising("cuts", cuts)
    if any(node in statement.roles for node in removed):
        raise RemoteError(Defect.REMOVED, "removed", "nobody who is also a member")
    _require_rising("removed", removed)
    others = {node: role for node, role in statement.members if node not in statement.stewards}
    if statement.members != ranked(statement.stewards, others):
        raise RemoteError(Defect.NOT_SORTED, "members", "stewards first, then the others by node id")


def _check_direct(statement: Statement) -> None:
    if len(statement.stewards) != DIRECT_NODES or len(statement.members) != DIRECT_NODES:
        raise RemoteError(Defect.WRONG_COUNT, "members", "exactly two stewards in a circle without a name")
    if statement.removed:
        raise RemoteError(Defect.NOT_ALLOWED, "removed", "nobody removed in a direct circle")
    if statement.tier is not Tier.PARTNER:
        raise RemoteError(Defect.OUT_OF_RANGE, "tier", "partner in a direct circle")
    if statement.max_tlp != RED:
        raise RemoteError(Defect.OUT_OF_RANGE, "max_tlp", "TLP:RED in a direct circle")


def _refuse_repeats(name: str, entries: Iterable[NodeId] | Iterable[bytes]) -> None:
    if any(count > 1 for count in Counter(entries).values()):
        raise RemoteError(Defect.REPEATED, name, "each named once")


def _require_rising(name: str, entries: Iterable[Any]) -> None:
    if any(a >= b for a, b in pairwise(entries)):
        raise RemoteError(Defect.NOT_SORTED, name, "a strictly rising order")
