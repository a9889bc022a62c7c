"""Between a posted form and a case document: what the controls say becomes JSON, and any JSON becomes controls again.

Reading never refuses: a value that has the wrong form is kept as it was typed, and the node says what is wrong with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from almenara.admin_ui.areas import area_code
from almenara.admin_ui.case_form import GROUPS, Field, Items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from almenara.admin_ui.visit import Form

MOST_THREATS = 6
KNOWN = frozenset(part.path.split(".")[0] for group in GROUPS for part in group.fields)

_EXACT = re.compile(r"(?P<day>\d{4}-\d\d-\d\d)(?:T(?P<time>\d\d:\d\d)(?::\d\d)?(?P<offset>Z|[+-]\d\d:\d\d))?")


def read_document(form: Form) -> dict[str, Any]:
    """Make the case document from a posted form; what was left empty, or stands at its default, is absent."""
    document: dict[str, Any] = {}
    for group in GROUPS:
        for part in group.fields:
            if isinstance(part, Items):
                items = [item for item in (_item(form, part, index) for index in _indices(form, part.path)) if item]
                if items:
                    document[part.path] = items
            else:
                _put(document, part.path, _value(form, part, part.path))
    return document


def kept_unknown(stored: dict[str, Any], form: Form) -> dict[str, Any]:
    """Fields of a stored draft that no case has: kept until their removal is ticked, so that nothing is lost unseen."""
    dropped = set(form.getall("drop", []))
    return {name: value for name, value in stored.items() if name not in KNOWN and name not in dropped}


def _indices(form: Form, path: str) -> list[int]:
    found = re.compile(re.escape(path) + r"\.(\d{1,3})\.")
    return sorted({int(match[1]) for name in form if (match := found.match(name))})


def _item(form: Form, items: Items, index: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for field in items.fields:
        _put(made, field.path, _value(form, field, f"{items.path}.{index}.{field.path}"))
    return made


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    if value in ("", [], False, None):
        return
    *parents, name = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[name] = value


def _value(form: Form, field: Field, name: str) -> Any:
    match field.kind:
        case "codes" | "audience" | "threats":
            return list(dict.fromkeys(value for value in form.getall(name, []) if value))
        case "lines":
            return [line.strip() for line in _text(form, name).splitlines() if line.strip()]
        case "flag":
            return form.get(name) == "true"
        case "number":
            return _number(_text(form, name))
        case "when":
            return _when(form, name)
        case _:
            text = _text(form, name)
            if field.kind == "region":
                text = area_code(text, _text(form, "place.country"))
            return "" if text == field.default else text


def _text(form: Form, name: str) -> str:
    return form.get(name, "").replace("\r\n", "\n").strip()


def _number(text: str) -> float | str:
    """A number, also with a decimal comma or Arabic digits; what is none stays text, and is refused as such later."""
    try:
        return float(text.replace(",", ".").replace("\N{ARABIC DECIMAL SEPARATOR}", ".").replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return text


def _when(form: Form, name: str) -> str:
    day, time, offset = (_text(form, f"{name}.{part}") for part in ("day", "time", "offset"))
    if day and time:
        return f"{day}T{time}{offset or '+00:00'}"
    return day or _text(form, f"{name}.coarse")


@dataclass(frozen=True)
class Written:
    """A document as controls show it; whatever has an unexpected type shows as empty or as its text."""

    document: dict[str, Any]

    def _at(self, path: str) -> Any:
        found: Any = self.document
        for step in path.split("."):
            if isinstance(found, dict):
                found = found.get(step)
            elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
                found = found[int(step)]
            else:
                return None
        return found

    def text(self, path: str, default: str = "") -> str:
        """The value of a one-line control."""
        value = self._at(path)
        return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else default

    def many(self, path: str) -> list[str]:
        """The values of a control that holds several."""
        value = self._at(path)
        if isinstance(value, str):
            return [value]
        return [str(one) for one in value if isinstance(one, str | int)] if isinstance(value, list) else []

    def flag(self, path: str) -> bool:
        """Whether a tick is set."""
        return self._at(path) is True

    def count(self, path: str) -> int:
        """How many items a repeated part has."""
        value = self._at(path)
        return len(value) if isinstance(value, list) else 0

    def when(self, path: str) -> dict[str, str]:
        """The four controls of a point in time: day, time, offset, or the coarse text."""
        text = self.text(path)
        if exact := _EXACT.fullmatch(text):
            offset = exact["offset"] or ""
            return {
                "day": exact["day"],
                "time": exact["time"] or "",
                "offset": offset.replace("Z", "+00:00"),
                "coarse": "",
            }
        return {"day": "", "time": "", "offset": "", "coarse": text}

    def unknown(self) -> Iterator[str]:
        """Names of fields that no case has."""
        return (name for name in self.document if name not in KNOWN)
