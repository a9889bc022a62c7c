"""`almenara bundle`: alerts in a file, for a stick or any other way around a shutdown."""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from almenara.node.cli.exits import Exit
from almenara.node.cli.options import Command, common
from almenara.node.cli.output import emit, line, say
from almenara.node.client import FILE_PATIENCE_S, ask, fetch
from almenara.node.home import FILE_MODE, read_passphrase, sync_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSPHRASE_HEADER = "Almenara-Passphrase"  # noqa: S105 - the name of a header
UNDER_A_PASSPHRASE = b"ALMB\x01\x02"  # how such a file begins (SPEC.md §14)


@click.group()
def bundle() -> None:
    """Carry alerts on a stick, where there is no network."""


def _passphrase_file(function: Command) -> Command:
    return click.option(
        "--passphrase-file", type=click.Path(path_type=Path), help="Its first line; without it, a question"
    )(function)


@bundle.command("export")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.almb")
@click.option("--to", metavar="ID", help="Seal it to this organisation: nobody else opens it")
@click.option("--passphrase", "ask_passphrase", is_flag=True, help="Ask for a passphrase that opens it")
@_passphrase_file
@common
def export(
    home: Path, file: Path, to: str | None, ask_passphrase: bool, passphrase_file: Path | None, as_json: bool
) -> None:
    """Write everything that still travels into FILE.almb, sealed to one organisation or under a passphrase.

    To one organisation it holds what that organisation can open, with the keys it may have missed. Under a passphrase
    it holds all there is here; each reader opens what its own keys open.
    """
    if (to is None) is not (ask_passphrase or passphrase_file is not None):
        raise click.UsageError("Use either --to, or --passphrase (or --passphrase-file).")
    asked = {"to": to} if to is not None else {"passphrase": _asked_for(passphrase_file, confirm=True)}
    told = _write_whole(home, file, asked)
    made: dict[str, Any] = {
        "file": str(file),
        "envelopes": int(told.get("Almenara-Envelopes", 0)),
        "bytes": file.stat().st_size,
        "left_out": int(told.get("Almenara-Left-Out", 0)),
    }
    emit(made | ({} if to is None else {"to": to}), as_json, "bundle")


def _asked_for(file: Path | None, *, confirm: bool) -> str:
    """Never from the environment: what stands there is the vault's passphrase, and it must not leave on a stick."""
    found = read_passphrase(file, prompt=True, environ={}, confirm=confirm)
    if found is None:
        raise click.UsageError("Use --passphrase-file where nobody can answer.")
    return found


def _write_whole(home: Path, file: Path, asked: dict[str, str]) -> Mapping[str, str]:
    """The file is there whole, on the disk, for its owner only, or not at all."""
    partial = file.with_name(file.name + ".part")
    try:
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            with os.fdopen(descriptor, "wb") as into:
                told = fetch(home, "bundles", "export", body=asked, into=into)
                into.flush()
                os.fsync(descriptor)
            partial.replace(file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        with suppress(OSError):  # some sticks' file systems cannot; the file itself is on the disk
            sync_folder(file.parent)
    except OSError as error:
        raise click.FileError(str(file), error.strerror or "it cannot be written") from None
    return told


@bundle.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE.almb")
@_passphrase_file
@common
def import_(home: Path, file: Path, passphrase_file: Path | None, as_json: bool) -> int:
    """Take in the envelopes of FILE.almb. It can be done again: nothing is taken twice.

    Of a damaged file everything before the damage is taken; the command then exits 1.
    """
    try:
        with file.open("rb") as data:
            told = _give(home, data, passphrase_file)
    except OSError as error:
        raise click.FileError(str(file), error.strerror or "it cannot be read") from None
    emit(told, as_json, "imported bundle")
    if told["complete"]:
        return Exit.DONE
    say(line({"title": told["reason"], "next": told["next"]}))
    return Exit.REFUSED


def _give(home: Path, file: BinaryIO, passphrase_file: Path | None) -> dict[str, Any]:
    """Hand the file to the node, with a passphrase where it begins like one that needs it."""
    locked = file.read(len(UNDER_A_PASSPHRASE)) == UNDER_A_PASSPHRASE
    file.seek(0)
    headers = {PASSPHRASE_HEADER: _in_base64(_asked_for(passphrase_file, confirm=False))} if locked else {}
    length = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
    return ask(home, "POST", "bundles", "import", body=file, headers=headers | length, patience=FILE_PATIENCE_S)


def _in_base64(passphrase: str) -> str:
    return base64.b64encode(passphrase.encode()).decode()
