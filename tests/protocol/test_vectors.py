"""Every file of tests/vectors, run by its kind: the output must be this one, or the defect exactly this one.

A kind's reader stands in a `vector_kinds_*.py` beside this file; an unknown kind, or an unknown key, is an error.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from almenara.protocol.errors import Defect, NewerVersion, RemoteError

FOLDER = Path(__file__).parent.parent / "vectors"
FILES = sorted(FOLDER.glob("*/*.json"))
SHARED: dict[str, str] = json.loads((FOLDER / "shared.json").read_text())
KINDS = {
    kind: reader
    for path in sorted(Path(__file__).parent.glob("vector_kinds_*.py"))
    for kind, reader in importlib.import_module(f".{path.stem}", __package__).KINDS.items()
}


def load(path: Path) -> dict[str, Any]:
    """Return a vector with its `@name` values filled in."""
    vector: dict[str, Any] = _filled(json.loads(path.read_text(encoding="utf-8")))
    assert vector.keys() <= {"kind", "about", "input", "output", "defect", "newer"}
    return vector


def _filled(value: Any) -> Any:
    if isinstance(value, str):
        return SHARED[value[1:]] if value.startswith("@") else value
    if isinstance(value, dict):
        return {key: _filled(item) for key, item in value.items()}
    return [_filled(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_vector_gives_its_output_or_its_defect(path: Path) -> None:
    vector = load(path)
    reader = KINDS[vector["kind"]]
    if "defect" not in vector:
        assert reader(vector["input"]) == vector["output"]
        return
    with pytest.raises(RemoteError) as caught:
        reader(vector["input"])
    assert caught.value.kind == Defect(vector["defect"])
    assert isinstance(caught.value, NewerVersion) == vector.get("newer", False)


def test_a_vector_stands_in_the_folder_of_its_kind() -> None:
    assert {path.parent.name for path in FILES} == KINDS.keys()
    assert all(load(path)["kind"] == path.parent.name for path in FILES)


def test_most_vectors_are_negative_and_none_repeats_another() -> None:
    """Three quarters assert a kind of failure; two files with one input would test one thing twice."""
    vectors = [load(path) for path in FILES]
    assert sum("defect" in vector for vector in vectors) >= 0.75 * len(vectors)
    inputs = Counter(json.dumps([vector["kind"], vector["input"]], sort_keys=True) for vector in vectors)
    assert [given for given, times in inputs.items() if times > 1] == []


def test_the_generator_writes_the_same_bytes_again(tmp_path: Path) -> None:
    """Its random values too are pinned: one made just now, or one no maker asks for any more, would show here."""
    subprocess.run([sys.executable, FOLDER / "generate.py", tmp_path], check=True, capture_output=True)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.json")}
    kept = {path.relative_to(FOLDER): path.read_bytes() for path in FOLDER.rglob("*.json")}
    assert made == kept
