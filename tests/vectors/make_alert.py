"""Vectors of the alert body: one good body per tier, and bodies with one slot that is wrong or tells too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vector import bad, good, newer, pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector

KIND = "alert"

PARTNER: dict[str, Any] = {
    "schema": 1,
    "vocab": 1,
    "tier": 1,
    "status": "Test",
    "threats": ["legal.raid-search", "digital.device-seizure"],
    "phase": "occurred",
    "severity": "Severe",
    "urgency": "Immediate",
    "certainty": "Observed",
    "verification": "single-source",
    "permitted_actions": "contact-for-instruction",
    "perpetrator": "state.police",
    "target_unit": "organisation",
    "situation": "at-home",
    "role": "org-staff",
    "issue": "labour",
    "network_shows": "issue",
    "country": "CO",
    "area": "CO-CAU",
    "cell": "8666c6c77ffffff",
    "when": "2026-11-20",
    "origin": "",
    "host": "",
    "reprisal": "none",
    "gendered": 0,
    "requests": ["legal.aid", "presence.accompaniment"],
    "offers": [],
    "language": "",
    "text": "",
}
NETWORK = PARTNER | {"tier": 2, "role": "", "network_shows": "", "cell": "", "when": "2026-W47"}
INTERNATIONAL = NETWORK | {
    "tier": 3,
    "threats": ["legal", "digital"],
    "perpetrator": "state",
    "situation": "",
    "issue": "",
    "area": "",
    "when": "2026-11",
    "reprisal": "",
}

REFUSED: list[tuple[str, str, str, dict[str, Any]]] = [
    ("unknown-version", "schema-zero", "schema 0", PARTNER | {"schema": 0}),
    ("out-of-range", "tier-four", "a tier that does not exist", PARTNER | {"tier": 4}),
    ("out-of-range", "vocabulary-zero", "a vocabulary without version", PARTNER | {"vocab": 0}),
    ("wrong-type", "flag-as-text", "a flag that is text", PARTNER | {"gendered": "1"}),
    ("out-of-range", "flag-of-two", "a flag that is neither 0 nor 1", PARTNER | {"gendered": 2}),
    ("wrong-count", "no-threat", "an alert without a threat", PARTNER | {"threats": []}),
    ("wrong-count", "seven-threats", "one threat too many", PARTNER | {"threats": ["legal.charges"] * 7}),
    ("bad-form", "code-with-a-space", "a name where a code must stand", PARTNER | {"role": "Persona Ficticia"}),
    ("bad-form", "no-severity", "a slot that no alert can do without", PARTNER | {"severity": ""}),
    ("bad-form", "no-country", "no country", PARTNER | {"country": "", "area": ""}),
    (
        "bad-form",
        "subregion-of-two-digits",
        "a subregion that is no M49 code",
        NETWORK | {"country": "M49:54", "area": ""},
    ),
    ("bad-form", "area-elsewhere", "an area of another country", PARTNER | {"area": "KE-30"}),
    ("bad-form", "cell-too-fine", "an H3 cell of resolution 7", PARTNER | {"cell": "8766c6c77ffffff"}),
    ("bad-form", "day-that-is-none", "31 November", PARTNER | {"when": "2026-11-31"}),
    ("bad-form", "week-that-is-none", "week 53 of a year with 52", NETWORK | {"when": "2025-W53"}),
    ("bad-form", "minute", "a time of day", PARTNER | {"when": "2026-11-20T14:37Z"}),
    ("wrong-length", "text-too-long", "1,201 bytes of text", PARTNER | {"language": "es", "text": "a" * 1201}),
    ("too-fine", "cell-to-the-network", "a cell beyond a partner", NETWORK | {"cell": PARTNER["cell"]}),
    ("too-fine", "day-to-the-network", "a day beyond a partner", NETWORK | {"when": "2026-11-20"}),
    ("too-fine", "role-and-issue-to-the-network", "both of the two", NETWORK | {"role": "org-staff"}),
    ("too-fine", "text-to-the-network", "free text beyond a partner", NETWORK | {"language": "es", "text": "x"}),
    ("too-fine", "area-to-international", "an area beyond the network", INTERNATIONAL | {"area": "CO-CAU"}),
    ("too-fine", "week-to-international", "a week beyond the network", INTERNATIONAL | {"when": "2026-W47"}),
    (
        "too-fine",
        "threat-code-to-international",
        "a threat, not its domain",
        INTERNATIONAL | {"threats": ["legal.charges"]},
    ),
    (
        "too-fine",
        "police-to-international",
        "a perpetrator, not its class",
        INTERNATIONAL | {"perpetrator": "state.police"},
    ),
    ("too-fine", "issue-to-international", "an issue beyond the network", INTERNATIONAL | {"issue": "labour"}),
]


def present(slots: dict[str, Any]) -> dict[str, Any]:
    """Leave out absent slots; the flag becomes true."""
    found = {name: value for name, value in slots.items() if value not in ("", [], 0)}
    return found | ({"gendered": True} if slots["gendered"] else {})


def vectors() -> Iterator[Vector]:
    """Yield the vectors of the alert body."""
    later = PARTNER | {"vocab": 9, "threats": ["climate.of-a-later-list"], "severity": "Unheard-of", "gendered": 1}
    accepted = [
        ("partner", "what a partner sees", PARTNER),
        ("network", "the same case for the network", NETWORK),
        ("international", "the same case for international bodies", INTERNATIONAL),
        ("subregion", "a country of few people, as its subregion", INTERNATIONAL | {"country": "M49:061"}),
        ("later-vocabulary", "codes nobody knows yet: kept as they came", later),
        ("coarser-than-allowed", "a month where a partner might see the day", PARTNER | {"when": "2026-11"}),
    ]
    for name, about, slots in accepted:
        yield good(KIND, name, about, {"body": pack(*slots.values())}, view=present(slots))
    yield newer("unknown-version", KIND, "schema-two", "a later schema: kept, not read", body=pack(2, "?", [b"x"]))
    yield bad("wrong-count", KIND, "one-slot-short", "28 slots", body=pack(*list(PARTNER.values())[:-1]))
    yield bad("wrong-count", KIND, "one-slot-more", "30 slots", body=pack(*PARTNER.values(), ""))
    yield bad("too-long", KIND, "longer-than-an-envelope", "3,585 bytes", body=pack(bytes(3581)))
    for defect, name, about, slots in REFUSED:
        yield bad(defect, KIND, name, about, body=pack(*slots.values()))
