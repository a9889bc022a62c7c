"""What was missed comes back: after an outage, a restored copy, a late admission, a withheld push (DESIGN §6)."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.exchange import Arrival
from almenara.node.models import CatchingUp
from almenara.node.service import LOCAL
from almenara.protocol.chain import HeaderChains
from almenara.protocol.errors import Defect
from almenara.protocol.messages import Kind, Push, parse_message
from almenara.protocol.object import header_hash, parse_header
from almenara.protocol.reconcile import Difference
from almenara.protocol.session import Outcome
from tests.support.circles import found, join, trio
from tests.support.lines import at_rest, ids, session, soon
from tests.support.mesh import Line
from tests.support.nodes import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from almenara.node.exchange import Exchange
    from tests.support.lines import Session
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")


async def two(mesh: Mesh) -> tuple[Office, Office, str]:
    """Two offices in a circle that hold the same."""
    alpha, beta = [await mesh.office(name) for name in ("alpha", "beta")]
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await join(mesh, alpha, circle, beta)
    return alpha, beta, circle


async def leave_it_to_repair(office: Office) -> None:
    """Restart it with a log of another name, and with nothing of its own that waits for an answer."""
    async with office.store.write() as tx:
        await tx.meta.set("log-epoch", bytes(16))
        for row in await tx.deliveries.open():
            await tx.deliveries.set(row.envelope_id, row.node_id, state="stored")
    await office.restart()


async def private(mesh: Mesh, alpha: Office) -> str:
    """A circle of alpha's that no other office of the test is in."""
    delta = await mesh.office("delta")
    await mesh.pair(alpha, delta)
    circle = await found(alpha, "c-other")
    await join(mesh, alpha, circle, delta)
    return circle


async def settled(a: Office, b: Office) -> None:
    """Sessions until both have cursors of each other's log: the first may set one by an old key packet only."""
    for _ in range(2):
        async with session(a, b) as line:
            await compared(line)
            await at_rest(a, b)


async def compared(line: Session) -> None:
    """Wait until roots were told, no run is under way, and nothing is left to push."""
    await soon(lambda: line.said()["ROOTS"] > 0, "ROOTS")

    async def quiet() -> bool:
        return await at_ease(line.a) and await at_ease(line.b)

    await until(quiet, "the end of the run")


async def at_ease(exchange: Exchange) -> bool:
    """Whether nothing is left to compare, to push or to wait for."""
    repair = exchange.repair
    if repair is None or not exchange.ready.is_set() or repair.backlog or repair._wanted or repair._told:
        return False
    async with exchange._desk.store.read() as tx:
        head = await tx.log.head()
    passed = all(exchange._outflow._passed(lane) == head for lane in (0, 1))
    return passed and not (exchange._outflow._in_flight or exchange._outflow._asked or repair._repair.run)


def pushed(line: Session) -> list[bytes]:
    """Envelopes that the first office pushed, in order."""
    messages = [parse_message(frame) for frame in line.ends[0].sent]
    return [message.envelope for message in messages if isinstance(message, Push)]


def copy_of_the_disk(office: Office) -> Callable[[], None]:
    """Copy a closed office's database; returns what puts the copy back."""
    place = office.home.database_path
    kept = place.with_suffix(".kept")
    shutil.copyfile(place, kept)

    def put_back() -> None:
        for each in place.parent.glob(f"{place.name}-*"):
            each.unlink()
        shutil.copyfile(kept, place)

    return put_back


async def test_equal_sets_cost_one_roots(mesh: Mesh) -> None:
    alpha, beta, _ = await two(mesh)
    await settled(alpha, beta)
    async with session(alpha, beta) as line:
        await compared(line)
        assert (line.said()["ROOTS"], line.said()["RANGE"], line.said()["PUSH"]) == (1, 0, 0)


async def test_an_import_is_compared_with_every_peer_at_once(mesh: Mesh) -> None:
    """`request` is for whoever writes to the log by another way than a session; either side may say it."""
    alpha, beta, _ = await two(mesh)
    await settled(alpha, beta)
    async with session(alpha, beta) as line:
        await compared(line)
        for office in (alpha, beta):
            before = line.said()["ROOTS"]
            office.node.repairs.request()
            await soon(lambda before=before: line.said()["ROOTS"] > before, "another ROOTS")  # type: ignore[misc]
        assert line.said()["RANGE"] == 0


