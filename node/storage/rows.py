"""What the repositories take and give: one frozen row type per table.

Identifiers are bytes, instants int milliseconds since 1970 UTC, states the words of SCHEMAS §4. Fields are named as
columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

ChainKey: TypeAlias = tuple[bytes, bytes, bytes]
"""Author, circle, incarnation."""


@dataclass(frozen=True, slots=True)
class PeerRow:
    """A node we paired with."""

    node_id: bytes
    state: str
    name: str
    kind: str
    country: str
    reason: str
    code: str
    endpoints: tuple[str, ...]
    tls_cert: bytes
    initiator: bool
    paired_at: int
    confirmed_at: int | None
    verified_at: int | None
    verified_by: str
    last_contact_at: int | None
    direct_circle: bytes | None


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An invitation that was given out; `dump` is the inviter's pending state."""

    invite_id: bytes
    dump: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class CardRow:
    """A node's card, signed as it came."""

    node_id: bytes
    counter: int
    blob: bytes
    sign_public: bytes
    tls_cert: bytes
    status: int
    issued_min: int


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """A node's newest profile."""

    node_id: bytes
    blob: bytes
    name: str
    kind: str
    country: str


@dataclass(frozen=True, slots=True)
class OwnPrekeyRow:
    """A prekey of ours; the seed is gone after `destroy_at`."""

    kid: bytes
    seed: bytes
    blob: bytes
    created_at: int
    usable_until: int
    destroy_at: int


@dataclass(frozen=True, slots=True)
class PrekeyRow:
    """Another node's newest prekey."""

    node_id: bytes
    kid: bytes
    blob: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class CircleRow:
    """A circle as we stand in it. `anchor`: ids of the statements we trust it from, newest last."""

    circle_id: bytes
    kind: str
    name: str
    state: str
    tier: int
    max_tlp: int
    retention_days: int
    peer: bytes | None
    invited_by: bytes | None
    anchor: bytes
    joined_at: int | None
    created_at: int
    reason: str


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One member of a circle, as seen from here."""

    circle_id: bytes
    node_id: bytes
    state: str
    role: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class StatementRow:
    """A circle's statement; `content` is its signed object, empty where only the body is known."""

    circle_id: bytes
    statement_id: bytes
    number: int
    parent: bytes
    issuer: bytes
    body: bytes
    content: bytes
    epoch_key: bytes | None
    carry_secret: bytes | None
    received_at: int


@dataclass(frozen=True, slots=True)
class LeaveRow:
    """A member's signed farewell."""

    circle_id: bytes
    node_id: bytes
    statement_id: bytes
    content: bytes
    received_at: int


@dataclass(frozen=True, slots=True)
class ClassKeyRow:
    """A class key of an epoch; gone after `destroy_at`."""

    statement_id: bytes
    circle_id: bytes
    cls: int
    kid: bytes
    key: bytes
    destroy_at: int | None


@dataclass(frozen=True, slots=True)
class ChainRow:
    """An author's chain of headers in a circle; `head_seq` is -1 and `head_hash` empty before its first object."""

    chain_id: int
    author: bytes
    circle_id: bytes
    incarnation: bytes
    head_seq: int
    head_hash: bytes
    first_min: int = 0
    last_min: int = 0
    due_seq: int = -1
    told_seq: int = -1


@dataclass(frozen=True, slots=True)
class GapRow:
    """Numbers of a chain that are not held; `early` ones may be from before we came. See `schema.gaps` for `prev`."""

    chain_id: int
    first_seq: int
    last_seq: int
    prev: bytes
    early: bool
    noticed_at: int


@dataclass(frozen=True, slots=True)
class ForkRow:
    """An author's contradiction: of kind `seq` two header hashes, of kind `revision` two body commitments."""

    first_hash: bytes
    second_hash: bytes
    author: bytes
    circle_id: bytes
    kind: str
    ref_id: bytes
    at: int
    content: bytes
    found_at: int
    settled_at: int | None


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """The body that a revision of something about an alert has."""

    ref_id: bytes
    author: bytes
    line: int
    revision: int
    body_commit: bytes


