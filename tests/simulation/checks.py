"""What must hold after every run, whatever went wrong in it: each promise is a function, and a breach names it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from almenara.node.service import LOCAL
from almenara.protocol.session import Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.simulation.ledger import Sent
    from tests.simulation.site import Site
    from tests.simulation.world import World

CLASS_DAYS = 35  # an envelope of the longer class travels so long; afterwards it may be gone
GRACE_SECONDS = 48 * 3600  # what was sealed later than this after the next statement is refused (PROTOCOL §5.6)


async def check(world: World) -> list[str]:
    """Every breach of every promise."""
    found: list[str] = []
    for site in world.sites:
        found += kept(world, site)
    for promise in (shown_once, delivered, opened_by_members_only, keys_of_members_only, offered_to_members_only):
        found += _named(promise, world)
    for promise in (removed_reads_nothing_after, stewards_converge, queues_drain):
        found += _named(promise, world)
    for promise in (restores_are_no_forks, no_fault_of_ours, something_happened):
        found += _named(promise, world)
    return found + [f"stored-is-true: {breach}" async for breach in stored_is_true(world)]


def _named(promise: Callable[[World], Iterator[str]], world: World) -> list[str]:
    return [f"{promise.__name__.replace('_', '-')}: {breach}" for breach in promise(world)]


# nothing acknowledged is lost


def kept(world: World, site: Site) -> list[str]:
    """What a node acknowledged stands in its log, asked past the node; also at the moment after a crash."""
    if site.id.raw in world.ledger.restored:
        return []
    said = world.ledger.acknowledged.get(site.id.raw, {})
    held = dict(site.disk.peek("SELECT envelope_id, state FROM log"))
    lost = [found for found, outcome in said.items() if outcome is not Outcome.REFUSED and found not in held]
    unread = [found for found, outcome in said.items() if outcome is Outcome.STORED and held.get(found) == "held"]
    where = f"at {site.name}"
    return [f"acknowledged-is-kept: {found.hex()[:12]} {where} is gone" for found in lost] + [
        f"acknowledged-is-kept: {found.hex()[:12]} {where} was called stored and is not opened" for found in unread
    ]


def delivered(world: World) -> Iterator[str]:
    """Whoever was told that an alert is sent can rely on it: once all is healed, everybody it was for has it."""
    for alert in world.ledger.alerts.values():
        reached = _reached(world, alert)
        for node in sorted(alert.audience & reached):
            if alert.alert_id not in _inbox(world, node):
                yield f"{alert.alert_id.hex()} by {world.site(alert.author).name} never came to {world.site(node).name}"


def _reached(world: World, alert: Sent) -> set[bytes]:
    """Everybody whom the alert had to reach: a way of verified pairs leads there, among those it was for.

    Left out is who ever went out of the circle, and an author who did; and what an author sealed under a key so old
    that PROTOCOL §5.6 has it refused.
    """
    out = {node for circle, node in world.ledger.removed if circle == alert.circle}
    if alert.author in out or _late(world, alert):
        return set()
    members = (alert.audience | {alert.author}) - out
    reached, todo = set[bytes](), [alert.author]
    while todo:
        node = todo.pop()
        if node not in reached:
            reached.add(node)
            todo += sorted(world.site(node).node.circles.verified & members)
    return reached


def _late(world: World, alert: Sent) -> bool:
    history = [site.node.circles.known(alert.circle) for site in world.sites]
    issued = [
        child.issued_min
        for circle in history
        if circle is not None
        for child in circle.history.lineage.children.get(alert.statement, ())
    ]
    slack = world.parameters.skew_minutes * 60 * 2
    sent_at = world.minute(alert.at) * 60
    return bool(issued) and sent_at > min(issued) * 60 + GRACE_SECONDS - slack


def _inbox(world: World, node: bytes) -> list[bytes]:
    return [row[0] for row in world.site(node).disk.peek("SELECT alert_id FROM alerts WHERE own = 0")]


async def stored_is_true(world: World) -> AsyncIterator[str]:
    """What an author's panel calls stored at a recipient is in that recipient's inbox."""
    for site in world.sites:
        rows = site.disk.peek("SELECT alert_id, node_id FROM deliveries WHERE state = 'stored'")
        for alert_id, node in rows:
            if node not in world.ledger.restored and alert_id not in _inbox(world, node):
                yield f"{alert_id.hex()} is shown by {site.name} as stored at {world.site(node).name}"
        shown = [alert.alert_id for alert in (await site.service.inbox(LOCAL, None, 500)).alerts]
        if len(shown) != len(set(shown)):
            yield f"the inbox page of {site.name} lists an alert twice"


def shown_once(world: World) -> Iterator[str]:
    """Nothing is shown twice: in no inbox, and no person was told of one alert twice."""
    for site in world.sites:
        inbox = _inbox(world, site.id.raw)
        if len(inbox) != len(set(inbox)):
            yield f"{site.name} has an alert twice"
        if site.id.raw not in world.ledger.restored:
            for alert, times in sorted(world.ledger.shown.get(site.id.raw, {}).items()):
                if times > 1:
                    yield f"{site.name} told its people {times} times of {alert}"


# nobody opens what is not theirs


def opened_by_members_only(world: World) -> Iterator[str]:
    """An alert is in the inbox of those whom its author's preview named, and of nobody else."""
    for site in world.sites:
        for alert_id in _inbox(world, site.id.raw):
            alert = world.ledger.alerts.get(alert_id)
            if alert is not None and site.id.raw not in alert.audience | {alert.author}:
                yield f"{alert_id.hex()} was opened by {site.name}"


