"""`almenara schema`: the JSON Schemas, without a running node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from almenara.node.cli.options import common
from almenara.node.cli.output import emit

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("name", type=click.Choice(["case", "alert"]))
@common
def schema(home: Path, name: str, as_json: bool) -> None:  # noqa: ARG001 - no home is read, but every command takes one
    """Print the JSON Schema (2020-12) of a case or an alert."""
    # Imported here: pydantic and the vocabulary take longer than every other command's help.
    from almenara.node.cases.case import json_schema_case  # noqa: PLC0415
    from almenara.protocol.alert import json_schema_alert  # noqa: PLC0415

    emit(json_schema_case() if name == "case" else json_schema_alert(), as_json)