async def test_a_month_without_a_node_is_made_up_for_critical_first(mesh: Mesh) -> None:
    """The other side lost its cursor of our log too, so that repair has all of it to do."""
    alpha, beta, circle = await two(mesh)
    await settled(alpha, beta)
    sent = []
    for day in range(30):
        mesh.advance(days=1)
        await alpha.maintain()
        sent.append(await alpha.send(circle, urgency="Immediate" if day % 3 == 0 else "Future"))
        assert sent[-1]
    await leave_it_to_repair(alpha)
    async with session(alpha, beta) as line:
        await until(_has(beta, sent), "every alert of the month")
        await at_rest(alpha, beta)
        critical = [envelope[25] for envelope in pushed(line) if envelope[2:4] == b"\x02\x01"]
        assert line.said()["RANGE"] > 0
    assert {0, 1} == set(critical)
    assert critical == sorted(critical)


def _has(office: Office, alerts: list[str]) -> Callable[[], Any]:
    async def has() -> bool:
        return set(alerts) <= set(await office.received())

    return has


async def test_after_an_outage_nothing_is_pushed_twice(mesh: Mesh) -> None:
    """The cursor brings what lies after it, and repair knows that it does."""
    alpha, beta, circle = await two(mesh)
    await settled(alpha, beta)
    sent = [await alpha.send(circle) for _ in range(5)]
    async with session(alpha, beta) as line:
        await until(_has(beta, sent), "the alerts")
        await compared(line)
        await at_rest(alpha, beta)
        assert len(pushed(line)) == len(set(pushed(line))) == 5


async def test_a_withheld_push_is_repaired_by_another_peer(mesh: Mesh) -> None:
    alpha, beta, gamma, circle = await trio(mesh)
    await mesh.pair(beta, gamma)
    await settled(alpha, beta)
    await settled(beta, gamma)
    await settled(alpha, gamma)
    async with session(alpha, gamma, lose=lambda frame: frame[1] in {Kind.PUSH, Kind.RANGE}):
        alert = await alpha.send(circle)
        async with session(alpha, beta):
            await until(_has(beta, [alert]), "the alert at beta")
    assert alert not in await gamma.received()
    async with session(beta, gamma):
        await until(_has(gamma, [alert]), "the alert at gamma, from beta")


async def test_a_lost_push_comes_with_the_next_comparison(mesh: Mesh) -> None:
    """The cursor has gone past it, since a later one arrived."""
    alpha, beta, circle = await two(mesh)
    await settled(alpha, beta)
    lost: list[bytes] = []

    def lose_first(frame: bytes) -> bool:
        if frame[1] == Kind.PUSH and not lost:
            lost.append(frame)
        return frame in lost

    async with session(alpha, beta, lose=lose_first) as line:
        await compared(line)
        first = await alpha.send(circle)
        alpha.node.links.wake()
        await soon(lambda: bool(lost), "a push that is lost")
        second = await alpha.send(circle)
        alpha.node.links.wake()
        await until(_has(beta, [second]), "the second")
    assert first not in await beta.received()
    async with alpha.store.write() as tx:  # so that only repair can know of it
        for row in await tx.deliveries.open():
            await tx.deliveries.set(row.envelope_id, row.node_id, state="stored")
    async with session(alpha, beta):
        await until(_has(beta, [first]), "the first")


