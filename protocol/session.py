"""One session between two paired nodes, without I/O: frames in, events out (PROTOCOL §6, DESIGN §6).

Both sides are equal and held to the same table, on what they receive and on what they say.  Each greets first, then
proves its scopes, then tells its cursors; only then does anything flow.  A frame that is malformed or comes out of
order raises RemoteError: the caller says BYE and hangs up.  What is *inside* a pushed envelope is not judged here, so a
bad envelope never ends a session.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from almenara.protocol.answers import split_keys
from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.flow import LANES, ROUTINE, Announced, Credit, Granted, Have, Part, Stream, Want, Wanted
from almenara.protocol.idsets import repair_key
from almenara.protocol.limits import ID_BYTES, NONCE_BYTES, VERSION
from almenara.protocol.messages import (
    MAX_PROOFS,
    PROOF_BYTES,
    PROOFS_STEP,
    Ack,
    Bye,
    Carry,
    Carrying,
    Cursors,
    Hello,
    Interest,
    KeyReq,
    Keys,
    Kind,
    Message,
    Push,
    Ranges,
    Roots,
    encode_message,
    kind_of,
    parse_message,
)
from almenara.protocol.reconcile import Repair
from almenara.protocol.scope import ScopeKey, proof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from almenara.crypto.identity import NodeId
    from almenara.protocol.carry import CarriedScope

VERSIONS: Final = (VERSION,)  # of the protocol, that this node speaks
DECOY_BYTES: Final = PROOFS_STEP * PROOF_BYTES  # random bytes `interest` needs at most
MAX_QUESTIONS: Final = 256  # KEYREQ without an answer, each way: more circles than INTEREST can prove
MAX_ANSWER_FRAMES: Final = 128  # KEYS for one KEYREQ: a decade of weekly statements of the largest kind


class Outcome(IntEnum):
    """What became of a pushed envelope, said after the commit."""

    STORED = 0
    """In the inbox, in effect, or a duplicate of such."""
    HELD = 1
    """Kept, but it cannot be opened here: the key is unknown, or it is not for this node."""
    REFUSED = 2
    BUSY = 3
    """Not kept now, for more came than one peer or author may bring; offered again later it may be. Never final."""


class ByeCode(IntEnum):
    """Why a session ends.  A reader accepts codes it does not know."""

    GOING = 0
    """The node stops, or the link is not needed."""
    BROKEN_RULE = 1
    NO_COMMON_VERSION = 2
    BUSY = 3
    REPLACED = 4
    """Another session with the same peer is kept."""


class State(Enum):
    """How far one side has come in what it says."""

    SILENT = "silent"
    GREETED = "greeted"
    PROVED = "proved"
    OPEN = "open"
    ENDED = "ended"


_FLOW = {
    *(Kind.INTEREST, Kind.PUSH, Kind.ACK, Kind.KEYREQ, Kind.KEYS),
    *(Kind.ROOTS, Kind.RANGE),
    *(Kind.HAVE, Kind.WANT, Kind.CREDIT, Kind.PART),
    *(Kind.CARRY, Kind.CARRYING),
}
TRANSITIONS: Final[dict[State, dict[Kind, State]]] = {
    State.SILENT: {Kind.HELLO: State.GREETED, Kind.BYE: State.ENDED},
    State.GREETED: {Kind.INTEREST: State.PROVED, Kind.BYE: State.ENDED},
    State.PROVED: {Kind.INTEREST: State.PROVED, Kind.CURSORS: State.OPEN, Kind.BYE: State.ENDED},
    State.OPEN: dict.fromkeys(_FLOW, State.OPEN) | {Kind.BYE: State.ENDED},
    State.ENDED: {},
}
"""What a side may say in a state, and the state that follows.  SPEC.md draws the same table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Greeted:
    """The peer's HELLO: the version both speak, the epoch of its log, its clock."""

    version: int
    peer_epoch: bytes
    peer_time_min: int
    ahead_min: int
    """How many minutes the peer's clock is ahead of ours; negative when it is behind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScopesProven:
    """The scopes both sides proved now, and which of them were not proven before in this session."""

    tags: frozenset[bytes]
    fresh: frozenset[bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class CursorsTold:
    """What the peer has of our log: (epoch, position) by lane.  An epoch that is not ours means nothing to us."""

    cursors: dict[int, tuple[bytes, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """An envelope, not judged yet, at a position of the peer's log."""

    lane: int
    position: int
    envelope: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Acked:
    """The peer committed: how far it has come in a lane of our log, and what became of positions we pushed."""

    lane: int
    cursor: int
    outcomes: tuple[tuple[int, Outcome], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeysAsked:
    """The peer asks for a circle's later statements and current key; `statement` is the last it holds, or empty."""

    circle: bytes
    statement: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class KeysTold:
    """An answer to our question, or a part of one; nothing in it is verified yet."""

    circle: bytes
    statements: tuple[bytes, ...]
    introductions: tuple[bytes, ...]
    packet: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CarryAsked:
    """The peer asks us to carry these scopes and no others; none where it asks for nothing (any more)."""

    scopes: tuple[CarriedScope, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CarryTold:
    """What the peer keeps for us, and how much of it is in use, in bytes; nothing granted is a refusal."""

    granted: int
    used: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """The peer said BYE: a ByeCode or a later version's code, and after how many seconds to call again."""

    code: int
    retry_after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RootsTold:
    """The peer would like a repair, should our root be another than its own."""

    roots: Roots


@dataclass(frozen=True, kw_only=True, slots=True)
class RangesTold:
    """A frame of a run of repair, for `Repair.take`, which judges it."""

    ranges: Ranges


Event: TypeAlias = (
    Greeted
    | ScopesProven
    | CursorsTold
    | Pushed
    | Acked
    | KeysAsked
    | KeysTold
    | Announced
    | Wanted
    | Granted
    | RootsTold
    | RangesTold
    | CarryAsked
    | CarryTold
    | Left
)


class Session:
    """The state of one session.  `nonce` (32 bytes) is random and used once; `log_epoch` (16 bytes) is our log's."""

    def __init__(self, own: NodeId, peer: NodeId, nonce: bytes, log_epoch: bytes) -> None:
        if own == peer:
            raise LocalError(Defect.REFLECTED, "peer", "another node")
        if len(nonce) != NONCE_BYTES or len(log_epoch) != ID_BYTES:
            raise LocalError(Defect.WRONG_LENGTH, "nonce, log_epoch", f"{NONCE_BYTES} and {ID_BYTES} bytes")
        self._own, self._peer = own, peer
        self._nonce, self._peer_nonce = nonce, b""
        self._log_epoch = log_epoch
        self._said, self._heard = State.SILENT, State.SILENT
        self._scopes: tuple[ScopeKey, ...] = ()
        self._offered: dict[bytes, bytes] = {}  # the peer's proof, if it has the scope -> tag
        self._peer_proofs: frozenset[bytes] = frozenset()
        self._ever_proven: frozenset[bytes] = frozenset()
        self._highest = [0] * LANES  # position of our log that the peer may speak of
        self._acked = [0] * LANES
        self._ours, self._theirs = Stream(), Stream()  # what we push, what the peer pushes
        self._asked: dict[bytes, int] = {}  # circle -> frames of KEYS still welcome
        self._owed: dict[bytes, int] = {}  # circle -> frames of KEYS the peer still expects
        self._carry_said = self._carry_heard = False

    @property
    def proven(self) -> frozenset[bytes]:
        """Tags of the scopes that both sides proved in their latest INTEREST."""
        return frozenset(tag for expected, tag in self._offered.items() if expected in self._peer_proofs)

    def credit(self, lane: int) -> int:
        """How many more bytes we may push in a lane."""
        return self._ours.credit[lane]

    @property
    def room(self) -> int:
        """How many more positions we may announce before answers come."""
        return self._ours.room

    @property
    def ended(self) -> bool:
        """Whether either side said BYE."""
        return State.ENDED in {self._said, self._heard}

    # What we say.  Each returns a frame, or frames, to send in this order; out of order it raises LocalError.

    def hello(self, now_min: int) -> bytes:
        """Greet; the first thing to say."""
        return self._say(Hello(versions=VERSIONS, nonce=self._nonce, log_epoch=self._log_epoch, time_min=now_min))

    def set_scopes(self, scope_keys: Iterable[ScopeKey]) -> None:
        """Set what the next `interest` proves.

        Raises:
            LocalError: WRONG_COUNT, more than INTEREST can hold.

        """
        scopes = tuple({scope.tag: scope for scope in scope_keys}.values())
        if len(scopes) > MAX_PROOFS:
            raise LocalError(Defect.WRONG_COUNT, "scopes", f"at most {MAX_PROOFS} scopes", f"{len(scopes)} scopes")
        self._scopes = scopes

    def interest(self, decoys: bytes) -> bytes:
        """Prove the scopes that were set; `decoys` are DECOY_BYTES random bytes.  Needs the peer's HELLO.

        It may make scopes `proven` at once, where the peer proved them before.
        """
        if not self._peer_nonce:
            raise LocalError(Defect.WRONG_ORDER, "INTEREST", "the peer's HELLO first")
        if len(decoys) != DECOY_BYTES:
            raise LocalError(Defect.WRONG_LENGTH, "decoys", f"{DECOY_BYTES} bytes", f"{len(decoys)} bytes")
        proofs = {proof(scope.key, self._nonce, self._peer_nonce, self._own) for scope in self._scopes}
        missing = -len(proofs) % PROOFS_STEP or (0 if proofs else PROOFS_STEP)
        proofs.update(decoys[at : at + PROOF_BYTES] for at in range(0, missing * PROOF_BYTES, PROOF_BYTES))
        frame = self._say(Interest(proofs=tuple(sorted(proofs))))
        self._offered = {
            proof(scope.key, self._peer_nonce, self._nonce, self._peer): scope.tag for scope in self._scopes
        }
        self._ever_proven |= self.proven
        return frame

    def cursors(self, cursors: Mapping[int, tuple[bytes, int]]) -> bytes:
        """Tell what we have of the peer's log: (its epoch, position) by lane.  Once, after `interest`."""
        return self._say(Cursors(cursors=dict(cursors)))

    def push(self, lane: int, position: int, envelope: bytes) -> bytes:
        """Push one envelope of our log.

        Raises:
            LocalError: OVER_CREDIT; TOO_LARGE, a routine one that has to go in parts; WRONG_ORDER, between parts.

        """
        message = Push(lane=lane, position=position, envelope=envelope)
        return self._flow(message, lambda: self._ours.push(lane, envelope), (lane, position))

    def part(self, position: int, left: int, data: bytes) -> bytes:
        """Push the next piece of a large routine envelope; `left` more follow.  Raises as `push`."""
        part = Part(lane=ROUTINE, position=position, left=left, data=data)
        return self._flow(part, lambda: self._ours.part(part), (ROUTINE, position))

    def have(self, places: Iterable[tuple[int, int, bytes]]) -> bytes:
        """Announce (lane, position, envelope id) of our log; each is answered by `Acked` or `Wanted`.

        Raises:
            LocalError: REPEATED, or TOO_LARGE, more than `room`.

        """
        told = tuple(sorted(places))
        named = [(lane, position) for lane, position, _ in told]
        return self._flow(Have(places=told), lambda: self._ours.announce(named), *named)

    def want(self, places: Iterable[tuple[int, int]]) -> bytes:
        """Ask for announced (lane, position).  Raises LocalError: OUT_OF_RANGE, not announced or asked before."""
        asked = tuple(sorted(places))
        return self._flow(Want(places=asked), lambda: self._theirs.ask(asked))

    def grant(self, lane: int, amount: int) -> bytes:
        """Let the peer push so many more bytes, after the commit of as many."""
        return self._flow(Credit(lane=lane, amount=amount), lambda: self._theirs.grant(lane, amount))

    def ack(self, lane: int, cursor: int, outcomes: Iterable[tuple[int, Outcome]]) -> bytes:
        """Say what became of pushed or announced positions, after the commit.

        HELD and BUSY may be followed by another outcome later.
        """
        pairs = tuple(sorted((position, int(outcome)) for position, outcome in dict(outcomes).items()))
        frame = self._say(Ack(lane=lane, cursor=cursor, outcomes=pairs))
        self._theirs.answer(lane, [position for position, _ in pairs])
        return frame

    def _flow(self, message: Message, account: Callable[[], object], *places: tuple[int, int]) -> bytes:
        """Say it if the rules of the stream allow it; `places` are positions of our log that the peer then knows."""
        self._check_order(message)
        frame = encode_message(message)
        try:
            account()
        except RemoteError as error:
            raise LocalError.like(error) from None
        for lane, position in places:
            self._highest[lane] = max(self._highest[lane], position)
        return frame

    def keyreq(self, circle: bytes, statement: bytes) -> bytes:
        """Ask for a circle's statements since the one held (b"" for none) and its current key."""
        if circle not in self._asked and len(self._asked) >= MAX_QUESTIONS:
            raise LocalError(Defect.TOO_LARGE, "circle", f"at most {MAX_QUESTIONS} open questions")
        frame = self._say(KeyReq(circle=circle, statement=statement))
        self._asked[circle] = self._asked.get(circle, 0) + MAX_ANSWER_FRAMES
        return frame

    def keys(
        self, circle: bytes, statements: Sequence[bytes], introductions: Sequence[bytes], packet: bytes
    ) -> list[bytes]:
        """Answer a question in as many frames as it needs; the key packet comes in the last.

        Raises:
            LocalError: WRONG_ORDER, the peer did not ask; TOO_LARGE, more frames than one answer may have.

        """
        parts = split_keys(circle, statements, introductions, packet)
        welcome = self._owed.get(circle, 0)
        if not welcome:
            raise LocalError(Defect.WRONG_ORDER, "KEYS", "a question first")
        if len(parts) > welcome:
            raise LocalError(Defect.TOO_LARGE, "KEYS", f"at most {welcome} frames", f"{len(parts)} frames")
        frames = [self._say(part) for part in parts]
        _count_down(self._owed, circle, len(parts))
        return frames

    def carry(self, scopes: Iterable[CarriedScope]) -> bytes:
        """Ask the peer to carry these scopes (of `carry.padded`) and no others; none at all is a request to stop."""
        frame = self._say(Carry(scopes=tuple(scopes)))
        self._carry_said = True
        return frame

    def carrying(self, granted: int, used: int) -> bytes:
        """Answer CARRY, in bytes; again when it has changed.

        Raises:
            LocalError: WRONG_ORDER, the peer did not ask in this session.

        """
        if not self._carry_heard:
            raise LocalError(Defect.WRONG_ORDER, "CARRYING", "a request first")
        return self._say(Carrying(granted=granted, used=used))

    def repair(self) -> Repair:
        """Return the repair side of this session, to be kept by the caller; needs the peer's HELLO."""
        if not self._peer_nonce:
            raise LocalError(Defect.WRONG_ORDER, "ROOTS", "the peer's HELLO first")
        return Repair(starts=self._own.raw < self._peer.raw, key=repair_key(self._nonce, self._peer_nonce))

    def say_roots(self, roots: Roots) -> bytes:
        """Say that we would like a repair."""
        return self._say(roots)

    def say_ranges(self, ranges: Ranges) -> bytes:
        """Say one frame of a run of repair."""
        return self._say(ranges)

    def bye(self, code: int, retry_after: int) -> bytes:
        """Hang up; nothing may be said after it."""
        return self._say(Bye(code=int(code), retry_after=retry_after))

    def _say(self, message: Message) -> bytes:
        following = self._check_order(message)
        frame = encode_message(message)
        self._said = following
        return frame

    def _check_order(self, message: Message) -> State:
        kind = kind_of(message)
        following = TRANSITIONS[self._said].get(kind)
        if following is None or (kind is not Kind.BYE and self._heard is State.ENDED):
            raise LocalError(Defect.WRONG_ORDER, kind.name, f"what may be said when {self._said.value}")
        return following

    # What we hear

    def receive(self, frame: bytes, now_min: int) -> list[Event]:
        """Take one frame; return what it means, in order.  `now_min` is our clock, in minutes since 1970.

        Raises:
            RemoteError: malformed; WRONG_ORDER, what this state does not take, or an answer nobody asked for;
                UNKNOWN_VERSION, none in common; REFLECTED, our own nonce; OUT_OF_RANGE, an ACK of what was not pushed,
                a WANT of what was not announced, a CREDIT above what was spent; OVER_CREDIT, more than was granted.

        """
        message = parse_message(frame)
        kind = kind_of(message)
        following = TRANSITIONS[self._heard].get(kind)
        if following is None:
            raise RemoteError(Defect.WRONG_ORDER, kind.name, f"what may be said when {self._heard.value}")
        event = self._take(message, now_min)
        self._heard = following
        return [event] if event is not None else []  # of a part, nothing is known yet

    def _take(self, message: Message, now_min: int) -> Event | None:
        event: Event | None
        match message:
            case Hello():
                event = self._take_hello(message, now_min)
            case Interest():
                event = self._take_interest(message)
            case Cursors():
                event = self._take_cursors(message)
            case Push() | Part() | Have() | Want() | Credit():
                event = self._take_flow(message)
            case Ack():
                event = self._take_ack(message)
            case KeyReq() | Keys():
                event = self._take_keyreq(message) if isinstance(message, KeyReq) else self._take_keys(message)
            case Carry() | Carrying():
                event = self._take_carry(message)
            case Bye():
                event = Left(code=message.code, retry_after=message.retry_after)
            case Roots() | Ranges():
                event = _repair_told(message)
        return event

    def _take_flow(self, message: Push | Part | Have | Want | Credit) -> Event | None:
        match message:
            case Push():
                self._theirs.push(message.lane, message.envelope)
                return Pushed(lane=message.lane, position=message.position, envelope=message.envelope)
            case Part():
                whole = self._theirs.part(message)
                return None if whole is None else Pushed(lane=message.lane, position=message.position, envelope=whole)
            case Have():
                self._theirs.announce([(lane, position) for lane, position, _ in message.places])
                return Announced(places=message.places)
            case Want():
                self._ours.ask(message.places)
                return Wanted(places=message.places)
            case Credit():
                self._ours.grant(message.lane, message.amount)
                return Granted(lane=message.lane, amount=message.amount)

    def _take_hello(self, hello: Hello, now_min: int) -> Greeted:
        common = set(VERSIONS) & set(hello.versions)
        if not common:
            raise RemoteError(Defect.UNKNOWN_VERSION, "versions", f"one of {VERSIONS}", "none in common")
        # With one nonce for both, a proof of ours could be shown to us as the peer's in another session.
        if hello.nonce == self._nonce:
            raise RemoteError(Defect.REFLECTED, "nonce", "a nonce of the peer's own")
        self._peer_nonce = hello.nonce
        return Greeted(
            version=max(common),
            peer_epoch=hello.log_epoch,
            peer_time_min=hello.time_min,
            ahead_min=hello.time_min - now_min,
        )

    def _take_interest(self, interest: Interest) -> ScopesProven:
        self._peer_proofs = frozenset(interest.proofs)
        tags = self.proven
        fresh = tags - self._ever_proven
        self._ever_proven |= tags
        return ScopesProven(tags=tags, fresh=fresh)

    def _take_cursors(self, cursors: Cursors) -> CursorsTold:
        for lane, (epoch, position) in cursors.cursors.items():
            if epoch == self._log_epoch:
                self._acked[lane] = position
                self._highest[lane] = max(self._highest[lane], position)  # we may have pushed before we heard this
        return CursorsTold(cursors=cursors.cursors)

    def _take_ack(self, ack: Ack) -> Acked:
        if not self._acked[ack.lane] <= ack.cursor <= self._highest[ack.lane]:
            raise RemoteError(Defect.OUT_OF_RANGE, "cursor", "no lower than before, no higher than what was pushed")
        if ack.outcomes and ack.outcomes[-1][0] > self._highest[ack.lane]:
            raise RemoteError(Defect.OUT_OF_RANGE, "position", "a position that was pushed")
        self._acked[ack.lane] = ack.cursor
        self._ours.answer(ack.lane, [position for position, _ in ack.outcomes])
        outcomes = tuple((position, Outcome(outcome)) for position, outcome in ack.outcomes)
        return Acked(lane=ack.lane, cursor=ack.cursor, outcomes=outcomes)

    def _take_keyreq(self, question: KeyReq) -> KeysAsked:
        if question.circle not in self._owed and len(self._owed) >= MAX_QUESTIONS:
            raise RemoteError(Defect.TOO_LARGE, "circle", f"at most {MAX_QUESTIONS} open questions")
        self._owed[question.circle] = self._owed.get(question.circle, 0) + MAX_ANSWER_FRAMES
        return KeysAsked(circle=question.circle, statement=question.statement)

    def _take_keys(self, keys: Keys) -> KeysTold:
        if keys.circle not in self._asked:
            raise RemoteError(Defect.WRONG_ORDER, "KEYS", "an answer to a question of ours")
        _count_down(self._asked, keys.circle, 1)
        return KeysTold(
            circle=keys.circle,
            statements=keys.statements,
            introductions=keys.introductions,
            packet=keys.packet,
        )

    def _take_carry(self, message: Carry | Carrying) -> CarryAsked | CarryTold:
        if isinstance(message, Carry):
            self._carry_heard = True
            return CarryAsked(scopes=message.scopes)
        if not self._carry_said:
            raise RemoteError(Defect.WRONG_ORDER, "CARRYING", "an answer to a request of ours")
        return CarryTold(granted=message.granted, used=message.used)


def _repair_told(message: Roots | Ranges) -> Event:
    return RootsTold(roots=message) if isinstance(message, Roots) else RangesTold(ranges=message)


def _count_down(welcome: dict[bytes, int], circle: bytes, frames: int) -> None:
    welcome[circle] -= frames
    if not welcome[circle]:
        del welcome[circle]
