"""The sample cases: plainly fictitious, all ready, wide in vocabulary, and stopped by nothing but consent."""

from __future__ import annotations

import json
import re
from datetime import date
from importlib.resources import files
from typing import Any

import pytest

from almenara.node.cases.consent import SHARING_STATES, may_share
from almenara.node.cases.reading import Reading, read_case
from almenara.node.cases.secrets import local_texts
from almenara.node.minimise.gate import Gate, Secret
from almenara.node.minimise.place import Places
from almenara.node.minimise.policy import default_policy
from almenara.node.minimise.view import minimise
from almenara.protocol import vocabulary

LINES = files("almenara.node.demo").joinpath("cases.jsonl").read_text(encoding="utf-8").splitlines()
DOCUMENTS: list[dict[str, Any]] = [json.loads(line) for line in LINES]
PLACES = Places()
NOW = 1_767_225_600_000  # 1 January 2026: every sample lies in the past of any machine that runs this
FICTITIOUS = re.compile(
    "fict|invent|imagin|kubun|خيالي|ساختگی|вымышл|выдуман|вигадан|စိတ်ကူးယဉ်|虚构|kurgusal|uydur|falsa|inexist",
    re.IGNORECASE,
)


def read(document: dict[str, Any]) -> Reading:
    return read_case(document, places=PLACES, now_ms=NOW)


def test_there_are_enough_of_them_in_many_languages() -> None:
    assert len(DOCUMENTS) >= 24
    scripts = {
        "arabic": "[\u0600-\u06ff]",
        "cyrillic": "[\u0400-\u04ff]",
        "myanmar": "[\u1000-\u109f]",
        "han": "[\u4e00-\u9fff]",
    }
    for name, letters in scripts.items():
        assert any(re.search(letters, document["title"]) for document in DOCUMENTS), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=range(1, len(DOCUMENTS) + 1))
def test_a_sample_is_ready_without_warning_and_plainly_fictitious(document: dict[str, Any]) -> None:
    reading = read(document)
    assert [problem.line() for problem in reading.problems] == []
    assert reading.warnings == ()
    assert FICTITIOUS.search(document["title"] + document.get("narrative", ""))
    assert all(FICTITIOUS.search(person["name"]) for person in document.get("persons", []))


def test_they_show_what_the_vocabulary_can_say() -> None:
    def used(name: str) -> set[str]:
        return {document[name] for document in DOCUMENTS if name in document}

    assert used("target_unit") == set(vocabulary.codes("target_unit"))
    assert used("phase") == set(vocabulary.codes("phase"))
    assert used("severity") >= {"Extreme", "Severe", "Moderate", "Minor"}
    assert used("urgency") >= {"Immediate", "Expected", "Future", "Past"}
    assert used("situation") >= {"at-home", "displaced", "exile", "detained"}
    assert used("reprisal") >= {"un", "regional"}
    domains = {threat.split(".")[0] for document in DOCUMENTS for threat in document["threats"]}
    assert domains == set(vocabulary.codes("threat_domain"))
    assert {vocabulary.perpetrator_class(code) for code in used("perpetrator")} == {"state", "non-state", "unknown"}
    assert any("transnational" in document for document in DOCUMENTS)
    assert any(document.get("gendered_dimension") for document in DOCUMENTS)
    kinds = [set(document["place"]) for document in DOCUMENTS]
    assert {"country"} in kinds
    assert {"country", "admin1"} in kinds
    assert any("lat" in place for place in kinds)


def test_some_may_go_to_nobody_and_the_others_to_each_tier() -> None:
    states = [document["consent"]["state"] for document in DOCUMENTS]
    assert sum(state not in SHARING_STATES for state in states) >= 3
    today = date(2026, 1, 1)
    for tier in (1, 2, 3):
        cases = [case for document in DOCUMENTS if (case := read(document).case)]
        assert any(may_share(case.consent, "group", tier, "", [], today) is None for case in cases)


def test_no_sample_is_stopped_by_the_gate_though_it_knows_them_all() -> None:
    gate = Gate(Secret(field, str(at), text) for at, doc in enumerate(DOCUMENTS) for field, text in local_texts(doc))
    for document in DOCUMENTS:
        case = read(document).case
        assert case is not None
        for tier in (1, 2, 3):
            result = minimise(case, tier, policy=default_policy(), places=PLACES, status="Test")
            gate.check(result.view, result.body)
