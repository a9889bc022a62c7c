"""The alert body, schema 1: one positional array that carries a view of a case (SCHEMAS §3, SPEC §12).

In memory a view is a dict of slot names, absent slots left out; the same names stand in JSON under `view`. Codes are
not looked up here: one of a later vocabulary is kept and passed through as it came. What a tier may not see is refused
on both sides, so that a mistake in a minimiser stops before it leaves, and does not spread if it came.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from almenara.protocol.alert_schema import json_schema_alert
from almenara.protocol.codec import Check, Shape, array, code, country, integer, text, wrong_type
from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.limits import (
    ALERT_SCHEMA,
    FINEST_CELL,
    MAX_ALERT_BODY,
    MAX_ALERT_TEXT,
    MAX_RESPONSES,
    MAX_THREATS,
    UINT16,
)

__all__ = ["BODY", "SLOTS", "check_tier", "encode_view", "json_schema_alert", "parse_view", "precision_of"]

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTNER, NETWORK, INTERNATIONAL = 1, 2, 3  # tiers

_COUNTRY_OR_SUBREGION = re.compile(r"[A-Z]{2}|M49:[0-9]{3}")
_AREA = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")
_CELL = re.compile(rf"8[0-{FINEST_CELL}][0-9a-f]{{13}}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,4}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WEEK = re.compile(r"([0-9]{4})-W([0-9]{2})")
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")


def _form(pattern: re.Pattern[str], meaning: str, *, optional: bool = True) -> Check:
    def check(value: object, name: str) -> None:
        if type(value) is not str:
            raise wrong_type(name, "text", value)
        if not (optional and value == "") and not pattern.fullmatch(value):
            raise RemoteError(Defect.BAD_FORM, name, meaning)

    return check


def precision_of(when: str) -> int | None:
    """Give the narrowest tier that sees a time of this form: day 1, ISO week 2, month 3; None for no date at all."""
    try:
        if _DAY.fullmatch(when):
            date.fromisoformat(when)
            return PARTNER
        if week := _WEEK.fullmatch(when):
            date.fromisocalendar(int(week[1]), int(week[2]), 1)
            return NETWORK
        if _MONTH.fullmatch(when):
            date.fromisoformat(f"{when}-01")
            return INTERNATIONAL
    except ValueError:
        pass
    return None


def _when(value: object, name: str) -> None:
    if type(value) is not str:
        raise wrong_type(name, "text", value)
    if value and precision_of(value) is None:
        raise RemoteError(Defect.BAD_FORM, name, "a day, an ISO week or a month")


_SLOTS: Final[tuple[tuple[str, Check], ...]] = (
    ("vocab", integer(1, UINT16)),
    ("tier", integer(PARTNER, INTERNATIONAL)),
    ("status", code()),
    ("threats", array(code(), MAX_THREATS, 1)),
    ("phase", code()),
    ("severity", code()),
    ("urgency", code()),
    ("certainty", code()),
    ("verification", code()),
    ("permitted_actions", code()),
    ("perpetrator", code()),
    ("target_unit", code()),
    ("situation", code(optional=True)),
    ("role", code(optional=True)),
    ("issue", code(optional=True)),
    ("network_shows", code(optional=True)),
    ("country", _form(_COUNTRY_OR_SUBREGION, "a country, or a subregion such as M49:054", optional=False)),
    ("area", _form(_AREA, "an ISO 3166-2 code")),
    ("cell", _form(_CELL, f"an H3 cell of resolution {FINEST_CELL} or coarser")),
    ("when", _when),
    ("origin", country(optional=True)),
    ("host", country(optional=True)),
    ("reprisal", code(optional=True)),
    ("gendered", integer(0, 1)),
    ("requests", array(code(), MAX_RESPONSES)),
    ("offers", array(code(), MAX_RESPONSES)),
    ("language", _form(_LANGUAGE, "a BCP 47 language tag")),
    ("text", text(MAX_ALERT_TEXT, lines=True)),
)
BODY: Final = Shape("alert body", *_SLOTS, version=ALERT_SCHEMA)
SLOTS: Final[tuple[str, ...]] = ("schema", *(name for name, _ in _SLOTS))

_ABSENT: Final[Mapping[str, object]] = {"threats": [], "requests": [], "offers": [], "gendered": 0}
_NOT_BEYOND: Final[Mapping[str, int]] = {  # the widest tier that may see the slot; absent here: every tier
    "network_shows": PARTNER,
    "cell": PARTNER,
    "language": PARTNER,
    "text": PARTNER,
    "situation": NETWORK,
    "role": NETWORK,
    "issue": NETWORK,
    "area": NETWORK,
    "reprisal": NETWORK,
    "gendered": NETWORK,
}
_CLASSES: Final = frozenset({"state", "non-state", "unknown"})


def encode_view(view: Mapping[str, Any]) -> bytes:
    """Encode a view as an alert body.

    Raises:
        LocalError: a slot is unknown, missing or malformed, or holds more than the view's tier may see, or the whole is
            longer than MAX_ALERT_BODY (TOO_LARGE).

    """
    if unknown := sorted(view.keys() - set(SLOTS)):
        raise LocalError(Defect.WRONG_COUNT, unknown[0], "a slot of the alert body")
    if view.get("schema") != ALERT_SCHEMA:
        raise LocalError(Defect.UNKNOWN_VERSION, "schema", str(ALERT_SCHEMA))
    full = {name: view.get(name, _ABSENT.get(name, "")) for name in SLOTS[1:]}
    full["gendered"] = int(full["gendered"])
    body = BODY.write(*full.values())
    try:
        check_tier(full)
    except RemoteError as error:
        raise LocalError.like(error) from None
    if len(body) > MAX_ALERT_BODY:
        raise LocalError(Defect.TOO_LARGE, _largest(full), f"a body of at most {MAX_ALERT_BODY} bytes", f"{len(body)}")
    return body


def _largest(full: Mapping[str, Any]) -> str:
    """Name the slot that takes the most room."""
    return max(full, key=lambda name: len(repr(full[name]).encode()))


def parse_view(body: bytes) -> dict[str, Any]:
    """Read an alert body as a view; absent slots are left out, `gendered` is True or absent.

    Raises:
        NewerVersion: a higher schema number; keep the body and show it as *newer version*.
        RemoteError: anything else that SPEC §12 refuses.

    """
    values = BODY.read(body, MAX_ALERT_BODY)
    full = dict(zip(SLOTS, values, strict=True))
    check_tier(full)
    view = {name: value for name, value in full.items() if value}  # absent is "", [] or 0
    if "gendered" in view:
        view["gendered"] = True
    return view


def check_tier(view: Mapping[str, Any]) -> None:
    """Check that no slot holds more than the view's tier may see. Raises RemoteError: TOO_FINE, with the slot."""
    tier = view["tier"]
    for name, widest in _NOT_BEYOND.items():
        if tier > widest and view.get(name):
            raise RemoteError(Defect.TOO_FINE, name, f"nothing at tier {tier}")
    if view.get("when") and (precision_of(view["when"]) or 0) < tier:
        raise RemoteError(Defect.TOO_FINE, "when", "an ISO week or coarser" if tier == NETWORK else "a month")
    if view.get("area") and view["area"][:2] != view["country"]:
        raise RemoteError(Defect.BAD_FORM, "area", "an area of the country")
    if tier == NETWORK and view.get("role") and view.get("issue"):
        raise RemoteError(Defect.TOO_FINE, "role", "role or issue, not both")
    if tier == INTERNATIONAL:
        if any("." in threat for threat in view["threats"]):
            raise RemoteError(Defect.TOO_FINE, "threats", "domains")
        if view["perpetrator"] not in _CLASSES:
            raise RemoteError(Defect.TOO_FINE, "perpetrator", "state, non-state or unknown")
