"""`almenara invite`, `pair` and `peers`: trusting another organisation, and ending that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from almenara.node.cli.options import common
from almenara.node.cli.output import emit, say
from almenara.node.client import ask

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@common
def invite(home: Path, as_json: bool) -> None:
    """Make a one-time invitation, valid for 24 hours.

    Give it to one organisation over a channel you trust; whoever has it can try to pair.
    """
    told = ask(home, "POST", "invitations")
    if as_json:
        emit(told, as_json)
        return
    click.echo(told["invitation"])
    say(f"Valid until {told['expires_at']}, for one organisation. The other side types: almenara pair INVITATION")


@click.command()
@click.argument("invitation")
@common
def pair(home: Path, invitation: str, as_json: bool) -> None:
    """Use an invitation, and show the code that both people compare."""
    told = ask(home, "POST", "peers", body={"invitation": invitation})
    if as_json:
        emit(told, as_json)
        return
    click.echo(told["code"])
    say(f"Compare this code with {told['name']} by voice, not over the channel of the invitation.")
    say(f"If both see the same: almenara peers confirm {told['node_id']}")


@click.group(invoke_without_command=True)
@common
@click.pass_context
def peers(ctx: click.Context, home: Path, as_json: bool) -> None:
    """List peers; with a word more, confirm or remove one, or see for whom this node carries."""
    if ctx.invoked_subcommand is None:
        emit(ask(home, "GET", "peers"), as_json, "peers")
    elif any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ("home", "as_json")):
        # Left unsaid, they would be dropped, and another home's peer confirmed or removed.
        raise click.UsageError(f"Options stand after the command's own words: almenara peers {ctx.invoked_subcommand}")


@peers.command()
@click.argument("node_id", metavar="ID")
@common
def confirm(home: Path, node_id: str, as_json: bool) -> None:
    """Say that both people compared the code and saw the same."""
    emit(ask(home, "POST", "peers", node_id, "confirm"), as_json, "peer")


@peers.command()
@click.argument("node_id", metavar="ID")
@common
def remove(home: Path, node_id: str, as_json: bool) -> None:
    """Cut a peer off at once and renew the keys of our circles without it."""
    emit(ask(home, "DELETE", "peers", node_id), as_json, "peer")


@peers.command()
@click.option("--peer", metavar="ID", help="Set this peer's quota")
@click.option("--quota-mb", type=click.IntRange(0, 4000), help="Megabytes it may leave here; 0 stops and erases")
@common
def carrying(home: Path, peer: str | None, quota_mb: int | None, as_json: bool) -> None:
    """List for whom this node carries what it cannot read; say how much a peer may leave here."""
    if (peer is None) != (quota_mb is None):
        raise click.UsageError("--peer and --quota-mb go together")
    if peer is not None:
        ask(home, "POST", "carrying", peer, body={"quota_mb": quota_mb})
    emit(ask(home, "GET", "carrying"), as_json, "carrying")
