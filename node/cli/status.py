"""`almenara status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from almenara.node.cli.options import common
from almenara.node.cli.output import emit
from almenara.node.client import ask

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@common
def status(home: Path, as_json: bool) -> None:
    """Say how the node is; exits 3 until it is ready or locked."""
    emit(ask(home, "GET", "status"), as_json, "status")
