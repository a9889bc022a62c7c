"""`almenara circle`: named groups with members, a tier, a TLP ceiling and a retention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from almenara.node.cli.options import common
from almenara.node.cli.output import emit
from almenara.node.client import ask

if TYPE_CHECKING:
    from pathlib import Path

TIERS = ("partner", "network", "international")
ROLES = ("steward", "member", "subscriber")


@click.group()
def circle() -> None:
    """Found, join and leave circles."""


@circle.command()
@click.argument("name")
@click.option("--tier", type=click.Choice(TIERS), required=True, help="How coarse everything sent here becomes")
@click.option("--max-tlp", metavar="TLP", help="The strictest label an alert here may carry [sharing.tlp]")
@click.option("--retention-days", type=click.IntRange(1, 366), help="How long alerts are kept [sharing.retention_days]")
@common
def create(home: Path, name: str, tier: str, max_tlp: str | None, retention_days: int | None, as_json: bool) -> None:
    """Found a circle; we are its steward."""
    body: dict[str, Any] = {"name": name, "tier": tier}
    if max_tlp is not None:
        body["max_tlp"] = max_tlp
    if retention_days is not None:
        body["retention_days"] = retention_days
    emit(ask(home, "POST", "circles", body=body), as_json, "circle")


@circle.command()
@click.argument("circle_id", metavar="CIRCLE")
@click.argument("node_id", metavar="ID")
@click.option("--role", type=click.Choice(ROLES), default="member", show_default=True, help="What it may do here")
@common
def invite(home: Path, circle_id: str, node_id: str, role: str, as_json: bool) -> None:
    """Ask a verified peer to join."""
    told = ask(home, "POST", "circles", circle_id, "members", node_id, query=f"?role={role}")
    emit(told, as_json, "member")


@circle.command()
@click.argument("circle_id", metavar="CIRCLE")
@click.argument("node_id", metavar="ID")
@common
def remove(home: Path, circle_id: str, node_id: str, as_json: bool) -> None:
    """Take a member out and renew the key."""
    emit(ask(home, "DELETE", "circles", circle_id, "members", node_id), as_json, "member")


@circle.command()
@click.argument("circle_id", metavar="CIRCLE")
@common
def accept(home: Path, circle_id: str, as_json: bool) -> None:
    """Accept an invitation; returns when the key has come, or after 10 seconds as `accepted`."""
    emit(ask(home, "POST", "circles", circle_id, "accept"), as_json, "standing")


@circle.command()
@click.argument("circle_id", metavar="CIRCLE")
@common
def leave(home: Path, circle_id: str, as_json: bool) -> None:
    """Leave a circle; what came stays, no new key comes."""
    emit(ask(home, "POST", "circles", circle_id, "leave"), as_json, "standing")


@circle.command()
@click.argument("circle_id", metavar="CIRCLE")
@click.option("--add", metavar="PEER", help="Ask this verified peer to carry")
@click.option("--remove", metavar="PEER", help="Ask this one no more")
@common
def carriers(home: Path, circle_id: str, add: str | None, remove: str | None, as_json: bool) -> None:
    """List who holds and passes on, unread, what is sent in a circle; ask one more, or one no more."""
    if add is not None:
        ask(home, "POST", "circles", circle_id, "carriers", add)
    if remove is not None:
        ask(home, "DELETE", "circles", circle_id, "carriers", remove)
    emit(ask(home, "GET", "circles", circle_id, "carriers"), as_json, "carriers")


@circle.command("list")
@common
def list_(home: Path, as_json: bool) -> None:
    """List circles with their members."""
    emit(ask(home, "GET", "circles"), as_json, "circles")
