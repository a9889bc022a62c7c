"""`almenara forks`: authors that contradict themselves, and saying that both versions were ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from almenara.node.cli.options import common
from almenara.node.cli.output import emit
from almenara.node.client import ask

if TYPE_CHECKING:
    from pathlib import Path


@click.group(invoke_without_command=True)
@common
@click.pass_context
def forks(ctx: click.Context, home: Path, as_json: bool) -> None:
    """List contradictions: two different things in one place of an author's record."""
    if ctx.invoked_subcommand is None:
        emit(ask(home, "GET", "forks"), as_json, "forks")


@forks.command()
@common
def settle(home: Path, as_json: bool) -> None:
    """Say that both versions of ours were ours; what we send from now on is a record of its own."""
    emit(ask(home, "POST", "forks", "settle"), as_json, "settled")
