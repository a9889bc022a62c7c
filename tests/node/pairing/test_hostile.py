"""What a bearer of the invitation, or anybody at the open door, can try; each of them comes to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from almenara.crypto.random import random_bytes
from almenara.node.pairing import PairingEnd, PairingFailed, PairingFault
from almenara.node.transport.errors import DialFault, LinkClosed, Unreachable
from almenara.protocol.limits import MAX_PAIRING_MESSAGE
from almenara.protocol.pairing import Invitation, Inviter, Joiner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almenara.node.transport.link import PairingChannel

    from .conftest import Organisation

    Build = Callable[..., Awaitable[Organisation]]
    Two = tuple[Organisation, Organisation]


def joiner_of(organisation: Organisation, invitation: Invitation) -> Joiner:
    """The machine of somebody who holds the link and speaks the protocol as it pleases."""
    return Joiner(invitation, organisation.own.introduction, organisation.own.key, random_bytes(32))


async def dial(organisation: Organisation, invitation: Invitation) -> PairingChannel:
    return await organisation.dialer.dial_pairing(invitation.endpoint, invitation.tls_digest)


async def silence(channel: PairingChannel) -> bool:
    """Whether the other side ends the connection without a message."""
    try:
        return await channel.receive() is None
    except LinkClosed:
        return True


async def fault_of(organisation: Organisation, invitation: Invitation) -> PairingFault:
    with pytest.raises(PairingFailed) as caught:
        await organisation.pairing.join(invitation.link)
    return caught.value.fault


async def complete(alpha: Organisation, beta: Organisation) -> None:
    await beta.pairing.confirm(alpha.id)
    await alpha.pairing.confirm(beta.id)
    await alpha.until(lambda: bool(alpha.paired))
    await beta.until(lambda: bool(beta.paired))


async def test_an_invitation_in_use_is_refused_to_the_next_and_its_joiner_goes_on(two: Two, build: Build) -> None:
    alpha, beta = two
    gamma = await build("gamma")
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    await beta.pairing.join(invitation.link)
    assert await fault_of(gamma, invitation) is PairingFault.REFUSED
    assert len(alpha.codes) == 1
    await complete(alpha, beta)


async def test_a_used_invitation_gets_nobody_past_the_handshake(two: Two, build: Build) -> None:
    alpha, beta = two
    gamma = await build("gamma")
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    await beta.pairing.join(invitation.link)
    await complete(alpha, beta)
    await alpha.until(lambda: not alpha.store.rows)
    assert await fault_of(gamma, invitation) is PairingFault.REFUSED
    with pytest.raises(Unreachable) as caught:
        await dial(gamma, invitation)
    assert caught.value.fault is DialFault.TURNED_AWAY


async def test_replayed_messages_bring_no_second_code_and_no_confirmation(two: Two) -> None:
    alpha, beta = two
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    machine = joiner_of(beta, invitation)
    said = [machine.opening()]
    async with await dial(beta, invitation) as channel:
        await channel.send(said[0])
        answer = machine.receive(await channel.receive() or b"")
        assert answer is not None
        said.append(answer)
        await channel.send(said[1])
        signature = await channel.receive()
    async with await dial(beta, invitation) as channel:
        await channel.send(said[0])
        assert await silence(channel)
    async with await dial(beta, invitation) as channel:
        await channel.send(said[1])
        assert await channel.receive() == signature
    assert len(alpha.codes) == 1
    assert not alpha.pairing._book.with_node(beta.id).machine.peer_confirmed


async def test_our_own_messages_sent_back_are_not_taken_for_the_others(two: Two) -> None:
    alpha, beta = two
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    await beta.pairing.join(invitation.link)
    await alpha.pairing.confirm(beta.id)
    reflected = alpha.pairing._book.with_node(beta.id).machine.confirm()
    async with await dial(beta, invitation) as channel:
        await channel.send(reflected)
        assert await silence(channel)
    assert alpha.paired == []
    await complete(alpha, beta)


async def test_five_wrong_reveals_kill_the_invitation(two: Two, build: Build) -> None:
    alpha, beta = two
    mallory = await build("mallory")
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    for _ in range(5):
        one, other = joiner_of(mallory, invitation), joiner_of(mallory, invitation)
        async with await dial(mallory, invitation) as channel:
            await channel.send(one.opening())
            cards = await channel.receive()
            assert cards is not None
            other.opening()
            reveal = other.receive(cards)  # of another nonce than the one committed to
            assert reveal is not None
            await channel.send(reveal)
            assert await silence(channel)
    assert not alpha.store.rows
    assert not alpha.door.strangers_allowed
    assert await fault_of(beta, invitation) is PairingFault.REFUSED
    assert alpha.codes == []


async def test_five_abandoned_attempts_kill_the_invitation_even_across_a_restart(two: Two, build: Build) -> None:
    alpha, beta = two
    mallory = await build("mallory")
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    for count in range(5):
        async with await dial(mallory, invitation) as channel:
            await channel.send(joiner_of(mallory, invitation).opening())
            assert await channel.receive()
        if count == 2:
            await alpha.restart()
    assert await fault_of(beta, invitation) is PairingFault.REFUSED
    assert not alpha.store.rows
    assert not alpha.door.strangers_allowed


async def test_whoever_has_not_the_secret_cannot_use_up_the_attempts(two: Two) -> None:
    alpha, beta = two
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    opening = joiner_of(beta, invitation).opening()
    for _ in range(10):
        async with await dial(beta, invitation) as channel:
            await channel.send(opening[:-1] + bytes([opening[-1] ^ 1]))
            assert await silence(channel)
    await beta.pairing.join(invitation.link)


async def test_a_second_attempt_at_the_same_time_is_refused_and_the_first_undisturbed(two: Two, build: Build) -> None:
    alpha, beta = two
    gamma = await build("gamma")
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    machine = joiner_of(beta, invitation)
    async with await dial(beta, invitation) as channel:
        await channel.send(machine.opening())
        cards = await channel.receive()
        assert await fault_of(gamma, invitation) is PairingFault.REFUSED
        reveal = machine.receive(cards or b"")
        await channel.send(reveal or b"")
        machine.receive(await channel.receive() or b"")
    assert [(node, code) for node, _, code in alpha.codes] == [(beta.id, machine.code)]


@pytest.mark.parametrize("junk", [b"", b"\x00", b"\x93\x01\xc4\x00\xc4\x00", bytes(MAX_PAIRING_MESSAGE + 1)])
async def test_junk_and_oversized_messages_end_the_connection_and_cost_no_attempt(two: Two, junk: bytes) -> None:
    alpha, beta = two
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    for _ in range(6):
        async with await dial(beta, invitation) as channel:
            await channel.send(junk)
            assert await silence(channel)
    await beta.pairing.join(invitation.link)


def confirmation_of_another_transcript(alpha: Organisation, beta: Organisation, invitation: Invitation) -> bytes:
    """What somebody with the secret, who was not in this exchange, can say at best."""
    inviter = Inviter(invitation, alpha.own.introduction, alpha.own.key, random_bytes(160))
    joiner = joiner_of(beta, invitation)
    message: bytes | None = joiner.opening()
    while message:
        message = joiner.receive(inviter.receive(message, 0))
    return joiner.confirm()


async def test_a_confirmation_of_another_transcript_voids_everything(two: Two) -> None:
    alpha, beta = two
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    await beta.pairing.join(invitation.link)
    await alpha.pairing.confirm(beta.id)
    async with await dial(beta, invitation) as channel:
        await channel.send(confirmation_of_another_transcript(alpha, beta, invitation))
        assert await silence(channel)
    assert alpha.ended == [(beta.id, PairingEnd.MISMATCH)]
    assert not alpha.store.rows
    assert alpha.paired == []


async def test_a_confirmation_before_there_is_a_code_is_refused(two: Two) -> None:
    alpha, beta = two
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    async with await dial(beta, invitation) as channel:
        await channel.send(confirmation_of_another_transcript(alpha, beta, invitation))
        assert await silence(channel)
    await beta.pairing.join(invitation.link)
    await complete(alpha, beta)


async def test_with_somebody_in_the_middle_the_two_codes_differ(two: Two, build: Build) -> None:
    alpha, beta = two
    mallory = await build("mallory")
    stolen = await alpha.pairing.open_invitation(alpha.endpoint)
    await mallory.pairing.join(stolen.link)
    forged = await mallory.pairing.open_invitation(mallory.endpoint)
    await beta.pairing.join(forged.link)
    assert alpha.codes[0][2] != beta.codes[0][2]


async def test_an_expired_invitation_is_refused_by_the_inviters_clock(two: Two) -> None:
    alpha, beta = two
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    alpha.now_ms += 1440 * 60_000
    assert await fault_of(beta, invitation) is PairingFault.REFUSED
    await alpha.pairing.expire()
    assert not alpha.door.strangers_allowed
    assert alpha.ended == []


async def test_a_joiner_that_names_another_peers_certificate_gets_no_code(two: Two, build: Build) -> None:
    alpha, beta = two
    alpha.door.pin(beta.id, beta.certificate)
    mallory = await build("mallory", beta.certificate)
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    assert await fault_of(mallory, invitation) is PairingFault.REFUSED
    assert alpha.codes == []
    assert not alpha.store.rows


async def test_an_inviter_whose_certificate_is_another_peers_is_told_so(two: Two) -> None:
    alpha, beta = two
    beta.door.pin(b"?" * 32, alpha.certificate)
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    assert await fault_of(beta, invitation) is PairingFault.CERTIFICATE_TAKEN
    assert beta.codes == []
    assert not beta.store.rows


async def test_a_line_that_breaks_before_the_last_answer_costs_neither_attempt_nor_code(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha, beta = two
    serve, broken = alpha.pairing.serve, []

    async def serve_and_break(channel: PairingChannel) -> None:
        send, sent = channel.send, []

        async def send_once(message: bytes) -> None:
            sent.append(message)
            if len(sent) == 2 and not broken:
                broken.append(True)
                channel.cut()
            await send(message)

        monkeypatch.setattr(channel, "send", send_once)
        await serve(channel)

    alpha.listener._on_pairing = serve_and_break
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    code = await beta.pairing.join(invitation.link)
    assert broken
    assert [shown for _, _, shown in alpha.codes] == [code.code]
    await complete(alpha, beta)


async def test_what_is_saved_comes_before_what_is_sent(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha, beta = two
    attempts_saved: list[Any] = []
    serve = alpha.pairing.serve

    async def watch(channel: PairingChannel) -> None:
        send = channel.send

        async def send_after_looking(message: bytes) -> None:
            (saved,) = alpha.store.rows.values()
            attempts_saved.append(Inviter.load(saved[8:], alpha.own.key).state)
            await send(message)

        monkeypatch.setattr(channel, "send", send_after_looking)
        await serve(channel)

    alpha.listener._on_pairing = watch
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    await beta.pairing.join(invitation.link)
    assert [state.name for state in attempts_saved] == ["ANSWERED", "COMPARING"]