async def test_a_member_admitted_late_gets_what_its_scopes_allow_and_nothing_else(mesh: Mesh) -> None:
    alpha, beta, circle = await two(mesh)
    other = await private(mesh, alpha)
    secret = await alpha.send(other)
    early = await alpha.send(circle)
    await settled(alpha, beta)
    gamma = await mesh.office("gamma")
    await mesh.pair(alpha, gamma)
    await mesh.pair(beta, gamma)
    await join(mesh, alpha, circle, gamma)
    late = await alpha.send(circle)
    async with session(alpha, beta):
        await until(_has(beta, [late]), "the late alert")
    before = await ids(gamma)
    async with session(beta, gamma) as line:
        await until(_has(gamma, [late]), "what was sent since it is a member")
        await compared(line)
    assert await gamma.received() == [late]
    async with gamma.store.read() as tx:
        tags = {row.tag for row in await tx.log.ids_after(0, 10_000) if row.envelope_id not in before}
    assert tags <= set(gamma.node.keyring.scopes(mesh.now // 3_600_000))
    assert early not in await gamma.received()
    assert secret not in [*await beta.received(), *await gamma.received()]


async def test_a_restored_node_gets_back_what_peers_hold_also_its_own_alerts(mesh: Mesh) -> None:
    alpha, beta, circle = await two(mesh)
    before = await alpha.send(circle)
    await mesh.flow()
    theirs_before = await beta.send(circle)
    await mesh.flow()
    await settled(alpha, beta)
    await alpha.close()
    put_back = copy_of_the_disk(alpha)
    await alpha.open()
    async with session(alpha, beta):
        after = [await alpha.send(circle), await alpha.send(circle, urgency="Future")]
        theirs = await beta.send(circle)
        alpha.node.links.wake()
        beta.node.links.wake()
        await until(_has(beta, after), "the alerts at beta")
        await until(_has(alpha, [theirs]), "theirs")
        await at_rest(alpha, beta)
    everything = await ids(alpha)
    epoch = alpha.node.log_epoch.value
    await alpha.close()
    put_back()
    await alpha.open()
    assert await ids(alpha) < everything

    new = await alpha.send(circle)  # before anybody told it what it has lost
    async with session(alpha, beta):
        await until(_has(beta, [new]), "the new alert")
        await at_rest(alpha, beta)
    assert await ids(alpha) > everything
    own = [detail.alert_id for detail in (await alpha.service.sent(LOCAL)).alerts]
    assert set(own) == {before, *after, new}
    assert set(await alpha.received()) == {theirs_before, theirs}
    assert alpha.node.log_epoch.value != epoch
    await no_fork(alpha)
    await no_fork(beta)


async def no_fork(office: Office) -> None:
    """No author contradicts itself, as far as an office knows."""
    chains = HeaderChains()
    async with office.store.read() as tx:
        found = await tx.log._connection.exec_driver_sql("SELECT header FROM objects")
        headers = [row[0] for row in found]
    assert headers
    for data in headers:
        assert chains.add(parse_header(data), header_hash(data)).forks == ()


async def test_what_a_restored_node_sends_is_not_hidden_behind_the_old_cursor(mesh: Mesh) -> None:
    """Its positions begin again below what the peer says it has."""
    alpha, beta, circle = await two(mesh)
    await settled(alpha, beta)
    await alpha.close()
    put_back = copy_of_the_disk(alpha)
    await alpha.open()
    async with session(alpha, beta):
        sent = [await alpha.send(circle) for _ in range(4)]
        alpha.node.links.wake()
        await until(_has(beta, sent), "the alerts")
    await alpha.close()
    put_back()
    await alpha.open()
    async with session(alpha, beta) as line:
        await compared(line)
        new = await alpha.send(circle)
        alpha.node.links.wake()
        await until(_has(beta, [new]), "an alert at a position that beta had gone past")
        await at_rest(alpha, beta)


async def test_a_log_is_renamed_once_whatever_peers_say(mesh: Mesh) -> None:
    """A peer that tells absurd cursors cannot make the node begin anew with everybody again and again."""
    alpha, beta, _ = await two(mesh)
    await settled(alpha, beta)
    epochs = [alpha.node.log_epoch.value]
    for _ in range(3):
        async with beta.store.write() as tx:
            for lane in (0, 1):
                await tx.log.set_incoming(alpha.id.raw, lane, alpha.node.log_epoch.value, 4_000_000)
        async with session(alpha, beta) as line:
            await compared(line)
        epochs.append(alpha.node.log_epoch.value)
    assert epochs[0] != epochs[1] == epochs[2] == epochs[3]
    await alpha.restart()
    assert alpha.node.log_epoch.value == epochs[1]


async def test_what_was_refused_for_good_is_not_judged_again_nor_asked_for(mesh: Mesh) -> None:
    alpha, beta, circle = await two(mesh)
    await settled(alpha, beta)
    await alpha.send(circle)
    async with alpha.store.read() as tx:
        (row,) = (await tx.log.ids_after(0, 10_000))[-1:]
        good = (await tx.log.of_ids([row.envelope_id]))[0].data
    broken = good[:-1] + bytes([good[-1] ^ 1])
    line: Any = Line(alpha.id)
    for position in (1, 2):
        await beta.node.ingest.take([Arrival(line, 1, position, broken)])
    assert line.answers == {1: Outcome.REFUSED, 2: Outcome.REFUSED}
    async with beta.store.read() as tx:
        (only,) = await tx.quarantine.recent(10)
        assert only.reason == Defect.BAD_TAG
        assert await tx.log.refused([only.envelope_id]) == {only.envelope_id}
        refused = (await tx.log.refused_after(0, 10))[0]
    assert (refused.tag, refused.cls, refused.created_hour) == (row.tag, row.cls, row.created_hour)
    await beta.node.repairs.index.catch_up()
    sets = beta.node.repairs.index.freeze([row.tag], mesh.now // 3_600_000)
    assert (row.created_hour, only.envelope_id) in set(sets[row.tag, row.cls].keys())


@pytest.mark.parametrize("data", [b"", b"\xa1\x01" + bytes(4_094)])
async def test_what_cannot_be_placed_in_a_set_leaves_no_id(mesh: Mesh, data: bytes) -> None:
    _, beta, _ = await two(mesh)
    line: Any = Line(beta.id)
    await beta.node.ingest.take([Arrival(line, 1, 1, data)])
    async with beta.store.read() as tx:
        assert await tx.log.refused_after(0, 10) == []


async def test_what_may_be_accepted_another_day_is_not_refused_for_good(mesh: Mesh) -> None:
    """An unknown tag may become a scope of ours tomorrow."""
    alpha, beta, _ = await two(mesh)
    await alpha.send(await private(mesh, alpha))
    async with alpha.store.read() as tx:
        (row,) = (await tx.log.ids_after(0, 10_000))[-1:]
        data = (await tx.log.of_ids([row.envelope_id]))[0].data
    line: Any = Line(alpha.id)
    await beta.node.ingest.take([Arrival(line, 1, 1, data)])
    assert line.answers == {1: Outcome.REFUSED}
    async with beta.store.read() as tx:
        assert await tx.log.refused_after(0, 10) == []


async def test_progress_counts_what_comes_until_all_is_there(mesh: Mesh) -> None:
    alpha, beta, circle = await two(mesh)
    await settled(alpha, beta)
    for _ in range(6):
        await alpha.send(circle)
    await leave_it_to_repair(alpha)
    seen = []
    async with session(alpha, beta) as line:
        repair = await _repair_of(line)
        arrived = repair.arrived

        def note() -> None:
            arrived()
            seen.append(repair.progress and (repair.progress.received, repair.progress.expected))

        repair.arrived = note  # type: ignore[method-assign]
        await at_rest(alpha, beta)
        assert line.a.repair is not None
        assert line.a.repair.backlog == 0
    assert [each for each in seen if each] == [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6)]
    assert repair.progress is None


async def nothing(_: int) -> list[bytes]:
    return []


async def test_people_see_what_is_coming_and_what_is_still_to_go(mesh: Mesh) -> None:
    alpha, beta, _ = await two(mesh)
    await settled(alpha, beta)
    async with session(alpha, beta) as line:
        await compared(line)
        assert (await beta.service.status(LOCAL)).catching_up is None
        repair = await _repair_of(line)
        repair.next_ids = nothing  # so that the pump leaves what is owed where it is
        repair._finish(Difference(lacking=(), coming=40, cut=False))
        repair._received, repair._again = 7, [bytes(32)]
        (peer,) = [each for each in (await beta.service.peers(LOCAL)).peers if each.node_id == alpha.text]
        status = await beta.service.status(LOCAL)
        assert peer.catching_up == status.catching_up == CatchingUp(expected=40, received=7)
        assert peer.backlog == status.backlog == 1
        repair._moved_at -= 60  # it announced more than it brings
        assert (await beta.service.status(LOCAL)).catching_up is None
    assert (await beta.service.status(LOCAL)).catching_up is None


async def test_a_page_that_shows_progress_is_told_about_twenty_times(mesh: Mesh) -> None:
    alpha, beta, _ = await two(mesh)
    await settled(alpha, beta)
    async with session(alpha, beta) as line:
        await compared(line)
        repair, told = await _repair_of(line), []
        beta.node.repairs.on_progress = told.append
        repair._finish(Difference(lacking=(), coming=1_000, cut=False))
        for _ in range(1_200):
            repair.arrived()
    assert told == [alpha.id.raw] * 21


async def _repair_of(line: Session) -> Any:
    await soon(lambda: line.b.repair is not None, "a greeting")
    return line.b.repair


async def test_a_peer_that_breaks_a_rule_of_repair_is_hung_up_on(mesh: Mesh) -> None:
    alpha, beta, _ = await two(mesh)
    await settled(alpha, beta)
    async with session(alpha, beta) as line:
        await compared(line)
        starter = line.a if line.a.repair and line.a.repair.starts else line.b
        other = line.b if starter is line.a else line.a
        frame = other._session.say_ranges(parse_message(bytes([0x94, 10, 7, 1, 0x90])))  # type: ignore[arg-type]
        await other._link.send(frame)
        async with asyncio.timeout(20):
            await asyncio.gather(*line.tasks)
        assert line.said()["BYE"] == 1


async def test_the_index_forgets_with_the_log(mesh: Mesh) -> None:
    alpha, beta, _ = await two(mesh)
    index = alpha.node.repairs.index
    await index.catch_up()
    assert index._sets
    mesh.advance(days=38)
    await index.catch_up()
    assert not index._sets
    assert await ids(beta)


async def test_a_clock_that_was_ahead_costs_the_index_nothing_for_good(mesh: Mesh) -> None:
    alpha, _, _ = await two(mesh)
    index, hour = alpha.node.repairs.index, mesh.now // 3_600_000
    tags = list(alpha.node.keyring.scopes(hour))
    await index.catch_up()
    held = {key: found.keys() for key, found in index.freeze(tags, hour).items()}
    assert any(held.values())
    mesh.advance(days=3_650)
    await index.catch_up()
    assert not index._sets
    mesh.advance(days=-3_650)
    await index.catch_up()
    assert {key: found.keys() for key, found in index.freeze(tags, hour).items()} == held
