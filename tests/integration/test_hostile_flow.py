"""What a paired peer does to credits, parts and announcements: it ends its own session, and delays nobody else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgpack
import pytest
import pytest_asyncio

from almenara.crypto.random import random_bytes
from almenara.node import quotas
from almenara.node.casebook import id_text
from almenara.protocol.envelope import envelope_id
from almenara.protocol.flow import INITIAL_CREDIT
from almenara.protocol.limits import MEDIUM, SMALL
from almenara.protocol.messages import Kind
from almenara.protocol.session import Outcome
from tests.integration.world import World, attacked
from tests.support.nodes import until
from tests.support.steps import send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.blaster import Blaster

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with attacked(tmp_path_factory.mktemp("flow")) as opened:
        yield opened


async def hung_up(blaster: Blaster) -> None:
    """Until alpha has ended the session, with a reason."""
    async with asyncio.timeout(20):
        await asyncio.gather(blaster._reader, return_exceptions=True)
    assert msgpack.unpackb(blaster.link.heard[-1])[:2] == [Kind.BYE, 1]
    await blaster.close()


async def from_beta(world: World) -> None:
    """What an honest member sends still arrives."""
    alert_id = await send(world.beta, id_text(world.circle))

    async def there() -> bool:
        return alert_id in await world.inbox()

    await until(there, "beta's alert")


async def heard(blaster: Blaster, kind: Kind) -> list[list[object]]:
    """Frames of a kind, once there is one."""

    def found() -> list[list[object]]:
        return [frame for frame in map(msgpack.unpackb, blaster.link.heard) if frame[0] == kind]

    async def some() -> bool:
        return bool(found())

    await until(some, f"a {kind.name}")
    return found()


@pytest.mark.parametrize("lane", [0, 1])
async def test_who_pushes_beyond_its_credit_is_hung_up_on(world: World, lane: int) -> None:
    """Nothing is committed meanwhile, so no credit comes back; the envelope too many ends the session."""
    blaster = await world.connect()
    async with world.store.write():
        for position in range(1, INITIAL_CREDIT[lane] // SMALL + 2):
            await blaster.link.send(msgpack.packb([Kind.PUSH, lane, position, b""]))
        await hung_up(blaster)
    await from_beta(world)


async def test_parts_of_two_envelopes_in_one_another_end_the_session(world: World) -> None:
    blaster = await world.connect()
    await blaster.link.send(msgpack.packb([Kind.PART, 1, 1, 3, bytes(SMALL)]))
    await blaster.link.send(msgpack.packb([Kind.PART, 1, 2, 3, bytes(SMALL)]))
    await hung_up(blaster)
    await from_beta(world)


async def test_a_critical_alert_between_the_parts_of_another_envelope_arrives_first(world: World) -> None:
    blaster = await world.connect()
    good = world.mallory.forger(world.circle)
    junk = random_bytes(MEDIUM)
    for number in (3, 2):
        await blaster.link.send(msgpack.packb([Kind.PART, 1, 1, number, junk[:SMALL]]))
    blaster.position = 1
    await blaster.push(good.alert(), 0)
    await until(lambda: _in_inbox(world, good.sent[-1]), "the alert between the parts")
    await blaster.close()


async def _in_inbox(world: World, alert_id: str) -> bool:
    return alert_id in await world.inbox()


async def test_what_is_announced_and_never_delivered_is_asked_for_once_and_holds_only_its_own_cursor(
    world: World,
) -> None:
    before = await world.cursor()
    blaster = await world.connect()
    blaster.position = before + 10
    good = world.mallory.forger(world.circle)
    await blaster.link.send(blaster.session.have([(1, before + 5, random_bytes(32))]))
    assert await heard(blaster, Kind.WANT) == [[Kind.WANT, [[1, before + 5]]]]
    position = await blaster.push(good.alert())
    await until(lambda: _in_inbox(world, good.sent[-1]), "what was pushed after it")
    assert blaster.outcomes == {position: Outcome.STORED}
    assert await world.cursor() == before + 4
    await from_beta(world)
    await blaster.close()


async def test_an_alert_that_was_announced_in_vain_arrives_from_another_and_is_acknowledged(world: World) -> None:
    """Mallory says that it has what beta is about to push, and never sends it."""
    blaster = await world.connect()
    position = blaster.position = await world.cursor() + 100
    good = world.mallory.forger(world.circle)
    envelope = good.alert()
    await blaster.link.send(blaster.session.have([(1, position, envelope_id(envelope))]))
    await heard(blaster, Kind.WANT)
    outlaw = world.alpha._open.peers._links.of(world.id_of(world.beta))
    assert outlaw is not None  # beta's session: what comes on it is beta's word
    await world.alpha._open.peers._links.desk.intake.submit(_arrival(outlaw, envelope))  # type: ignore[union-attr]
    await until(lambda: _in_inbox(world, good.sent[-1]), "the alert, from beta")

    async def answered() -> bool:
        return blaster.outcomes.get(position) is Outcome.STORED

    await until(answered, "mallory's announcement is answered")
    await blaster.close()


def _arrival(exchange: object, envelope: bytes) -> object:
    from almenara.node.exchange import Arrival  # noqa: PLC0415 - beside its one use

    return Arrival(exchange, 1, 1_000_000, envelope)  # type: ignore[arg-type]


async def test_what_is_here_already_is_answered_and_not_asked_for(world: World) -> None:
    blaster = await world.connect()
    good = world.mallory.forger(world.circle)
    envelope = good.alert()
    blaster.position = await world.cursor() + 200
    await blaster.push(envelope)
    async with asyncio.timeout(20):
        await blaster.settled_at(blaster.position)
    again = blaster.position + 1
    await blaster.link.send(blaster.session.have([(1, again, envelope_id(envelope))]))
    async with asyncio.timeout(20):
        await blaster.settled_at(again)
    assert blaster.outcomes[again] is Outcome.STORED
    assert Kind.WANT not in {msgpack.unpackb(frame)[0] for frame in blaster.link.heard}
    await blaster.close()


async def test_above_its_quota_a_peer_is_told_busy_and_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not kept, not refused: the cursor stays below, so that it comes again; others are not concerned."""
    monkeypatch.setattr(world.alpha._open.peers._links.desk.intake._quotas, "_delivered", {})  # type: ignore[union-attr]
    monkeypatch.setattr(quotas, "SCOPE_COUNT", 3)
    blaster = await world.connect()
    first = blaster.position = await world.cursor() + 300
    good = world.mallory.forger(world.circle)
    envelopes = [good.alert() for _ in range(5)]
    for envelope in envelopes:
        await blaster.push(envelope)
    async with asyncio.timeout(20):
        for number in range(1, 6):
            await blaster.settled_at(first + number)
    told = [blaster.outcomes[first + number] for number in range(1, 6)]
    assert told == [Outcome.STORED] * 3 + [Outcome.BUSY] * 2
    assert await world.cursor() == first + 3
    assert (await world.inbox())[-3:] == good.sent[:3]
    await from_beta(world)
    await blaster.close()
    assert [await world.refusal(envelope) for envelope in envelopes] == [None] * 5
