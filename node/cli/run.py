"""`almenara run`: the node itself, in the foreground."""

from __future__ import annotations

import asyncio
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import click

from almenara.node.cli.options import common
from almenara.node.cli.output import emit, say
from almenara.node.cli.settings import load
from almenara.node.daemon import run as run_node
from almenara.node.home import read_passphrase
from almenara.node.log import configure

if TYPE_CHECKING:
    from almenara.node.config import Config
    from almenara.node.home import Home
    from almenara.node.service import Service

LOOK_AGAIN_S = 3600  # how long one wait for a change lasts


@click.command()
@click.option("--passphrase-file", type=click.Path(path_type=Path), help="Its first line; without one the panel asks")
@click.option("--listen", metavar="HOST:PORT", help="Where other nodes reach this one [peer.listen]")
@click.option("--panel", metavar="HOST:PORT", help="Where the panel answers [panel.listen]")
@common
def run(home: Path, passphrase_file: Path | None, listen: str | None, panel: str | None, as_json: bool) -> None:
    """Run the node until Ctrl-C or SIGTERM. Without a passphrase it starts locked, and the panel asks for it."""
    place, config = load(home, {"peer.listen": listen, "panel.listen": panel})
    passphrase = read_passphrase(passphrase_file, prompt=True)
    configure(config.log)
    _leave_nothing_lying_around()
    asyncio.run(_run(place, config, passphrase, as_json))


def _leave_nothing_lying_around() -> None:
    """Keys are in memory from here on: no core dump may write them down, and new files are their owner's alone."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)


async def _run(place: Home, config: Config, passphrase: str | None, as_json: bool) -> None:
    watching: list[asyncio.Task[None]] = []

    def ready(service: Service, panel: str) -> None:
        emit({"state": "locked" if service.locked else "ready", "panel": panel}, as_json, "node")
        if service.locked:
            say("The node is locked: open the panel and type the passphrase.")
        watching.append(asyncio.create_task(_show_codes(service)))

    try:
        await run_node(place, config, passphrase, ready)
    finally:
        for task in watching:
            task.cancel()


async def _show_codes(service: Service) -> None:
    """Print the one-time code for the first person, apart from the address, whenever there is a new one."""
    shown, seen = "", service.last_event
    while True:
        code = service.first_code.code if service.first_code else ""
        if code and code != shown:
            say(f"One-time code for the first person, to type in the panel (15 minutes, five tries): {code}")
        shown = code
        events = await service.wait_event(seen, LOOK_AGAIN_S)
        seen = events[-1][0] if events else seen
