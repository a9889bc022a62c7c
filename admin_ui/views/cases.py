"""Our cases: the list, one case, and the form that saves itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from almenara.admin_ui.areas import areas_of
from almenara.admin_ui.case_form import FIELDS, GROUPS, Items
from almenara.admin_ui.facts import case_sections, consent_words
from almenara.admin_ui.forms import MOST_THREATS, Written, kept_unknown, read_document
from almenara.admin_ui.security import new_token
from almenara.admin_ui.states import CASE, DELIVERY
from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.words import N_
from almenara.protocol import vocabulary

if TYPE_CHECKING:
    from aiohttp import web

    from almenara.admin_ui.reader import Reader
    from almenara.node import models

ADDRESS_HEADER = "Almenara-Address"  # where this form is from now on; htmx's own header would write to the storage
LISTS = frozenset(part.path for group in GROUPS for part in group.fields if isinstance(part, Items))
NEEDED = N_("This is needed before the case can be shared.")


async def show_all(visit: Visit) -> web.StreamResponse:
    """The list, all or in one state."""
    wanted = visit.request.query.get("state", "")
    cases = (await visit.service.cases(visit.actor, wanted if wanted in CASE else None)).cases
    return visit.page("cases.html", here="cases", cases=cases, wanted=wanted, states=CASE)


async def show(visit: Visit) -> web.StreamResponse:
    """One case: the record, the consent, what was shared with whom."""
    record = await visit.service.case(visit.actor, visit.request.match_info["case_id"])
    written = Written(record.case)
    return visit.page(
        "case.html",
        here="cases",
        record=record,
        title=written.text("title"),
        sections=case_sections(visit.reader, record.case),
        consent=consent_words(visit.reader, _part(record.case, "consent")),
        problems=_listed(visit.reader, record.problems),
        sent=[await visit.service.alert(visit.actor, sent.alert_id) for sent in record.sent],
        states=CASE,
        deliveries=DELIVERY,
    )


async def new(visit: Visit) -> web.StreamResponse:
    """An empty form."""
    return await _form_page(visit, {}, form_key=new_token())


async def edit(visit: Visit) -> web.StreamResponse:
    """The form of a case that exists, with what is wrong with it."""
    record = await visit.service.case(visit.actor, visit.request.match_info["case_id"])
    return await _form_page(visit, record.case, record=record)


async def save(visit: Visit) -> web.StreamResponse:
    """Save what the form says; show it again with its problems until it is complete."""
    record = await _save(visit)
    if adding := visit.text("add"):
        return await _form_page(visit, record.case, record=record, one_more=adding)
    if record.state == "ready":
        return visit.go(f"/cases/{record.case_id}", "case-saved")
    return await _form_page(visit, record.case, record=record, status=422)


async def autosave(visit: Visit) -> web.StreamResponse:
    """Save what stands in the form so far; the answer replaces the line that says when."""
    record = await _save(visit)
    answer = visit.page("saved.html", record=record)
    answer.headers[ADDRESS_HEADER] = f"/cases/{record.case_id}/edit"
    return answer


async def close(visit: Visit) -> web.StreamResponse:
    """Keep the case, but change and send it no more."""
    record = await visit.service.close_case(visit.actor, visit.request.match_info["case_id"])
    return visit.go(f"/cases/{record.case_id}", "case-closed")


async def _save(visit: Visit) -> models.CaseRecord:
    """Save to the case of this form; two saves of one new form that cross make one case."""
    document = read_document(visit.form)
    if case_id := visit.request.match_info.get("case_id") or visit.text("case_id"):
        stored = (await visit.service.case(visit.actor, case_id)).case
        return await visit.service.save_case(visit.actor, document | kept_unknown(stored, visit.form), case_id)
    opened = visit.memory.form(visit.text("form_key"))
    async with opened.lock:
        record = await visit.service.save_case(visit.actor, document, opened.case_id)
        opened.case_id = record.case_id
    return record


async def _form_page(
    visit: Visit,
    document: dict[str, Any],
    *,
    record: models.CaseRecord | None = None,
    form_key: str = "",
    one_more: str = "",
    status: int = 200,
) -> web.Response:
    problems = record.problems if record else []
    return visit.page(
        "case_form.html",
        status=status,
        here="cases",
        groups=GROUPS,
        written=Written(document),
        record=record,
        form_key=form_key or visit.text("form_key"),
        one_more=one_more,
        is_items=lambda part: isinstance(part, Items),
        options=_options(visit.reader),
        threat_groups=_threat_groups(visit.reader),
        audience=await _audience(visit),
        regions=areas_of(Written(document).text("place.country")),
        offsets=OFFSETS,
        own_offset=_own_offset(visit.reader),
        opened=lambda group: any(part.path.split(".")[0] in document for part in group.fields),
        problems=_listed(visit.reader, problems),
        problem_of={control_of(problem.get("field", "")): words(visit.reader, problem) for problem in problems},
        most_threats=MOST_THREATS,
    )


def words(reader: Reader, problem: dict[str, Any]) -> str:
    """One problem of a draft in the reader's words, as it stands under its field."""
    if is_missing(problem):
        return reader.say(NEEDED)
    return reader.say(problem.get("next") or problem.get("detail") or problem.get("title", ""))


