"""Pairing over the network: commitment, reveal, one code on both sides (PROTOCOL §3).

Two machines without I/O, one for each side.  A message is `[step, payload, mac]`; the mac is made with a key from the
invitation's secret over step, direction and payload, so only bearers of the invitation are answered, and no message can
be sent back to its sender.  Nothing here is believed until two people have compared the code: the machines only promise
that equal codes mean that nobody stands between.

The rules of this file: which message a state takes stands in the table at the foot of each machine.  A message whose
mac does not fit, or that the state does not take, changes nothing; any other defect ends the attempt.  Save `dump()`
before sending what a call returned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Final, Self

from almenara.crypto import signing
from almenara.crypto.codes import short_code
from almenara.crypto.errors import CryptoError, MacInvalid
from almenara.crypto.hashing import check_mac, derive, digest, mac
from almenara.crypto.labels import Label
from almenara.protocol.card import Introduction, Status, parse_introduction
from almenara.protocol.codec import Shape, blob, integer, octets
from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.file_pairing import FileOffer, file_code, file_offer, parse_file_offer
from almenara.protocol.invitation import Invitation, parse_invitation, parse_link
from almenara.protocol.limits import (
    HASH_BYTES,
    ID_BYTES,
    MAC_BYTES,
    MAX_INTRODUCTION,
    MAX_INVITATION,
    MAX_PAIRING_MESSAGE,
    NONCE_BYTES,
    PAIRING_ATTEMPTS,
    SIGNATURE_BYTES,
    VERSION,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from almenara.crypto.signing import SigningKey

__all__ = [
    "FileOffer",
    "Invitation",
    "Inviter",
    "Joiner",
    "Side",
    "State",
    "file_code",
    "file_offer",
    "invitation_id",
    "parse_file_offer",
    "parse_invitation",
    "parse_link",
]


class Side(IntEnum):
    """Which side a machine plays; its number marks every message, signature and confirmation of that side."""

    INVITER = 1
    JOINER = 2

    @property
    def other(self) -> Side:
        """The other side."""
        return Side.JOINER if self is Side.INVITER else Side.INVITER

    @property
    def byte(self) -> bytes:
        """The number as one byte."""
        return bytes((self,))


class State(IntEnum):
    """How far a pairing is."""

    WAITING = 1
    """The inviter waits for a commitment; the joiner has one to send."""
    ANSWERED = 2
    """The inviter has shown its card; the joiner has revealed its own."""
    COMPARING = 3
    """Both sides know the code; people compare it."""
    DONE = 4
    """Both have confirmed."""
    VOID = 5
    """Dead: a defect, a mismatch, or too many attempts."""


class Step(IntEnum):
    """What a message is."""

    COMMIT = 1
    CARD = 2
    REVEAL = 3
    SIGNATURE = 4
    CONFIRM = 5


_MESSAGE = Shape(
    "pairing message",
    ("step", integer(Step.COMMIT, Step.CONFIRM)),
    ("payload", blob(MAX_PAIRING_MESSAGE)),
    ("mac", octets(MAC_BYTES)),
)
_PAYLOADS: Final[Mapping[Step, Shape]] = {
    Step.COMMIT: Shape("commitment", ("invitation_id", octets(ID_BYTES)), ("commitment", octets(HASH_BYTES))),
    Step.CARD: Shape("card message", ("nonce", octets(NONCE_BYTES)), ("introduction", blob(MAX_INTRODUCTION))),
    Step.REVEAL: Shape(
        "reveal",
        ("nonce", octets(NONCE_BYTES)),
        ("introduction", blob(MAX_INTRODUCTION)),
        ("signature", octets(SIGNATURE_BYTES)),
    ),
    Step.SIGNATURE: Shape("signature message", ("signature", octets(SIGNATURE_BYTES))),
    Step.CONFIRM: Shape("confirmation", ("invitation_id", octets(ID_BYTES)), ("confirmation", octets(MAC_BYTES))),
}
_PENDING = Shape(
    "pending pairing",
    ("side", integer(Side.INVITER, Side.JOINER)),
    ("invitation", blob(MAX_INVITATION)),
    ("own", blob(MAX_INTRODUCTION)),
    ("nonces", octets(NONCE_BYTES, NONCE_BYTES * PAIRING_ATTEMPTS)),
    ("state", integer(State.WAITING, State.VOID)),
    ("attempts", integer(0, PAIRING_ATTEMPTS)),
    ("commitment", octets(0, HASH_BYTES)),
    ("peer_nonce", octets(0, NONCE_BYTES)),
    ("peer", blob(MAX_INTRODUCTION)),
    ("own_confirmed", integer(0, 1)),
    ("peer_confirmed", integer(0, 1)),
    version=VERSION,
)


def invitation_id(message: bytes) -> bytes:
    """Return the id of the invitation that a first message or a confirmation names, to find the machine that takes it.

    Raises:
        RemoteError: not such a message.

    """
    step, payload, _ = _MESSAGE.read(message, MAX_PAIRING_MESSAGE)
    if step not in {Step.COMMIT, Step.CONFIRM}:
        raise RemoteError(Defect.WRONG_ORDER, "step", "the first message or a confirmation")
    named: bytes = _PAYLOADS[step].read(payload, MAX_PAIRING_MESSAGE)[0]
    return named


class _Machine(ABC):
    """What both sides share: messages, the transcript, the code, confirmations, and the pending state."""

    side: ClassVar[Side]
    nonce_bytes: ClassVar[int]
    transitions: ClassVar[Mapping[tuple[State, Step], Callable[..., bytes | None]]]

    def __init__(self, invitation: Invitation, introduction: bytes, key: SigningKey, nonces: bytes) -> None:
        if len(nonces) != self.nonce_bytes:
            raise LocalError(Defect.WRONG_LENGTH, "nonces", f"{self.nonce_bytes} bytes", f"{len(nonces)} bytes")
        self.invitation = invitation
        self.state = State.WAITING
        self.peer: Introduction | None = None
        self._own = introduction
        self._own_node = parse_introduction(introduction).node_id
        self._key = key
        self._nonces = nonces
        self._attempts = 0
        self._commitment = b""
        self._peer_nonce = b""
        self._own_confirmed = False
        self._peer_confirmed = False

    # What people and callers see

    @property
    def code(self) -> str:
        """The code to compare, `1234 5678 9012`.

        Raises:
            LocalError: WRONG_ORDER, there is none yet, or the pairing is void.

        """
        self._expect_code()
        return short_code(derive(Label.PAIR_CODE, self._transcript()))

    @property
    def own_confirmed(self) -> bool:
        """Whether our person has confirmed."""
        return self._own_confirmed

    @property
    def peer_confirmed(self) -> bool:
        """Whether the peer's person has confirmed."""
        return self._peer_confirmed

    def confirm(self) -> bytes:
        """Record that our person found the codes equal, and return the CONFIRM message; it may be sent again.

        Raises:
            LocalError: WRONG_ORDER, there is no code to confirm.

        """
        self._expect_code()
        self._own_confirmed = True
        self._finish()
        proof = mac(Label.PAIR_CONFIRM, self._confirm_key(), self.side.byte)
        return self._message(Step.CONFIRM, self.invitation.id, proof)

    def receive_confirm(self, message: bytes) -> None:
        """Take the peer's CONFIRM; a repeated one changes nothing.

        Raises:
            RemoteError: WRONG_ORDER before there is a code; BAD_CONFIRM, which makes the pairing void; what any message
                may be refused for.

        """
        step, payload = self._open(message)
        if step is not Step.CONFIRM or self.state not in {State.COMPARING, State.DONE}:
            raise RemoteError(Defect.WRONG_ORDER, "step", "a confirmation of a code that is known")
        named, proof = _PAYLOADS[step].read(payload, MAX_PAIRING_MESSAGE)
        self._check_named(named)
        try:
            check_mac(Label.PAIR_CONFIRM, self._confirm_key(), proof, self.side.other.byte)
        except MacInvalid:
            self.state = State.VOID
            raise RemoteError(Defect.BAD_CONFIRM, "confirmation", "that of the same transcript") from None
        self._peer_confirmed = True
        self._finish()

    def _finish(self) -> None:
        if self._own_confirmed and self._peer_confirmed:
            self.state = State.DONE

    def _expect_code(self) -> None:
        if self.state not in {State.COMPARING, State.DONE}:
            raise LocalError(Defect.WRONG_ORDER, "state", "a code to compare", self.state.name.lower())

    # The pending state

    def dump(self) -> bytes:
        """Return the pending state, to go on after a restart.  It holds the invitation's secret: keep it sealed."""
        return _PENDING.write(
            int(self.side),
            self.invitation.encode(),
            self._own,
            self._nonces,
            int(self.state),
            self._attempts,
            self._commitment,
            self._peer_nonce,
            self.peer.encode() if self.peer else b"",
            int(self._own_confirmed),
            int(self._peer_confirmed),
        )

    @classmethod
    def load(cls, data: bytes, key: SigningKey) -> Self:
        """Return the machine whose `dump()` this is; `key` is the operational key it was made with.

        Raises:
            LocalError: not the pending state of this role.

        """
        try:
            return cls._load(data, key)
        except RemoteError as error:
            raise LocalError.like(error) from None

    @classmethod
    def _load(cls, data: bytes, key: SigningKey) -> Self:
        _, side, invitation, own, nonces, state, attempts, commitment, peer_nonce, peer, ours, theirs = _PENDING.read(
            data, 2 * MAX_PAIRING_MESSAGE
        )
        if side != cls.side:
            raise RemoteError(Defect.WRONG_ORDER, "side", cls.side.name.lower())
        machine = cls(parse_invitation(invitation), own, key, nonces)
        machine.state = State(state)
        machine.peer = parse_introduction(peer) if peer else None
        machine._attempts, machine._commitment, machine._peer_nonce = attempts, commitment, peer_nonce
        machine._own_confirmed, machine._peer_confirmed = bool(ours), bool(theirs)
        return machine

    # Messages

    def _message(self, step: Step, *fields: bytes) -> bytes:
        payload = _PAYLOADS[step].write(*fields)
        proof = mac(Label.PAIR_MAC, self.invitation.key, bytes((step,)), self.side.byte, payload)
        return _MESSAGE.write(int(step), payload, proof)

    def _open(self, message: bytes) -> tuple[Step, bytes]:
        """Check a message's form and mac; its payload is read only where the state takes this step."""
        step, payload, proof = _MESSAGE.read(message, MAX_PAIRING_MESSAGE)
        for sender in (self.side.other, self.side):
            try:
                check_mac(Label.PAIR_MAC, self.invitation.key, proof, bytes((step,)), sender.byte, payload)
            except MacInvalid:
                continue
            if sender is self.side:
                raise RemoteError(Defect.REFLECTED, "message", "a message of the other side")
            return Step(step), payload
        raise RemoteError(Defect.BAD_MAC, "mac", "made with this invitation's secret")

    def _take(self, step: Step, payload: bytes) -> bytes | None:
        transition = self.transitions.get((self.state, step))
        if transition is None:
            raise RemoteError(Defect.WRONG_ORDER, "step", "one this state takes", f"{step:d} while {self.state.name}")
        try:
            return transition(self, *_PAYLOADS[step].read(payload, MAX_PAIRING_MESSAGE))
        except RemoteError:
            if self.state in {State.WAITING, State.ANSWERED}:
                self.peer, self._peer_nonce = None, b""
                self.state = self._after_defect()
            raise

    @abstractmethod
    def _after_defect(self) -> State:
        """Return the state after a defect behind the mac, while there is no code yet."""

    def _check_named(self, named: bytes) -> None:
        if named != self.invitation.id:
            raise RemoteError(Defect.WRONG_INVITATION, "invitation_id", "the id of this invitation")

    def _introduced(self, introduction: bytes) -> Introduction:
        peer = parse_introduction(introduction)
        if peer.node_id == self._own_node:
            raise RemoteError(Defect.REFLECTED, "introduction", "another node than ours")
        if peer.card.status is Status.REVOKED:
            raise RemoteError(Defect.REVOKED, "card", "a node that is not revoked")
        return peer

    # The transcript

    @property
    def _own_nonce(self) -> bytes:
        """The nonce of this attempt: never the same in two."""
        at = max(self._attempts - 1, 0) * NONCE_BYTES
        return self._nonces[at : at + NONCE_BYTES]

    def _known_peer(self) -> Introduction:
        if self.peer is None:
            raise LocalError(Defect.WRONG_ORDER, "peer", "a peer that has introduced itself")
        return self.peer

    def _transcript(self) -> bytes:
        """Return T, the hash of all that was said."""
        own_part, peer_part = self._own_nonce + self._own, self._peer_nonce + self._known_peer().encode()
        inviter, joiner = (own_part, peer_part) if self.side is Side.INVITER else (peer_part, own_part)
        return digest(Label.PAIR_TRANSCRIPT, self.invitation.hash, self._commitment, inviter, joiner)

    def _confirm_key(self) -> bytes:
        return derive(Label.PAIR_CONFIRM_KEY, self.invitation.secret, self._transcript())

    def _signature(self) -> bytes:
        return self._key.sign(Label.PAIR_SIGN, self.side.byte + self._transcript())

    def _verify(self, signature: bytes) -> None:
        message = self.side.other.byte + self._transcript()
        try:
            signing.verify(self._known_peer().card.op_sign, Label.PAIR_SIGN, message, signature)
        except CryptoError:
            raise RemoteError(Defect.BAD_SIGNATURE, "signature", "the other side's over the same transcript") from None


