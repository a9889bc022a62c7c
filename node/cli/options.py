"""Options that every command takes after its own words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

DEFAULT_HOME = "~/.almenara"
Command = Callable[..., Any]


def _home(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Path:
    return Path(value or os.environ.get("ALMENARA_HOME") or DEFAULT_HOME).expanduser()


def common(function: Command) -> Command:
    """Add `--home` and `--json`."""
    home = click.option(
        "--home", metavar="DIR", callback=_home, help=f"The node's home [ALMENARA_HOME, else {DEFAULT_HOME}]"
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout")
    return home(as_json(function))
