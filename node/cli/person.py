"""`almenara person`: who may sign in to the panel."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

import click

from almenara.node.cli.options import common
from almenara.node.cli.output import emit
from almenara.node.client import ask

if TYPE_CHECKING:
    from pathlib import Path

ROLES = ("admin", "case worker", "viewer")


@click.group()
def person() -> None:
    """Let people sign in to the panel."""


@person.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--password-file", type=click.File("r", encoding="utf-8"), help="Its first line; without it, a question")
@common
def add(home: Path, name: str, role: str, password_file: TextIO | None, as_json: bool) -> None:
    """Let somebody sign in."""
    password = _asked() if password_file is None else password_file.readline().rstrip("\r\n")
    emit(ask(home, "POST", "people", body={"name": name, "role": role, "password": password}), as_json, "person")


def _asked() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("Use --password-file where nobody can answer.")
    answer: str = click.prompt("Password (12 characters or more)", hide_input=True, confirmation_prompt=True, err=True)
    return answer
