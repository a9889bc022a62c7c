"""Reading the configuration for a command, and saying what is wrong with it (exit 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from almenara.node.config import Config, ConfigError, load_config
from almenara.node.home import Home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def wrong(error: ConfigError) -> click.ClickException:
    """Turn a faulty setting into what the command line exits with."""
    return click.UsageError(f"{error}")


def load(home: Path, flags: Mapping[str, str | None] | None = None) -> tuple[Home, Config]:
    """The home and its configuration; a faulty setting ends the command."""
    place = Home(home)
    try:
        return place, load_config(place, flags)
    except ConfigError as error:
        raise wrong(error) from None
