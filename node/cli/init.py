"""`almenara init`: a new node."""

from __future__ import annotations

from pathlib import Path

import click

from almenara.node.cli.options import common
from almenara.node.cli.output import emit, say


@click.command()
@click.option("--name", required=True, help="The organisation's name, as others will see it")
@click.option("--passphrase-file", type=click.Path(path_type=Path), help="Its first line; without it, a question")
@click.option("--listen", metavar="HOST:PORT", help="Where other nodes reach this one [0.0.0.0:7790]")
@click.option("--panel", metavar="HOST:PORT", help="Where the panel answers [127.0.0.1:7780]")
@common
def init(
    home: Path, name: str, passphrase_file: Path | None, listen: str | None, panel: str | None, as_json: bool
) -> None:
    """Make a node's home: keys, configuration, policy. Nothing is overwritten.

    Whoever loses the passphrase loses the node: there is no second way in.
    """
    # Imported here: keys and configuration take longer than every other command's help.
    from almenara.node.cli.settings import wrong  # noqa: PLC0415
    from almenara.node.config import ConfigError, initial_text  # noqa: PLC0415
    from almenara.node.founding import found  # noqa: PLC0415
    from almenara.node.home import Home, read_passphrase  # noqa: PLC0415

    sections = {"peer": {"listen": listen}, "panel": {"listen": panel}}
    given = {section: values for section, values in sections.items() if values["listen"] is not None}
    try:
        text = initial_text({"name": name}, **given)
    except ConfigError as error:
        raise wrong(error) from None
    passphrase = read_passphrase(passphrase_file, prompt=True, confirm=True)
    if passphrase is None:
        raise click.UsageError("Use --passphrase-file where nobody can answer.")
    node_id = found(Home(home), passphrase, text)
    emit({"node_id": node_id.text, "name": name, "home": str(home)}, as_json, "node")
    if not as_json:
        say(f"Keep the passphrase on paper. Start the node with: almenara run --home {home}")
