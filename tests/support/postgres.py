"""A PostgreSQL cluster of our own: made, started on a Unix socket only, and removed with everything in it.

    with running_cluster() as cluster:
        store = await open_store(cluster.new_database(), …)

As root, which PostgreSQL refuses, the server runs as the user `postgres` that Debian's package makes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARIES = "/usr/lib/postgresql"
USER = "postgres"
SETTINGS = (
    "-c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=32MB "
    "-c max_connections=50 -c max_wal_senders=0 -c wal_level=minimal"
)
"""No network; and no waiting for the disk, since a test's cluster need not outlive a crash."""


def binaries() -> Path:
    """The newest installed server's programs."""
    found = sorted(Path(BINARIES).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise FileNotFoundError(f"no PostgreSQL under {BINARIES}: apt-get install postgresql")
    return found[-1].parent


@dataclass(frozen=True)
class Cluster:
    """A running cluster; `data` is its data directory, `sockets` the folder of its Unix socket."""

    data: Path
    sockets: Path
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str) -> str:
        """How to reach a database of this cluster."""
        return f"postgresql://{USER}@/{database}?host={self.sockets}"

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test{next(self._numbers)}"
        self.run("createdb", "-h", str(self.sockets), "-U", USER, name)
        return self.url(name)

    def checkpoint(self) -> None:
        """Have everything written to files."""
        self.run("psql", "-h", str(self.sockets), "-U", USER, "-q", "-c", "CHECKPOINT", "postgres")

    def files(self) -> Iterator[Path]:
        """Every file of the data directory."""
        return (path for path in self.data.rglob("*") if path.is_file())

    @staticmethod
    def run(program: str, *words: str) -> None:
        """Run one of PostgreSQL's programs as a user it accepts; its words are shown if it fails."""
        command = [*_as_postgres(), str(binaries() / program), *words]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout.decode(errors='replace')}")


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A fresh cluster in a temporary folder, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="almenara-pg-"))  # short: a socket's path has at most 107 bytes
    folder.chmod(0o711)
    cluster = Cluster(folder / "data", folder / "socket")
    try:
        for path in (cluster.data, cluster.sockets):
            path.mkdir(mode=0o700)
            if os.geteuid() == 0:
                shutil.chown(path, USER, USER)
        cluster.run("initdb", "-D", str(cluster.data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        options = f"{SETTINGS} -k {cluster.sockets}"
        log = str(cluster.data / "server.log")
        cluster.run("pg_ctl", "-D", str(cluster.data), "-o", options, "-l", log, "-w", "-s", "start")
        try:
            yield cluster
        finally:
            cluster.run("pg_ctl", "-D", str(cluster.data), "-m", "immediate", "-w", "-s", "stop")
    finally:
        shutil.rmtree(folder)


def _as_postgres() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"]