class Inviter(_Machine):
    """The side that made the invitation.

    `introduction` is our own (card, profile, prekey); `nonces` are 160 fresh random bytes, 32 for each of 5 attempts.
    """

    side = Side.INVITER
    nonce_bytes = NONCE_BYTES * PAIRING_ATTEMPTS

    def receive(self, message: bytes, now_min: int) -> bytes:
        """Take a message of the joiner and return the answer.

        Raises:
            RemoteError: EXPIRED, TOO_MANY_ATTEMPTS, or a defect of the message.  After a defect behind the mac the
                attempt is over, and the invitation waits for the next while attempts are left.

        """
        step, payload = self._open(message)
        if step is Step.COMMIT and self.state not in {State.COMPARING, State.DONE}:
            self._admit(now_min)
        return self._take(step, payload) or b""

    def _admit(self, now_min: int) -> None:
        """Refuse a new attempt when the invitation's time or its attempts are used up."""
        if self.invitation.is_expired(now_min):
            raise RemoteError(Defect.EXPIRED, "invitation")
        if self._attempts >= PAIRING_ATTEMPTS:
            self.state = State.VOID
            raise RemoteError(Defect.TOO_MANY_ATTEMPTS, "invitation", f"at most {PAIRING_ATTEMPTS}")

    def _after_defect(self) -> State:
        return State.VOID if self._attempts >= PAIRING_ATTEMPTS else State.WAITING

    def _answer(self, named: bytes, commitment: bytes) -> bytes:
        self._check_named(named)
        self._attempts += 1
        self._commitment = commitment
        self.state = State.ANSWERED
        return self._message(Step.CARD, self._own_nonce, self._own)

    def _compare(self, nonce: bytes, introduction: bytes, signature: bytes) -> bytes:
        # The commitment first: without it a middleman could try cards and nonces until the codes agree.
        if digest(Label.PAIR_COMMIT, nonce, introduction) != self._commitment:
            raise RemoteError(Defect.BAD_COMMIT, "commitment", "the hash of nonce and introduction")
        self._peer_nonce, self.peer = nonce, self._introduced(introduction)
        self._verify(signature)
        self.state = State.COMPARING
        return self._message(Step.SIGNATURE, self._signature())

    def _repeat(self, nonce: bytes, introduction: bytes, _signature: bytes) -> bytes:
        """Answer the same reveal again: our signature was lost on the way."""
        if (nonce, introduction) != (self._peer_nonce, self._known_peer().encode()):
            raise RemoteError(Defect.WRONG_ORDER, "reveal", "the one that was answered")
        return self._message(Step.SIGNATURE, self._signature())

    # COMMIT is not taken while people compare: nobody may put another attempt in the place of the one they look at.
    transitions: ClassVar = {
        (State.WAITING, Step.COMMIT): _answer,
        (State.ANSWERED, Step.COMMIT): _answer,
        (State.ANSWERED, Step.REVEAL): _compare,
        (State.COMPARING, Step.REVEAL): _repeat,
    }