def keys_of_members_only(world: World) -> Iterator[str]:
    """The key of a statement is with its members only."""
    roles = _roles(world)
    for site in world.sites:
        for (statement,) in site.disk.peek("SELECT DISTINCT statement_id FROM class_keys"):
            if statement in roles and site.id.raw not in roles[statement]:
                yield f"{site.name} holds the key of {statement.hex()}"


def offered_to_members_only(world: World) -> Iterator[str]:
    """Not even sealed does an envelope go to somebody who is not in its circle."""
    roles, statements = _roles(world), dict[bytes, bytes]()
    for site in world.sites:
        statements |= dict(site.disk.peek("SELECT kid, statement_id FROM class_keys"))
    for kid, nodes in sorted(world.ledger.offered.items()):
        members = roles.get(statements.get(kid, b""))
        for node in sorted(nodes - members) if members is not None else ():
            yield f"{world.site(node).name} was offered what is sealed under {statements[kid].hex()}"


def _roles(world: World) -> dict[bytes, set[bytes]]:
    found: dict[bytes, set[bytes]] = {}
    for site in world.sites:
        for circle in site.node.circles:
            for statement in circle.history.lineage.valid.values():
                found[statement.id] = {node.raw for node in statement.roles}
    return found


def removed_reads_nothing_after(world: World) -> Iterator[str]:
    """Whoever an author knew to be out does not read what that author sealed from then on."""
    for alert in world.ledger.alerts.values():
        for node in sorted(alert.known_out):
            if alert.alert_id in _inbox(world, node):
                yield f"{alert.alert_id.hex()} was read by {world.site(node).name}, which its author knew to be out"


# everybody comes to the same


def stewards_converge(world: World) -> Iterator[str]:
    """Members of a circle who can reach each other through it agree which statement wins and who is out."""
    views: dict[bytes, dict[bytes, tuple[bytes, frozenset[bytes]]]] = defaultdict(dict)
    for site in world.sites:
        for circle in site.node.circles:
            if circle.row.state == "active":
                out = frozenset(node.raw for node in circle.history.out)
                views[circle.id][site.id.raw] = circle.current.id, out
    for circle_id, seen in sorted(views.items()):
        for node, view in sorted(seen.items()):
            for other in sorted(world.site(node).node.circles.verified & seen.keys()):
                if node < other and view != seen[other]:
                    names = f"{world.site(node).name} and {world.site(other).name}"
                    yield f"{names} do not agree on {circle_id.hex()}"


def queues_drain(world: World) -> Iterator[str]:
    """Once all is healed nothing is under way, and no alert waits for a recipient who is there."""
    if world.network.busy:
        yield "frames are still on their way"
    for site in world.sites:
        for exchange in site.node.links:
            if exchange._outflow._in_flight:
                yield f"{site.name} waits for answers of {world.site(exchange.peer).name}"
        yield from _waiting(world, site)


def _waiting(world: World, site: Site) -> Iterator[str]:
    rows = site.disk.peek("SELECT alert_id, node_id, state FROM deliveries WHERE state IN ('queued', 'sent')")
    for alert_id, node, state in rows:
        alert = world.ledger.alerts.get(alert_id)
        paired = alert is not None and node in site.node.circles.verified
        if alert is not None and paired and node in _reached(world, alert):
            yield f"{alert_id.hex()} of {site.name} is {state} for {world.site(node).name}"


def restores_are_no_forks(world: World) -> Iterator[str]:
    """No honest node ever puts two headers in one place, whatever is restored (PROTOCOL §4)."""
    places: dict[tuple[bytes, ...], bytes] = {}
    for site in world.sites:
        rows = site.disk.peek(
            "SELECT author, circle_id, incarnation, seq, header_hash FROM objects JOIN chains USING (chain_id)"
        )
        for author, circle, incarnation, seq, header in rows:
            first = places.setdefault((author, circle, incarnation, seq), header)
            if first != header:
                yield f"{world.site(author).name} has two headers at {seq}"


def no_fault_of_ours(world: World) -> Iterator[str]:
    """No node logged a fault of its own program."""
    yield from sorted(set(world.ledger.faults))


def something_happened(world: World) -> Iterator[str]:
    """A run in which no alert arrived anywhere has shown nothing."""
    if not any(_inbox(world, site.id.raw) for site in world.sites):
        yield "no alert came to anybody"
