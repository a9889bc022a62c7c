"""What a paired peer does to the session, to circles and to keys; and what is left to it once it is removed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import msgpack
import pytest
import pytest_asyncio

from almenara.crypto.random import random_bytes
from almenara.node.casebook import id_text, parse_id
from almenara.node.service import LOCAL
from almenara.node.transport.errors import Unreachable
from almenara.protocol.errors import Defect
from almenara.protocol.keys import KeyPacket, carry_commit, key_commit
from almenara.protocol.limits import MAX_FRAME, MEDIUM, SMALL
from almenara.protocol.messages import Kind
from almenara.protocol.object import ObjectType
from almenara.protocol.session import Outcome
from almenara.protocol.statement import Role, Statement, found_direct, ranked
from tests.integration.world import World, attacked
from tests.support.canaries import Canaries, Search
from tests.support.hostile import Forger, now_min
from tests.support.nodes import until
from tests.support.steps import arrived, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from almenara.node.exchange import Exchange
    from tests.support.blaster import Blaster

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with attacked(tmp_path_factory.mktemp("session")) as opened:
        yield opened


# the session protocol


def hello() -> bytes:
    return bytes(msgpack.packb([Kind.HELLO, [1], random_bytes(32), random_bytes(16), now_min()]))


def proofs(count: int) -> list[bytes]:
    return sorted(random_bytes(16) for _ in range(count))


BEFORE_GREETING: dict[str, bytes] = {
    "nothing": b"",
    "junk": b"\xc1" + bytes(40),
    "a number": b"\x01",
    "no kind": b"\x90",
    "the kind as text": msgpack.packb(["HELLO"]),
    "push first": msgpack.packb([Kind.PUSH, 1, 1, bytes(SMALL)]),
    "no version in common": msgpack.packb([Kind.HELLO, [2, 3], bytes(32), bytes(16), 1]),
    "a nonce too short": msgpack.packb([Kind.HELLO, [1], bytes(31), bytes(16), 1]),
    "a byte after the end": hello() + b"\0",
    "not the shortest form": b"\xdc\x00\x05" + hello()[1:],
    "nested a hundred times": b"\x91" * 100,
    "an array of four billion": b"\xdd\xff\xff\xff\xff",
    "bytes of four billion": b"\x92\x01\xc6\xff\xff\xff\xff",
}
WHEN_OPEN: dict[str, bytes] = {
    "greeting twice": hello(),
    "cursors twice": msgpack.packb([Kind.CURSORS, []]),
    "a reserved kind": msgpack.packb([9, 1]),
    "an unpadded interest": msgpack.packb([Kind.INTEREST, proofs(15)]),
    "an unsorted interest": msgpack.packb([Kind.INTEREST, proofs(16)[::-1]]),
    "an answer to no question": msgpack.packb([Kind.KEYS, bytes(16), [], [], b""]),
    "an ack of what was never pushed": msgpack.packb([Kind.ACK, 1, 2**31, []]),
    "an outcome that there is not": msgpack.packb([Kind.ACK, 1, 0, [[1, 3]]]),
    "lane 2": msgpack.packb([Kind.PUSH, 2, 1, bytes(SMALL)]),
    "a position below zero": msgpack.packb([Kind.PUSH, 1, -1, bytes(SMALL)]),
    "an envelope as text": msgpack.packb([Kind.PUSH, 1, 1, "x" * SMALL]),
    "an announcement of nothing": msgpack.packb([Kind.HAVE, []]),
    "one position announced twice": msgpack.packb([Kind.HAVE, [[1, 1, bytes(32)], [1, 1, b"x" * 32]]]),
    "a wish for what was never announced": msgpack.packb([Kind.WANT, [[1, 1]]]),
    "credit for nothing spent": msgpack.packb([Kind.CREDIT, 1, 2**21]),
    "a large envelope in one routine frame": msgpack.packb([Kind.PUSH, 1, 1, bytes(MEDIUM)]),
    "a part in the critical lane": msgpack.packb([Kind.PART, 0, 1, 3, bytes(SMALL)]),
    "a last part without a first": msgpack.packb([Kind.PART, 1, 1, 0, bytes(SMALL)]),
    "a long goodbye": msgpack.packb([Kind.BYE, 1, 86_401]),
}


async def healthy(world: World) -> None:
    """Beta is connected as before, and mallory may come again."""
    connected = {peer.name: peer.connected for peer in (await world.alpha.peers(LOCAL)).peers}
    assert connected["beta"]
    blaster = await world.connect()
    good = world.mallory.forger(world.circle)
    await blaster.push(good.alert())
    async with asyncio.timeout(20):
        await blaster.settled()
    await blaster.close()
    assert (await world.inbox())[-1:] == good.sent


async def hung_up(blaster: Blaster) -> None:
    """Until alpha has ended the session."""
    async with asyncio.timeout(20):
        await asyncio.gather(blaster._reader, return_exceptions=True)


@pytest.mark.parametrize("name", BEFORE_GREETING)
async def test_a_frame_that_breaks_the_protocol_before_greeting_ends_that_session_only(world: World, name: str) -> None:
    link = await world.mallory.dial(world.alpha, world.home)
    await link.send(BEFORE_GREETING[name])
    async with asyncio.timeout(20):
        heard = [msgpack.unpackb(frame)[0] async for frame in link]
    assert set(heard) <= {Kind.HELLO, Kind.BYE}
    assert heard[-1] == Kind.BYE
    await link.close()
    await healthy(world)


@pytest.mark.parametrize("name", WHEN_OPEN)
async def test_a_frame_that_breaks_the_protocol_later_ends_that_session_only(world: World, name: str) -> None:
    blaster = await world.connect()
    await blaster.link.send(WHEN_OPEN[name])
    await hung_up(blaster)
    assert msgpack.unpackb(blaster.link.heard[-1])[0] == Kind.BYE
    await blaster.close()
    await healthy(world)


@pytest.mark.parametrize("frame", ["text", b"\x94" + bytes(MAX_FRAME)], ids=["text", "over-long"])
async def test_what_is_no_frame_at_all_ends_that_session_only(world: World, frame: str | bytes) -> None:
    blaster = await world.connect()
    socket = blaster.link.link._ws
    await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
    await hung_up(blaster)
    await blaster.close()
    await healthy(world)


async def test_a_greeting_heard_elsewhere_proves_no_scope(world: World) -> None:
    """Frames of an earlier session, word for word: the proofs in them belong to other nonces."""
    blaster = await world.connect()
    spoken = list(blaster.link.said)
    assert alphas_side(world)._session.proven
    await blaster.close()
    link = await world.mallory.dial(world.alpha, world.home)
    for frame in spoken:
        await link.send(frame)

    async def greeted() -> bool:
        return world.alpha._open.peers._links.connected(world.mallory.own.raw) and alphas_side(world).ready.is_set()

    await until(greeted, "the old frames are through")
    assert alphas_side(world)._session.proven == frozenset()
    await link.close()


def alphas_side(world: World) -> Exchange:
    """The session with mallory as alpha sees it."""
    exchange = world.alpha._open.peers._links.of(world.mallory.own.raw)
    assert exchange is not None
    return exchange


async def test_goodbye_right_after_a_push_loses_nothing_and_blames_nobody(world: World) -> None:
    """What was pushed is stored; that nobody waits for the answer is no fault."""
    good = world.mallory.forger(world.circle)
    blaster = await world.connect()
    async with world.store.write():
        await blaster.push(good.alert())
        await blaster.link.send(blaster.session.bye(0, 0))
        await asyncio.sleep(0.05)

    async def there() -> bool:
        return good.sent[0] in await world.inbox()

    await until(there, "the alert in the inbox")
    await blaster.close()
    async with world.store.read() as tx:
        assert "internal" not in {row.field for row in await tx.quarantine.recent(100)}


async def test_questions_without_listening_fill_no_queue_of_ours(world: World) -> None:
    """Whoever asks for keys again and again is answered as fast as it reads."""
    blaster = await world.connect()
    for _ in range(100):
        await blaster.link.send(msgpack.packb([Kind.KEYREQ, world.circle, b""]))
    await asyncio.sleep(0.1)
    assert len(alphas_side(world)._control) < 10
    await blaster.close()
    await healthy(world)


# keys and statements


async def test_answers_to_our_questions_are_verified_piece_by_piece(world: World) -> None:
    """Junk statements, junk cards and a junk packet in KEYS change nothing and end nothing."""
    before = (await world.alpha.circles(LOCAL)).model_dump()
    blaster = await world.connect()

    async def asked() -> bool:
        return any(msgpack.unpackb(frame)[0] == Kind.KEYREQ for frame in blaster.link.heard)

    await until(asked, "alpha asks for keys")
    questions = [msgpack.unpackb(frame) for frame in blaster.link.heard]
    (circle, *_) = [question[1] for question in questions if question[0] == Kind.KEYREQ]
    forger = world.mallory.forger(world.circle)
    objects = [b"\xc1", forger.content(b"", type=ObjectType.STATEMENT, ref_id=b"", expires_min=0), random_bytes(500)]
    answer = [Kind.KEYS, circle, objects, [b"\xc1", random_bytes(9000)], random_bytes(SMALL)]
    await blaster.link.send(msgpack.packb(answer))
    good = world.mallory.forger(world.circle)
    await blaster.push(good.alert())
    async with asyncio.timeout(20):
        await blaster.settled()
    assert blaster.outcomes[1] is Outcome.STORED
    await blaster.close()
    assert (await world.alpha.circles(LOCAL)).model_dump() == before


def packet_for(world: World, **changes: object) -> KeyPacket:
    """The current key of the circle, or something else, for alpha."""
    statement = world.mallory.statement(world.circle)
    good = KeyPacket(
        circle=statement.circle_id,
        statement=statement.hash,
        number=statement.number,
        key=random_bytes(32),
        carry_secret=random_bytes(32),
        recipient=world.alpha._open.peers._circles.own,
        giver=world.mallory.own,
    )
    return replace(good, **changes)  # type: ignore[arg-type]


def in_packet(make: Callable[[World], KeyPacket | bytes]) -> Callable[[World], bytes]:
    """Sealed to alpha's prekey."""

    def sealed(world: World) -> bytes:
        made = make(world)
        tag = world.mallory.keyring.tag(world.mallory.statement(world.circle).id, now_min() // 60)
        assert tag is not None
        to = world.id_of(world.alpha)
        if isinstance(made, bytes):
            return world.mallory.packet(packet_for(world), to, tag, content=made)
        return world.mallory.packet(made, to, tag)

    return sealed


def unsealed(world: World) -> bytes:
    """A packet with one bit changed."""
    envelope = in_packet(packet_for)(world)
    return envelope[:-1] + bytes([envelope[-1] ^ 1])


PACKETS: dict[str, tuple[Callable[[World], bytes], Defect]] = {
    "forged": (unsealed, Defect.BAD_TAG),
    "junk inside": (in_packet(lambda _: b"\xc1"), Defect.MALFORMED),
    "an object inside": (in_packet(lambda w: w.mallory.forger(w.circle).content(b"")), Defect.WRONG_COUNT),
    "for somebody else": (
        in_packet(lambda w: packet_for(w, recipient=w.beta._open.peers._circles.own)),
        Defect.WRONG_RECIPIENT,
    ),
    "another key than the statement's": (in_packet(packet_for), Defect.BAD_COMMIT),
    "another number": (in_packet(lambda w: packet_for(w, number=99)), Defect.WRONG_NUMBER),
    "from no member": (in_packet(lambda w: packet_for(w, giver=type(w.mallory.own)(bytes(32)))), Defect.UNKNOWN_AUTHOR),
}


@pytest.mark.parametrize("name", PACKETS)
async def test_a_bad_key_packet_is_put_aside_and_no_key_changes(world: World, name: str) -> None:
    make, defect = PACKETS[name]
    before = (await world.state())["circles"]
    bad = make(world)
    assert await world.push(bad, lane=0) == [Outcome.REFUSED]
    row = await world.refusal(bad)
    assert row is not None
    assert row.reason == defect
    assert (await world.state())["circles"] == before
    alert_id = await send(world.alpha, id_text(world.circle))
    await arrived(world.beta, alert_id)


def usurping(world: World) -> Statement:
    """The next statement of the circle as a member would like it: itself the only steward."""
    current = world.mallory.statement(world.circle)
    others = {node: Role.MEMBER for node, _ in current.members if node != world.mallory.own}
    return replace(
        current,
        number=current.number + 1,
        parent=current.id,
        issuer=world.mallory.own,
        issued_min=now_min(),
        members=ranked([world.mallory.own], others),
        key_commit=key_commit(EPOCH),
        carry_commit=carry_commit(CARRY),
    )


def founding(world: World) -> Statement:
    """The first statement of a direct circle of alpha with beta, which neither of them made."""
    return found_direct(
        inviter=world.beta._open.peers._circles.own,
        joiner=world.alpha._open.peers._circles.own,
        issued_min=now_min(),
        retention_days=90,
        key_commit=key_commit(EPOCH),
        carry_commit=carry_commit(CARRY),
    )


EPOCH, CARRY = random_bytes(32), random_bytes(32)


@pytest.mark.parametrize("make", [usurping, founding])
async def test_a_statement_by_somebody_who_may_not_issue_it_changes_no_circle(
    world: World, make: Callable[[World], Statement]
) -> None:
    """The key packet for it waits for a statement that is good; this one never is."""
    statement = make(world)
    before = (await world.alpha.circles(LOCAL)).model_dump()
    packet = packet_for(
        world,
        circle=statement.circle_id,
        statement=statement.hash,
        number=statement.number,
        key=EPOCH,
        carry_secret=CARRY,
    )
    assert await world.push(in_packet(lambda _: packet)(world), lane=0) == [Outcome.STORED]
    forger = world.mallory.hold(statement, EPOCH, CARRY)
    bad = sealed_statement(forger, statement)
    assert await world.push(bad, lane=0) == [Outcome.REFUSED]
    row = await world.refusal(bad)
    assert row is not None
    assert row.reason in {Defect.NO_STEWARD, Defect.NOT_ALLOWED, Defect.BAD_SIGNATURE}
    assert (await world.alpha.circles(LOCAL)).model_dump() == before
    under_it = Forger(world.mallory, forger.held).alert()
    assert (await world.push(under_it))[0] is not Outcome.STORED
    alert_id = await send(world.alpha, id_text(world.circle))
    await arrived(world.beta, alert_id)


def sealed_statement(forger: Forger, statement: Statement) -> bytes:
    content = forger.content(
        statement.body,
        type=int(ObjectType.STATEMENT),
        author=statement.issuer.raw,
        ref_id=b"",
        revision=0,
        expires_min=0,
        created_min=statement.issued_min,
        lane=0,
    )
    return forger.seal(content, size=MEDIUM, lane=0)


# what a member learns


@pytest.mark.parametrize("circle", ["circle", "direct"])
async def test_a_member_that_keeps_every_decrypted_byte_holds_nothing_local(world: World, circle: str) -> None:
    """Frames after TLS, and what its keys open: the view is there, and none of the case's own texts."""
    canaries = Canaries(seed=7)
    blaster = await world.connect()
    case = canaries.case(consent={"state": "share-network", "basis": "self", "informed": canaries.text()})
    alert_id = await send(world.alpha, id_text(getattr(world, circle)), case)

    def opened() -> list[bytes]:
        return [world.mallory.read(envelope) for envelope in blaster.link.pushed]

    async def heard() -> bool:
        return any(parse_id(alert_id) in content for content in opened())

    await until(heard, "the alert at mallory")
    await blaster.close()
    (alert,) = [content for content in opened() if parse_id(alert_id) in content]
    assert b"legal" in alert
    assert len(canaries.drawn) > 30
    everything = [("a frame", frame) for frame in blaster.link.heard] + [("an envelope", one) for one in opened()]
    assert Search()(everything) == []


# removal: last, since it is for good


async def test_a_removed_peer_is_cut_within_a_second_and_does_not_come_back(world: World) -> None:
    """The link that is open hears nothing more, a new one is turned away, and what it pushed meanwhile is not taken."""
    blaster = await world.connect()
    await blaster.push(world.mallory.forger(world.circle).alert())
    await blaster.settled()
    await asyncio.sleep(0.3)
    heard = len(blaster.link.heard)
    removal = asyncio.create_task(world.alpha.remove_peer(LOCAL, world.mallory.own.text))
    async with asyncio.timeout(1):
        await asyncio.gather(blaster._reader, return_exceptions=True)
    await removal
    assert len(blaster.link.heard) == heard
    assert blaster.link.link.closed
    await blaster.close()
    with pytest.raises(Unreachable):
        await world.mallory.dial(world.alpha, world.home)
    alert_id = await send(world.alpha, id_text(world.circle))
    await arrived(world.beta, alert_id)
    states = {peer.name: (peer.state, peer.connected) for peer in (await world.alpha.peers(LOCAL)).peers}
    assert states["mallory"] == ("removed", False)
    circle = await world.alpha.circle(LOCAL, id_text(world.circle))
    assert {member.name: member.state for member in circle.members}["mallory"] == "removed"
