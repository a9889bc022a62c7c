"""`almenara demo`: the whole way, from pairing to alerts, on this machine (SCHEMAS §9)."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from almenara.node.cli.exits import Exit
from almenara.node.cli.output import say

if TYPE_CHECKING:
    from almenara.node.demo.stage import Player


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Assert that all went as it has to, and end: exit 0 or 1")
def demo(only_check: bool) -> int:
    """Start three nodes, pair them, share fictitious cases; Ctrl-C stops and removes everything."""
    from almenara.node.demo.checks import check, nothing_is_left, summary  # noqa: PLC0415 - imports the case schema
    from almenara.node.demo.stage import DemoFailed, stage  # noqa: PLC0415
    from almenara.node.demo.story import Story  # noqa: PLC0415

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop from outside cleans up too
    try:
        with stage() as players:
            story = Story(players=players)
            story.play()
            if only_check:
                check(story)
            else:
                click.echo(summary(story))
                _stay(players)
        nothing_is_left(players)
    except DemoFailed as failed:
        say(f"demo failed: {failed}")
        return Exit.REFUSED
    if only_check:
        click.echo(summary(story))
    return Exit.DONE


def _stay(players: tuple[Player, ...]) -> None:
    """Say how to look into the three panels, and wait for Ctrl-C."""
    for player in players:
        click.echo(f"{player.name:6} {player.panel}   name: {player.name}   password: {player.password}")
    say("Ctrl-C stops the three nodes and removes everything.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        say("")
