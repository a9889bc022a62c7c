"""Write every vector: `python tests/vectors/generate.py [FOLDER]`; without a folder, in place.

Each `make_*.py` beside this file has `vectors()`.  Running it again gives the same bytes, which a test compares.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vector import HERE, pinned_json, shared_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector


def every_vector() -> Iterator[Vector]:
    """Yield the vectors of all makers."""
    for path in sorted(HERE.glob("make_*.py")):
        yield from importlib.import_module(path.stem).vectors()


def write(folder: Path) -> int:
    """Write one file per vector, removing what no maker makes any more; return how many."""
    vectors = list(every_vector())
    # Sharing a value is decided by name, so nothing is written before every maker has run.
    wanted = {folder / vector.kind / f"{vector.name}.json": vector.as_json() for vector in vectors}
    if len(wanted) != len(vectors):
        raise SystemExit("two vectors have one name")
    for stale in set(folder.glob("*/*.json")) - wanted.keys():
        stale.unlink()
    others = {folder / "shared.json": shared_json(), folder / "pinned.json": pinned_json()}
    for path, content in (wanted | others).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(vectors)


if __name__ == "__main__":
    print(write(Path(sys.argv[1]) if sys.argv[1:] else HERE), "vectors")
