"""SPEC.md says what the code does, where a table or an example can be compared."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from almenara.crypto.labels import Label
from almenara.protocol import limits
from almenara.protocol.envelope import SIZES, Suite, envelope_id, room
from almenara.protocol.object import ObjectType, sizes_of

ROOT = Path(__file__).parent.parent.parent
SPEC = (ROOT / "protocol" / "SPEC.md").read_text(encoding="utf-8")
JOINED = SPEC.replace("\n", "")
AT_REST = {"VAULT", "VAULT_KEY", "VAULT_SUM", "DATABASE_KEY", "COLUMN_KEY", "COLUMN", "TOKEN"}


def vector(name: str) -> dict[str, dict[str, str]]:
    content: dict[str, dict[str, str]] = json.loads((ROOT / "tests" / "vectors" / f"{name}.json").read_text())
    return content


@pytest.mark.parametrize("label", [label for label in Label if label.name not in AT_REST], ids=lambda label: label.name)
def test_the_table_of_labels_has_each_label_of_the_wire(label: Label) -> None:
    purpose = label.value.removeprefix(b"almenara/1/").rstrip(b"\0").decode()
    assert f"| {label.name} | `{purpose}` |" in SPEC


def test_the_worked_example_is_the_vector() -> None:
    alert, sealed = vector("object/good"), vector("envelope-circle/worked-example")
    header, content = alert["output"]["header_bytes"], alert["input"]["content"]
    envelope = sealed["input"]["envelope"]
    parts = [header, content[content.index(header) + len(header) :], alert["output"]["hash"], alert["input"]["op_sign"]]
    parts += [sealed["input"]["key"], envelope[:96], envelope[96:144], envelope[144:208], envelope[-32:]]
    parts.append(envelope_id(bytes.fromhex(envelope)).hex())
    assert [part for part in parts if part not in JOINED] == []


@pytest.mark.parametrize("suite", Suite)
def test_the_rooms_are_those_of_the_code(suite: Suite) -> None:
    assert " · ".join(f"{room(suite, size):,}" for size in SIZES) in SPEC


@pytest.mark.parametrize("kind", ObjectType, ids=lambda kind: kind.name)
def test_the_table_of_types_has_number_name_and_sizes(kind: ObjectType) -> None:
    name = kind.name.lower().replace("_", " ")
    sizes = " or ".join(f"{size:,}" for size in sizes_of(kind))
    assert re.search(rf"\| {kind:d} \| {name}(, suite 0x0101)? \| {sizes} \|", SPEC)


@pytest.mark.parametrize(
    "number", [limits.MAX_CARD, limits.MAX_PROFILE, limits.MAX_PREKEY, limits.MAX_PAIRING_MESSAGE, limits.MAX_ITEMS]
)
def test_the_limits_are_those_of_the_code(number: int) -> None:
    assert f"{number:,}" in SPEC


def test_every_defect_that_a_vector_asserts_is_named_in_the_specification() -> None:
    files = (ROOT / "tests" / "vectors").glob("*/*.json")
    asserted = {json.loads(path.read_text(encoding="utf-8")).get("defect") for path in files} - {None}
    assert sorted(defect for defect in asserted if not re.search(rf"(?<![\w-]){defect}(?![\w-])", SPEC)) == []
