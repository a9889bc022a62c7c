"""Bundles between whole nodes: what a stick brings, what it does not, and what a damaged one costs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.bundle_import import CUT_SHORT, DAMAGED
from almenara.node.models import CircleNew
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from almenara.protocol.bundle import SEALED_BYTES
from tests.support.canaries import Canaries, Search
from tests.support.sticks import counts, made, taken

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office

PASSPHRASE = "seven plain words for a stick"


async def office(mesh: Mesh, name: str) -> Office:
    """A node whose ingest runs by itself, as in a daemon."""
    found = await mesh.office(name)
    found.node.tasks.start(found.node.ingest.run())
    return found


async def circle_of(mesh: Mesh, steward: Office, *others: Office, name: str = "c-andes") -> str:
    """A network circle with everybody in it."""
    circle = await steward.service.create_circle(LOCAL, CircleNew(name=name, tier="network"))
    for other in others:
        await steward.service.invite_to_circle(LOCAL, circle.circle_id, other.text)
        await mesh.flow()
        await other.node.groups.accept(circle.circle_id)
        await mesh.flow()
    return circle.circle_id


@pytest.fixture
async def pair(mesh: Mesh, no_waiting: None) -> tuple[Office, Office, str]:
    """Alpha and beta in one circle, and then no network any more."""
    alpha, beta = await office(mesh, "alpha"), await office(mesh, "beta")
    await mesh.pair(alpha, beta)
    circle = await circle_of(mesh, alpha, beta)
    beta.online = False
    return alpha, beta, circle


async def states(author: Office, alert_id: str) -> dict[str, str]:
    """Delivery states as the author's people see them."""
    return {one.name: one.state for one in (await author.service.alert(LOCAL, alert_id)).recipients or []}


Pair = tuple[Any, Any, str]


async def test_a_stick_brings_the_alert_and_the_author_learns_of_it_at_the_next_contact(mesh: Mesh, pair: Pair) -> None:
    alpha, beta, circle = pair
    alert = await alpha.send(circle)
    found = await taken(beta.service, await made(alpha.service, to=beta.text))
    assert await beta.received() == [alert]
    assert (found.new, found.held, found.refused, found.complete) == (1, 0, 0, True)
    assert found.sender == alpha.text
    assert await states(alpha, alert) == {"beta": "queued"}
    beta.online = True
    await mesh.flow()
    assert await states(alpha, alert) == {"beta": "stored"}
    assert await beta.received() == [alert]


async def test_what_a_stick_brought_is_compared_with_every_connected_peer(pair: Pair) -> None:
    alpha, beta, circle = pair
    await alpha.send(circle)
    asked: list[bool] = []
    session: Any = lambda: None  # noqa: E731 - anything that can stand in a set
    session.request = lambda: asked.append(True)
    beta.node.repairs.open.add(session)
    await taken(beta.service, await made(alpha.service, to=beta.text))
    beta.node.repairs.open.discard(session)
    assert asked == [True]


async def test_the_same_stick_again_changes_nothing(pair: Pair) -> None:
    alpha, beta, circle = pair
    await alpha.send(circle)
    data = await made(alpha.service, to=beta.text)
    first = await taken(beta.service, data)
    before = await beta.received(), mesh_knowledge(beta)
    again = await taken(beta.service, data)
    assert counts(again) == (0, first.records, 0, 0)
    assert (await beta.received(), mesh_knowledge(beta)) == before


def mesh_knowledge(of: Office) -> Any:
    return of.mesh.knowledge(of)


async def test_a_new_key_made_while_the_network_was_down_comes_with_the_stick(mesh: Mesh, pair: Pair) -> None:
    """Three weekly keys later beta holds none of them; the stick brings statements and key."""
    alpha, beta, circle = pair
    before = alpha.circle(circle).current.number
    for _ in range(3):
        mesh.advance(days=8)
        await alpha.maintain()
    assert alpha.circle(circle).current.number == before + 3
    alert = await alpha.send(circle)
    found = await taken(beta.service, await made(alpha.service, to=beta.text))
    assert (found.held, found.refused) == (0, 0)
    assert await beta.received() == [alert]
    assert beta.circle(circle).current.id == alpha.circle(circle).current.id
    answer = await beta.send(circle, title="Another one")
    await taken(alpha.service, await made(beta.service, to=alpha.text))
    assert await alpha.received() == [answer]


