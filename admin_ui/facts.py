"""What an alert's view, or a case, says, in words: one label and one value for each thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from almenara.admin_ui.case_form import GROUPS, Field, Items
from almenara.admin_ui.forms import Written
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from almenara.admin_ui.reader import Reader


@dataclass(frozen=True)
class Fact:
    """One line: `why` says what was made coarser, and for what reason."""

    label: str
    value: Markup
    why: str = ""


@dataclass(frozen=True)
class Slot:
    """How one slot of SCHEMAS §3 is said. `of` names the case fields it is made from."""

    name: str
    label: str
    codes: str = ""
    of: tuple[str, ...] = ()


SLOTS = (
    Slot("threats", N_("Threat"), of=("threats",)),
    Slot("severity", N_("Severity"), "severity"),
    Slot("urgency", N_("Urgency"), "urgency"),
    Slot("certainty", N_("Certainty"), "certainty"),
    Slot("phase", N_("Phase"), "phase"),
    Slot("verification", N_("Verification"), "verification"),
    Slot("place", N_("Place"), of=("place",)),
    Slot("when", N_("Time"), of=("occurred_at", "when")),
    Slot("target_unit", N_("Target"), "target_unit"),
    Slot("role", N_("Role"), "role"),
    Slot("issue", N_("Issue"), "issue"),
    Slot("situation", N_("Situation"), "situation"),
    Slot("perpetrator", N_("Perpetrator"), of=("perpetrator",)),
    Slot("transnational", N_("Across borders"), of=("transnational", "origin", "host")),
    Slot("reprisal", N_("Reprisal for working with"), "reprisal"),
    Slot("gendered", N_("Gendered side"), of=("gendered_dimension",)),
    Slot("requests", N_("Help requested"), "response"),
    Slot("offers", N_("Help offered"), "response"),
    Slot("permitted_actions", N_("What readers may do"), "permitted_actions"),
    Slot("text", N_("Text")),
)


def alert_facts(reader: Reader, view: dict[str, Any], coarsened: Iterable[Any] = ()) -> list[Fact]:
    """Every slot that says something, in the order of `SLOTS`; `coarsened` are the preview's notes."""
    why = {note.field.split(".")[0]: reader.say(note.why) for note in coarsened}
    found = []
    for slot in SLOTS:
        value = _slot(reader, slot, view)
        reason = next((why[name] for name in (slot.name, *slot.of) if name in why), "")
        if value:
            found.append(Fact(reader.say(slot.label), value, reason))
        elif reason:
            found.append(Fact(reader.say(slot.label), reader.say(N_("not shown")), reason))
    return found


def _slot(reader: Reader, slot: Slot, view: dict[str, Any]) -> Markup:
    special = _SPECIAL.get(slot.name)
    return special(reader, view) if special else _coded(reader, slot.codes, view.get(slot.name))


def _coded(reader: Reader, codes: str, value: object) -> Markup:
    if isinstance(value, list):
        return _list(reader.label(codes, code) for code in value)
    return _text(reader.label(codes, value)) if value else Markup("")


def _text(words: str) -> Markup:
    """People's text, in its own direction; nothing for nothing."""
    return Markup('<span dir="auto">%s</span>') % words if words else Markup("")


def _list(words: Iterable[str]) -> Markup:
    return Markup("<br>").join(_text(one) for one in words)


def _across(reader: Reader, view: dict[str, Any]) -> Markup:
    if not view.get("origin"):
        return Markup("")
    return reader.say(
        N_("from %(origin)s into %(host)s"),
        origin=reader.country(view["origin"]),
        host=reader.country(view.get("host")),
    )


def place_words(reader: Reader, view: dict[str, Any]) -> Markup:
    """The area if there is one, and the country; the cell of the map as a code besides."""
    country, area, cell = view.get("country"), view.get("area"), view.get("cell")
    if not country:
        return Markup("")
    parts = [reader.area(area), reader.country(country)] if area else [reader.country(country)]
    words = reader.say(", ").join(Markup("<bdi>%s</bdi>") % part for part in parts)
    return Markup("%s <br>%s") % (words, reader.say(N_("map cell %(cell)s"), cell=reader.code(cell))) if cell else words


