"""From a case to an alert in a circle: a preview of exactly what would leave, then the sending of that (DESIGN §7)."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from almenara.node import models
from almenara.node.authoring import CRITICAL, ROUTINE, Author, Draft
from almenara.node.casebook import Casebook, id_text, parse_id
from almenara.node.cases.consent import ends_ms, may_label, may_share
from almenara.node.clock import DAY_MS, MINUTE_MS, minute_of, rfc3339
from almenara.node.minimise.view import Minimised, minimise
from almenara.node.problem import Kind, Problem
from almenara.node.storage.rows import AlertRow, SentRow
from almenara.node.words import N_
from almenara.protocol.object import ObjectType
from almenara.protocol.permission import SENDERS
from almenara.protocol.vocabulary import TLP

if TYPE_CHECKING:
    from almenara.crypto.identity import NodeId
    from almenara.node.cases.case import Case
    from almenara.node.circle import Circle
    from almenara.node.circles import Circles
    from almenara.node.contradictions import Contradictions
    from almenara.node.deliveries import Deliveries
    from almenara.node.events import Events
    from almenara.node.minimise.gate import Gate
    from almenara.node.minimise.place import Places
    from almenara.node.minimise.policy import Policy
    from almenara.node.storage.engine import Store, Transaction
    from almenara.node.timekeeper import Timekeeper

Status = Literal["Actual", "Exercise", "Test"]

FIRST_REVISION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """Everything that is decided before a person says yes."""

    case_id: bytes
    case: Case
    circle: Circle
    statement: bytes
    recipients: list[NodeId]
    minimised: Minimised
    status: Status
    expires_at: int
    same_view: int

    @property
    def body_sha256(self) -> str:
        """Names the exact bytes that were previewed."""
        return sha256(self.minimised.body).hexdigest()


class Sharing:
    """Preview and send. What is sent is recomputed and must be, byte for byte, what was previewed."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Timekeeper,
        events: Events,
        casebook: Casebook,
        circles: Circles,
        author: Author,
        deliveries: Deliveries,
        contradictions: Contradictions,
        policy: Policy,
        places: Places,
        gate: Gate,
    ) -> None:
        self._store, self._clock, self._events = store, clock, events
        self._casebook, self._circles, self._author, self._deliveries = casebook, circles, author, deliveries
        self._policy, self._places, self._gate = policy, places, gate
        self._contradictions = contradictions

    async def preview(self, case_id: str, circle_id: str, status: Status) -> models.Preview:
        """Raises `Problem` for everything that stops a send."""
        async with self._store.read() as tx:
            outbound = await self._outbound(tx, case_id, circle_id, status)
        return self._as_preview(outbound)

    async def send(
        self, case_id: str, circle_id: str, *, body_sha256: str, statement: str, status: Status, who: str
    ) -> models.AlertSent:
        """Raises `Problem(AUDIENCE_CHANGED)` when view or audience are no longer those of the preview."""
        async with self._circles.change() as tx:
            outbound = await self._outbound(tx, case_id, circle_id, status)
            if outbound.body_sha256 != body_sha256 or outbound.statement.hex() != statement:
                raise Problem(
                    Kind.AUDIENCE_CHANGED,
                    N_("What would leave, or who would receive it, has changed."),
                    next=N_("Look at the preview again, then send."),
                )
            alert_id, envelope_id = await self._write(tx, outbound)
            await tx.audit.add(self._clock(), who, "send alert", id_text(alert_id))
            # Before the commit: as soon as it is in the log, a peer may have acknowledged it.
            self._deliveries.watch(envelope_id, outbound.recipients)
        self._events.publish("delivery", id_text(alert_id))
        return models.AlertSent(
            alert_id=id_text(alert_id),
            circle_id=circle_id,
            body_sha256=body_sha256,
            recipients=len(outbound.recipients),
        )

    async def may_repeat(self, tx: Transaction, alert: AlertRow, circle: Circle, recipients: list[NodeId]) -> bool:
        """Whether what was sent may be said again: consent and label as the case has them now."""
        if alert.case_id is None:
            return False  # it came back after a restore, and nobody here knows any more what was agreed
        try:
            _, case = await self._casebook.ready(tx, id_text(alert.case_id))
            self._check_consent(case, circle, recipients)
            self._check_label(case, circle)
        except Problem:
            return False
        return True

    async def _outbound(self, tx: Transaction, case_id: str, circle_id: str, status: Status) -> Outbound:
        """Every rule, in the order in which a person can do something about it."""
        self._clock.check()
        raw_case, case = await self._casebook.ready(tx, case_id)
        circle = self._circles.active(parse_id(circle_id))
        if any(row.circle_id == circle.id for row in await tx.cases.sent(raw_case)):
            raise Problem(Kind.ALREADY_SENT, case_id=case_id, circle_id=circle_id)
        self._check_role(circle)
        recipients = self._circles.recipients(circle)
        self._check_consent(case, circle, recipients)
        self._check_label(case, circle)
        statement = self._circles.sendable(circle)
        await self._contradictions.check(tx, circle.id)
        if not recipients:
            raise Problem(
                Kind.AUDIENCE_EMPTY,
                field="circle_id",
                next=N_("Invite an organisation to this circle and wait until it has accepted."),
            )
        frozen = await tx.circles.frozen(raw_case, circle.id)
        minimised = minimise(case, circle.tier, policy=self._policy, places=self._places, status=status, frozen=frozen)
        self._gate.check(minimised.view, minimised.body)
        digest = sha256(minimised.body).digest()
        return Outbound(
            case_id=raw_case,
            case=case,
            circle=circle,
            statement=statement,
            recipients=recipients,
            minimised=minimised,
            status=status,
            expires_at=self._expiry(case, circle),
            same_view=await tx.alerts.same_view(digest, circle.id),
        )

    def _check_role(self, circle: Circle) -> None:
        if circle.current.role_of(self._circles.own) not in SENDERS[ObjectType.ALERT]:
            raise Problem(
                Kind.NOT_ALLOWED,
                N_("In this circle we receive and answer, but do not send alerts."),
                field="circle_id",
                expected="steward or member",
                got="subscriber",
            )

    def _check_consent(self, case: Case, circle: Circle, recipients: list[NodeId]) -> None:
        today = datetime.fromtimestamp(self._clock() / 1000, UTC).date()
        kind: Literal["direct", "group"] = "direct" if circle.direct else "group"
        peers = [node.text for node in recipients]
        refusal = may_share(case.consent, kind, circle.tier, id_text(circle.id), peers, today)
        refusal = refusal or may_label(case.consent, case.tlp, today)
        if refusal is not None:
            raise refusal

    @staticmethod
    def _check_label(case: Case, circle: Circle) -> None:
        if TLP.index(case.tlp) > circle.max_tlp:
            raise Problem(
                Kind.TLP_ABOVE_CIRCLE,
                field="tlp",
                expected=f"at most {TLP[circle.max_tlp]}",
                got=case.tlp,
                next=N_("Choose another circle, or another label if the source allows it."),
            )

    def _expiry(self, case: Case, circle: Circle) -> int:
        """The sooner of the circle's retention and the consent's end, in whole minutes."""
        now = self._clock()
        ends = ends_ms(case.consent)
        until = now + circle.retention_days * DAY_MS
        return minute_of(min(until, ends) if ends is not None else until) * MINUTE_MS

    async def _write(self, tx: Transaction, outbound: Outbound) -> tuple[bytes, bytes]:
        """The object, our own copy, the deliveries and the record of the send, in one transaction."""
        now, alert_id, circle = self._clock(), uuid4().bytes, outbound.circle
        tlp = TLP.index(outbound.case.tlp)
        draft = Draft(
            circle_id=circle.id,
            statement_id=outbound.statement,
            type=ObjectType.ALERT,
            body=outbound.minimised.body,
            tlp=tlp,
            expires_min=minute_of(outbound.expires_at),
            lane=lane_of(outbound.case),
            ref_id=alert_id,
            revision=FIRST_REVISION,
        )
        posted = await self._author.post(tx, draft)
        row = self._own_row(outbound, alert_id, tlp, now)
        await tx.alerts.insert([replace(row, body_commit=posted.object.header.body_commit)])
        await self._deliveries.queue(tx, alert_id, posted.envelope_id, outbound.recipients)
        await tx.circles.put_frozen(outbound.case_id, circle.id, outbound.minimised.frozen)
        await tx.cases.put_sent(
            SentRow(
                case_id=outbound.case_id,
                circle_id=circle.id,
                alert_id=alert_id,
                body_sha256=sha256(outbound.minimised.body).digest(),
                policy_version=self._policy.version,
                consent=outbound.case.consent.model_dump(mode="json", exclude_unset=True),
                sent_at=now,
            )
        )
        return alert_id, posted.envelope_id

    def _own_row(self, outbound: Outbound, alert_id: bytes, tlp: int, now: int) -> AlertRow:
        body = outbound.minimised.body
        return AlertRow(
            position=None,
            alert_id=alert_id,
            author=self._circles.own.raw,
            circle_id=outbound.circle.id,
            statement_id=outbound.statement,
            revision=FIRST_REVISION,
            type="Alert",
            tlp=tlp,
            state="current",
            created_at=minute_of(now) * MINUTE_MS,
            received_at=now,
            expires_at=outbound.expires_at,
            body=body,
            body_sha256=sha256(body).digest(),
            own=True,
            case_id=outbound.case_id,
        )

    def _as_preview(self, outbound: Outbound) -> models.Preview:
        circle, minimised = outbound.circle, outbound.minimised
        return models.Preview(
            case_id=id_text(outbound.case_id),
            circle_id=id_text(circle.id),
            circle=self._circles.title(circle),
            tier=models.TIERS[circle.tier - 1],
            status=outbound.status,
            tlp=outbound.case.tlp,
            view=minimised.view,
            body_base64=b64encode(minimised.body).decode(),
            body_sha256=outbound.body_sha256,
            statement=outbound.statement.hex(),
            recipients=[self._circles.as_recipient(node) for node in outbound.recipients],
            people_in_place=minimised.people_in_place,
            same_view=outbound.same_view,
            expires_at=rfc3339(outbound.expires_at),
            consent=outbound.case.consent.model_dump(mode="json", exclude_unset=True, exclude={"informed"}),
            coarsened=[models.FieldNote(**note) for note in minimised.coarsened],
            dropped=[models.FieldNote(**note) for note in minimised.dropped],
        )


def lane_of(case: Case) -> int:
    """What cannot wait goes first: act within a day, on grave harm."""
    return CRITICAL if case.urgency == "Immediate" and case.severity in {"Extreme", "Severe"} else ROUTINE
