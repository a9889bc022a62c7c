"""What the three organisations do: pair, form one circle per tier, take in cases, send alerts, watch them arrive."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from itertools import combinations
from typing import TYPE_CHECKING, Any

import click

from almenara.node.demo.stage import POLL_SECONDS, DemoFailed, Player

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TIERS = ("partner", "network", "international")
DELIVERY_SECONDS = 60  # far beyond what loopback needs; only so that a fault ends
_TIER_OF_CONSENT = {"share-circle": "partner", "share-network": "network"}
_TIER_OF_CONSENT |= dict.fromkeys(("share-subscribers", "publish"), "international")
SHARING = frozenset({"share-named-peers", *_TIER_OF_CONSENT})


@dataclass(slots=True, kw_only=True)
class Shared:
    """A case, whose it is, where it was sent, and what became of it. `problem` is set where the node refused."""

    document: dict[str, Any]
    author: Player
    case_id: str
    circle: str
    tier: str
    recipients: tuple[Player, ...]
    alert: dict[str, Any] = field(default_factory=dict)
    problem: dict[str, Any] = field(default_factory=dict)

    @property
    def milliseconds(self) -> dict[str, int]:
        """Per recipient's name, from send to durable acknowledgement."""
        return {one["name"]: _between(one["sent_at"], one["stored_at"]) for one in self.alert.get("recipients", [])}


@dataclass(slots=True, kw_only=True)
class Story:
    """Who took part and what happened."""

    players: tuple[Player, ...]
    codes: list[tuple[str, str]] = field(default_factory=list)
    circles: dict[str, str] = field(default_factory=dict)
    direct: dict[tuple[str, str], str] = field(default_factory=dict)
    shared: list[Shared] = field(default_factory=list)

    def play(self) -> None:
        """All of it, with a line for each step. Raises `DemoFailed`."""
        for inviter, joiner in combinations(self.players, 2):
            self._pair(inviter, joiner)
        for steward, tier in zip(self.players, TIERS, strict=True):
            self._found(steward, tier)
        self._learn_direct_circles()
        click.echo(f"circles: {', '.join(f'c-{tier}' for tier in TIERS)}, each with all three as members")
        for author, documents in zip(self.players, self._dealt(), strict=True):
            for document, case_id in zip(documents, _import(author, documents), strict=True):
                self.shared.append(self._send(author, document, case_id))
                click.echo(_line(self.shared[-1]))

    def _pair(self, inviter: Player, joiner: Player) -> None:
        """Invitation, the same code on both sides, both confirm."""
        invitation = inviter.ask("invite")["invitation"]
        shown = joiner.ask("pair", invitation)["code"]
        seen = _until(lambda: _peer(inviter, joiner.node_id).get("code"), f"{inviter.name} sees no code")
        self.codes.append((seen, shown))
        click.echo(f"{inviter.name} and {joiner.name} compare: {seen} = {shown}")
        inviter.ask("peers", "confirm", joiner.node_id)
        joiner.ask("peers", "confirm", inviter.node_id)
        for one, other in ((inviter, joiner), (joiner, inviter)):
            _until(lambda one=one, other=other: _connected(one, other), f"{one.name} is not connected to {other.name}")

    def _found(self, steward: Player, tier: str) -> None:
        """One circle, everybody in it."""
        circle = steward.ask("circle", "create", f"c-{tier}", "--tier", tier)["circle_id"]
        self.circles[tier] = circle
        for other in self.players:
            if other is steward:
                continue
            steward.ask("circle", "invite", circle, other.node_id)
            _until(
                lambda other=other: _state_of(other, circle) == "invited", f"{other.name} is not invited to c-{tier}"
            )
            other.ask("circle", "accept", circle)
        for player in self.players:
            _until(lambda player=player: _all_active(player, circle, len(self.players)), f"c-{tier} is not complete")

    def _learn_direct_circles(self) -> None:
        for player in self.players:
            for circle in player.look("circles")["circles"]:
                for member in circle["members"] if circle["kind"] == "direct" else ():
                    self.direct[player.name, member["node_id"]] = circle["circle_id"]

    def _dealt(self) -> list[list[dict[str, Any]]]:
        """The sample cases, dealt to the three in turn; an audience is named by ids that exist only now."""
        hands: list[list[dict[str, Any]]] = [[] for _ in self.players]
        for number, document in enumerate(sample_cases()):
            turn = number % len(self.players)
            neighbour = self.players[(turn + 1) % len(self.players)]
            consent = document["consent"]
            if consent["state"] == "share-named-peers":
                consent["audience"] = [neighbour.node_id]
            elif consent["state"] == "share-circle":
                consent["audience"] = [self.circles["partner"]]
            hands[turn].append(document)
        return hands

    def _send(self, author: Player, document: dict[str, Any], case_id: str) -> Shared:
        """To the widest circle that the consent allows; without a sharing consent too, to see it refused."""
        state = document["consent"]["state"]
        others = tuple(player for player in self.players if player is not author)
        if state == "share-named-peers":
            (named,) = document["consent"]["audience"]
            recipients = tuple(player for player in others if player.node_id == named)
            circle, tier = self.direct[author.name, named], "partner"
        else:
            tier = _TIER_OF_CONSENT.get(state, "partner")
            recipients, circle = others, self.circles[tier]
        shared = Shared(
            document=document, author=author, case_id=case_id, circle=circle, tier=tier, recipients=recipients
        )
        code, told = author.attempt("alert", "send", case_id, "--circle", circle, "--status", "Test", "--yes")
        if code == 0:
            shared.alert = _until(lambda: _settled(author, told["alert_id"]), f"alert {told['alert_id']} is not stored")
        else:
            shared.problem = told
        return shared


