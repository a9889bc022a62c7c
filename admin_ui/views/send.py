"""The moment that matters: to whom, what leaves, how exposed, with whose consent; then one button, pressed once.

A second press finds the case sent already and shows the same delivery page: nothing goes out twice.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from almenara.admin_ui.case_form import FIELDS
from almenara.admin_ui.facts import Fact, alert_facts, consent_words
from almenara.admin_ui.forms import Written
from almenara.admin_ui.states import DELIVERY
from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_
from almenara.protocol import codec
from almenara.protocol.envelope import SIZES

if TYPE_CHECKING:
    from aiohttp import web

    from almenara.admin_ui.reader import Reader
    from almenara.node import models
    from almenara.node.sharing import Status

PARTS = {  # fields of a case that the form shows as several
    "persons": N_("People in this case"),
    "evidence": N_("Evidence"),
    "source": N_("Source"),
    "consent": N_("Consent"),
}
STATUSES: tuple[Status, ...] = ("Actual", "Exercise", "Test")


@dataclass(frozen=True)
class Choice:
    """A circle as a possible audience: its preview, or the reason why there is none."""

    circle: models.Circle
    preview: models.Preview | None = None
    problem: Problem | None = None
    chosen: bool = False
    facts: list[Fact] = field(default_factory=list)
    stays: list[tuple[str, list[str]]] = field(default_factory=list)
    decoded: str = ""
    size: int = 0

    @property
    def sent(self) -> bool:
        """Whether this circle has the case already."""
        return self.problem is not None and self.problem.kind is Kind.ALREADY_SENT


async def show(visit: Visit) -> web.StreamResponse:
    """Choose circles and see, for each, exactly what would leave."""
    return await _page(visit, set(visit.request.query.getall("circle", [])), _status(visit.request.query.get("status")))


async def send(visit: Visit) -> web.StreamResponse:
    """Send what was previewed, circle by circle; what has changed since is shown again instead."""
    case_id = visit.request.match_info["case_id"]
    status = _status(visit.text("status"))
    failed: dict[str, Problem] = {}
    for circle_id in dict.fromkeys(visit.form.getall("circle", [])):
        try:
            await visit.service.send(
                visit.actor,
                case_id,
                circle_id,
                body_sha256=visit.text(f"body.{circle_id}"),
                statement=visit.text(f"statement.{circle_id}"),
                status=status,
            )
        except Problem as problem:
            if problem.kind is not Kind.ALREADY_SENT:
                failed[circle_id] = problem
    if failed:
        first = next(iter(failed.values()))
        return await _page(visit, set(failed), status, problem=first)
    return visit.go(f"/cases/{case_id}/sent", "sent")


async def delivery(visit: Visit) -> web.StreamResponse:
    """How far a case has come, for every circle and every organisation."""
    record = await visit.service.case(visit.actor, visit.request.match_info["case_id"])
    return visit.page(
        "delivery.html",
        here="cases",
        record=record,
        title=Written(record.case).text("title"),
        alerts=[await visit.service.alert(visit.actor, sent.alert_id) for sent in record.sent],
        deliveries=DELIVERY,
    )


async def sent(visit: Visit) -> web.StreamResponse:
    """Everything this node has sent, newest first."""
    alerts = (await visit.service.sent(visit.actor)).alerts
    return visit.page("sent.html", here="cases", alerts=alerts, deliveries=DELIVERY)


async def _page(visit: Visit, wanted: set[str], status: Status, problem: Problem | None = None) -> web.Response:
    record = await visit.service.case(visit.actor, visit.request.match_info["case_id"])
    circles = [one for one in (await visit.service.circles(visit.actor)).circles if one.state == "active"]
    choices = [await _choice(visit, record, circle, wanted, status) for circle in circles]
    chosen = [choice for choice in choices if choice.chosen and choice.preview]
    organisations = {
        recipient.node_id for choice in chosen if choice.preview for recipient in choice.preview.recipients
    }
    return visit.page(
        "send.html",
        status=problem.status if problem else 200,
        problem=problem,
        here="cases",
        record=record,
        title=Written(record.case).text("title"),
        choices=choices,
        chosen=chosen,
        organisations=len(organisations),
        alert_status=status,
        statuses=[(code, visit.reader.label("status", code)) for code in STATUSES],
        consent=consent_words(visit.reader, _consent(record)),
        why_not=_why_not(record, choices, chosen),
    )


async def _choice(
    visit: Visit, record: models.CaseRecord, circle: models.Circle, wanted: set[str], status: Status
) -> Choice:
    try:
        preview = await visit.service.preview(visit.actor, record.case_id, circle.circle_id, status)
    except Problem as problem:
        return Choice(circle, problem=problem)
    body = base64.b64decode(preview.body_base64)
    return Choice(
        circle,
        preview=preview,
        chosen=circle.circle_id in wanted,
        facts=alert_facts(visit.reader, preview.view, preview.coarsened),
        stays=_by_reason(visit.reader, preview.dropped),
        decoded=json.dumps(codec.decode(body, SIZES[0]), ensure_ascii=False, indent=1),
        size=len(body),
    )


def _by_reason(reader: Reader, notes: list[models.FieldNote]) -> list[tuple[str, list[str]]]:
    """Put what stays under the reason why it stays, each field once."""
    found: dict[str, dict[str, None]] = {}
    for note in notes:
        found.setdefault(note.why, {})[field_label(reader, note.field)] = None
    return [(reader.say(why), list(labels)) for why, labels in found.items()]


def field_label(reader: Reader, path: str) -> str:
    """What the case form calls a field; of a whole part, what it calls the part's first field."""
    if path in PARTS:
        return reader.say(PARTS[path])
    found = FIELDS.get(path)
    return reader.say(found.label) if found else path


def _consent(record: models.CaseRecord) -> dict[str, object]:
    consent = record.case.get("consent")
    return consent if isinstance(consent, dict) else {}


def _why_not(record: models.CaseRecord, choices: list[Choice], chosen: list[Choice]) -> str:
    """Why the button cannot be pressed, or nothing when it can."""
    if record.state == "draft":
        return N_("This case is still a draft. Complete it first.")
    if record.state == "closed":
        return N_("This case is closed.")
    if not choices:
        return N_("This node is in no circle yet. Pair with an organisation first.")
    if not any(choice.preview for choice in choices):
        return N_("No circle may receive this case now. The reasons stand beside each circle.")
    if not chosen:
        return N_("Choose at least one circle above.")
    return ""


def _status(text: str | None) -> Status:
    return next((known for known in STATUSES if known == text), "Actual")


ROUTES = (
    Route("GET", "/cases/{case_id}/send", show, Who.CASE_WORKER),
    Route("POST", "/cases/{case_id}/send", send, Who.CASE_WORKER),
    Route("GET", "/cases/{case_id}/sent", delivery, Who.CASE_WORKER),
    Route("GET", "/sent", sent, Who.PERSON),
)
