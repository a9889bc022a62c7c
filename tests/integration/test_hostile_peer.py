"""A paired peer sends what no honest node would: each piece is put aside with its reason, and nothing else suffers."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import pytest_asyncio

from almenara.crypto import box
from almenara.crypto.random import random_bytes
from almenara.crypto.signing import SigningKey
from almenara.node import ingest
from almenara.node.casebook import id_text, parse_id
from almenara.node.clock import HOUR_MS, now_ms
from almenara.node.service import LOCAL
from almenara.node.timekeeper import Timekeeper
from almenara.protocol.alert import encode_view
from almenara.protocol.envelope import envelope_id
from almenara.protocol.errors import Defect
from almenara.protocol.limits import LARGE, MEDIUM, MINUTES_PER_DAY, SMALL
from almenara.protocol.object import ObjectType, parse_object
from almenara.protocol.session import Outcome
from tests.integration.world import World, attacked
from tests.support.hostile import NETWORK_VIEW, Forger, now_min
from tests.support.nodes import until
from tests.support.steps import arrived, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD_BODY = encode_view(NETWORK_VIEW)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with attacked(tmp_path_factory.mktemp("hostile")) as opened:
        yield opened


def in_circle(**changes: Any) -> Callable[[World], bytes]:
    """An alert in the network circle with one slot of its header changed, signed as it stands."""
    return lambda world: world.mallory.forger(world.circle).alert(**changes)


def body(view: dict[str, Any] | None = None, raw: bytes | None = None) -> Callable[[World], bytes]:
    """An alert with another body."""

    def make(world: World) -> bytes:
        forger = world.mallory.forger(world.circle)
        return forger.seal(forger.content(raw if raw is not None else encode_view(NETWORK_VIEW | (view or {}))))

    return make


def outer(**changes: Any) -> Callable[[World], bytes]:
    """A good alert in an envelope whose readable bytes say something else."""

    def make(world: World) -> bytes:
        forger = world.mallory.forger(world.circle)
        return forger.seal(forger.content(GOOD_BODY), **changes)

    return make


def sealed(content: bytes) -> Callable[[World], bytes]:
    """Something that is no object, properly sealed."""
    return lambda world: world.mallory.forger(world.circle).seal(content)


def header(raw: Callable[[Forger], bytes]) -> Callable[[World], bytes]:
    """Header bytes made by hand, properly signed."""

    def make(world: World) -> bytes:
        forger = world.mallory.forger(world.circle)
        return forger.seal(forger.content(GOOD_BODY, header=raw(forger)))

    return make


HOUR = 60
REFUSED: dict[str, tuple[Callable[[World], bytes], Defect, str]] = {
    # the readable bytes
    "empty": (lambda _: b"", Defect.BAD_SIZE, "envelope"),
    "one byte short": (lambda _: random_bytes(SMALL - 1), Defect.BAD_SIZE, "envelope"),
    "sixteen times too long": (lambda _: bytes(LARGE), Defect.BAD_MAGIC, "magic"),
    "junk": (lambda _: b"\0" + random_bytes(SMALL - 1), Defect.BAD_MAGIC, "magic"),
    "version 0": (outer(version=0), Defect.UNKNOWN_VERSION, "envelope"),
    "unknown version": (outer(version=2), Defect.UNKNOWN_VERSION, "envelope"),
    "unknown suite": (outer(suite=0x0301), Defect.UNKNOWN_SUITE, "suite"),
    "hidden bytes": (outer(zero=b"hidden"), Defect.RESERVED_NOT_ZERO, "bytes 26 to 31"),
    "class 2": (outer(cls=2), Defect.OUT_OF_RANGE, "class"),
    "lane 2": (outer(lane=2), Defect.OUT_OF_RANGE, "lane"),
    "past its life": (outer(created_hour=now_min() // HOUR - 36 * 24), Defect.PAST_LIFE, "created_hour"),
    "unknown key, foreign scope": (
        outer(kid=random_bytes(16), tag=random_bytes(16)),
        Defect.UNKNOWN_KEY,
        "kid",
    ),
    "from beyond every scope": (
        outer(created_hour=now_min() // HOUR + 30 * 24),
        Defect.UNKNOWN_KEY,
        "kid",
    ),
    # the seal
    "forged": (lambda w: flipped(in_circle()(w)), Defect.BAD_TAG, "envelope"),
    "moved to another hour": (lambda w: moved(in_circle()(w)), Defect.BAD_TAG, "envelope"),
    "hidden in the padding": (lambda w: padded(w, b"\0\0\0\1\x90" + b"hidden"), Defect.BAD_PADDING, "padding"),
    "length beyond the end": (lambda w: padded(w, b"\xff\xff\xff\xff"), Defect.BAD_PADDING, "length"),
    # the codec
    "not msgpack": (sealed(b"\xc1\xc1"), Defect.MALFORMED, ""),
    "cut short": (sealed(b"\x94\xc4"), Defect.MALFORMED, ""),
    "not canonical": (sealed(b"\xdc\x00\x04" + msgpack.packb([b"", b"", b"", b""])[1:]), Defect.NOT_CANONICAL, ""),
    "nested": (sealed(b"\x91" * 8 + b"\xc0"), Defect.WRONG_COUNT, "object"),
    "a map": (sealed(msgpack.packb([{}, b"", b"", b""])), Defect.WRONG_TYPE, "header"),
    "too few parts": (sealed(msgpack.packb([b"", b"", b""])), Defect.WRONG_COUNT, "object"),
    "header is junk": (header(lambda _: b"\xc1"), Defect.MALFORMED, ""),
    "header with a map": (header(lambda _: msgpack.packb({"ver": 1})), Defect.MALFORMED, ""),
    "true for one": (in_circle(revision=True), Defect.WRONG_TYPE, "revision"),
    "a number beyond 32 bits": (in_circle(seq=2**32), Defect.OUT_OF_RANGE, "seq"),
    "a short circle": (in_circle(circle=b"short"), Defect.WRONG_LENGTH, "circle"),
    # the object
    "another body": (in_circle(body_commit=random_bytes(32)), Defect.BAD_COMMIT, "body_commit"),
    "wrongly signed": (
        lambda w: w.mallory.forger(w.circle).alert(key=SigningKey.generate()),
        Defect.BAD_SIGNATURE,
        "signature",
    ),
    "in our name": (
        lambda w: in_circle(author=w.alpha._open.peers._circles.own.raw)(w),
        Defect.BAD_SIGNATURE,
        "signature",
    ),
    "in another's name": (
        lambda w: in_circle(author=w.beta._open.peers._circles.own.raw)(w),
        Defect.BAD_SIGNATURE,
        "signature",
    ),
    "in nobody's name": (in_circle(author=bytes(32)), Defect.UNKNOWN_AUTHOR, "author"),
    "a key packet as object": (in_circle(type=20, ref_id=b""), Defect.WRONG_SUITE, "type"),
    "second without a first": (in_circle(seq=1), Defect.WRONG_LENGTH, "prev"),
    "without an id": (in_circle(ref_id=b""), Defect.WRONG_LENGTH, "ref_id"),
    "without an end": (in_circle(expires_min=0), Defect.OUT_OF_RANGE, "expires_min"),
    "ends before it begins": (in_circle(expires_min=now_min() - 1), Defect.OUT_OF_RANGE, "expires_min"),
    "ends in two years": (
        in_circle(expires_min=now_min() + 730 * MINUTES_PER_DAY),
        Defect.OUT_OF_RANGE,
        "expires_min",
    ),
    # object and envelope
    "wrong circle": (lambda w: in_circle(circle=w.direct)(w), Defect.WRONG_CIRCLE, "circle"),
    "wrong statement": (in_circle(statement=random_bytes(16)), Defect.WRONG_STATEMENT, "statement"),
    "wrong class": (outer(cls=0), Defect.WRONG_CLASS, "class"),
    "wrong lane": (outer(lane=0), Defect.WRONG_LANE, "lane"),
    "wrong hour": (outer(created_hour=now_min() // HOUR - 2), Defect.WRONG_HOUR, "created_min"),
    "wrong size": (outer(size=MEDIUM), Defect.BAD_SIZE, "envelope"),
    # who may say what
    "alert by a subscriber": (lambda w: w.mallory.forger(w.quiet).alert(), Defect.NOT_ALLOWED, "type"),
    "statement by a member": (
        in_circle(type=ObjectType.STATEMENT, ref_id=b"", expires_min=0),
        Defect.BAD_SIZE,
        "envelope",
    ),
    "invitation in a group": (
        in_circle(type=ObjectType.DECLINE, ref_id=b"", expires_min=0),
        Defect.NOT_ALLOWED,
        "type",
    ),
    "leaving a direct circle": (
        lambda w: w.mallory.forger(w.direct).alert(type=ObjectType.LEAVE, ref_id=b"", expires_min=0),
        Defect.NOT_ALLOWED,
        "type",
    ),
    "above the circle's TLP": (in_circle(tlp=4), Defect.OUT_OF_RANGE, "tlp"),
    "wrong tier": (body({"tier": 1, "when": "2026-11-20"}), Defect.NOT_ALLOWED, "tier"),
    "finer than its tier": (body(raw=msgpack.packb([])), Defect.WRONG_COUNT, "alert body"),
}


def flipped(envelope: bytes) -> bytes:
    """One bit of the ciphertext changed."""
    return envelope[:-1] + bytes([envelope[-1] ^ 1])


def moved(envelope: bytes) -> bytes:
    """The readable hour changed afterwards."""
    hour = int.from_bytes(envelope[20:24], "big") - 1
    return envelope[:20] + hour.to_bytes(4, "big") + envelope[24:]


def padded(world: World, start: bytes) -> bytes:
    """A plaintext made by hand."""
    return world.mallory.forger(world.circle).seal(b"", plaintext=start.ljust(SMALL - 48 - box.OVERHEAD, b"\0"))


@pytest.mark.parametrize("name", REFUSED)
async def test_a_bad_envelope_is_put_aside_with_its_reason_and_the_next_one_arrives(world: World, name: str) -> None:
    """First, middle or last of a batch: the defect is written down, the good ones arrive, the cursor moves on."""
    make, defect, where = REFUSED[name]
    sent, outcomes = await world.attack(make)
    assert outcomes == [Outcome.REFUSED] * 3
    for bad in sent:
        row = await world.refusal(bad)
        assert row is not None
        assert (row.reason, row.peer, row.size) == (str(defect), world.mallory.own.raw, len(bad))
        assert row.field == where


async def test_of_a_thousand_mutated_objects_none_is_accepted(world: World) -> None:
    """A bit flipped, a byte gone, a byte too many, anywhere in a good object that is then sealed as it should be."""
    rng = Random(1)
    forger = world.mallory.forger(world.circle)
    content = forger.content(GOOD_BODY)
    before = await world.inbox()
    outcomes = await world.push(*[forger.seal(mutated(content, rng)) for _ in range(1000)])
    assert Outcome.STORED not in outcomes
    assert await world.inbox() == before
    assert await world.push(forger.seal(content)) == [Outcome.STORED]


def mutated(content: bytes, rng: Random) -> bytes:
    """The same bytes but for one place."""
    at = rng.randrange(len(content))
    return rng.choice(
        (
            content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :],
            content[:at] + content[at + 1 :],
            content[:at] + rng.randbytes(1) + content[at:],
        )
    )


HELD: dict[str, Callable[[World], bytes]] = {
    "from the future": lambda w: from_hour(w, now_min() // HOUR + 3),
    "a key still to come": outer(kid=random_bytes(16)),
    "a key packet for somebody else": outer(kid=random_bytes(16), suite=0x0101),
    "a type of a later version": in_circle(type=21),
    "a signature of a later version": in_circle(sig_alg=2),
    "a header of a later version": in_circle(ver=2),
    "a card still to come": in_circle(card_counter=2),
}


@pytest.mark.parametrize("name", HELD)
async def test_what_cannot_be_judged_yet_is_kept_and_shown_to_nobody(world: World, name: str) -> None:
    """It waits in its scope's pool, is answered as held, and stops nothing."""
    sent, outcomes = await world.attack(HELD[name])
    assert outcomes == [Outcome.HELD] * 3
    async with world.store.read() as tx:
        states = await tx.log.known([envelope_id(one) for one in sent])
    assert {state for _, state in states.values()} == {"held"}
    assert [await world.refusal(one) for one in sent] == [None] * 3


