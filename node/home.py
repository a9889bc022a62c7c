"""A node's home: paths, lock, how the command line finds the node, where the passphrase comes from (SCHEMAS §5)."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER_MODE, FILE_MODE = 0o700, 0o600
PASSPHRASE_MIN = 12  # characters; each costs an attacker a second of Argon2id, so short ones are the danger
PASSPHRASE_FILE_BYTES = 4096  # the first line of a file is all that is read


class Home:
    """One folder with everything a node has."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_path = path / "almenara.toml"
        self.policy_path = path / "policy.toml"
        self.vault_path = path / "vault.almenara"
        self.tls_path = path / "tls.pem"
        self.database_path = path / "data.db"
        self.run_dir = path / "run"
        self.lock_path = self.run_dir / "node.lock"
        self.local_path = self.run_dir / "local.json"

    def create(self) -> None:
        """Make the folder, for its owner only, also where it exists with wider rights."""
        for folder in (self.path, self.run_dir):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(FOLDER_MODE)

    def write(self, path: Path, content: bytes) -> None:
        """Write a file whole or not at all, durably, for its owner only."""
        partial = path.with_name(path.name + ".part")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        partial.replace(path)
        sync_folder(path.parent)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home for one running node. Raises `Problem`: HOME_IN_USE while another holds it, NOT_FOUND.

        The kernel drops the lock when its holder dies, so a file that a killed node left behind locks nobody out.
        """
        self._check_rights()
        descriptor = self._take_lock()
        try:
            yield
        finally:
            self.lock_path.unlink(missing_ok=True)  # before the lock is dropped: afterwards it may be another's
            os.close(descriptor)

    def _take_lock(self) -> int:
        while True:
            descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise Problem(
                    Kind.HOME_IN_USE,
                    N_("A node is running on this home already."),
                    field="home",
                    next=N_("Stop it first, or use it as it is."),
                ) from None
            if _is_at(descriptor, self.lock_path):
                return descriptor
            os.close(descriptor)  # its holder was just leaving and took the file away: begin again

    def _check_rights(self) -> None:
        """A home that was copied or unpacked may have become readable for others. Raises `Problem(NOT_FOUND)`."""
        if not self.vault_path.exists():
            raise Problem(
                Kind.NOT_FOUND,
                N_("There is no node in this folder."),
                field="home",
                next=N_("Make one with `almenara init`, or name another folder."),
            )
        self.create()
        for path in self.path.iterdir():
            if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o077:
                path.chmod(FILE_MODE)

    def write_local(self, url: str, token: str, version: str) -> None:
        """Tell the command line how to reach the running node."""
        told = {"url": url, "token": token, "pid": os.getpid(), "version": version}
        self.write(self.local_path, json.dumps(told).encode())

    def read_local(self) -> dict[str, Any] | None:
        """What the running node told, or None where none does."""
        try:
            told = json.loads(self.local_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return told if isinstance(told, dict) else None

    def remove_local(self) -> None:
        """The node is stopping."""
        self.local_path.unlink(missing_ok=True)


def read_passphrase(
    file: Path | None, *, prompt: bool, environ: Mapping[str, str] | None = None, confirm: bool = False
) -> str | None:
    """The vault's passphrase from the first source that is there, None where there is none (SCHEMAS §5).

    Sources: the file given, ALMENARA_PASSPHRASE_FILE, $CREDENTIALS_DIRECTORY/passphrase, and if `prompt` a question on
    the terminal, asked twice with `confirm`. Raises `Problem`: NOT_FOUND for a file that cannot be read, WRONG_TYPE
    for a passphrase that is too short.
    """
    source = file or _named_file(os.environ if environ is None else environ)
    if source is not None:
        return checked(_first_line(source))
    if prompt and sys.stdin.isatty():
        return checked(click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True))
    return None


def _named_file(environ: Mapping[str, str]) -> Path | None:
    if named := environ.get("ALMENARA_PASSPHRASE_FILE"):
        return Path(named)
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    found = Path(credentials) / "passphrase" if credentials else None
    return found if found is not None and found.exists() else None


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            line = file.readline(PASSPHRASE_FILE_BYTES)
        return line.decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise Problem(
            Kind.NOT_FOUND,
            N_("The passphrase file cannot be read."),
            field="passphrase-file",
            expected=N_("a text file with the passphrase in its first line"),
        ) from None


def checked(passphrase: str) -> str:
    """Give back a passphrase that is long enough. Raises `Problem(WRONG_TYPE)`."""
    if len(passphrase) < PASSPHRASE_MIN:
        raise Problem(
            Kind.WRONG_TYPE,
            N_("The passphrase is too short."),
            field="passphrase",
            expected=f"≥ {PASSPHRASE_MIN}",
            got=str(len(passphrase)),
            next=N_("Choose at least 12 characters; a few unrelated words are good."),
        )
    return passphrase


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def sync_folder(folder: Path) -> None:
    """Make a name in a folder as durable as the file it names."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
