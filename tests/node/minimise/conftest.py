"""Cases, twins of cases, and the shipped tables, for the tests of minimisation."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.cases.case import Case
from almenara.node.minimise.place import Places
from almenara.node.minimise.policy import Policy, default_policy
from almenara.protocol import vocabulary

if TYPE_CHECKING:
    import random

PLACES = Places()
POLICY = default_policy()
# Where the points of drawn cases lie: countries with their own outlines, old ones, few people, and many.
CENTRES = {
    "CO": (2.44, -76.61),
    "KE": (-1.29, 36.82),
    "PH": (14.6, 120.98),
    "MM": (16.87, 96.2),
    "GT": (14.6, -90.5),
    "TN": (36.8, 10.18),
    "TV": (-8.52, 179.2),
    "LY": (27.0, 17.0),
}


@pytest.fixture
def places() -> Places:
    return PLACES


@pytest.fixture
def policy() -> Policy:
    return POLICY


def document(rnd: random.Random) -> dict[str, Any]:
    """Draw a full case with a point."""
    country = rnd.choice(list(CENTRES))
    lat, lon = CENTRES[country]
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=rnd.randrange(3 * 365 * 1440))

    def code(name: str) -> str:
        return rnd.choice(vocabulary.codes(name))

    return {
        "title": "Caso ficticio",
        "narrative": "n" * rnd.randrange(1, 2000),
        "case_number": f"F-{rnd.randrange(10**6)}",
        "persons": [{"name": "Persona Ficticia " + "x" * rnd.randrange(1, 40), "phone": str(rnd.randrange(10**9))}],
        "source": {"name": "Fuente Ficticia", "reliability": code("source_reliability")},
        "threats": [code("threat") for _ in range(rnd.randint(1, 6))],
        "phase": "occurred",
        "severity": code("severity"),
        "urgency": code("urgency"),
        "certainty": code("certainty"),
        "perpetrator": code("perpetrator"),
        "target_unit": code("target_unit"),
        "role": code("role"),
        "issue": code("issue"),
        "network_shows": code("network_shows"),
        "situation": code("situation"),
        "transnational": {"origin": "KE", "host": "CO"},
        "reprisal": code("reprisal"),
        "gendered_dimension": rnd.random() < 0.5,
        "requests": [code("response")],
        "place": {
            "country": country,
            "admin1": rnd.choice(PLACES.admin1_of(country)),
            "lat": lat + rnd.uniform(-2, 2),
            "lon": lon + rnd.uniform(-0.7, 0.7),
            "locality": "Vereda Ficticia",
        },
        "occurred_at": start.isoformat(timespec="minutes"),
        "consent": {"state": "publish", "basis": "self"},
    }


def twin(one: dict[str, Any], rnd: random.Random) -> dict[str, Any]:
    """Move a case a little in place and time and change everything that never leaves: often the same narrow view."""
    other = copy.deepcopy(one)
    reach = 10 ** rnd.uniform(-4, 0)
    other["place"]["lat"] += rnd.uniform(-reach, reach)
    other["place"]["lon"] = max(-179.0, min(179.9, other["place"]["lon"] + rnd.uniform(-reach, reach)))
    other["place"]["locality"] = "Otra vereda"
    minutes = int(rnd.choice([1, 60, 1440, 5000]) * rnd.uniform(-1, 1))
    moved = datetime.fromisoformat(one["occurred_at"]) + timedelta(minutes=minutes)
    other["occurred_at"] = moved.isoformat(timespec="minutes")
    return secrets_changed(other, rnd)


def secrets_changed(one: dict[str, Any], rnd: random.Random) -> dict[str, Any]:
    """Change every local-only field and nothing else."""
    other = copy.deepcopy(one)
    other["title"] = "Otro título " + "y" * rnd.randrange(1, 50)
    other["narrative"] = "m" * rnd.randrange(1, 5000)
    other["case_number"] = f"G-{rnd.randrange(10**9)}"
    other["persons"] = [
        {"name": f"Persona Ficticia {at}", "email": "ficticia@example.org", "identity_factors": ["age"]}
        for at in range(rnd.randrange(4))
    ]
    other["organisations"] = ["Organización Ficticia " + "z" * rnd.randrange(60)]
    other["identifiers"] = [str(rnd.randrange(10**12))]
    other["source"] = {"name": "Otra fuente", "contact": "x" * rnd.randrange(1, 90), "credibility": "2"}
    other["evidence"] = [{"label": "Foto", "sha256": "ab" * 32}]
    other["perpetrator_detail"] = "Patrulla " + "9" * rnd.randrange(1, 100)
    other |= {"channel": "online", "mode": "act", "legal_pretext": "tax", "context": ["election"]}
    other["affected_circle"] = ["community"]
    other["place"]["locality"] = "Otra vereda ficticia"
    other["consent"] = {"state": "share-network", "basis": "family", "informed": "leído"}
    return other


def case_of(document: dict[str, Any]) -> Case:
    return Case.model_validate(document)