@dataclass(frozen=True, slots=True)
class HoldingRow:
    """A member's word that it holds these numbers of a chain of ours."""

    circle_id: bytes
    node_id: bytes
    incarnation: bytes
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class ReceiptingRow:
    """When we last wrote a receipt in a circle, and when the next is due."""

    circle_id: bytes
    told_at: int | None
    due_at: int | None


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """An opened object, whole."""

    chain_id: int
    seq: int
    type: int
    ref_id: bytes
    revision: int
    header: bytes
    header_hash: bytes
    signature: bytes
    salt: bytes
    body: bytes
    envelope_id: bytes
    created_min: int
    expires_min: int
    received_at: int


@dataclass(frozen=True, slots=True)
class EnvelopeRow:
    """An envelope; opened, held, carried, own or refused. `recipient` is empty but for key packets of our own."""

    envelope_id: bytes
    tag: bytes
    created_hour: int
    cls: int
    lane: int
    kid: bytes
    suite: int
    source: bytes
    recipient: bytes
    data: bytes
    state: str
    received_at: int


@dataclass(frozen=True, slots=True)
class IdRow:
    """An envelope's id and the set it is counted in, at its place in the log or among the refused."""

    position: int | None
    envelope_id: bytes
    tag: bytes
    cls: int
    created_hour: int


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """Where an envelope stands in the log, without its bytes."""

    envelope_id: bytes
    lane: int
    position: int
    tag: bytes
    created_hour: int


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """An envelope at its place in the log, as it is handed to a peer."""

    position: int
    lane: int
    envelope_id: bytes
    data: bytes
    source: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where an envelope stands in the log and for whom it is, to choose from without reading its bytes."""

    position: int
    envelope_id: bytes
    tag: bytes
    source: bytes
    recipient: bytes
    cls: int
    created_hour: int


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert, ours or another's. `position` is None until it is inserted."""

    position: int | None
    alert_id: bytes
    author: bytes
    circle_id: bytes
    statement_id: bytes
    revision: int
    type: str
    tlp: int
    state: str
    created_at: int
    received_at: int
    expires_at: int
    body: bytes
    body_sha256: bytes
    own: bool
    case_id: bytes | None
    body_commit: bytes | None = None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """How far an envelope of ours has come, for one recipient."""

    alert_id: bytes
    envelope_id: bytes
    node_id: bytes
    state: str
    sent_at: int | None
    stored_at: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class CarrierRow:
    """A peer that we asked to carry for a circle; `granted` and `used` in bytes, None until it answered."""

    circle_id: bytes
    node_id: bytes
    asked_at: int
    granted: int | None
    used: int | None


@dataclass(frozen=True, slots=True)
class CarriedRow:
    """A scope that a peer asked us to carry; `ends_at` is set once it does not ask any more."""

    node_id: bytes
    tag: bytes
    key: bytes
    week: int
    ends_at: int | None


@dataclass(frozen=True, slots=True)
class AskerRow:
    """A peer that asks us to carry, and its pool in bytes; `asked_at` is None where it asks for nothing now."""

    node_id: bytes
    quota: int | None
    used: int
    asked_at: int | None


@dataclass(frozen=True, slots=True)
class HolderRow:
    """A carrier that holds an envelope of ours."""

    envelope_id: bytes
    node_id: bytes
    at: int


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case, whole; never leaves the node."""

    case_id: bytes
    state: str
    document: dict[str, Any]
    problems: list[dict[str, Any]]
    warnings: list[dict[str, Any]]
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class SentRow:
    """That a case went to a circle: what, under which policy and which consent."""

    case_id: bytes
    circle_id: bytes
    alert_id: bytes
    body_sha256: bytes
    policy_version: int
    consent: dict[str, Any]
    sent_at: int


@dataclass(frozen=True, slots=True)
class PersonRow:
    """Somebody who may sign in."""

    name: str
    role: str
    password_hash: str
    created_at: int


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A signed-in browser."""

    token_hash: bytes
    name: str
    csrf: str
    created_at: int
    seen_at: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what, when; `ref` is an identifier."""

    at: int
    who: str
    what: str
    ref: str


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """Why something a peer sent was refused; its bytes are not kept."""

    at: int
    peer: bytes
    reason: str
    field: str
    expected: str
    got: str
    envelope_id: bytes
    size: int
