"""`almenara discover`: look for peers on the local network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from almenara.node.cli.options import common
from almenara.node.cli.output import emit, say
from almenara.node.client import ask
from almenara.node.models import DISCOVERY_MINUTES

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option("--for", "minutes", type=click.IntRange(1, DISCOVERY_MINUTES), default=10, help="How many minutes [10]")
@click.option("--stop", is_flag=True, help="Fall silent now")
@common
def discover(home: Path, minutes: int, stop: bool, as_json: bool) -> None:
    """Look for peers on the local network. Whoever is on it sees that a node is here, and nothing of whose.

    Asked again, it says whom it has heard so far.
    """
    told = ask(home, "DELETE", "discovery") if stop else ask(home, "POST", "discovery", body={"minutes": minutes})
    emit(told, as_json, "discovery")
    if told["on"] and not told["announces"]:
        say("Our port is not open on these networks: this node listens, and only others can be found.")
