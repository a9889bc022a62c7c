"""Whole nodes without sockets: what one has in its log another takes in when the test says so, under a clock it moves.

Everything but transport and pairing's conversation is real: database, keys, circles, ingest, key desk, service.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from itertools import permutations
from typing import TYPE_CHECKING, Any

from almenara.crypto.certificate import make_tls_identity
from almenara.node.casebook import id_text
from almenara.node.clock import DAY_MS, MINUTE_MS
from almenara.node.config import load_config
from almenara.node.daemon import _Node
from almenara.node.events import Events
from almenara.node.exchange import Arrival
from almenara.node.home import Home
from almenara.node.identity import Identity
from almenara.node.pairing import NotPending
from almenara.node.service import LOCAL, Service
from almenara.node.storage.engine import Store, open_store
from almenara.protocol.card import parse_introduction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from almenara.crypto.identity import NodeId
    from almenara.node.circle import Circle
    from almenara.protocol.session import Outcome

NOW = 1_795_000_000_000  # a Wednesday in November 2026, in ms
X_WING = b"\x01\x01"
CASE: dict[str, Any] = {
    "title": "Persona Ficticia Uno, third summons",
    "persons": [{"name": "Persona Ficticia Uno", "phone": "+57 300 000 0000"}],
    "threats": ["legal.warrant-summons", "intimidation.threat"],
    "phase": "ongoing",
    "severity": "Severe",
    "urgency": "Immediate",
    "certainty": "Observed",
    "target_unit": "individual",
    "role": "community-leader",
    "issue": "land-environment-climate",
    "place": {"country": "CO", "admin1": "CO-CAU"},
    "occurred_at": "2026-11-17T14:37-05:00",
    "consent": {"state": "share-network", "basis": "self"},
}


class Conversation:
    """Stands for the network part of pairing: codes are given by the test."""

    def __init__(self) -> None:
        self.codes: dict[bytes, Callable[[], Any]] = {}

    async def confirm(self, node_id: bytes) -> bool:
        """As `Pairing.confirm`."""
        if node_id not in self.codes:
            raise NotPending
        await self.codes[node_id]()
        return True

    async def discard(self, node_id: bytes) -> None:
        """As `Pairing.discard`."""
        self.codes.pop(node_id, None)

    async def settled(self, node_id: bytes) -> None:
        """As `Pairing.settled`."""

    async def close(self) -> None:
        """Nothing runs."""


@dataclass(eq=False)
class Line:
    """Stands for one session: keeps what was acknowledged."""

    peer: NodeId
    peer_epoch: bytes = b"\x02" * 16
    answers: dict[int, Outcome] = field(default_factory=dict)
    proven: set[bytes] = field(default_factory=set)

    def proves(self, tag: bytes) -> bool:
        """As `Exchange.proves`."""
        return tag in self.proven

    def acknowledge(self, lane: int, outcomes: list[tuple[int, Outcome]]) -> None:  # noqa: ARG002 - a session's shape
        """As `Exchange.acknowledge`."""
        self.answers.update(outcomes)

    async def close(self) -> None:
        """Nothing to hang up."""


@dataclass(eq=False)
class Office:
    """One organisation: its home outlives its node."""

    name: str
    home: Home
    identity: Identity
    mesh: Mesh
    node: _Node = field(init=False)
    service: Service = field(init=False)
    store: Store = field(init=False)
    online: bool = True
    skew: int = 0  # ms by which its computer is wrong
    boot: str = "first"  # names the start of its computer
    dropped: list[bytes] = field(default_factory=list)
    kept: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    given: dict[bytes, set[bytes]] = field(default_factory=dict)  # peer -> envelopes it has had from us

    @property
    def id(self) -> NodeId:
        """Its node id."""
        return self.identity.node_id

    @property
    def text(self) -> str:
        """The same, as people write it."""
        return self.id.text

    def computer(self) -> int:
        """What its computer says."""
        return self.mesh.now + self.skew

    def uptime(self) -> tuple[str, int]:
        """What no wrong date changes; a computer that was started anew began to count then."""
        return self.boot, self.mesh.now - NOW

    async def open(self) -> None:
        """Start the node, as a restart does."""
        config = load_config(self.home)
        self.store = await open_store(
            self.home.database_path, self.identity.database_key, self.identity.column_key, clock=self.computer
        )
        self.node = _Node(self.home, config, self.identity, self.store, Events(), self.computer, self.uptime)
        self._replace_network()
        await self.node.load()
        await self.node.peers.load()
        self.service = Service(config, "test", _no_opener)
        self.service.events = self.node.peers._events
        self.service._runtime = self.node.runtime(self.close)

    def _replace_network(self) -> None:
        links: Any = self.node.links
        links.keep = lambda peer, _certificate, endpoints: self.kept.update({peer: endpoints})
        links.drop = self._drop
        links.connected = lambda peer: self.mesh.connected(self, peer)
        conversation: Any = Conversation()
        self.node.pairing = self.node.peers.pairing = conversation
        self.node.maintenance._door = _Certificate(self.node.door.certificate)  # type: ignore[assignment]

    async def _drop(self, peer: bytes) -> None:
        self.kept.pop(peer, None)
        self.dropped.append(peer)

    async def close(self) -> None:
        """Stop it, as a clean end or a lock does."""
        await self.node.tasks.close()
        await self.store.close()

    async def restart(self) -> None:
        """Stop and start: only what the database holds goes on."""
        await self.close()
        await self.open()

    def circle(self, circle_id: str) -> Circle:
        """What its memory holds of a circle."""
        found = next((each for each in self.node.circles if id_text(each.id) == circle_id), None)
        assert found is not None, f"{self.name} does not know this circle"
        return found

    async def state(self, circle_id: str) -> str:
        """How it stands in a circle; "unknown" where it was never asked."""
        found = {c.circle_id: c.state for c in (await self.service.circles(LOCAL)).circles}
        return found.get(circle_id, "unknown")

    async def members(self, circle_id: str) -> dict[str, str]:
        """Member states by name, as its people see them."""
        return {m.name: m.state for m in (await self.service.circle(LOCAL, circle_id)).members}

    async def direct(self, other: Office) -> str:
        """The id of the direct circle in use with somebody."""
        found = self.node.circles.direct_with(other.id)
        assert found is not None
        return id_text(found.id)

    async def send(self, circle_id: str, **changes: Any) -> str:
        """Write a case, preview it, send it; returns the alert id."""
        record = await self.service.save_case(LOCAL, self.mesh.case(**changes))
        assert record.state == "ready", record.problems
        shown = await self.service.preview(LOCAL, record.case_id, circle_id)
        sent = await self.service.send(
            LOCAL, record.case_id, circle_id, body_sha256=shown.body_sha256, statement=shown.statement
        )
        return sent.alert_id

    async def received(self) -> list[str]:
        """Alert ids in its inbox, in order of arrival."""
        return [alert.alert_id for alert in (await self.service.inbox(LOCAL)).alerts]

    async def maintain(self) -> None:
        """What the node does by the clock."""
        await self.node.maintenance.round()


class Mesh:
    """Offices, who is paired and who is reachable, and one clock for all."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, NOW
        self.offices: dict[str, Office] = {}
        self.paired: set[frozenset[str]] = set()

    def clock(self) -> int:
        """Milliseconds, moved by the test alone."""
        return self.now

    def advance(self, *, days: float = 0, minutes: float = 0) -> None:
        """Let time pass."""
        self.now += int(days * DAY_MS + minutes * MINUTE_MS)

    async def office(self, name: str, *, more: str = "") -> Office:
        """Found an organisation and start its node."""
        home = Home(self.folder / name)
        home.create()
        identity = Identity.generate()
        home.write(home.config_path, f'[node]\nname = "{name}"\n{more}'.encode())
        home.write(home.policy_path, _policy())
        home.write(home.tls_path, make_tls_identity(identity.tls_password).pem)
        office = self.offices[name] = Office(name, home, identity, self)
        await office.open()
        return office

    async def close(self) -> None:
        """Stop all nodes."""
        for office in self.offices.values():
            await office.close()

    def connected(self, office: Office, peer: bytes) -> bool:
        """Whether two nodes would have a session now."""
        other = next((each for each in self.offices.values() if each.id.raw == peer), None)
        return other is not None and self._linked(office, other)

    def _linked(self, a: Office, b: Office) -> bool:
        trust = b.id.raw in a.node.circles.verified and a.id.raw in b.node.circles.verified
        return a.online and b.online and trust

    async def show_codes(self, a: Office, b: Office, code: str = "1234 5678 9012") -> None:
        """Both sides have a code, and nobody has compared it."""
        for mine, theirs in ((a, b), (b, a)):
            await mine.node.peers.on_code(theirs.id.raw, parse_introduction(_introduction(theirs)), code)

    async def pair(self, inviter: Office, joiner: Office, code: str = "1234 5678 9012") -> None:
        """Codes shown, both people confirm, the direct circle is there."""
        await self.show_codes(inviter, joiner, code)
        for mine, theirs, initiator in ((inviter, joiner, True), (joiner, inviter, False)):
            talk: Any = mine.node.pairing
            introduction = parse_introduction(_introduction(theirs))
            talk.codes[theirs.id.raw] = _later(mine.node.peers.on_paired, theirs.id.raw, introduction, initiator)
            await mine.service.confirm_peer(LOCAL, theirs.text)
        await self.flow()

    async def flow(self) -> None:
        """Let everything that can travel arrive, until nothing moves."""
        for _ in range(64):
            moved = False
            for a, b in permutations(self.offices.values(), 2):
                if self._linked(a, b):
                    moved |= await self.push(a, b)
                    moved |= await self.ask(b, a)
            if not moved:
                return
        raise AssertionError("never at rest")

    @staticmethod
    def case(**changes: Any) -> dict[str, Any]:
        """A case that may go to every circle of partners and networks."""
        return CASE | changes

    async def push_only(self, a: Office, b: Office, *, packets: bool) -> None:
        """Key packets, or everything else."""
        await self.push(a, b, which=lambda row: (row.data[2:4] == X_WING) is packets)

    async def push(
        self, a: Office, b: Office, *, backwards: bool = False, which: Callable[[Any], bool] = lambda _: True
    ) -> bool:
        """What `a` may offer and `b` has not had from it, in order or the last first."""
        hour = self.now // 3_600_000
        tags = set(a.node.keyring.provable(hour)) & set(b.node.keyring.provable(hour))
        given = a.given.setdefault(b.id.raw, set())
        moved = False
        for lane in (0, 1):
            async with a.store.read() as tx:
                rows = await tx.log.after(lane, 0, tags, b.id.raw, exclude_source=b.id.raw, limit=10_000)
            for row in sorted(rows, key=lambda row: row.position, reverse=backwards):
                if row.envelope_id not in given and which(row):
                    given.add(row.envelope_id)
                    await self._deliver(a, b, lane, row)
                    moved = True
        return moved

    @staticmethod
    async def _deliver(a: Office, b: Office, lane: int, row: Any) -> None:
        line: Any = Line(a.id, proven=set(a.node.keyring.provable(a.mesh.now // 3_600_000)))
        a.node.deliveries.sent(b.id, [row.envelope_id])
        await a.node.deliveries.flush()
        await b.node.ingest.take([Arrival(line, lane, row.position, row.data)])
        await a.node.deliveries.acknowledged(b.id, [(row.envelope_id, line.answers[row.position])])

    @staticmethod
    def knowledge(office: Office) -> tuple[Any, ...]:
        """Everything its memory says of circles and keys, to compare."""
        return _knowledge(office)

    @staticmethod
    async def ask(asker: Office, other: Office) -> bool:
        """KEYREQ and KEYS; asked again only where something may have changed."""
        moved = False
        for circle_id, held in asker.node.keydesk.questions(other.id):
            told = await other.node.keydesk.answer(asker.id, circle_id, held)
            before = _knowledge(asker)
            if told is not None:
                await asker.node.keydesk.take(other.id, told)
            moved |= _knowledge(asker) != before
        return moved


class _Certificate:
    def __init__(self, certificate: bytes) -> None:
        self.certificate = certificate


def _knowledge(office: Office) -> tuple[Any, ...]:
    node = office.node
    circles = {each.id: _about(office, each) for each in node.circles}
    return circles, set(node.keyring.kids()), node.keyring.scopes(office.mesh.now // 3_600_000)


def _about(office: Office, circle: Circle) -> tuple[Any, ...]:
    history = circle.history
    lineage = history.lineage
    known = {(node, office.node.cards.introduction(node)) for node in circle.current.nodes}
    return circle.row, circle.current.id, frozenset(lineage.valid), history.out, history.waiting, lineage.void, known


def _introduction(office: Office) -> bytes:
    introduction = office.node.cards.introduction(office.id)
    assert introduction is not None
    return introduction


def _later(work: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    return lambda: work(*args)


async def _no_opener(_: str) -> Any:
    raise AssertionError("a mesh opens its nodes itself")


def _policy() -> bytes:
    return files("almenara.node.minimise").joinpath("policy.toml").read_bytes()


async def meshed(folder: Path) -> AsyncIterator[Mesh]:
    """For fixtures."""
    mesh = Mesh(folder)
    try:
        yield mesh
    finally:
        await mesh.close()
