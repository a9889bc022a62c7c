"""Build admin_ui/areas.json, the names of ISO 3166-2 areas, from npm iso-3166. Run by hand; the result is committed.

    npm pack iso-3166@4.4.0            # and unpack it
    python .ci/build_area_names.py package/2.js

Only the codes a case can name stand in it: those without a parent, as in node/minimise/tables/areas.json.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "admin_ui" / "areas.json"
QUOTED = r"""(?:'((?:[^'\\]|\\.)*)'|"([^"]*)")"""
ENTRY = re.compile(rf"code: '([^']+)',\s+name: {QUOTED},\s+parent: '([A-Z]{{2}})'")


def main(source: Path) -> None:
    """Write {country: {suffix: name}}."""
    names: dict[str, dict[str, str]] = defaultdict(dict)
    for code, single, double, country in ENTRY.findall(source.read_text(encoding="utf-8")):
        names[country][code.removeprefix(f"{country}-")] = (single or double).replace("\\'", "'")
    text = json.dumps(names, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    TARGET.write_text(text.replace("},", "},\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