def _yes(reader: Reader, *, said: bool) -> Markup:
    return reader.say(N_("yes")) if said else Markup("")


# Slots that are more than one code of one list.
_SPECIAL: dict[str, Callable[[Reader, dict[str, Any]], Markup]] = {
    "threats": lambda reader, view: _list(reader.threat(code) for code in view.get("threats", ())),
    "place": place_words,
    "when": lambda reader, view: reader.when(view["when"]) if view.get("when") else Markup(""),
    "perpetrator": lambda reader, view: _text(reader.perpetrator(view.get("perpetrator", ""))),
    "transnational": _across,
    "reprisal": lambda reader, view: (
        Markup("") if view.get("reprisal") == "none" else _coded(reader, "reprisal", view.get("reprisal"))
    ),
    "gendered": lambda reader, view: _yes(reader, said=bool(view.get("gendered"))),
    "text": lambda _reader, view: _text(view.get("text", "")),
}


def consent_words(reader: Reader, consent: dict[str, Any]) -> Markup:
    """The recorded consent in one sentence, with its date and its end."""
    written = Written(consent)
    parts = [
        reader.say(N_("Consent: %(state)s"), state=reader.label("consent_state", written.text("state", "not-asked")))
    ]
    if basis := written.text("basis"):
        parts.append(reader.say(N_("given by: %(basis)s"), basis=reader.label("consent_basis", basis)))
    for name, words in (("recorded_on", N_("recorded on %(day)s")), ("valid_until", N_("valid until %(day)s"))):
        if day := written.text(name):
            parts.append(reader.say(words, day=_day(reader, day)))
    return Markup(" · ").join(parts)


def _day(reader: Reader, text: str) -> Markup:
    try:
        return reader.day(text)
    except ValueError:
        return reader.code(text)


@dataclass(frozen=True)
class Section:
    """One group of a case's page."""

    title: str
    facts: list[Fact]


def case_sections(reader: Reader, document: dict[str, Any]) -> list[Section]:
    """Everything a case holds, in the order of its form; empty fields are left out."""
    written = Written(document)
    sections = []
    for group in GROUPS:
        facts = [fact for part in group.fields for fact in _case_facts(reader, written, part)]
        if facts:
            sections.append(Section(reader.say(group.title), facts))
    return sections


def _case_facts(reader: Reader, written: Written, part: Field | Items) -> Iterator[Fact]:
    if isinstance(part, Field):
        if value := case_value(reader, written, part, part.path):
            yield Fact(reader.say(part.label), value)
        return
    for index in range(written.count(part.path)):
        lines = [
            Markup('<span class="soft">%s:</span> %s') % (reader.say(field.label), value)
            for field in part.fields
            if (value := case_value(reader, written, field, f"{part.path}.{index}.{field.path}"))
        ]
        yield Fact(reader.say(part.one), Markup("<br>").join(lines))


def case_value(reader: Reader, written: Written, field: Field, path: str) -> Markup:
    """One field of a case in words; nothing when it is absent."""
    match field.kind:
        case "codes" | "threats" | "lines" | "audience":
            return _several(reader, field, written.many(path))
        case "flag":
            return _yes(reader, said=written.flag(path))
        case _:
            text = written.text(path)
            return _one(reader, field, text) if text else Markup("")


def _several(reader: Reader, field: Field, values: list[str]) -> Markup:
    if field.kind == "audience":
        return Markup("<br>").join(reader.code(one[:8]) for one in values)
    return _list(reader.label(field.codes, one) if field.codes else one for one in values)


def _one(reader: Reader, field: Field, text: str) -> Markup:
    said = _SAID.get(field.kind)
    if said:
        return said(reader, text)
    if field.kind == "code":
        return _text(reader.label(field.codes, text))
    return Markup('<span class="prose" dir="auto">%s</span>') % text


_SAID: dict[str, Callable[[Reader, str], Markup]] = {
    "country": lambda reader, text: _text(reader.country(text)),
    "region": lambda reader, text: _text(reader.area(text)),
    "date": _day,
    "when": lambda reader, text: reader.when(text),
    "number": lambda reader, text: reader.code(text),
}
