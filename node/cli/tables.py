"""Tables for people. Imported only when one is shown: rich takes longer than most answers.

Every cell is plain text: what another organisation wrote is never read as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Told = dict[str, Any]


def show(name: str, told: Told, *, to_stderr: bool = False) -> None:
    """Print an object of SCHEMAS §8 in the form called `name`."""
    Console(stderr=to_stderr, highlight=False).print(_FORMS[name](told))


def _rows(columns: Iterable[str], rows: Iterable[Iterable[object]], empty: str) -> RenderableType:
    cells = [[_cell(value) for value in row] for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        whole = name == "id" or name.endswith("_id")  # an identifier that was cut cannot be copied
        width = max((len(row[number]) for row in cells), default=0) if whole else None
        table.add_column(name.replace("_", " "), overflow="fold", min_width=width)
    for row in cells:
        table.add_row(*row)
    return table if cells else Text(empty)


def _pairs(pairs: Iterable[tuple[str, object]]) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in pairs:
        if value not in (None, "", [], {}):
            table.add_row(Text(name, style="bold"), _cell(value))
    return table


def _cell(value: object) -> Text:
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list):
        return Text(", ".join(str(one) for one in value))
    return Text("" if value is None else str(value))


def _picked(told: Told, *names: str) -> list[object]:
    return [told.get(name) for name in names]


def _object(told: Told) -> RenderableType:
    return _pairs((name.replace("_", " "), value) for name, value in told.items())


def _status(told: Told) -> RenderableType:
    peers = told.get("peers", {})
    apart = {"peers", "problems", "backlog", "catching_up"}
    flat = {name: value for name, value in told.items() if name not in apart}
    flat["peers"] = f"{peers.get('connected', 0)} of {peers.get('verified', 0)} connected"
    flat |= _repair(told)
    columns = ("name", "reason", "next")
    problems = _rows(("about", "why", "what to do"), (_picked(p, *columns) for p in told.get("problems", [])), "")
    return Group(_object(flat), problems)


def _repair(told: Told) -> Told:
    """What a repair brings here and takes there, where there is one."""
    coming = told.get("catching_up")
    here = {"catching up": f"{coming['received']} of {coming['expected']} have come"} if coming else {}
    there = {"still to send": told["backlog"]} if told.get("backlog") else {}
    return here | there


def _blocks(blocks: Iterable[Iterable[tuple[str, object]]], empty: str) -> RenderableType:
    """One block of lines for each: identifiers of 56 letters leave no room for columns."""
    found: list[RenderableType] = []
    for block in blocks:
        found += [Text(""), _pairs(block)]
    return Group(*found[1:]) if found else Text(empty)


def _peers(told: Told) -> RenderableType:
    columns = (
        "name", "state", "connected", "last_contact_at", "clock_difference_minutes", "code", "node_id", "reason", "next"
    )  # fmt: skip
    blocks = (
        [*((name.replace("_", " "), peer.get(name)) for name in columns), *_repair(peer).items()]
        for peer in told["peers"]
    )
    return _blocks(blocks, "No peers yet: almenara invite")


def _discovery(told: Told) -> RenderableType:
    state = [("looks for neighbours", told["on"]), ("until", told.get("until")), ("on", told["interfaces"])]
    heard = (_picked(one, "name", "connected", "node_id") for one in told["found"])
    others = f"{told['others']} more that we are not paired with" if told["others"] else ""
    none = "No peer heard yet." if told["on"] else ""
    return Group(_pairs(state), _rows(("name", "connected", "node_id"), heard, none), Text(others))


def _circle(told: Told) -> RenderableType:
    names = ("name", "kind", "tier", "state", "max_tlp", "retention_days", "circle_id")
    members = [f"{one['name']} ({one['role']}, {one['state']})" for one in told.get("members", [])]
    return _pairs([*((name.replace("_", " "), told.get(name)) for name in names), ("members", members)])


def _circles(told: Told) -> RenderableType:
    circles = [_circle(one) for one in told["circles"]]
    spaced = [part for one in circles for part in (Text(""), one)][1:]
    return Group(*spaced) if spaced else Text("No circles yet: almenara circle create")


def _carriers(told: Told) -> RenderableType:
    columns = ("name", "state", "used_bytes", "granted_bytes", "node_id")
    blocks = ([(name.replace("_", " "), one.get(name)) for name in columns] for one in told["carriers"])
    return _blocks(blocks, "Nobody carries for this circle: almenara circle carriers CIRCLE --add PEER")


def _carrying(told: Told) -> RenderableType:
    columns = ("name", "envelopes", "used_bytes", "granted_bytes", "asked_at", "node_id")
    blocks = ([(name.replace("_", " "), one.get(name)) for name in columns] for one in told["carrying"])
    return _blocks(blocks, "Nobody has asked this node to carry.")


def _cases(told: Told) -> RenderableType:
    columns = ("case_id", "state", "title", "sent", "updated_at")
    return _rows(columns, (_picked(one, *columns) for one in told["cases"]), "No cases yet: almenara case add")


def _imported(told: Told) -> RenderableType:
    return _pairs([(name, told[name]) for name in ("ready", "drafts", "refused")])


def _where(view: Told) -> str:
    return str(view.get("area") or view.get("country") or "")


def _inbox(told: Told) -> RenderableType:
    rows = (
        [one["received_at"], one["author"]["name"], one["circle"], one["view"].get("threats"), _where(one["view"]),
         one["view"].get("when"), one["view"].get("severity"), one["alert_id"]]
        for one in told["alerts"]
    )  # fmt: skip
    columns = ("received", "from", "circle", "threats", "where", "when", "severity", "id")
    return _rows(columns, rows, "Nothing came.")


def _forks(told: Told) -> RenderableType:
    rows = ([one["author"]["name"], *_picked(one, "circle", "kind", "found_at", "alert_id")] for one in told["forks"])
    return _rows(("author", "circle", "kind", "found", "alert_id"), rows, "Nobody contradicts itself.")


def _alert(told: Told) -> RenderableType:
    names = ("alert_id", "circle", "type", "state", "tlp", "created_at", "expires_at")
    head = [("author", told["author"]["name"]), *((name.replace("_", " "), told[name]) for name in names)]
    columns = ("name", "state", "carried_by", "sent_at", "stored_at", "reason", "next")
    recipients = (_picked(one, *columns) for one in told.get("recipients") or [])
    return Group(_pairs([*head, *told["view"].items()]), _rows(columns, recipients, ""))


def _preview(told: Told) -> RenderableType:
    people = told.get("people_in_place")
    recipients = (_picked(one, "name", "kind", "verified") for one in told["recipients"])
    notes = [*told.get("coarsened", []), *told.get("dropped", [])]
    return Group(
        Text("To whom", style="bold"),
        _rows(("name", "kind", "verified"), recipients, "Nobody."),
        Text("What leaves", style="bold"),
        _pairs(told["view"].items()),
        Text("What stays here, or leaves coarser", style="bold"),
        _rows(("field", "becomes", "why"), (_picked(note, "field", "to", "why") for note in notes), "Nothing."),
        Text("How exposed is this?", style="bold"),
        _pairs([
            ("people living in the shown place", "unknown" if people is None else f"{people:,}"),
            ("alerts with this exact view", str(told["same_view"])),
            ("consent", told.get("consent", {}).get("state")),
            ("expires", told["expires_at"]),
        ]),
    )  # fmt: skip


_FORMS: dict[str, Callable[[Told], RenderableType]] = {
    "status": _status,
    "peers": _peers,
    "circles": _circles,
    "discovery": _discovery,
    "cases": _cases,
    "imported": _imported,
    "bundle": _object,
    "imported bundle": _object,
    "inbox": _inbox,
    "forks": _forks,
    "alert": _alert,
    "preview": _preview,
    "circle": _circle,
    "carriers": _carriers,
    "carrying": _carrying,
    **dict.fromkeys(("peer", "member", "standing", "case", "sent", "person", "node", "clock", "settled"), _object),
}