async def test_sticks_in_both_directions_keep_prekeys_fresh_for_months(mesh: Mesh, pair: Pair) -> None:
    """A prekey can be sealed to for 35 days; each stick brings its maker's newest."""
    alpha, beta, circle = pair
    for _ in range(4):
        mesh.advance(days=20)
        for one in (alpha, beta):
            await one.maintain()
        alert = await alpha.send(circle)
        await taken(beta.service, await made(alpha.service, to=beta.text))
        await taken(alpha.service, await made(beta.service, to=alpha.text))
        assert (await beta.received())[-1] == alert


async def test_without_a_fresh_key_of_theirs_a_passphrase_is_the_way(mesh: Mesh, pair: Pair) -> None:
    alpha, beta, circle = pair
    await beta.maintain()
    mesh.advance(days=36)
    await beta.maintain()
    with pytest.raises(Problem) as caught:
        await made(alpha.service, to=beta.text)
    assert caught.value.kind is Kind.NOT_READY
    assert caught.value.next
    await taken(alpha.service, await made(beta.service, passphrase=PASSPHRASE), PASSPHRASE)
    alert = await alpha.send(circle)
    await taken(beta.service, await made(alpha.service, to=beta.text))
    assert await beta.received() == [alert]


async def test_what_came_before_its_key_opens_when_the_next_file_brings_it(mesh: Mesh, pair: Pair) -> None:
    """Alpha could seal no key to beta, so the first file holds only what beta keeps closed."""
    alpha, beta, circle = pair
    for one in (alpha, beta):
        await one.maintain()
    mesh.advance(days=36)
    for one in (alpha, beta):
        await one.maintain()
    alert = await alpha.send(circle)
    first = await taken(beta.service, await made(alpha.service, passphrase=PASSPHRASE), PASSPHRASE)
    assert first.held > 0
    assert await beta.received() == []
    await taken(alpha.service, await made(beta.service, passphrase=PASSPHRASE), PASSPHRASE)
    second = await taken(beta.service, await made(alpha.service, to=beta.text))
    assert second.known >= first.held
    assert await beta.received() == [alert]


async def test_whoever_has_the_passphrase_opens_what_its_keys_open(mesh: Mesh, pair: Pair) -> None:
    alpha, beta, circle = pair
    alert = await alpha.send(circle)
    data = await made(alpha.service, passphrase=PASSPHRASE)
    for wrong in (None, "seven plain words for a stock"):
        with pytest.raises(Problem) as caught:
            await taken(beta.service, data, wrong)
        assert caught.value.kind is Kind.WRONG_PASSPHRASE
    found = await taken(beta.service, data, PASSPHRASE)
    assert found.sender is None
    assert found.new == 1
    assert await beta.received() == [alert]
    stranger = await office(mesh, "stranger")
    assert (await taken(stranger.service, data, PASSPHRASE)).new == 0
    assert await stranger.received() == []


async def test_a_member_carries_a_stick_between_two_that_never_met(mesh: Mesh, no_waiting: None) -> None:
    """Gamma has no pairing with beta; beta takes from gamma's stick what alpha wrote."""
    alpha, beta, gamma = [await office(mesh, name) for name in ("alpha", "beta", "gamma")]
    for other in (beta, gamma):
        await mesh.pair(alpha, other)
    circle = await circle_of(mesh, alpha, beta, gamma)
    beta.online = False
    alert = await alpha.send(circle)
    await mesh.flow()
    assert await gamma.received() == [alert]
    await taken(beta.service, await made(gamma.service, passphrase=PASSPHRASE), PASSPHRASE)
    assert await beta.received() == [alert]


