"""The one place that wires a node: vault, storage, circles, links, panel; and the life of the process around it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import structlog

from almenara.crypto.errors import VaultDamaged, WrongPassphrase
from almenara.crypto.random import random_bytes
from almenara.crypto.vault import open_vault
from almenara.node.api.server import start as start_panel
from almenara.node.authoring import Author
from almenara.node.cards import Cards
from almenara.node.casebook import Casebook
from almenara.node.circles import Circles
from almenara.node.clock import Clock, now_ms
from almenara.node.deliveries import Deliveries
from almenara.node.epochs import Epochs
from almenara.node.exchange import Desk
from almenara.node.groups import Groups
from almenara.node.health import Health
from almenara.node.identity import Identity
from almenara.node.ingest import Ingest
from almenara.node.keydesk import KeyDesk
from almenara.node.keyring import Keyring
from almenara.node.links import Links
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
from almenara.node.runtime import Runtime
from almenara.node.service import Service
from almenara.node.sharing import Sharing
from almenara.node.storage.engine import Store, open_store
from almenara.node.transport.door import Door
from almenara.node.transport.endpoint import parse_endpoint
from almenara.node.transport.listener import Listener
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from almenara.node.config import Config
    from almenara.node.events import Events
    from almenara.node.home import Home

INCARNATION_BYTES = EPOCH_BYTES = 16

log = structlog.get_logger()


async def run(home: Home, config: Config, passphrase: str | None, on_ready: Callable[[Service, str], None]) -> None:
    """Run until SIGINT or SIGTERM. Without a passphrase the node starts locked and the panel asks for it.

    `on_ready(service, panel address)` is called once panel and API answer.
    Raises `Problem`: HOME_IN_USE, WRONG_PASSPHRASE.
    """
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    with home.lock():
        service = Service(config, version("almenara"), lambda secret: open_node(home, config, secret, service.events))
        if passphrase is not None:
            await service.unlock(passphrase)
        server = await start_panel(service, config)
        try:
            home.write_local(server.url, server.token, version("almenara"))
            on_ready(service, server.url)
            await stopped.wait()
        finally:
            home.remove_local()
            await server.close()
            await service.close()


async def open_node(home: Home, config: Config, passphrase: str, events: Events, clock: Clock = now_ms) -> Runtime:
    """Open vault and database, wire every part, start listening and dialling. Raises `Problem(WRONG_PASSPHRASE)`."""
    identity = await asyncio.to_thread(_open_vault, home, passphrase)
    async with AsyncExitStack() as stack:
        store = await open_store(config.database_url(home), identity.database_key, identity.column_key, clock=clock)
        stack.push_async_callback(store.close)
        return await _wire(home, config, identity, store, events, clock, stack)


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


async def _wire(
    home: Home, config: Config, identity: Identity, store: Store, events: Events, clock: Clock, stack: AsyncExitStack
) -> Runtime:
    own = identity.node_id
    keyring, cards = Keyring(), Cards(own)
    author = Author(own, identity.operational, keyring, clock, random_bytes(INCARNATION_BYTES))
    epochs = Epochs(own, identity.operational, author, cards, keyring, clock)
    circles = Circles(own, cards, keyring, epochs, clock, events)
    own_keys = OwnKeys(identity, config, cards, keyring, clock)
    deliveries = Deliveries(store, clock, events)
    ingest = Ingest(store, keyring, circles, clock, events)
    groups = Groups(store, circles, epochs, author, clock, events)
    keydesk = KeyDesk(store, circles, epochs, keyring, clock)
    door = Door(home.tls_path, lambda: identity.tls_password)
    links = Links(own, door, events)
    peers = Peers(store, config, cards, circles, groups, links, clock, events)
    maintenance = Maintenance(store, clock, circles, keyring, author, own_keys, peers, links, door.certificate)

    async with store.write() as tx:
        await cards.load(tx)
        keyring.load(await tx.keys.all(), await tx.statements.all(), await tx.prekeys.own())
        await circles.load(tx)
        author.card_counter = own_keys.card_counter
        news = await own_keys.renew(tx, door.certificate)
        await maintenance.announce(tx, news)
        log_epoch = await tx.meta.get("log-epoch")
        if log_epoch is None:
            log_epoch = random_bytes(EPOCH_BYTES)
            await tx.meta.set("log-epoch", log_epoch)
    await deliveries.load()

    gate, places = Gate(), Places()
    casebook = Casebook(store, clock, events, places, gate)
    await casebook.load()
    policy = load_policy(home.policy_path)
    sharing = Sharing(store, clock, events, casebook, circles, author, deliveries, policy, places, gate)

    tasks = _Tasks()
    links.desk = Desk(own, store, keyring, clock, ingest, keydesk, deliveries, log_epoch)
    peers.pairing = Pairing(
        door=door,
        dialer=links.dialer,
        store=StoredPairings(store, clock),
        own=lambda: Own(introduction=cards.introduction(own) or b"", key=identity.operational),
        clock=clock,
        on_code=peers.on_code,
        on_paired=peers.on_paired,
        on_ended=peers.on_ended,
    )
    circles.on_growth = ingest.on_growth = links.wake
    keydesk.on_news = ingest.reconsider

    def scopes_changed() -> None:
        links.prove()
        tasks.start(peers.follow_cards())

    circles.on_scopes = scopes_changed
    links.on_contact = lambda peer: tasks.start(peers.on_contact(peer))

    tasks.start(ingest.run())
    tasks.start(maintenance.run())
    listener = Listener(door, on_link=links.run_link, on_pairing=peers.pairing.serve)
    endpoint = parse_endpoint(config.peer.listen)
    stack.push_async_callback(tasks.close)
    await peers.pairing.start()
    stack.push_async_callback(peers.pairing.close)
    await peers.load()
    stack.push_async_callback(links.close)
    await listener.start(endpoint.host, endpoint.port)
    stack.push_async_callback(listener.close)
    closing = stack.pop_all()
    return Runtime(
        store=store,
        clock=clock,
        people=People(store, clock, config.panel.idle_minutes),
        peers=peers,
        groups=groups,
        casebook=casebook,
        sharing=sharing,
        readings=Readings(store, clock, circles, links),
        health=Health(store, own.text, circles, peers, links),
        close=closing.aclose,
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
