"""The one place that wires a node: vault, storage, circles, links, panel; and the life of the process around it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import structlog

from almenara.crypto.errors import VaultDamaged, WrongPassphrase
from almenara.crypto.vault import open_vault
from almenara.node.admission import Admission
from almenara.node.announcing import Announcements
from almenara.node.api.server import start as start_panel
from almenara.node.authoring import Author
from almenara.node.bundle_export import BundleExport
from almenara.node.bundle_import import BundleImport
from almenara.node.cards import Cards
from almenara.node.carriage import MB, Carriage
from almenara.node.carriers import Carriers
from almenara.node.casebook import Casebook
from almenara.node.chainbook import Chainbook
from almenara.node.circles import Circles
from almenara.node.clock import Clock, Uptime, now_ms, uptime
from almenara.node.contradictions import Contradictions
from almenara.node.deliveries import Deliveries
from almenara.node.discovery import Discovery
from almenara.node.epochs import Epochs
from almenara.node.exchange import Desk
from almenara.node.fanout import Fanout
from almenara.node.groups import Groups
from almenara.node.health import Health
from almenara.node.identity import Identity
from almenara.node.ingest import Ingest
from almenara.node.keydesk import KeyDesk
from almenara.node.keyring import Keyring
from almenara.node.links import Links
from almenara.node.log_epoch import LogEpoch
from almenara.node.maintenance import Maintenance
from almenara.node.minimise.gate import Gate
from almenara.node.minimise.place import Places
from almenara.node.minimise.policy import load_policy
from almenara.node.own_keys import OwnKeys
from almenara.node.pairing import Own, Pairing
from almenara.node.pairing_store import StoredPairings
from almenara.node.peers import Peers
from almenara.node.people import People
from almenara.node.problem import Kind, Problem
from almenara.node.readings import Readings
from almenara.node.receipts import Receipts
from almenara.node.repair import Repairs
from almenara.node.repeating import Repeating
from almenara.node.runtime import Runtime
from almenara.node.service import Service
from almenara.node.sharing import Sharing
from almenara.node.storage.engine import Store, open_store
from almenara.node.timekeeper import Timekeeper
from almenara.node.transport.door import Door
from almenara.node.transport.endpoint import parse_endpoint
from almenara.node.transport.errors import AddressUnavailable
from almenara.node.transport.listener import Listener
from almenara.node.urgent import Urgent
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from almenara.crypto.identity import NodeId
    from almenara.node.config import Config
    from almenara.node.events import Events
    from almenara.node.home import Home

log = structlog.get_logger()


async def run(home: Home, config: Config, passphrase: str | None, on_ready: Callable[[Service, str], None]) -> None:
    """Run until SIGINT or SIGTERM. Without a passphrase the node starts locked and the panel asks for it.

    `on_ready(service, panel address)` is called once panel and API answer.
    Raises `Problem`: HOME_IN_USE, WRONG_PASSPHRASE, NOT_READY for an address that cannot be listened on.
    """
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    with home.lock():
        home.remove_local()  # a killed node leaves it behind, with a token that opens nothing any more
        service = Service(config, version("almenara"), lambda secret: open_node(home, config, secret, service.events))
        if passphrase is not None:
            await service.unlock(passphrase)
        try:
            server = await start_panel(service, config)
        except OSError:
            await service.close()
            raise _address_taken("panel.listen", config.panel.listen) from None
        try:
            home.write_local(server.url, server.token, version("almenara"))
            on_ready(service, config.panel_url)
            await stopped.wait()
        finally:
            home.remove_local()
            await server.close()
            await service.close()


async def open_node(home: Home, config: Config, passphrase: str, events: Events, clock: Clock = now_ms) -> Runtime:
    """Open vault and database, wire every part, start listening and dialling. Raises `Problem(WRONG_PASSPHRASE)`."""
    identity = await asyncio.to_thread(_open_vault, home, passphrase)
    async with AsyncExitStack() as stack:
        store = await open_store(config.database_place(home), identity.database_key, identity.column_key, clock=clock)
        stack.push_async_callback(store.close)
        node = _Node(home, config, identity, store, events, clock, uptime)
        await node.load()
        await node.start(stack)
        return node.runtime(stack.pop_all().aclose)


def _address_taken(setting: str, address: str) -> Problem:
    return Problem(
        Kind.NOT_READY,
        N_("Another program listens on this address already, or it is not an address of this machine."),
        field=setting,
        got=address,
        next=N_("Stop the other program, or choose another address for this node."),
    )


def _open_vault(home: Home, passphrase: str) -> Identity:
    try:
        return Identity.decode(open_vault(home.vault_path.read_bytes(), passphrase))
    except WrongPassphrase:
        raise Problem(Kind.WRONG_PASSPHRASE, next=N_("Try again; capital letters and spaces count.")) from None
    except VaultDamaged:
        raise Problem(
            Kind.MALFORMED,
            N_("The vault file is damaged."),
            field="vault.almenara",
            next=N_("Restore the vault file from a copy."),
        ) from None


class _Node:
    """Every part, built once and handed what it needs: the map of the program."""

    def __init__(
        self,
        home: Home,
        config: Config,
        identity: Identity,
        store: Store,
        events: Events,
        computer: Clock,
        up: Uptime | None = None,
    ) -> None:
        own, key = identity.node_id, identity.operational
        self.home, self.config, self.store, self.key, self.events = home, config, store, key, events
        clock = self.clock = Timekeeper(computer, up)
        self.tasks = _Tasks()
        self.door = Door(home.tls_path, lambda: identity.tls_password)
        self.links = Links(own, self.door, events, config.proxy)
        self.keyring, self.cards = Keyring(), Cards(own)
        self.author = Author(own, key, self.cards, self.keyring, clock)
        self.epochs = Epochs(own, key, self.author, self.cards, self.keyring, clock)
        self.circles = Circles(store, self.cards, self.keyring, self.epochs, clock, events)
        admission = Admission(self.circles, self.epochs, clock)
        self.groups = Groups(store, self.circles, admission, self.epochs, self.author, clock, events)
        chainbook = Chainbook(self.circles)
        self.keydesk = KeyDesk(store, self.circles, chainbook, self.epochs, self.keyring, clock)
        self.deliveries = Deliveries(store, clock, events)
        self.urgent = Urgent(store, self.links, self.deliveries, clock, events)
        self.repairs, self.log_epoch = Repairs(store, clock), LogEpoch(store)
        receipts = Receipts(self.circles, self.author, self.deliveries, clock)
        self.ingest = Ingest(store, self.keyring, self.circles, chainbook, receipts, self.deliveries, clock, events)
        self.peers = Peers(store, config, self.cards, self.circles, self.groups, self.links, clock, events)
        self.carriers, self.carriage = self._carrying(events)
        self.discovery = Discovery(config, self.circles, self.keyring, self.links, clock, events)
        self.own_keys = OwnKeys(identity, config, self.cards, self.keyring, clock)
        self.contradictions = Contradictions(store, self.circles, self.author, clock)
        self.casebook, self.sharing = self._casework(events)
        repeating = Repeating(self.circles, self.author, self.sharing, self.deliveries, clock)
        self.maintenance = Maintenance(
            store,
            clock,
            self.circles,
            admission,
            receipts,
            repeating,
            self.own_keys,
            Announcements(self.circles, self.author),
            self.peers,
            self.links,
            self.ingest,
            self.door,
            self.carriage,
        )
        self.pairing = self.peers.pairing = self._meeting()
        self.listener = Listener(self.door, on_link=self.links.run_link, on_pairing=self.pairing.serve)
        self._tell_each_other()

    def _casework(self, events: Events) -> tuple[Casebook, Sharing]:
        """What keeps cases, and what lets views of them out."""
        places, gate = Places(), Gate()
        casebook = Casebook(self.store, self.clock, events, places, gate)
        sharing = Sharing(
            store=self.store,
            clock=self.clock,
            events=events,
            casebook=casebook,
            circles=self.circles,
            author=self.author,
            deliveries=self.deliveries,
            contradictions=self.contradictions,
            policy=load_policy(self.home.policy_path),
            places=places,
            gate=gate,
        )
        return casebook, sharing

    def _meeting(self) -> Pairing:
        """How two nodes become peers."""
        return Pairing(
            door=self.door,
            dialer=self.links.dialer,
            store=StoredPairings(self.store, self.clock),
            own=lambda: Own(introduction=self.cards.introduction(self.circles.own) or b"", key=self.key),
            clock=self.clock,
            on_code=self.peers.on_code,
            on_paired=self.peers.on_paired,
            on_ended=self.peers.on_ended,
        )

    def _carrying(self, events: Events) -> tuple[Carriers, Carriage]:
        """Whom we ask to carry, and for whom we do."""
        connected, quota = self.links.connected, self.config.carry.quota_mb * MB
        carriers = Carriers(self.store, self.circles, self.keyring, connected, self.clock, events)
        carriage = Carriage(self.store, self.circles, self.keyring, self.clock, events, quota)
        self.ingest.carriage = carriage
        return carriers, carriage

    def _tell_each_other(self) -> None:
        """What one part says after its commit, to parts that it does not know."""
        self.clock.witnesses = lambda: (self.links.clock_differences(), len(self.circles.verified))
        self.circles.on_growth = self.links.wake
        self.circles.on_scopes = self.links.prove
        self.circles.on_cards = lambda: self.tasks.start(self.peers.follow_cards())
        self.circles.on_erased = self._on_erased
        self.keydesk.on_news = self.ingest.reconsider
        self.carriers.on_change = self.carriage.on_change = self.links.carry
        self.carriage.on_scopes = self.links.prove
        self.peers.on_removed = self._on_removed
        self.deliveries.on_watch = self.urgent.watch
        self.links.is_urgent = self.urgent.waits_for
        self.repairs.on_progress = lambda peer: self.events.publish("peers", peer.hex())
        self.links.on_contact = lambda peer: self.tasks.start(self.peers.on_contact(peer))

    async def _on_removed(self, node: NodeId) -> None:
        await self.carriers.end_with(node)
        await self.carriage.end_with(node)
        self._on_erased()

    def _on_erased(self) -> None:
        self.maintenance.owe_erasure()
        self.tasks.start(self.maintenance.erase())

    async def load(self) -> None:
        """Take up where the last run ended, and renew what we say of ourselves."""
        async with self.store.write() as tx:
            await self.clock.load(tx)
            await self.clock.keep(tx)
            self.author.begin_anew()  # dated by the time that is likelier, which was not known before
            await self.circles.load(tx)
            if not self.clock.doubt():
                await self.own_keys.renew(tx, self.door.certificate)
            await self.log_epoch.load(tx)
        await self.deliveries.load()
        await self.carriers.load()
        await self.carriage.load()
        await self.casebook.load()
        self.links.desk = Desk(
            own=self.circles.own,
            store=self.store,
            keyring=self.keyring,
            clock=self.clock,
            intake=self.ingest,
            keys=self.keydesk,
            deliveries=self.deliveries,
            carriers=self.carriers,
            carriage=self.carriage,
            wants=self.ingest.wants,
            fanout=Fanout(lambda: self.links),
            log_epoch=self.log_epoch,
            repairs=self.repairs,
        )

    async def start(self, stack: AsyncExitStack) -> None:
        """Listen and dial; `stack` undoes it in the reverse order."""
        stack.push_async_callback(self.tasks.close)
        self.tasks.start(self.ingest.run())
        self.tasks.start(self.ingest.wants.run())
        self.tasks.start(self.deliveries.run())
        self.tasks.start(self.urgent.run())
        stack.push_async_callback(self.pairing.close)
        await self.pairing.start()
        stack.push_async_callback(self.links.close)
        await self.peers.load()
        self.tasks.start(self.maintenance.run())
        stack.push_async_callback(self.listener.close)
        if self.config.peer.listen:
            endpoint = parse_endpoint(self.config.peer.listen)
            try:
                await self.listener.start(endpoint.host, endpoint.port)
            except AddressUnavailable:
                raise _address_taken("peer.listen", self.config.peer.listen) from None
        stack.push_async_callback(self.discovery.close)
        await self.discovery.start()

    def runtime(self, close: Callable[[], Awaitable[None]]) -> Runtime:
        """What the service calls."""
        parts = self.store, self.circles, self.keyring, self.keydesk
        bundle_export = BundleExport(*parts, self.carriers, self.key, self.clock, folder=self.home.run_dir)
        bundle_import = BundleImport(*parts, self.ingest, self.clock)
        bundle_import.on_taken = self.repairs.request

        async def close_all() -> None:
            bundle_export.close()
            bundle_import.close()
            await close()

        return Runtime(
            store=self.store,
            clock=self.clock,
            people=People(self.store, self.clock, self.config.panel.idle_minutes),
            peers=self.peers,
            groups=self.groups,
            carriers=self.carriers,
            carriage=self.carriage,
            casebook=self.casebook,
            sharing=self.sharing,
            readings=Readings(self.store, self.clock, self.circles, self.links, self.urgent),
            health=Health(
                self.store, self.clock, self.circles, self.peers, self.links, self.urgent, self.contradictions
            ),
            discovery=self.discovery,
            maintenance=self.maintenance,
            contradictions=self.contradictions,
            bundle_export=bundle_export,
            bundle_import=bundle_import,
            close=close_all,
        )


class _Tasks:
    """Everything that runs beside requests; a task that dies is logged, never silent."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it until it ends or the node closes."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task-died", error=type(error).__name__)

    async def close(self) -> None:
        """Cancel and wait."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