async def test_a_carrier_takes_a_stick_further_that_it_cannot_read(mesh: Mesh, pair: Pair) -> None:
    """Gamma is in no circle with them: alpha's stick reaches it, gamma's reaches beta, and alpha's own comes back."""
    alpha, beta, circle = pair
    gamma = await office(mesh, "gamma")
    await mesh.pair(alpha, gamma)
    alpha.online = gamma.online = False
    alert = await alpha.send(circle)
    nothing = await taken(gamma.service, await made(alpha.service, to=gamma.text))
    assert (nothing.new, nothing.held) == (0, 0)
    await alpha.service.add_carrier(LOCAL, circle, gamma.text)
    await gamma.node.carriage.asked(alpha.id, tuple(alpha.node.carriers.wanted(gamma.id)))
    found = await taken(gamma.service, await made(alpha.service, to=gamma.text))
    assert (found.new, found.refused) == (0, 0)
    assert found.held > 0
    assert await gamma.received() == []
    await taken(beta.service, await made(gamma.service, passphrase=PASSPHRASE), PASSPHRASE)
    assert await beta.received() == [alert]
    answer = await beta.send(circle)
    await taken(gamma.service, await made(beta.service, passphrase=PASSPHRASE), PASSPHRASE)
    await taken(alpha.service, await made(gamma.service, to=alpha.text))
    assert await alpha.received() == [answer]


async def test_a_stick_to_one_peer_holds_nothing_of_circles_it_is_not_in(mesh: Mesh, pair: Pair) -> None:
    alpha, beta, circle = pair
    gamma = await office(mesh, "gamma")
    await mesh.pair(alpha, gamma)
    other = await circle_of(mesh, alpha, gamma, name="c-quiet")
    for where in (other, circle, other):
        await alpha.send(where, title=f"A case for {where}")
    found = await taken(beta.service, await made(alpha.service, to=beta.text))
    assert (found.new, found.held, found.refused) == (1, 0, 0)
    assert found.known > 0