def sample_cases() -> list[dict[str, Any]]:
    """The fictitious cases that come with the node."""
    text = files("almenara.node.demo").joinpath("cases.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _import(author: Player, documents: Sequence[dict[str, Any]]) -> list[str]:
    path: Path = author.home.parent / f"{author.name}.jsonl"
    path.write_text("\n".join(json.dumps(document, ensure_ascii=False) for document in documents), encoding="utf-8")
    return [one["case_id"] for one in author.ask("case", "import", str(path))["results"]]


def _until(found: Any, otherwise: str) -> Any:
    """Ask until there is an answer. Raises `DemoFailed` with the words given when there is none in time."""
    until = time.monotonic() + DELIVERY_SECONDS
    while not (answer := found()):
        if time.monotonic() > until:
            raise DemoFailed(otherwise)
        time.sleep(POLL_SECONDS)
    return answer


def _peer(player: Player, node_id: str) -> dict[str, Any]:
    return next((peer for peer in player.look("peers")["peers"] if peer["node_id"] == node_id), {})


def _connected(player: Player, other: Player) -> bool:
    peer = _peer(player, other.node_id)
    return peer.get("state") == "verified" and bool(peer.get("connected"))


def _circle(player: Player, circle_id: str) -> dict[str, Any]:
    circles = player.look("circles")["circles"]
    return next((circle for circle in circles if circle["circle_id"] == circle_id), {})


def _state_of(player: Player, circle_id: str) -> str:
    return str(_circle(player, circle_id).get("state", ""))


def _all_active(player: Player, circle_id: str, count: int) -> bool:
    active = [one for one in _circle(player, circle_id).get("members", []) if one["state"] == "active"]
    return len(active) == count


def _settled(author: Player, alert_id: str) -> dict[str, Any]:
    alert = author.look("alerts", alert_id)
    return alert if all(one["state"] == "stored" for one in alert["recipients"]) else {}


def _between(start: str, end: str) -> int:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() * 1000)


def _line(shared: Shared) -> str:
    """One line of the live table: who, where to, what is shown, how long it took."""
    if shared.problem:
        return f"{shared.author.name:6} refused: {shared.problem.get('title')} ({shared.document['consent']['state']})"
    view = shared.alert["view"]
    where = view.get("area") or view.get("country") or "-"
    took = " · ".join(f"{name} stored {ms} ms" for name, ms in shared.milliseconds.items())
    threat = view["threats"][0]
    return f"{shared.author.name:6} {shared.tier:13} {threat:30} {where:8} {view.get('when', '-'):10}  {took}"
