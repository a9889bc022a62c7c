"""The objects of SCHEMAS §8, once: panel, REST API (OpenAPI), CLI and `almenara schema` all speak these.

Instants are RFC 3339 text, identifiers the text forms of SCHEMAS §1. An absent member is left out (`dump`), never null.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

TierName = Literal["partner", "network", "international"]
TIERS: tuple[TierName, ...] = ("partner", "network", "international")  # wire numbers 1, 2, 3


class Model(BaseModel):
    """Base: unknown members are refused, absent ones left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def dump(self) -> dict[str, Any]:
        """The JSON form."""
        return self.model_dump(mode="json", exclude_none=True)


class NodeProblem(Model):
    """A red state of this node, with its reason and what to do."""

    code: str
    node_id: str | None = None
    name: str | None = None
    circle_id: str | None = None
    circle: str | None = None
    reason: str
    next: str


class Clock(Model):
    """`almenara clock`: what this computer says; while that is in doubt also what is likelier."""

    computer: str
    supposed: str | None = None
    doubt: Literal["jump", "peers"] | None = None
    reason: str = ""
    next: str = ""


class PeerCount(Model):
    """Verified peers, and how many of them are connected now."""

    verified: int
    connected: int


class CatchingUp(Model):
    """A repair that is bringing what was missed: how many envelopes, and how many of them have come."""

    expected: int
    received: int


class Status(Model):
    """`almenara status`."""

    state: Literal["ready", "locked"]
    node_id: str | None = None
    name: str
    version: str
    listen: str
    panel: str
    peers: PeerCount = PeerCount(verified=0, connected=0)
    alerts_held: int = 0
    backlog: int = 0
    catching_up: CatchingUp | None = None
    problems: list[NodeProblem] = []
    clock: Clock | None = None


class InvitationMade(Model):
    """`almenara invite`."""

    invitation: str
    expires_at: str


PeerState = Literal["unconfirmed", "waiting", "verified", "blocked", "removed"]


class Peer(Model):
    """An organisation we paired with, and how it stands with us (SCHEMAS §4)."""

    node_id: str
    name: str
    kind: str = "organisation"
    country: str | None = None
    state: PeerState
    code: str = ""
    connected: bool = False
    last_contact_at: str | None = None  # now, while connected
    clock_difference_minutes: int | None = None  # while connected: theirs is so far ahead of ours, or behind where < 0
    backlog: int = 0
    catching_up: CatchingUp | None = None
    verified_at: str | None = None
    verified_by: str | None = None
    reason: str = ""
    next: str = ""


DISCOVERY_MINUTES = 60  # longest at a time: whoever asked is still there, and the names change every hour anyway


class Neighbour(Model):
    """A peer that was heard on the local network."""

    node_id: str
    name: str
    connected: bool


class Discovery(Model):
    """`almenara discover`: whether we look for neighbours, until when, and whom we heard.

    `until` is absent where the configuration has switched it on; `interfaces` are
    those in use, or that would be; `announces` is false where our port is not open there, so that we
    only listen; `others` counts nodes we are not paired with.
    """

    on: bool
    until: str | None = None
    interfaces: list[str]
    announces: bool
    found: list[Neighbour]
    others: int


class Peers(Model):
    """`almenara peers`."""

    peers: list[Peer]


class PeerChanged(Model):
    """What a change made of a peer."""

    node_id: str
    state: PeerState


CircleState = Literal["invited", "accepted", "active", "left", "removed"]
RoleInCircle = Literal["steward", "member", "subscriber"]
MemberState = Literal["invited", "accepted", "active", "left", "removed"]


class Member(Model):
    """One organisation in a circle."""

    node_id: str
    name: str
    kind: str = "organisation"
    country: str | None = None
    role: RoleInCircle = "member"
    state: MemberState
    verified: bool
    vouched_by: str | None = None


class CircleNew(Model):
    """What `circle create` takes."""

    name: str = Field(min_length=1, max_length=80)
    tier: TierName
    max_tlp: str = "TLP:AMBER+STRICT"
    retention_days: int = Field(default=90, ge=1, le=366)


class Circle(Model):
    """A circle as we see it (SCHEMAS §4)."""

    circle_id: str
    name: str
    tier: TierName
    max_tlp: str
    retention_days: int
    state: CircleState
    kind: Literal["group", "direct"] = "group"
    stewards: list[str] = []
    members: list[Member] = []
    reason: str = ""
    next: str = ""


class Circles(Model):
    """`almenara circle list`."""

    circles: list[Circle]


class MemberChanged(Model):
    """What a change made of a member."""

    circle_id: str
    node_id: str
    state: MemberState


CarrierState = Literal["asked", "carrying", "refused", "full", "offline"]


class Carrier(Model):
    """A peer that we asked to carry for a circle; bytes are those for all that we asked of it."""

    node_id: str
    name: str
    state: CarrierState
    granted_bytes: int = 0
    used_bytes: int = 0


class CircleCarriers(Model):
    """`almenara circle carriers`."""

    circle_id: str
    carriers: list[Carrier]


class CarriedFor(Model):
    """A peer for which we carry: what it may fill, and what is in use."""

    node_id: str
    name: str
    granted_bytes: int
    used_bytes: int
    envelopes: int
    asked_at: str | None = None


