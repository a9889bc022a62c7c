"""SPEC.md §8 to §11 say what the code does, where a table or a number can be compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from almenara.protocol import circle, keys, limits, messages, records, session, statement
from almenara.protocol.messages import Kind
from almenara.protocol.object import ObjectType
from almenara.protocol.permission import DIRECT_ONLY, GROUP_ONLY, SENDERS, UNDER_CEILING
from almenara.protocol.session import TRANSITIONS, ByeCode, State
from almenara.protocol.statement import Role

ROOT = Path(__file__).parent.parent.parent
SPEC = (ROOT / "protocol" / "SPEC.md").read_text(encoding="utf-8")
CIRCLES = SPEC[SPEC.index("## 8 Circles") : SPEC.index("## 12 ")]


def rows(heading: str, *, head: bool = False) -> list[list[str]]:
    """The rows of the table whose head begins so, without the rule, and without the head unless that is asked for."""
    lines = CIRCLES[CIRCLES.index(heading) :].split("\n")
    body = lines[:1] * head + lines[2 : lines.index("", 2)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body]


def test_the_table_of_states_is_the_one_of_the_code() -> None:
    (_, *heads), *states = rows("| state | HELLO", head=True)
    columns = [[Kind[name] for name in head.split(", ")] for head in heads]
    written = {
        State(name): {kind: State(cell) for kinds, cell in zip(columns, cells, strict=True) if cell for kind in kinds}
        for name, *cells in states
    }
    assert written == TRANSITIONS


def test_the_table_of_messages_has_each_kind() -> None:
    assert {int(row[0]): row[1] for row in rows("| kind | message")} == {int(kind): kind.name for kind in Kind}


def test_the_table_of_types_is_the_one_of_the_code() -> None:
    written = {}
    for names, *allowed, where in rows("| type | steward"):
        for name in names.split(", "):
            kind = ObjectType[name.upper()]
            written[kind] = {role for role, cell in zip(Role, allowed, strict=True) if cell == "yes"}
            assert (kind in DIRECT_ONLY, kind in GROUP_ONLY) == (where == "direct circles", where == "groups")
            assert (kind in UNDER_CEILING) == ("max_tlp" in where)
    assert written == {kind: set(roles) for kind, roles in SENDERS.items() if kind is not ObjectType.KEY_PACKET}


def test_the_codes_of_bye_are_those_of_the_code() -> None:
    (row,) = [row for row in rows("| kind | message") if row[1] == "BYE"]
    codes = re.findall(r"(\d) ([a-z ]+?)(?:,|;| by )", row[3])
    written = {int(code): words.upper().replace(" ", "_") for code, words in codes}
    assert written == {int(code): code.name for code in ByeCode}


@pytest.mark.parametrize(
    ("number", "section"),
    [
        (statement.MAX_STATEMENT, "## 8"),
        (circle.GRACE_MINUTES, "## 8"),
        (records.MAX_STATEMENTS, "## 8"),
        (records.MAX_WAITING, "## 8"),
        (records.MAX_LEAVES, "## 8"),
        (records.MAX_RIVALS, "## 8"),
        (limits.MAX_INTRODUCTION, "## 8"),
        (keys.MAX_KEY_PACKET, "## 9"),
        (keys.KEEP_DAYS[0], "## 9"),
        (keys.KEEP_DAYS[1], "## 9"),
        (circle.ROTATION_DAYS, "## 9"),
        (messages.MAX_PROOFS, "## 11"),
        (messages.MAX_ACKED, "## 11"),
        (messages.MAX_PUSHED, "## 11"),
        (messages.MAX_STATEMENTS_TOLD, "## 11"),
        (messages.MAX_INTRODUCTIONS_TOLD, "## 11"),
        (messages.MAX_RETRY, "## 11"),
        (messages.MAX_VERSIONS, "## 11"),
        (session.MAX_QUESTIONS, "## 11"),
        (session.MAX_ANSWER_FRAMES, "## 11"),
        (limits.MAX_FRAME, "## 11"),
    ],
)
def test_the_limits_are_those_of_the_code(number: int, section: str) -> None:
    text = CIRCLES[CIRCLES.index(section) :].split("\n## ")[0]
    assert re.search(rf"(?<![\d,]){number:,}(?!\d|,\d)", text)


def test_the_modules_named_exist() -> None:
    names = re.findall(r"`(\w+)`", " ".join(re.findall(r"^In the code: ([^.]*)\.", CIRCLES, re.MULTILINE)))
    assert len(names) == 14
    assert [name for name in names if not (ROOT / "protocol" / f"{name}.py").exists()] == []


def test_the_kinds_of_vectors_named_exist() -> None:
    names = re.findall(r"`([\w-]+)`", " ".join(re.findall(r"Vectors: ([^.]*)\.", CIRCLES)))
    assert [name for name in names if not (ROOT / "tests" / "vectors" / name).is_dir()] == []
