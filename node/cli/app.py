"""The group of all commands, and the one place where errors become words and an exit code.

A command's module is imported when the command is used, so that `almenara --help` and completion answer at once.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module

import click

from almenara.node.cli.exits import Exit, exit_for
from almenara.node.cli.output import tell
from almenara.node.problem import Kind, Problem

COMMANDS = {  # name -> (module, help)
    "init": ("init", "Make a node's home: keys, configuration, policy"),
    "run": ("run", "Run the node"),
    "status": ("status", "Say how the node is"),
    "clock": ("clock", "Say how late it is here, and settle doubt about it"),
    "config": ("config", "Check and show the configuration"),
    "person": ("person", "Let people sign in to the panel"),
    "invite": ("peers", "Invite another organisation to pair"),
    "pair": ("peers", "Use an invitation"),
    "peers": ("peers", "List, confirm and remove peers"),
    "discover": ("discover", "Look for peers on the local network"),
    "circle": ("circle", "Found, join and leave circles"),
    "case": ("case", "Keep cases; they never leave the node"),
    "alert": ("alert", "Preview, send and follow alerts"),
    "inbox": ("alert", "List others' alerts"),
    "bundle": ("bundle", "Carry alerts on a stick, where there is no network"),
    "forks": ("forks", "Where authors contradict themselves, us included"),
    "schema": ("schema", "Print a JSON Schema"),
    "demo": ("demo", "Three nodes on this machine, from pairing to alerts"),
}


class Commands(click.Group):
    """The commands of the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order in which somebody meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"almenara.node.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Say what there is without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 refused, 2 wrong usage or configuration, 3 node not running or not reachable, "
    "4 our own fault. Options stand after the command's own words.",
)
@click.version_option(package_name="almenara")
def almenara() -> None:
    """Early warning among organisations that protect human rights defenders."""


def main() -> None:
    """Run what the command line says and exit; never a traceback."""
    as_json = "--json" in sys.argv
    try:
        code = almenara.main(prog_name="almenara", standalone_mode=False)
    except click.Abort:
        click.echo("Stopped.", err=True)
        code = Exit.REFUSED
    except click.ClickException as error:
        code = _wrong_usage(error, as_json)
    except Problem as problem:
        tell(problem.as_json(), as_json)
        code = exit_for(problem.kind)
    except Exception as error:  # noqa: BLE001 - the last net
        code = _our_fault(error, as_json)
    sys.exit(code if isinstance(code, int) else Exit.DONE)


def _wrong_usage(error: click.ClickException, as_json: bool) -> Exit:
    if as_json:
        told = Problem(Kind.MALFORMED, error.format_message(), next="almenara --help").as_json()
        tell(told | {"title": "The command was not understood"}, as_json)
    else:
        error.show()
    return Exit.USAGE


def _our_fault(error: Exception, as_json: bool) -> Exit:
    """Say the type and the place of the fault, never its text: that may hold a case."""
    if isinstance(error, OSError) and error.errno == errno.EPIPE:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.REFUSED
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""  # noqa: PTH119
    problem = Problem(Kind.INTERNAL, f"{type(error).__name__} at {place}", id=os.urandom(6).hex())
    tell(problem.as_json(), as_json)
    return Exit.OUR_FAULT
