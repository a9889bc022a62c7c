"""`almenara alert` and `inbox`: what leaves, and what came."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click

from almenara.node.cli.options import Command, common
from almenara.node.cli.output import emit, say
from almenara.node.client import ask

if TYPE_CHECKING:
    from pathlib import Path

STATUSES = ("Actual", "Exercise", "Test")


@click.group()
def alert() -> None:
    """Preview, send and follow alerts."""


def _which(function: Command) -> Command:
    """Add which case goes where, and as what."""
    case_id = click.argument("case_id", metavar="CASE")
    circle = click.option("--circle", "circle_id", metavar="ID", required=True, help="The circle that receives it")
    status = click.option("--status", type=click.Choice(STATUSES), default="Actual", show_default=True)
    return case_id(circle(status(function)))


@alert.command()
@_which
@common
def preview(home: Path, case_id: str, circle_id: str, status: str, as_json: bool) -> None:
    """Show exactly what would leave, to whom, and what stays."""
    asked = {"case_id": case_id, "circle_id": circle_id, "status": status}
    emit(ask(home, "POST", "alerts", "preview", body=asked), as_json, "preview")


@alert.command()
@_which
@click.option("--yes", is_flag=True, help="Send without showing the preview and asking")
@common
def send(home: Path, case_id: str, circle_id: str, status: str, yes: bool, as_json: bool) -> None:
    """Send a case to a circle, after a preview and a question."""
    asked = {"case_id": case_id, "circle_id": circle_id, "status": status}
    shown = ask(home, "POST", "alerts", "preview", body=asked)
    if not yes:
        _confirm(shown)
    exactly = {"body_sha256": shown["body_sha256"], "statement": shown["statement"]}
    emit(ask(home, "POST", "alerts", body=asked | exactly), as_json, "sent")


def _confirm(shown: dict[str, object]) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("Sending asks first. Use --yes where nobody can answer.")
    from almenara.node.cli.tables import show as print_table  # noqa: PLC0415 - rich costs 60 ms; only people wait for it

    print_table("preview", shown, to_stderr=True)
    click.confirm("Send this?", abort=True, err=True)


@alert.command()
@click.argument("alert_id", metavar="ID")
@common
def show(home: Path, alert_id: str, as_json: bool) -> None:
    """Show one alert; for our own, how far it came with every recipient."""
    emit(ask(home, "GET", "alerts", alert_id), as_json, "alert")


@click.command()
@click.option("--after", metavar="CURSOR", help="Only what came after this; `next` of the answer before")
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True)
@common
def inbox(home: Path, after: str | None, limit: int, as_json: bool) -> None:
    """List others' alerts in order of arrival."""
    query = {"limit": str(limit)} | ({} if after is None else {"after": after})
    told = ask(home, "GET", "inbox", query="?" + urlencode(query))
    emit(told, as_json, "inbox")
    if not as_json:
        say(f"next: {told['next']}")
