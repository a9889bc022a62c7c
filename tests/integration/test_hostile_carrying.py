"""What a peer that asks to carry, or that we asked, may try: alpha is attacked, mallory breaks every rule."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import pytest_asyncio

from almenara.crypto.random import random_bytes
from almenara.node.clock import HOUR_MS, now_ms
from almenara.node.service import LOCAL
from almenara.protocol.carry import CarriedScope
from almenara.protocol.envelope import envelope_id, parse_outer
from almenara.protocol.limits import SMALL
from almenara.protocol.messages import Kind
from almenara.protocol.scope import ScopeKey, tag, week_of
from almenara.protocol.session import DECOY_BYTES, Outcome
from tests.integration.world import World, attacked
from tests.support.logs import under
from tests.support.nodes import until
from tests.support.steps import arrived, direct_circle, own_id, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.blaster import Blaster

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with attacked(tmp_path_factory.mktemp("carrying")) as opened:
        yield opened


async def carried(world: World) -> list[Any]:
    async with world.store.read() as tx:
        return [row for row in await tx.carrying.carried() if row.node_id == world.mallory.own.raw]


async def others_are_well(world: World) -> None:
    """Beta still gets what alpha sends."""
    alert_id = await send(world.alpha, await direct_circle(world.alpha, await own_id(world.beta)))
    await arrived(world.beta, alert_id)


def request(count: int) -> list[list[Any]]:
    return sorted([random_bytes(32), week_of(now_ms() // HOUR_MS)] for _ in range(count))


async def hung_up(blaster: Blaster) -> None:
    async with asyncio.timeout(20):
        await asyncio.gather(blaster._reader, return_exceptions=True)


# as asker


async def test_ten_thousand_keys_end_the_session_and_ten_times_a_thousand_leave_the_last(world: World) -> None:
    blaster = await world.connect()
    await blaster.link.send(msgpack.packb([Kind.CARRY, request(10_000)]))
    await hung_up(blaster)
    assert await carried(world) == []
    blaster = await world.connect()
    last = request(1_000)
    for keys in (*(request(1_000) for _ in range(9)), last):
        await blaster.link.send(msgpack.packb([Kind.CARRY, keys]))

    async def settled() -> bool:
        return {row.tag for row in await carried(world)} == {tag(key) for key, _ in last}

    await until(settled, "the last request, and nothing of those before")
    await others_are_well(world)
    await blaster.link.send(msgpack.packb([Kind.CARRY, []]))

    async def nothing() -> bool:
        return await carried(world) == []

    await until(nothing, "nothing is kept for who asks for nothing")
    await blaster.close()


async def test_under_a_tag_without_its_key_nothing_is_left(world: World) -> None:
    """Beta asked alpha to carry some scopes; mallory has seen the tag, on an envelope somewhere."""
    carry = [ScopeKey(tag(key), key) for key, _ in request(8)]
    async with world.store.write() as tx:
        await tx.carrying.put_asker(_asker(world))
        await tx.carrying.add_carried([_row(world, scope) for scope in carry])
    await world.alpha._open.carriage.load()
    good = world.mallory.forger(world.circle)
    (outcome,) = await world.push(good.outer(tag=carry[0].tag, kid=random_bytes(16)) + random_bytes(SMALL - 48))
    assert outcome is Outcome.REFUSED
    async with world.store.read() as tx:
        assert await tx.carrying.used({carry[0].tag}) == 0


def _asker(world: World) -> Any:
    from almenara.node.storage.rows import AskerRow  # noqa: PLC0415 - only here

    return AskerRow(world.id_of(world.beta), None, 0, now_ms())


def _row(world: World, scope: ScopeKey) -> Any:
    from almenara.node.storage.rows import CarriedRow  # noqa: PLC0415 - only here

    return CarriedRow(world.id_of(world.beta), scope.tag, scope.key, week_of(now_ms() // HOUR_MS), None)


async def test_a_flood_into_a_pool_ends_at_its_quota_and_leaves_the_newest(world: World) -> None:
    """Mallory fills its own pool with junk, three hundred envelopes into room for two hundred and forty-four."""
    await world.alpha.set_carry_quota(LOCAL, world.mallory.own.text, 1)
    keys = request(8)
    scopes = [ScopeKey(tag(key), key) for key, _ in keys]
    blaster = await world.connect()
    await blaster.link.send(blaster.session.carry(CarriedScope(key, week) for key, week in keys))
    blaster.session.set_scopes(scopes)

    async def proven() -> bool:
        return scopes[0].tag in blaster.session.proven

    await until(lambda: _carrying(world), "alpha has the keys")
    await blaster.link.send(blaster.session.interest(random_bytes(DECOY_BYTES)))
    await until(proven, "the scope")
    good = world.mallory.forger(world.circle)
    sent = [good.outer(tag=scopes[0].tag, kid=random_bytes(16)) + random_bytes(SMALL - 48) for _ in range(300)]
    async with asyncio.timeout(60):
        for envelope in sent:
            await blaster.push(envelope)
        await blaster.settled()
    assert set(blaster.outcomes.values()) == {Outcome.HELD}
    async with world.store.read() as tx:
        kept = await under(tx, scopes[0].tag)
    assert 240 <= len(kept) <= 1_000_000 // SMALL
    assert kept == {envelope_id(each) for each in sent[-len(kept) :]}
    pools = (await world.alpha.carrying(LOCAL)).carrying
    (one,) = [pool for pool in pools if pool.node_id == world.mallory.own.text]
    assert (one.envelopes, one.used_bytes) == (len(kept), len(kept) * SMALL)
    told = [frame[1:] for frame in map(msgpack.unpackb, blaster.link.heard) if frame[0] == Kind.CARRYING]  # type: ignore[attr-defined]
    assert {granted for granted, _ in told} == {1_000_000}
    assert len(told) < 30
    await others_are_well(world)
    await world.alpha.set_carry_quota(LOCAL, world.mallory.own.text, 0)
    assert await carried(world) == []
    await blaster.close()


async def _carrying(world: World) -> bool:
    return len(await carried(world)) == 8


# as carrier


async def ask_mallory(world: World) -> tuple[str, Blaster, list[list[Any]]]:
    """Alpha asks it to carry the circle it has with beta; what mallory hears of it."""
    circle = await direct_circle(world.alpha, await own_id(world.beta))
    blaster = await world.connect()
    await world.alpha.add_carrier(LOCAL, circle, world.mallory.own.text)
    heard: Any = blaster.link
    found: list[list[Any]] = []

    async def asked() -> bool:
        frames = [msgpack.unpackb(frame) for frame in heard.heard]
        found[:] = [frame[1] for frame in frames if frame[0] == Kind.CARRY and frame[1]]
        return bool(found)

    await until(asked, "the request")
    return circle, blaster, found[-1]


async def test_a_carrier_is_given_keys_that_prove_and_nothing_more(world: World) -> None:
    circle, blaster, keys = await ask_mallory(world)
    assert set(Counter(week for _, week in keys).values()) == {8}
    async with world.store.read() as tx:
        secrets = [secret for row in await tx.statements.all() for secret in (row.epoch_key, row.carry_secret)]
    assert not {key for key, _ in keys} & set(secrets)
    assert keys == sorted(keys)
    await blaster.close()
    blaster = await world.connect()  # a second session: the same decoys, so that none is known by its going

    async def asked_again() -> bool:
        heard: Any = blaster.link
        return [Kind.CARRY, keys] in [msgpack.unpackb(frame) for frame in heard.heard]

    await until(asked_again, "the same request")
    await world.alpha.remove_carrier(LOCAL, circle, world.mallory.own.text)
    await blaster.close()


async def test_a_carrier_that_answers_junk_is_believed_nothing(world: World) -> None:
    circle, blaster, _ = await ask_mallory(world)

    async def told(state: str) -> None:
        async def shown() -> bool:
            (one,) = (await world.alpha.carriers(LOCAL, circle)).carriers
            return one.state == state

        await until(shown, state)

    await told("asked")
    for number in range(2_000):
        await blaster.link.send(msgpack.packb([Kind.CARRYING, number % 2 * (2**32 - 1), number % 3]))
    await blaster.link.send(msgpack.packb([Kind.CARRYING, 100_000_000, 2**32 - 1]))
    await told("full")
    asked = sum(msgpack.unpackb(frame)[0] == Kind.CARRY for frame in blaster.link.heard)  # type: ignore[attr-defined]
    assert asked < 20
    await others_are_well(world)
    await blaster.link.send(msgpack.packb([Kind.CARRYING, -1, 0]))
    await hung_up(blaster)
    await told("offline")
    await world.alpha.remove_carrier(LOCAL, circle, world.mallory.own.text)


async def test_a_carrier_that_replays_and_makes_up_changes_no_inbox(world: World) -> None:
    """What it holds comes back as often as it likes, and what it seals itself under the tag opens nowhere."""
    circle, blaster, keys = await ask_mallory(world)
    scopes = [ScopeKey(tag(key), key) for key, _ in keys]
    own = world.mallory.keyring.scopes(now_ms() // HOUR_MS)
    blaster.session.set_scopes([*(ScopeKey(each, key) for each, key in own.items()), *scopes])
    await blaster.link.send(blaster.session.interest(random_bytes(DECOY_BYTES)))
    alert_id = await send(world.beta, await direct_circle(world.beta, await own_id(world.alpha)))
    await arrived(world.alpha, alert_id)
    link: Any = blaster.link
    tags = {scope.tag for scope in scopes}

    async def came() -> bool:
        return sum(parse_outer(each).tag in tags for each in link.pushed) > 0

    await until(came, "envelopes it cannot read")
    before = await world.inbox()
    held = [each for each in link.pushed if parse_outer(each).tag in tags]
    async with asyncio.timeout(20):
        for envelope in held * 3:
            await blaster.push(envelope)
        await blaster.settled()
    assert set(blaster.outcomes.values()) == {Outcome.STORED}
    seen = parse_outer(held[-1])
    forger = world.mallory.forger(world.circle)
    made_up = forger.outer(tag=seen.tag, kid=seen.kid, lane=seen.lane) + random_bytes(SMALL - 48)
    await blaster.push(made_up)
    async with asyncio.timeout(20):
        await blaster.settled()
    assert blaster.outcomes[blaster.position] is Outcome.REFUSED
    assert await world.inbox() == before
    await world.alpha.remove_carrier(LOCAL, circle, world.mallory.own.text)
    await blaster.close()
