"""The open node: the parts that `service` calls, and how to shut them down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almenara.node.bundle_export import BundleExport
    from almenara.node.bundle_import import BundleImport
    from almenara.node.carriage import Carriage
    from almenara.node.carriers import Carriers
    from almenara.node.casebook import Casebook
    from almenara.node.contradictions import Contradictions
    from almenara.node.discovery import Discovery
    from almenara.node.groups import Groups
    from almenara.node.health import Health
    from almenara.node.maintenance import Maintenance
    from almenara.node.peers import Peers
    from almenara.node.people import People
    from almenara.node.readings import Readings
    from almenara.node.sharing import Sharing
    from almenara.node.storage.engine import Store
    from almenara.node.timekeeper import Timekeeper


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Wired by `daemon.open_node`; exists only while the node is unlocked."""

    store: Store
    clock: Timekeeper
    people: People
    peers: Peers
    groups: Groups
    carriers: Carriers
    carriage: Carriage
    casebook: Casebook
    sharing: Sharing
    readings: Readings
    health: Health
    discovery: Discovery
    maintenance: Maintenance
    bundle_export: BundleExport
    bundle_import: BundleImport
    contradictions: Contradictions
    close: Callable[[], Awaitable[None]]