class Joiner(_Machine):
    """The side that was invited.

    `introduction` is our own (card, profile, prekey); `nonce` is 32 fresh random bytes.
    """

    side = Side.JOINER
    nonce_bytes = NONCE_BYTES

    def __init__(self, invitation: Invitation, introduction: bytes, key: SigningKey, nonce: bytes) -> None:
        super().__init__(invitation, introduction, key, nonce)
        if invitation.node_id == self._own_node:
            raise LocalError(Defect.REFLECTED, "invitation", "an invitation of another node")
        self._commitment = digest(Label.PAIR_COMMIT, nonce, introduction)

    def opening(self) -> bytes:
        """Return the message to send first on a connection: the commitment, or after a break the reveal again.

        Raises:
            LocalError: WRONG_ORDER, the code is known already (send `confirm()`), or the pairing is void.

        """
        if self.state is State.WAITING:
            return self._message(Step.COMMIT, self.invitation.id, self._commitment)
        if self.state is State.ANSWERED:
            return self._reveal()
        raise LocalError(Defect.WRONG_ORDER, "state", "a pairing without a code", self.state.name.lower())

    def receive(self, message: bytes) -> bytes | None:
        """Take a message of the inviter; return the answer, or None when it brought the code.

        Raises:
            RemoteError: a defect of the message; behind the mac it makes this pairing void.

        """
        return self._take(*self._open(message))

    def _after_defect(self) -> State:
        return State.VOID

    def _check_card(self, nonce: bytes, introduction: bytes) -> bytes:
        peer = self._introduced(introduction)
        if peer.node_id != self.invitation.node_id:
            raise RemoteError(Defect.WRONG_NODE, "introduction", "the node of the invitation")
        if peer.card.tls_digest != self.invitation.tls_digest:
            raise RemoteError(Defect.BAD_CERTIFICATE, "tls_cert", "the certificate of the invitation")
        self._peer_nonce, self.peer = nonce, peer
        self.state = State.ANSWERED
        return self._reveal()

    def _reveal(self) -> bytes:
        return self._message(Step.REVEAL, self._nonces, self._own, self._signature())

    def _compare(self, signature: bytes) -> None:
        self._verify(signature)
        self.state = State.COMPARING

    transitions: ClassVar = {
        (State.WAITING, Step.CARD): _check_card,
        (State.ANSWERED, Step.SIGNATURE): _compare,
    }
