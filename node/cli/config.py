"""`almenara config`: the settings of a home, without a running node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from almenara.node.cli.options import common
from almenara.node.cli.output import emit, say

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def config() -> None:
    """Check and show the configuration."""


@config.command()
@common
def check(home: Path, as_json: bool) -> None:
    """Say whether the configuration can be used; exits 2 and names the place if not."""
    from almenara.node.cli.settings import load  # noqa: PLC0415 - pydantic takes longer than the help of this command

    load(home)
    emit({"usable": True}, as_json, "node")


@config.command()
@click.option("--redacted", is_flag=True, help="Hide the password in database.url")
@common
def show(home: Path, redacted: bool, as_json: bool) -> None:
    """Print every setting that has a value, from all sources together."""
    from almenara.node.cli.settings import load  # noqa: PLC0415 - pydantic takes longer than the help of this command

    _, settings = load(home)
    emit(settings.redacted() if redacted else settings.model_dump(mode="json", exclude_none=True), as_json)
    if not redacted:
        say("A password in database.url is shown as it is; use --redacted before you pass this on.")