def is_missing(problem: dict[str, Any]) -> bool:
    """Whether the field was simply left empty: then naming it says enough."""
    return problem.get("got") == "nothing" and not problem.get("next")


def _listed(reader: Reader, problems: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Each problem as (field, its label, what is wrong; nothing where it is only missing)."""
    return [
        (
            path := control_of(problem.get("field", "")),
            _label(reader, path),
            "" if is_missing(problem) else words(reader, problem),
        )
        for problem in problems
    ]


def control_of(path: str) -> str:
    """Give the control a problem is shown at: of a whole part that is missing or wrong, its first."""
    plain = _without_numbers(path)
    if plain in FIELDS or path in LISTS:
        return path
    first = next((name for name in FIELDS if name.startswith(f"{plain}.")), plain)
    return path + first.removeprefix(plain)


def _label(reader: Reader, path: str) -> str:
    field = FIELDS.get(_without_numbers(path))
    return reader.say(field.label) if field else path


def _without_numbers(path: str) -> str:
    return ".".join(step for step in path.split(".") if not step.isdecimal())


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _options(reader: Reader) -> dict[str, list[tuple[str, str]]]:
    """The choices of every list a control of the form shows, in the reader's words."""
    names = {field.codes for field in FIELDS.values() if field.codes}
    made = {name: [(code, reader.label(name, code)) for code in vocabulary.codes(name)] for name in names}
    return made | {"country": reader.countries()}


def _threat_groups(reader: Reader) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """The threats by domain, as (domain, its word, its threats)."""
    return [
        (
            domain,
            reader.label("threat_domain", domain),
            [
                (code, reader.label("threat", code))
                for code in vocabulary.codes("threat")
                if vocabulary.threat_domain(code) == domain
            ],
        )
        for domain in vocabulary.codes("threat_domain")
    ]


def _own_offset(reader: Reader) -> str:
    """What the clock of the reader's own zone shows now, as `+03:00`; the place may have another."""
    minutes = round((datetime.now(reader.zone).utcoffset() or timedelta()).total_seconds() / 60)
    return _offset(minutes)


def _offset(minutes: int) -> str:
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


# Every offset some country's clock has: whole hours, and the halves and quarters that exist.
OFFSETS = [
    (_offset(minutes), f"UTC {_offset(minutes)}")
    for minutes in sorted({*range(-660, 841, 60), -570, -210, -150, 210, 270, 330, 345, 390, 525, 570, 630, 765})
]


async def _audience(visit: Visit) -> list[tuple[str, str]]:
    """Whom a consent can name: verified organisations and the circles that are groups."""
    peers = (await visit.service.peers(visit.actor)).peers
    circles = (await visit.service.circles(visit.actor)).circles
    return [
        *((circle.circle_id, circle.name) for circle in circles if circle.kind == "group" and circle.state == "active"),
        *((peer.node_id, peer.name) for peer in peers if peer.state == "verified"),
    ]


ROUTES = (
    Route("GET", "/cases", show_all, Who.CASE_WORKER),
    Route("GET", "/cases/new", new, Who.CASE_WORKER),
    Route("POST", "/cases/new", save, Who.CASE_WORKER),
    Route("POST", "/cases/draft", autosave, Who.CASE_WORKER),
    Route("GET", "/cases/{case_id}", show, Who.CASE_WORKER),
    Route("GET", "/cases/{case_id}/edit", edit, Who.CASE_WORKER),
    Route("POST", "/cases/{case_id}/edit", save, Who.CASE_WORKER),
    Route("POST", "/cases/{case_id}/draft", autosave, Who.CASE_WORKER),
    Route("POST", "/cases/{case_id}/close", close, Who.CASE_WORKER),
)
