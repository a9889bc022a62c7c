"""A Tor network of its own on loopback: one authority, a few relays, real onion services; nothing leaves it."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.nodes import free_port
from tests.support.processes import wait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RELAYS = 4  # with the authority five: an onion circuit takes four different ones
LOOPBACK = "127.0.0.1"
NOBODY = "f" * 40
TOR = ("tor", "--ignore-missing-torrc", "--defaults-torrc", "/nonexistent/torrc")  # nothing of the machine's own

# The times are the shortest that tor takes; the flags are given to everybody, since nobody has an uptime yet.
NETWORK = """
TestingTorNetwork 1
AssumeReachable 1
EnforceDistinctSubnets 0
PathsNeededToBuildCircuits 0.67
UseMicrodescriptors 0
ServerDNSDetectHijacking 0
ServerDNSTestAddresses
ShutdownWaitLength 0
Address 127.0.0.1
Log notice stdout
"""
AUTHORITY = """
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
ContactInfo nobody@example.org
TestingV3AuthInitialVotingInterval 5
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
V3AuthNIntervalsValid 3
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingMinExitFlagThreshold 0
TestingMinFastFlagThreshold 0
MinUptimeHidServDirectoryV2 0
"""


@dataclass
class Tor:
    """One tor process, with its folder and log."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Everything it said."""
        path = self.folder / "log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def start(self, *parts: str) -> None:
        """Run it under these lines of configuration."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        torrc = self.folder / "torrc"
        torrc.write_text("\n".join((f"DataDirectory {self.folder}", *parts, "")), encoding="utf-8")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*TOR, "-f", str(torrc)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def says(self, words: str) -> bool:
        """Whether it has said so; a tor that ended cannot any more."""
        assert self.process is not None
        assert self.process.poll() is None, self.log[-2000:]
        return words in self.log

    def stop(self) -> None:
        """End it at once: nothing of it is needed again."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass
class Network:
    """The relays that run, and how to add clients and onion services."""

    folder: Path
    authority: str = ""  # the line that every member needs
    running: list[Tor] = field(default_factory=list)

    def start(self) -> None:
        """Start the authority and the relays."""
        first = Tor(self.folder / "authority")
        first.folder.mkdir(mode=0o700)
        ports = free_port(), free_port()
        self.authority = _authority_line(first.folder, *ports)
        self._run(first, AUTHORITY, f"OrPort {LOOPBACK}:{ports[0]}\nDirPort {LOOPBACK}:{ports[1]}\nNickname authority")
        for number in range(RELAYS):
            relay = Tor(self.folder / f"relay{number}")
            self._run(relay, f"OrPort {LOOPBACK}:{free_port()}\nNickname relay{number}\nExitRelay 0\nSocksPort 0")

    def client(self) -> tuple[Tor, str]:
        """A tor that only dials; with the address of its SOCKS proxy."""
        proxy = f"{LOOPBACK}:{free_port()}"
        made = Tor(self.folder / f"client{len(self.running)}")
        self._run(made, f"SocksPort {proxy}")
        return made, proxy

    def service(self, target: str) -> tuple[Tor, str, str]:
        """A tor that has an onion service on port 7790 for `target`; its address, and its SOCKS proxy's."""
        proxy = f"{LOOPBACK}:{free_port()}"
        made = Tor(self.folder / f"service{len(self.running)}")
        hidden = made.folder / "onion"
        self._run(made, f"SocksPort {proxy}", f"HiddenServiceDir {hidden}\nHiddenServicePort 7790 {target}")
        name = wait((hidden / "hostname").exists, "the onion's name") and hidden / "hostname"
        return made, f"{name.read_text(encoding='ascii').strip()}:7790", proxy

    def stop(self) -> None:
        """End every process that this network started."""
        for each in reversed(self.running):
            each.stop()

    def _run(self, tor: Tor, *parts: str) -> None:
        self.running.append(tor)
        tor.start(NETWORK, self.authority, *parts)


@contextmanager
def tor_network(folder: Path) -> Iterator[Network]:
    """A network until the block ends."""
    network = Network(folder)
    try:
        network.start()
        yield network
    finally:
        network.stop()


def _authority_line(folder: Path, or_port: int, dir_port: int) -> str:
    """Make the authority's keys; returns the line by which everybody trusts it."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    names = {"-i": "authority_identity_key", "-s": "authority_signing_key", "-c": "authority_certificate"}
    files = [part for flag, name in names.items() for part in (flag, str(keys / name))]
    subprocess.run(
        ["tor-gencert", "--create-identity-key", "--passphrase-fd", "0", "-m", "12", *files],
        input=b"a passphrase of no worth\n",
        check=True,
        capture_output=True,
    )
    certificate = (keys / "authority_certificate").read_text(encoding="ascii")
    told = subprocess.run(
        [*TOR, "-f", str(folder / "none"), "--list-fingerprint", "--DataDirectory", str(folder),
         "--OrPort", "1", "--DirAuthority", f"x {LOOPBACK}:1 {NOBODY}", "--Nickname", "authority"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    identity = _found(r"^fingerprint ([0-9A-F]{40})$", certificate)
    relay = _found(r"^authority ((?:[0-9A-F]{4} ?){10})$", told).replace(" ", "")
    return f"DirAuthority authority orport={or_port} no-v2 v3ident={identity} {LOOPBACK}:{dir_port} {relay}"


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match is not None, text
    return match.group(1)
