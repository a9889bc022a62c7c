"""The known-secrets gate: what a case knows does not leave in any spelling, and codes are compared as wholes."""

from __future__ import annotations

import random
import re
import time
import unicodedata
from typing import Any

import pytest

from almenara.node.cases.secrets import local_texts
from almenara.node.minimise.gate import Gate, Secret
from almenara.node.minimise.view import minimise
from almenara.node.problem import Kind, Problem
from almenara.protocol.alert import encode_view
from tests.node.minimise.conftest import PLACES, POLICY, case_of, document

NAMES = [
    "Persona Ficticia Uno",
    "Nadie Inventada Quispe",
    "Zawadi Mfano Wanjiru",
    "Тестовая Персона Иванова",
    "شخصية خيالية أولى",
    "فاطمة المثال",
    "မောင် စမ်းသပ်",
    "测试人员",
    "Élodie Exemple-Dupont",
    "Łucja Przykładowa",
]
NUMBERS = ["+57 300 000 0001", "0712-000-001", "ABC-12345-67", "٠١٢٣٤٥٦٧٨٩", "1-800-555-0199"]
CLEAN = [
    "The police searched an office in the morning.",
    "Se pide acompañamiento y asistencia jurídica.",
    "Une perquisition a eu lieu dans un bureau.",
    "تمت مداهمة مكتب في الصباح",
    "В офисе прошёл обыск.",  # noqa: RUF001 - Russian
]


def gate_of(*texts: str) -> Gate:
    return Gate(Secret("persons.name", "case-1", text) for text in texts)


def spellings(secret: str, rnd: random.Random) -> list[str]:
    folded = "".join(c for c in unicodedata.normalize("NFKD", secret.lower()) if not unicodedata.combining(c))
    found = [secret, secret.upper(), folded]
    parts = secret.split()
    if len(parts) > 1:
        found += [" ".join(reversed(parts)), "-".join(parts), "".join(parts)]
    if any(c.isdigit() for c in secret):
        stripped = re.sub(r"[\W_]", "", secret)
        found += [stripped, " ".join(stripped), ".".join(stripped)]
    return found


@pytest.mark.parametrize("secret", NAMES + NUMBERS)
def test_a_secret_is_found_in_every_spelling(secret: str) -> None:
    gate = gate_of(secret)
    missed = [text for text in spellings(secret, random.Random(3)) if gate.search(f"Note: {text} was seen") is None]
    assert missed == []


def test_one_character_slips_in_names_are_found_nearly_always() -> None:
    rnd, caught, total = random.Random(5), 0, 0
    for name in NAMES:
        gate = gate_of(name)
        for word in name.split():
            for _ in range(10):
                if len(word) < 6:
                    continue
                at = rnd.randrange(1, len(word) - 2)
                slip = rnd.choice([word[:at] + word[at + 1 :], word[:at] + word[at + 1] + word[at] + word[at + 2 :]])
                total += 1
                caught += gate.search(f"Note: {slip} was seen") is not None
    print(f"one-character slips: {caught} of {total}")
    assert caught >= 0.88 * total


def test_clean_sentences_pass() -> None:
    gate = gate_of(*NAMES, *NUMBERS)
    assert [text for text in CLEAN if gate.search(text)] == []


def test_sentences_and_numbers_of_a_narrative_are_found_and_its_words_are_not() -> None:
    narrative = (
        "The first fictitious witness lives behind the old mill. Call 0712 000 001 after dark. They came at night."
    )
    gate = Gate([Secret("narrative", "case-1", narrative)])
    assert gate.search("Somebody said: the first fictitious witness lives behind the OLD mill, they say") is not None
    assert gate.search("Reach them at 0712-000-001") is not None
    assert gate.search("A witness was called at night.") is None


VIEW: dict[str, Any] = {
    "schema": 1,
    "vocab": 1,
    "tier": 1,
    "status": "Test",
    "threats": ["legal.raid-search"],
    "phase": "occurred",
    "severity": "Severe",
    "urgency": "Immediate",
    "certainty": "Observed",
    "verification": "unverified",
    "permitted_actions": "none",
    "perpetrator": "unknown",
    "target_unit": "family",
    "role": "lawyer",
    "issue": "land-environment-climate",
    "country": "CO",
    "area": "CO-CAU",
    "when": "2026-11-20",
}