async def test_the_pool_of_what_waits_has_an_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown keys, and packets for others, cannot fill the disk."""
    monkeypatch.setattr(ingest, "HELD_POOL_BYTES", 0)
    for name in ("a key still to come", "a key packet for somebody else"):
        bad = HELD[name](world)
        assert await world.push(bad) == [Outcome.REFUSED]
        row = await world.refusal(bad)
        assert row is not None
        assert (row.reason, row.field) == (Defect.TOO_LARGE, "pool")


async def test_what_came_from_the_future_is_shown_once_it_is_present(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer whose clock is ahead by three hours is not lost, only late."""
    forger = world.mallory.forger(world.circle)
    early = from_hour(world, now_min() // HOUR + 3, forger)
    (waiting,) = forger.sent
    assert await world.push(early) == [Outcome.HELD]
    intake = world.alpha._open.peers._links.desk.intake
    await intake.reconsider()
    assert waiting not in await world.inbox()
    monkeypatch.setattr(intake, "_clock", Timekeeper(lambda: now_ms() + 3 * HOUR_MS))
    await intake.reconsider()
    assert waiting in await world.inbox()


@pytest.mark.parametrize(
    "kind", [*range(ObjectType.UPDATE, ObjectType.RECEIPT)], ids=lambda kind: ObjectType(kind).name
)
async def test_types_without_effect_so_far_change_nothing_that_people_see(world: World, kind: int) -> None:
    """Updates, cancellations and answers about somebody else's alert are kept; the alert stays as it was."""
    alert_id = await send(world.alpha, id_text(world.circle))
    before = (await world.alpha.alert(LOCAL, alert_id)).model_dump(exclude={"recipients"})
    sent, outcomes = await world.attack(in_circle(type=int(kind), ref_id=parse_id(alert_id), revision=2))
    assert outcomes == [Outcome.STORED] * 3
    assert (await world.alpha.alert(LOCAL, alert_id)).model_dump(exclude={"recipients"}) == before
    assert not {envelope_id(one) for one in sent} & set(await world.inbox())


async def test_the_same_object_under_a_second_sealing_does_nothing(world: World) -> None:
    """Effects are unique by author, circle, incarnation and place, whatever envelope brings them."""
    forger = world.mallory.forger(world.circle)
    content = forger.content(GOOD_BODY)
    assert await world.push(forger.seal(content)) == [Outcome.STORED]
    before = (await world.state())["inbox"]
    assert await world.push(forger.seal(content), forger.seal(content)) == [Outcome.STORED] * 2
    assert (await world.state())["inbox"] == before


async def test_two_headers_in_one_place_do_not_replace_the_first(world: World) -> None:
    """In one batch or later: the first stays the one that the chain holds, and no alert changes."""
    forger = world.mallory.forger(world.circle)
    ref = random_bytes(16)
    first, second, third = (
        forger.content(encode_view(NETWORK_VIEW | {"severity": severity}), ref_id=ref)
        for severity in ("Severe", "Minor", "Extreme")
    )
    assert await world.push(forger.seal(first), forger.seal(second)) == [Outcome.STORED] * 2
    assert await world.push(forger.seal(third)) == [Outcome.STORED]
    assert (await world.alpha.alert(LOCAL, id_text(ref))).view["severity"] == "Severe"
    assert (await world.inbox()).count(id_text(ref)) == 1
    async with world.store.read() as tx:
        place = (world.mallory.own.raw, world.circle, forger.incarnation)
        (chain,) = [one for one in await tx.chains.all() if (one.author, one.circle_id, one.incarnation) == place]
        assert chain.head_hash == await tx.chains.object_hash(chain.chain_id, 0) == parse_object(first).hash


async def test_nobody_can_hide_an_alert_behind_its_id(world: World) -> None:
    """An alert under the id of another author's, with a higher revision, is a second alert and never shown for it."""
    alert_id = await send(world.alpha, id_text(world.circle))
    await arrived(world.beta, alert_id)
    forger = world.mallory.forger(world.circle)
    fake = forger.seal(forger.content(GOOD_BODY, ref_id=parse_id(alert_id), revision=9))
    assert await world.push(fake) == [Outcome.STORED]

    async def both() -> bool:
        return [alert.alert_id for alert in (await world.beta.inbox(LOCAL, None, 500)).alerts].count(alert_id) == 2

    await until(both, "the fake at beta")
    for service in (world.alpha, world.beta):
        assert (await service.alert(LOCAL, alert_id)).author.name == "alpha"


async def test_no_author_makes_an_alert_outlive_its_circle(world: World) -> None:
    """A year is asked for; the circle's retention is what it gets, and what is over is never shown as current."""
    ref, late = random_bytes(16), random_bytes(16)
    made = now_min() - 48 * HOUR
    forger = world.mallory.forger(world.circle)
    long = forger.content(GOOD_BODY, ref_id=ref, expires_min=now_min() + 366 * MINUTES_PER_DAY)
    short = forger.content(GOOD_BODY, ref_id=late, seq=1, prev=bytes(32), created_min=made, expires_min=made + HOUR)
    await world.push(forger.seal(long), forger.seal(short, created_hour=made // HOUR))
    shown = await world.alpha.alert(LOCAL, id_text(ref))
    life = datetime.fromisoformat(shown.expires_at) - datetime.fromisoformat(shown.created_at)
    assert life == timedelta(days=90)
    assert (await world.alpha.alert(LOCAL, id_text(late))).state == "expired"


async def test_everything_captured_and_replayed_three_times_leaves_the_inbox_as_it_is(world: World) -> None:
    """Good, refused and held, what mallory sent and what alpha itself said: nothing of it works twice."""
    blaster = await world.connect()
    envelopes = [make(world) for make, _, _ in REFUSED.values()] + [make(world) for make in HELD.values()]
    envelopes += [world.mallory.forger(world.circle).alert() for _ in range(20)]
    for envelope in envelopes:
        await blaster.push(envelope)
    await send(world.alpha, id_text(world.circle))
    async with asyncio.timeout(20):
        await blaster.settled()

    async def heard() -> bool:
        return bool(blaster.link.pushed)

    await until(heard, "alpha's own alert")
    outcomes = dict(blaster.outcomes)
    envelopes += blaster.link.pushed
    await blaster.close()
    before = await world.state()
    for _ in range(3):
        told = await world.push(*envelopes)
        assert told[: len(outcomes)] == [outcomes[position] for position in sorted(outcomes)]
        assert set(told[len(outcomes) :]) == {Outcome.STORED}
    assert await world.state() == before


async def test_a_flood_from_one_peer_does_not_keep_another_waiting_for_ever(world: World) -> None:
    """While mallory pushes without end, beta's alert arrives."""
    blaster = await world.connect()
    junk = [HELD["a type of a later version"](world) for _ in range(50)]

    async def flood() -> None:
        while True:
            for envelope in junk:
                await blaster.push(envelope)
            await blaster.push(random_bytes(SMALL))

    flooding = asyncio.create_task(flood())
    try:
        alert_id = await send(world.beta, id_text(world.circle))
        await arrived_in(world, alert_id)
        assert not flooding.done()
    finally:
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        await blaster.close()


async def arrived_in(world: World, alert_id: str) -> None:
    async def there() -> bool:
        return alert_id in await world.inbox()

    await until(there, "beta's alert")


def from_hour(world: World, hour: int, forger: Forger | None = None) -> bytes:
    """A good alert of another hour."""
    forger = forger or world.mallory.forger(world.circle)
    content = forger.content(GOOD_BODY, created_min=hour * HOUR, expires_min=hour * HOUR + MINUTES_PER_DAY)
    forger.sent.append(id_text(parse_object(content).header.ref_id))
    return forger.seal(content, created_hour=hour)
