"""One simulated organisation: its home and disk outlive its node, which is the real one, wired by the real daemon."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from almenara.crypto.certificate import make_tls_identity
from almenara.node.config import load_config
from almenara.node.daemon import _Node
from almenara.node.events import Events
from almenara.node.home import Home
from almenara.node.identity import Identity
from almenara.node.service import Service
from tests.simulation.clock import NOW
from tests.simulation.disk import Disk
from tests.simulation.network import SimulatedDialer
from tests.support.mesh import Conversation

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from almenara.crypto.identity import NodeId
    from tests.simulation.network import End
    from tests.simulation.world import World

STARTING_SECONDS = (0.5, 5.0)


class Site:
    """`up` from the start of its node to a crash or stop; `listening` once others can connect."""

    def __init__(self, world: World, folder: Path, name: str, skew_ms: int) -> None:
        self.world, self.name, self.skew_ms = world, name, skew_ms
        self.home = Home(folder / name)
        self.home.create()
        self.identity = Identity.generate()
        self.home.config_path.write_text(f'[node]\nname = "{name}"\n[peer]\nadvertise = ["{name}.example:7010"]\n')
        self.home.policy_path.write_bytes(files("almenara.node.minimise").joinpath("policy.toml").read_bytes())
        self.home.tls_path.write_bytes(make_tls_identity(self.identity.tls_password).pem)
        self.config = load_config(self.home)
        self.disk = Disk(self.home.database_path, world.chance("disk", name), world.trace, self._on_loss)
        self.node: _Node = None  # type: ignore[assignment] # until it starts
        self.service: Service = None  # type: ignore[assignment]
        self.up = self.listening = False
        self._stack: AsyncExitStack | None = None
        self._beside: dict[asyncio.Task[Any], None] = {}  # in order: sets of tasks have none

    @property
    def id(self) -> NodeId:
        """Its node id."""
        return self.identity.node_id

    def clock(self) -> int:
        """What its machine shows, in ms."""
        return NOW + int(self.world.loop.time() * 1000) + self.skew_ms

    # its life

    async def start(self) -> None:
        """As `daemon.open_node`. A fault of the disk on the way is a crash."""
        self.world.trace.note("start", self.name)
        self.up = True
        stack = self._stack = AsyncExitStack()
        try:
            store = await self.disk.open(self.clock)
            stack.push_async_callback(store.close)
            self.node = _Node(self.home, self.config, self.identity, store, _Told(self), self.clock)
            self._replace_network()
            self.world.on_node(self.node)
            await self.node.load()
            await self.node.start(stack)
            self.service = Service(self.config, "simulation", _no_opener)
            self.service.events = self.node.peers._events
            self.service._runtime = self.node.runtime(self.crash)
            self.listening = True
        except Exception:
            if not self.disk.dead and not self.disk.full:
                raise
            await self.crash()

    def _replace_network(self) -> None:
        dialer: Any = SimulatedDialer(self.world.network, self)
        self.node.links.dialer = dialer
        node: Any = self.node
        node.pairing = node.peers.pairing = _Pairing()
        node.listener = _Listener()

    def answer(self, end: End) -> None:
        """Somebody has connected."""
        self._run(self._serve(end))

    async def _serve(self, end: Any) -> None:
        await self.node.links.run_link(end)
        await end.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._beside[task] = None
        task.add_done_callback(lambda done: self._beside.pop(done, None))

    def _on_loss(self) -> None:
        """Power failed in the middle of a write; who was writing is still on the stack."""
        self._go_dark()
        self.world.spawn(self._after_loss())

    async def _after_loss(self) -> None:
        await self.crash()
        await asyncio.sleep(self.world.faults.uniform(1.0, 600.0))
        await self.revive()

    def _go_dark(self) -> None:
        self.up = self.listening = False
        self.world.network.lost(self)

    async def crash(self) -> None:
        """Everything in memory is gone, and so is every transaction that had not committed."""
        self._go_dark()
        self.disk.die()
        self.world.trace.note("crash", self.name)
        stack, self._stack = self._stack, None
        beside = list(self._beside)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        if stack is not None:
            with suppress(Exception):  # nothing that it does now has an effect
                await stack.aclose()
        self.world.on_stopped(self)

    async def revive(self) -> None:
        """Start it, unless it runs; again and again until the disk lets it."""
        while not self.up:
            await self.start()
            if not self.up:
                await asyncio.sleep(self.world.faults.uniform(*STARTING_SECONDS))

    async def roll_back(self, folder: Path) -> None:
        """Put a snapshot back and start from it, as somebody does who restores a machine."""
        await self.crash()
        self.disk.restore(folder)
        self.world.ledger.restored.add(self.id.raw)
        self.world.trace.note("restore", self.name)
        await self.revive()


class _Told(Events):
    """Counts what people are told."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._site = site

    def publish(self, kind: str, ref: str = "") -> None:
        if kind == "inbox":
            shown = self._site.world.ledger.shown.setdefault(self._site.id.raw, {})
            shown[ref] = shown.get(ref, 0) + 1
        super().publish(kind, ref)


class _Pairing(Conversation):
    """Nobody pairs over the network of a simulation: the world says who is paired."""

    async def start(self) -> None:
        """Nothing is pending."""


class _Listener:
    """The network knows where a node is."""

    async def start(self, host: str, port: int) -> None:
        """Nothing to bind."""

    async def close(self) -> None:
        """Nothing to release."""


async def _no_opener(_: str) -> Any:
    raise AssertionError("a simulation opens its nodes itself")