def refusal(gate: Gate, **change: Any) -> Problem | None:
    view = VIEW | change
    try:
        gate.check(view, encode_view(view))
    except Problem as problem:
        return problem
    return None


@pytest.mark.parametrize("name", ["Land", "Fam", "Law", "Raid Search", "Co Cau Uno", "Noviembre"])
def test_a_name_that_is_part_of_a_code_stops_nothing(name: str) -> None:
    assert refusal(gate_of(name)) is None


@pytest.mark.parametrize(
    ("secret", "slot"),
    [("CO-CAU", "area"), ("20261120", "when"), ("co", "country"), ("Family", "target_unit"), ("Lawyer", "role")],
)
def test_a_secret_equal_to_what_is_shown_stops_the_send(secret: str, slot: str) -> None:
    problem = refusal(gate_of(secret))
    assert problem is not None
    assert (problem.kind, problem.field) == (Kind.SECRET_WOULD_LEAVE, slot)


def test_a_title_that_is_the_word_for_a_test_does_not_stop_tests() -> None:
    assert refusal(gate_of("Test", "Exercise")) is None


@pytest.mark.parametrize("title", ["Severe", "immediate", "Observed", "Occurred"])
def test_a_title_that_is_a_word_of_every_alert_does_not_stop_every_alert(title: str) -> None:
    """One draft with such a title would silence the node."""
    assert refusal(gate_of(title)) is None


@pytest.mark.parametrize("slot", ["text", "severity", "role", "situation", "permitted_actions", "status"])
def test_a_secret_in_a_slot_for_codes_is_found_because_it_is_no_code(slot: str) -> None:
    assert refusal(gate_of("Ficticia-Uno"), **{slot: "x-ficticia-uno"}) is not None


def test_a_secret_among_threats_or_requests_is_found() -> None:
    assert refusal(gate_of("Ficticia"), threats=["legal.charges", "ficticia.uno"]) is not None
    assert refusal(gate_of("Ficticia"), requests=["legal.aid", "ficticia"]) is not None


def test_the_problem_names_both_fields_and_no_secret() -> None:
    problem = refusal(Gate([Secret("identifiers", "case-7", "CO-CAU")]))
    assert problem is not None
    told = problem.as_json()
    assert (told["field"], told["known_from"], told["known_case"]) == ("area", "identifiers", "case-7")
    assert "CAU" not in str(told)


def test_bytes_are_searched_even_if_the_view_says_otherwise() -> None:
    body = encode_view(VIEW | {"text": "Persona Ficticia"})
    with pytest.raises(Problem):
        gate_of("Persona Ficticia").check(VIEW, body)


def test_a_forgotten_case_stops_nothing_and_others_stay() -> None:
    gate = Gate([Secret("identifiers", "case-1", "CO-CAU"), Secret("identifiers", "case-2", "CO-CAU")])
    gate.forget("case-1")
    assert refusal(gate) is not None
    gate.forget("case-2")
    gate.forget("case-2")
    assert refusal(gate) is None
    gate.learn([Secret("identifiers", "case-3", "CO-CAU")])
    assert refusal(gate) is not None


def test_the_gate_leaves_nothing_behind_when_cases_are_forgotten() -> None:
    gate = Gate()
    for at in range(50):
        gate.learn(Secret("persons.name", f"case-{at}", name) for name in NAMES)
    for at in range(50):
        gate.forget(f"case-{at}")
    assert (gate._whole.homes, gate._words.homes, gate._starts.homes) == ({}, {}, {})


def test_no_drawn_case_is_stopped_by_its_own_secrets_and_planted_ones_always_are() -> None:
    rnd = random.Random(21)
    spent = 0.0
    for at in range(200):
        written = document(rnd)
        gate = Gate(Secret(field, f"case-{at}", text) for field, text in local_texts(written))
        for tier in (1, 2, 3):
            result = minimise(case_of(written), tier, policy=POLICY, places=PLACES, status="Test")
            start = time.perf_counter()
            gate.check(result.view, result.body)
            spent += time.perf_counter() - start
            planted = Gate([Secret("identifiers", "x", result.view["country"])])
            with pytest.raises(Problem):
                planted.check(result.view, result.body)
    print(f"gate: {spent / 600 * 1e3:.2f} ms per payload")
