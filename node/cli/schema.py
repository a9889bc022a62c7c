"""`almenara schema`: the JSON Schemas, without a running node."""

from __future__ import annotations

import click

from almenara.node.cli.output import emit


@click.command()
@click.argument("name", type=click.Choice(["case", "alert"]))
@click.option("--json", "as_json", is_flag=True, help="On one line")
def schema(name: str, as_json: bool) -> None:
    """Print the JSON Schema (2020-12) of a case or an alert."""
    # Imported here: pydantic and the vocabulary take longer than every other command's help.
    from almenara.node.cases.case import json_schema_case  # noqa: PLC0415
    from almenara.protocol.alert import json_schema_alert  # noqa: PLC0415

    emit(json_schema_case() if name == "case" else json_schema_alert(), as_json)