class Carrying(Model):
    """`almenara peers carrying`: `default_bytes` is what a peer may fill where nobody said otherwise."""

    default_bytes: int
    carrying: list[CarriedFor]


class CarryQuota(Model):
    """How much a peer may fill, in megabytes; 0 refuses it."""

    quota_mb: int = Field(ge=0, le=4_000)


class CircleChanged(Model):
    """What a change made of our own standing."""

    circle_id: str
    state: CircleState


class CaseAdded(Model):
    """`almenara case add`."""

    case_id: str
    state: Literal["draft", "ready"]
    warnings: list[dict[str, Any]] = []


class SentTo(Model):
    """One circle a case was sent to."""

    circle_id: str
    alert_id: str


class CaseRecord(Model):
    """A case as its own node holds it; never leaves."""

    case_id: str
    state: Literal["draft", "ready", "closed"]
    case: dict[str, Any]
    problems: list[dict[str, Any]] = []
    warnings: list[dict[str, Any]] = []
    sent: list[SentTo] = []
    created_at: str
    updated_at: str


class CaseSummary(Model):
    """A case in a list."""

    case_id: str
    state: Literal["draft", "ready", "closed"]
    title: str = ""
    updated_at: str
    sent: int = 0


class Cases(Model):
    """`almenara case list`."""

    cases: list[CaseSummary]


class ImportLine(Model):
    """What became of one line."""

    line: int
    case_id: str | None = None
    state: Literal["ready", "draft", "refused"]
    problem: dict[str, Any] | None = None


class Imported(Model):
    """`almenara case import`."""

    ready: int
    drafts: int
    refused: int
    results: list[ImportLine]


class Recipient(Model):
    """An organisation that would receive an alert."""

    node_id: str
    name: str
    kind: str = "organisation"
    country: str | None = None
    verified: bool


class FieldNote(Model):
    """Why a field leaves coarser than it was written, or not at all."""

    field: str
    to: str | None = None
    why: str


class Preview(Model):
    """Exactly what would leave, to whom, and what stays (`alert preview`)."""

    case_id: str
    circle_id: str
    circle: str
    tier: TierName
    status: Literal["Actual", "Exercise", "Test"] = "Actual"
    tlp: str
    view: dict[str, Any]
    body_base64: str
    body_sha256: str
    statement: str
    recipients: list[Recipient]
    people_in_place: int | None
    same_view: int
    expires_at: str
    consent: dict[str, Any]
    coarsened: list[FieldNote] = []
    dropped: list[FieldNote] = []


class AlertSent(Model):
    """`alert send`."""

    alert_id: str
    circle_id: str
    body_sha256: str
    recipients: int


class Author(Model):
    """Who wrote an alert."""

    node_id: str
    name: str
    verified: bool


AlertState = Literal["current", "superseded", "cancelled", "expired", "erased", "forked"]


class Alert(Model):
    """`almenara schema alert`."""

    alert_id: str
    circle_id: str
    circle: str
    author: Author
    type: Literal["Alert", "Update", "Cancel"] = "Alert"
    state: AlertState
    revision: int
    tlp: str
    created_at: str
    received_at: str
    expires_at: str
    view: dict[str, Any]


class Delivery(Model):
    """How far an alert of ours has come, for one recipient."""

    node_id: str
    name: str
    state: Literal["queued", "sent", "stored", "carried", "failed"]
    carried_by: list[str] = []
    sent_at: str | None = None
    stored_at: str | None = None
    reason: str = ""
    next: str = ""


class Version(Model):
    """What the author also said under the same id, or in the same place of its record."""

    view: dict[str, Any]
    received_at: str


class AlertDetail(Alert):
    """`alert show`: recipients are there for our own alerts only, versions where the author contradicts itself."""

    case_id: str | None = None
    recipients: list[Delivery] | None = None
    versions: list[Version] | None = None


class Inbox(Model):
    """`almenara inbox`: `next` is the cursor to go on from."""

    alerts: list[Alert]
    next: str


class Sent(Model):
    """Our own alerts, newest first."""

    alerts: list[AlertDetail]


class Fork(Model):
    """Two of one author's where there may be one: headers in one place (`seq`), or bodies of one revision."""

    author: Author
    circle_id: str
    circle: str
    kind: Literal["seq", "revision"]
    alert_id: str | None = None
    found_at: str


class Forks(Model):
    """`almenara forks`."""

    forks: list[Fork]


class ForksSettled(Model):
    """`almenara forks settle`: how many contradictions of our own were settled."""

    settled: int


RoleName = Literal["admin", "case worker", "viewer"]


class Person(Model):
    """Somebody who may sign in."""

    name: str
    role: RoleName
    created_at: str


class People(Model):
    """Everybody who may sign in."""

    people: list[Person]


class BundleAsked(Model):
    """`almenara bundle export`: for one organisation, or under a passphrase."""

    to: str | None = None
    passphrase: str | None = Field(default=None, json_schema_extra={"format": "password", "writeOnly": True})


class BundleImported(Model):
    """`almenara bundle import`: what became of the envelopes in the file.

    `records` is the sum of the four behind it. When the file ends early or is damaged, `complete` is false, and
    everything before that place is counted. `sender` is there only where a peer of ours has signed the file.
    """

    records: int
    new: int
    known: int
    held: int
    refused: int
    complete: bool
    reason: str = ""
    next: str = ""
    sender: str | None = None
    made_at: str | None = None
