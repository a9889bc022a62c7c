"""`almenara case`: the confidential records. They go to our own node and no further."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import click

from almenara.node.cli.exits import Exit, exit_for
from almenara.node.cli.options import common
from almenara.node.cli.output import emit, line, say
from almenara.node.client import Refused, ask

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def case() -> None:
    """Keep cases; they never leave the node."""


@case.command()
@click.argument("file", type=click.File("rb"))
@common
def add(home: Path, file: BinaryIO, as_json: bool) -> None:
    """Keep the case in FILE (JSON; - for stdin). See `almenara schema case`.

    A case that breaks a rule is kept as a draft, and the problem says what to mend.
    """
    emit(ask(home, "POST", "cases", body=file.read()), as_json, "case")


@case.command("import")
@click.argument("file", type=click.File("rb"), metavar="FILE.jsonl")
@common
def import_(home: Path, file: BinaryIO, as_json: bool) -> int:
    """Keep every case in FILE, one JSON object a line; exits 1 if any is not ready."""
    results = [_keep(home, number, text) for number, text in enumerate(file, start=1) if text.strip()]
    counts = {state: sum(one["state"] == state for one in results) for state in ("ready", "draft", "refused")}
    told = {"ready": counts["ready"], "drafts": counts["draft"], "refused": counts["refused"], "results": results}
    emit(told, as_json, "imported")
    for one in results:
        if "problem" in one:
            say(f"line {one['line']}: {line(one['problem'])}")
    return Exit.DONE if counts["ready"] == len(results) else Exit.REFUSED


def _keep(home: Path, number: int, text: bytes) -> dict[str, Any]:
    """Give one case to the node; what stops only this one is its result, what stops all is raised."""
    try:
        told = ask(home, "POST", "cases", body=text)
    except Refused as refused:
        problem = refused.as_json()
        if "case_id" in problem:
            return {"line": number, "case_id": problem["case_id"], "state": "draft", "problem": problem}
        if exit_for(refused.kind) != Exit.REFUSED or refused.kind in {"locked", "not-allowed"}:
            raise
        return {"line": number, "state": "refused", "problem": problem}
    return {"line": number, "case_id": told["case_id"], "state": told["state"]}


@case.command("list")
@common
def list_(home: Path, as_json: bool) -> None:
    """List cases."""
    emit(ask(home, "GET", "cases"), as_json, "cases")


@case.command()
@click.argument("case_id", metavar="ID")
@common
def show(home: Path, case_id: str, as_json: bool) -> None:
    """Show one case, whole."""
    emit(ask(home, "GET", "cases", case_id), as_json)
