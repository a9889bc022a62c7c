"""Reader of the vectors of repair: the side that does not start has said ROOTS and hears the starter's frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from almenara.protocol.idsets import repair_key
from almenara.protocol.messages import Ranges, encode_message, parse_message
from almenara.protocol.reconcile import Repair

from .repairs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    Given = dict[str, Any]
    Found = dict[str, Any]


def read_repair(given: Given) -> Found:
    """Return its root, what it says to each last frame, and what it knows at the end."""
    items = [(bytes.fromhex(tag), cls, hour, bytes.fromhex(found)) for tag, cls, hour, found in given["items"]]
    sets = frozen(items, map(bytes.fromhex, given["tags"]), given["hour"])
    repair = Repair(starts=False, key=repair_key(*map(bytes.fromhex, given["nonces"])))
    root = repair.roots(sets, given["hour"]).root
    said: list[bytes] = []
    lacking: list[bytes] = []
    coming = 0
    for data in map(bytes.fromhex, given["frames"]):
        frame = parse_message(data)
        assert isinstance(frame, Ranges)
        said += map(encode_message, repair.take(frame, lambda _: sets))
        found = repair.finish()
        if found is not None:
            lacking += [envelope_id for _, envelope_id in found.lacking]
            coming += found.coming
    return {
        "root": root.hex(),
        "said": [each.hex() for each in said],
        "lacking": [each.hex() for each in lacking],
        "coming": coming,
    }


KINDS: dict[str, Callable[[Given], Found]] = {"repair": read_repair}