async def test_critical_alerts_come_first_and_in_each_lane_the_newest(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha, beta, circle = pair
    for number in range(3):
        for urgency, severity in (("Future", "Minor"), ("Immediate", "Extreme")):
            await alpha.send(circle, title=f"{number} {urgency}", urgency=urgency, severity=severity)
    submitted: list[bytes] = []
    submit = beta.node.ingest.submit

    async def watched(arrival: Any) -> None:
        submitted.append(arrival.envelope)
        await submit(arrival)

    monkeypatch.setattr(beta.node.ingest, "submit", watched)
    await taken(beta.service, await made(alpha.service, to=beta.text))
    lanes = [envelope[25] for envelope in submitted]
    assert lanes == sorted(lanes)
    assert set(lanes) == {0, 1}
    async with alpha.store.read() as tx:
        rows = {
            row.data: row.position
            for lane in (0, 1)
            for row in await tx.log.of_ids(
                [place.envelope_id for place in await tx.log.newest(lane, before=10**9, limit=1000)]
            )
        }
    for lane in (0, 1):
        places = [rows[envelope] for envelope in submitted if envelope[25] == lane]
        assert places == sorted(places, reverse=True)


async def test_a_stick_from_a_removed_peer_brings_envelopes_but_no_word_of_its_own(mesh: Mesh, pair: Pair) -> None:
    """What verified members wrote counts whoever carries it; keys and cards count only from a peer of ours."""
    alpha, beta, circle = pair
    gamma = await office(mesh, "gamma")
    await mesh.pair(alpha, gamma)
    await mesh.pair(gamma, beta)
    alert = await alpha.send(circle)
    data = await made(alpha.service, to=beta.text)
    await beta.service.remove_peer(LOCAL, alpha.text)
    told: list[Any] = []
    beta.node.keydesk.take = lambda *words: told.append(words)
    async with beta.store.read() as tx:
        head = await tx.log.head()
    found = await taken(beta.service, data)
    assert found.sender is None
    assert told == []
    assert await beta.received() == [alert]
    async with beta.store.read() as tx:
        rows = await tx.log.newest(0, before=10**9, limit=1000) + await tx.log.newest(1, before=10**9, limit=1000)
    assert {row.source for row in rows if row.position > head} == {beta.id.raw}


async def test_a_file_for_somebody_else_is_refused_whole(mesh: Mesh, pair: Pair) -> None:
    alpha, beta, _ = pair
    gamma = await office(mesh, "gamma")
    data = await made(alpha.service, to=beta.text)
    with pytest.raises(Problem) as caught:
        await taken(gamma.service, data)
    assert caught.value.kind is Kind.MALFORMED
    assert caught.value.next


@pytest.mark.parametrize(
    "data", [b"", b"ALM", b"PK\3\4" * 100, b"ALMB\1\1", b"ALMB\1\2" + bytes(15), b"ALMB\2\1" + bytes(2000)]
)
async def test_what_is_no_bundle_is_refused_in_words(mesh: Mesh, data: bytes) -> None:
    alpha = await office(mesh, "alpha")
    with pytest.raises(Problem) as caught:
        await taken(alpha.service, data, PASSPHRASE)
    assert caught.value.kind is Kind.MALFORMED
    assert caught.value.detail


async def test_what_comes_before_damage_is_taken_and_the_damage_is_told(mesh: Mesh, pair: Pair) -> None:
    """Forty alerts in four chunks: cut or changed in the third, the first two are kept; a whole copy mends it."""
    alpha, beta, circle = pair
    alerts = [await alpha.send(circle, title=f"Case {number}") for number in range(40)]
    data = await made(alpha.service, to=beta.text)
    assert len(data) == 1174 + 24 + 4 * SEALED_BYTES
    third = 1174 + 24 + 2 * SEALED_BYTES + 1000
    cut = await taken(beta.service, data[:third])
    assert (cut.complete, cut.reason) == (False, CUT_SHORT)
    assert cut.next
    some = await beta.received()
    assert 20 < len(some) < 40
    changed = bytearray(data)
    changed[third] ^= 1
    damaged = await taken(beta.service, bytes(changed))
    assert (damaged.complete, damaged.reason) == (False, DAMAGED)
    assert counts(damaged) == (0, cut.records, 0, 0)
    whole = await taken(beta.service, data)
    assert (whole.complete, whole.new) == (True, 40 - len(some))
    assert sorted(await beta.received()) == sorted(alerts)


async def test_bad_envelopes_are_put_aside_with_a_reason_and_stop_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha, beta, circle = pair
    alerts = [await alpha.send(circle, title=f"Case {number}") for number in range(3)]
    export = alpha.service._open.bundle_export
    rows = [row async for row in export._chosen(beta.id)]

    async def with_bad_ones(_peer: Any) -> Any:
        for number, row in enumerate(rows):
            yield row
            changed = bytearray(row.data)
            changed[100] ^= 1
            yield type(row)(row.position, row.lane, row.envelope_id, bytes(changed), row.source)
            yield type(row)(row.position, row.lane, row.envelope_id, bytes(number), row.source)

    monkeypatch.setattr(export, "_chosen", with_bad_ones)
    found = await taken(beta.service, await made(alpha.service, to=beta.text))
    assert sorted(await beta.received()) == sorted(alerts)
    assert found.complete
    assert found.new == 3
    assert found.refused >= 2 * len(rows) - 1 - found.held
    async with beta.store.read() as tx:
        reasons = {row.reason for row in await tx.quarantine.recent(1000)}
    assert {"bad-tag", "bad-size"} <= reasons


async def test_a_full_disk_ends_it_with_a_reason(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha, beta, circle = pair
    alert = await alpha.send(circle)
    data = await made(alpha.service, to=beta.text)

    async def full(_arrivals: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(beta.node.ingest, "take", full)
        with pytest.raises(Problem) as caught:
            await taken(beta.service, data)
    assert caught.value.kind is Kind.NOT_READY
    await taken(beta.service, data)
    assert await beta.received() == [alert]


async def test_locking_the_node_ends_an_import_that_is_under_way(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha, beta, circle = pair
    await alpha.send(circle)
    data = await made(alpha.service, to=beta.text)
    given, never = asyncio.Event(), asyncio.Event()

    async def waits(_arrivals: Any) -> None:
        given.set()
        await never.wait()

    monkeypatch.setattr(beta.node.ingest, "take", waits)
    taking = asyncio.create_task(taken(beta.service, data))
    await given.wait()
    beta.service._open.bundle_import.close()
    with pytest.raises(Problem) as caught:
        await taking
    assert caught.value.kind is Kind.LOCKED


async def test_locking_the_node_ends_an_export(pair: Pair) -> None:
    alpha, beta, _ = pair
    alpha.service._open.bundle_export.close()
    with pytest.raises(Problem) as caught:
        await made(alpha.service, to=beta.text)
    assert caught.value.kind is Kind.LOCKED


async def test_a_database_that_fails_while_keys_are_taken_is_told_too(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha, beta, _ = pair
    data = await made(alpha.service, to=beta.text)

    async def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(beta.node.keydesk, "take", full)
    with pytest.raises(Problem) as caught:
        await taken(beta.service, data)
    assert caught.value.kind is Kind.NOT_READY


@pytest.mark.parametrize("asked", [{}, {"to": "a" * 56, "passphrase": PASSPHRASE}, {"passphrase": "too short"}])
async def test_a_bundle_is_for_one_or_under_a_good_passphrase(mesh: Mesh, asked: dict[str, str]) -> None:
    alpha = await office(mesh, "alpha")
    with pytest.raises(Problem) as caught:
        await made(alpha.service, **asked)
    assert caught.value.kind in {Kind.MALFORMED, Kind.WRONG_TYPE}


async def test_nobody_but_a_verified_peer_gets_one(mesh: Mesh, pair: Pair) -> None:
    alpha, beta, _ = pair
    stranger = await office(mesh, "stranger")
    with pytest.raises(Problem) as caught:
        await made(alpha.service, to=stranger.text)
    assert caught.value.kind is Kind.NOT_FOUND
    await alpha.service.remove_peer(LOCAL, beta.text)
    with pytest.raises(Problem) as caught:
        await made(alpha.service, to=beta.text)
    assert caught.value.kind is Kind.PEER_NOT_VERIFIED


async def test_nothing_confidential_and_no_name_stands_in_the_bytes_of_a_bundle(mesh: Mesh, pair: Pair) -> None:
    """More than 200 canaries, and what would name the two organisations or their circle."""
    alpha, beta, circle = pair
    canaries = Canaries(7)
    while len(canaries.drawn) < 200:
        record = await alpha.service.save_case(LOCAL, canaries.case(occurred_at="2026-11-17T14:37-05:00"))
        shown = await alpha.service.preview(LOCAL, record.case_id, circle)
        exactly = {"body_sha256": shown.body_sha256, "statement": shown.statement}
        await alpha.service.send(LOCAL, record.case_id, circle, **exactly)
    assert len(canaries.drawn) >= 200
    search = Search()
    for data in (await made(alpha.service, to=beta.text), await made(alpha.service, passphrase=PASSPHRASE)):
        assert search([("bundle", data)]) == []
        names = [alpha.id.raw, beta.id.raw, alpha.text.encode(), alpha.circle(circle).id, b"c-andes", b"legal."]
        names += list(alpha.node.keyring.scopes(mesh.now // 3_600_000))
        assert [name for name in names if name in data] == []


async def test_an_export_leaves_no_file_behind(pair: Pair) -> None:
    alpha, beta, _ = pair
    before = sorted(alpha.home.path.rglob("*"))
    await made(alpha.service, to=beta.text)
    assert sorted(alpha.home.path.rglob("*")) == before
