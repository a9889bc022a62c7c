"""`almenara clock`: whether this computer's time is in doubt, and saying that it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from almenara.node.cli.options import common
from almenara.node.cli.output import emit
from almenara.node.client import ask

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option("--right", is_flag=True, help="Say that this computer is right, having compared both times")
@common
def clock(home: Path, right: bool, as_json: bool) -> None:
    """Show this computer's time, and beside it the likelier one while they differ."""
    emit(ask(home, "POST" if right else "GET", "clock"), as_json, "clock")
