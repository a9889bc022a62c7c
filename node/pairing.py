"""Pairing over the network: from an invitation to two nodes that know each other's keys (PROTOCOL §3).

The joiner always dials: for the exchange that ends in a code on both sides, and once its person has confirmed, for as
long as it takes the inviter's person to confirm too. A channel is believed by the invitation's MACs, not by TLS, so
both conversations can break at any point, or a process restart, and be taken up again.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from enum import StrEnum
from random import SystemRandom
from typing import TYPE_CHECKING, Any

import structlog

from almenara.crypto.random import random_bytes
from almenara.node.clock import minute_of
from almenara.node.pending import Pending, PendingBook
from almenara.node.transport.backoff import Backoff
from almenara.node.transport.errors import CertificateTaken, CloseReason, LinkClosed, TransportError
from almenara.protocol.card import parse_introduction
from almenara.protocol.errors import Defect, LocalError, ProtocolError, RemoteError
from almenara.protocol.limits import INVITATION_MINUTES, NONCE_BYTES, PAIRING_ATTEMPTS, PAIRING_SECRET_BYTES
from almenara.protocol.pairing import Invitation, Inviter, Joiner, State, parse_link

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almenara.crypto.signing import SigningKey
    from almenara.node.clock import Clock
    from almenara.node.pending import PairingStore
    from almenara.node.transport.dialer import Dialer
    from almenara.node.transport.door import Door
    from almenara.node.transport.link import PairingChannel
    from almenara.protocol.card import Introduction

    OnCode = Callable[[bytes, Introduction, str], Awaitable[None]]
    OnPaired = Callable[[bytes, Introduction, bool], Awaitable[None]]
    OnEnded = Callable[[bytes, "PairingEnd"], Awaitable[None]]

EXCHANGE_SECONDS = 10.0  # for the joiner's side of the exchange, as the listener allows
EXCHANGE_TRIES = 2  # a line that breaks once between the cards and the code does not cost the invitation
RETRY_BASE_SECONDS = 1.0  # between dials for the other person's confirmation
RETRY_CAP_SECONDS = 30.0
SWEEP_SECONDS = 60.0

log = structlog.get_logger()


class PairingFault(StrEnum):
    """Why an invitation cannot be used."""

    MALFORMED = "malformed"
    OUR_OWN = "our-own"
    REFUSED = "refused"  # used, expired, in use by somebody else, or unknown there: the other side does not say which
    BROKEN = "broken"  # the other side broke a rule: another implementation, or somebody in between
    CERTIFICATE_TAKEN = "certificate-taken"  # it names a certificate that another peer uses


class PairingEnd(StrEnum):
    """Why a pairing with a code ended without two confirmations."""

    EXPIRED = "expired"
    MISMATCH = "mismatch"
    CERTIFICATE_TAKEN = "certificate-taken"


class PairingFailed(Exception):
    """Joining with an invitation came to nothing; the invitation may still be good for another try."""

    def __init__(self, fault: PairingFault) -> None:
        super().__init__(f"pairing failed: {fault}")
        self.fault = fault


class NotPending(Exception):
    """No pairing with this node waits for a confirmation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Own:
    """What we show when we pair: card, profile and prekey as one, and the operational key that the card names."""

    introduction: bytes
    key: SigningKey = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """Who the other side says it is, and the code that two people compare."""

    node_id: bytes
    introduction: Introduction
    code: str


class Pairing:
    """All pairings of this node.

    `on_code(node_id, introduction, code)`: show and compare. `on_paired(node_id, introduction, initiator)`: both have
    confirmed and the certificate is pinned; `initiator` is True for the side that invited. `on_ended(node_id, end)`: a
    pairing with a code came to nothing. Each may come again after a crash, and may not call back into this object.
    """

    def __init__(
        self,
        *,
        door: Door,
        dialer: Dialer,
        store: PairingStore,
        own: Callable[[], Own],
        clock: Clock,
        on_code: OnCode,
        on_paired: OnPaired,
        on_ended: OnEnded,
    ) -> None:
        self._door = door
        self._dialer = dialer
        self._own = own
        self._clock = clock
        self._on_code = on_code
        self._on_paired = on_paired
        self._on_ended = on_ended
        self._book = PendingBook(store, door)
        self._sweeper: asyncio.Task[None] | None = None

    # Life

    async def start(self) -> None:
        """Take up what an earlier run left, and open the door for what waits."""
        await self._book.restore(self._own().key)
        await self.expire()
        for pending in self._book:
            if pending.machine.state is State.DONE:
                await self._complete(pending)
            if isinstance(pending.machine, Joiner) and pending.machine.own_confirmed:
                self._deliver(pending)
        self._sweeper = asyncio.create_task(self._sweep())

    async def close(self) -> None:
        """Stop dialling and answering; what is pending stays saved."""
        tasks = [self._sweeper, *(pending.delivery for pending in self._book)]
        for pending in self._book:
            pending.release()
        for task in filter(None, tasks):
            task.cancel()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)

    async def expire(self) -> None:
        """Drop the pairings whose time is over."""
        for pending in self._book:
            if self._now() >= pending.ends():
                await self._end(pending, PairingEnd.EXPIRED)

    # What people do

    async def open_invitation(self, endpoint: str) -> Invitation:
        """Make a one-time invitation to dial us at `endpoint`, and let strangers to the pairing path for it.

        Raises:
            LocalError: the endpoint is malformed.

        """
        own, now = self._own(), self._now()
        card = parse_introduction(own.introduction).card
        invitation = Invitation(
            node_id=card.node_id,
            tls_digest=card.tls_digest,
            secret=random_bytes(PAIRING_SECRET_BYTES),
            expiry=now + INVITATION_MINUTES,
            endpoint=endpoint,
        )
        nonces = random_bytes(NONCE_BYTES * PAIRING_ATTEMPTS)
        machine = Inviter(invitation, own.introduction, own.key, nonces)
        await self._book.save(Pending(machine=machine, begun=now))
        return invitation

    async def join(self, link: str) -> Code:
        """Use an invitation, up to the code. Asked again with the same one, it answers the same code.

        Whether it has expired is judged by the side that made it, so our clock does not matter.

        Raises:
            PairingFailed: the invitation cannot be used, or not now.
            Unreachable, EndpointMalformed: the inviter cannot be dialled.

        """
        pending = self._joining(link)
        for tries_left in reversed(range(EXCHANGE_TRIES)):
            if pending.machine.state is State.COMPARING:
                break
            try:
                await self._run_exchange(pending)
            except (LinkClosed, TimeoutError):
                if tries_left and pending.machine.state is State.ANSWERED:
                    continue
                await self._book.drop(pending)
                raise PairingFailed(PairingFault.REFUSED) from None
            except (ProtocolError, CertificateTaken) as error:
                await self._book.drop(pending)
                raise PairingFailed(_fault(error)) from None
        return _code_of(pending)

    async def confirm(self, node_id: bytes) -> bool:
        """Record that our person found the codes equal. Returns whether theirs has already, so that we are paired.

        Raises:
            NotPending: there is no code with this node.

        """
        pending = self._book.with_node(node_id)
        if pending is None:
            raise NotPending
        async with pending.lock:
            before = pending.machine.state
            message = pending.machine.confirm()
            await self._book.save(pending)
            await self._complete_if_new(pending, before)
        if isinstance(pending.machine, Joiner):
            self._deliver(pending)
        elif pending.channel is not None:  # it waits there because it has confirmed
            with contextlib.suppress(LinkClosed):
                await pending.channel.send(message)
        return pending.machine.state is State.DONE

    async def discard(self, node_id: bytes) -> None:
        """Drop a pairing: the codes differ, or the person does not want it. Without one, nothing happens."""
        pending = self._book.with_node(node_id)
        if pending is not None:
            await self._book.drop(pending)

    async def settled(self, node_id: bytes) -> None:
        """Note that a session with this node came up: it has our confirmation, nothing needs repeating."""
        pending = self._book.with_node(node_id)
        if pending is not None and pending.machine.state is State.DONE:
            await self._book.drop(pending)

    # The inviter's side of a connection

    async def serve(self, channel: PairingChannel) -> None:
        """Answer one connection on the pairing path: an exchange, or a confirmation. Whatever is wrong ends it."""
        try:
            message = await channel.receive()
            answered = message is not None and await self._answer(channel, message)
        except RemoteError as error:
            log.info("pairing-refused", kind=error.kind)
            answered = False
        except TransportError:
            answered = False
        if not answered:
            channel.cut()

    async def _answer(self, channel: PairingChannel, message: bytes) -> bool:
        """Return whether the message was for an invitation of ours that is free."""
        for pending in self._book.meant_by(message):
            try:
                if await self._took_confirmation(pending, channel, message):
                    return True
                if pending.attempted:
                    return False
                await self._exchange(pending, channel, message)
            except RemoteError as error:
                if error.kind is not Defect.BAD_MAC:
                    raise
            else:
                return True
        return False

    async def _exchange(self, pending: Pending[Inviter], channel: PairingChannel, message: bytes | None) -> None:
        pending.attempted = True
        try:
            while message is not None:
                await channel.send(await self._step(pending, message))
                if pending.peer is not None:
                    return
                message = await channel.receive()
        finally:
            pending.attempted = False

    async def _step(self, pending: Pending[Inviter], message: bytes) -> bytes:
        """Let the machine take one message; what it answers may be sent, its new state is saved."""
        async with pending.lock:
            known = pending.peer
            try:
                answer = pending.machine.receive(message, self._now())
            except RemoteError as error:
                if pending.machine.state is State.VOID:
                    await self._book.drop(pending)
                elif error.kind is not Defect.BAD_MAC:
                    await self._book.save(pending)
                raise
            if pending.peer is not known:
                await self._show(pending)
            else:
                await self._book.save(pending)
        return answer

    async def _took_confirmation(self, pending: Pending[Inviter], channel: PairingChannel, message: bytes) -> bool:
        """Take a confirmation, and keep the channel until the joiner closes it, which it does when it has ours."""
        if pending.peer is None:
            return False
        try:
            await self._take_confirmation(pending, message)
        except RemoteError as error:
            if error.kind is not Defect.WRONG_ORDER:
                raise
            return False
        channel.keep()
        pending.hold(channel)
        if pending.machine.state is State.DONE:
            with contextlib.suppress(LinkClosed):
                await channel.send(pending.machine.confirm())
        async for _ in channel:
            pass
        if pending.machine.state is State.DONE:
            await self._book.drop(pending)
        return True

    # The joiner's side

    def _joining(self, link: str) -> Pending[Joiner]:
        try:
            invitation = parse_link(link)
        except RemoteError:
            raise PairingFailed(PairingFault.MALFORMED) from None
        pending = self._book.under(invitation.id)
        if pending is not None and isinstance(pending.machine, Joiner):
            return pending
        own = self._own()
        try:
            machine = Joiner(invitation, own.introduction, own.key, random_bytes(NONCE_BYTES))
        except LocalError:
            raise PairingFailed(PairingFault.OUR_OWN) from None
        return Pending(machine=machine, begun=self._now())

    async def _run_exchange(self, pending: Pending[Joiner]) -> None:
        """Dial and talk until there is a code; what went out can be taken up again after a break."""
        machine, invitation = pending.machine, pending.machine.invitation
        async with (
            await self._dialer.dial_pairing(invitation.endpoint, invitation.tls_digest) as channel,
            asyncio.timeout(EXCHANGE_SECONDS),
        ):
            message: bytes | None = machine.opening()
            while message is not None:
                await self._book.save(pending)
                await channel.send(message)
                answer = await channel.receive()
                if answer is None:
                    raise LinkClosed(CloseReason.CLOSED)
                message = machine.receive(answer)
            async with pending.lock:
                await self._show(pending)

    def _deliver(self, pending: Pending[Joiner]) -> None:
        if pending.delivery is None or pending.delivery.done():
            pending.delivery = asyncio.create_task(self._exchange_confirmations(pending))

    async def _exchange_confirmations(self, pending: Pending[Joiner]) -> None:
        """Dial until our confirmation is there and theirs is here."""
        backoff = Backoff(RETRY_BASE_SECONDS, RETRY_CAP_SECONDS, SystemRandom())
        while self._book.under(pending.machine.invitation.id) is pending:
            try:
                await self._fetch_confirmation(pending)
            except (TransportError, RemoteError) as error:
                log.info("pairing-waits", error=type(error).__name__)
            if pending.machine.state is State.DONE:
                await self._book.drop(pending)
            else:
                await asyncio.sleep(backoff.next())

    async def _fetch_confirmation(self, pending: Pending[Joiner]) -> None:
        """Say that we have confirmed and wait, as long as the line holds, for the other person."""
        invitation = pending.machine.invitation
        async with await self._dialer.dial_pairing(invitation.endpoint, invitation.tls_digest) as channel:
            await channel.send(pending.machine.confirm())
            message = await channel.receive()
            if message is not None:
                await self._take_confirmation(pending, message)

    # What both sides do

    async def _show(self, pending: Pending[Any]) -> None:
        """Save a pairing that has just got its code, in place of any other with the same node, and tell."""
        code = _code_of(pending)
        try:
            self._door.check_free(code.node_id, code.introduction.card.tls_cert)
        except CertificateTaken:
            await self._book.drop(pending)
            raise
        await self._book.save(pending)
        for other in self._book:
            if other is not pending and other.peer and other.peer.node_id.raw == code.node_id:
                await self._book.drop(other)
        await self._on_code(code.node_id, code.introduction, code.code)

    async def _take_confirmation(self, pending: Pending[Any], message: bytes) -> None:
        async with pending.lock:
            before = pending.machine.state
            try:
                pending.machine.receive_confirm(message)
            except RemoteError:
                if pending.machine.state is State.VOID:
                    await self._end(pending, PairingEnd.MISMATCH)
                raise
            await self._book.save(pending)
            await self._complete_if_new(pending, before)

    async def _complete_if_new(self, pending: Pending[Any], before: State) -> None:
        if pending.machine.state is State.DONE and before is not State.DONE:
            await self._complete(pending)

    async def _complete(self, pending: Pending[Any]) -> None:
        """Both have confirmed: from here on the peer enters by its own certificate."""
        code = _code_of(pending)
        try:
            self._door.pin(code.node_id, code.introduction.card.tls_cert)
        except CertificateTaken:  # by a peer that was paired while these two compared
            await self._end(pending, PairingEnd.CERTIFICATE_TAKEN)
        else:
            await self._on_paired(code.node_id, code.introduction, isinstance(pending.machine, Inviter))

    async def _end(self, pending: Pending[Any], end: PairingEnd) -> None:
        peer = pending.machine.peer
        await self._book.drop(pending)
        if peer is not None:
            await self._on_ended(peer.node_id.raw, end)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.expire()

    def _now(self) -> int:
        return minute_of(self._clock())


def _code_of(pending: Pending[Any]) -> Code:
    peer = pending.peer
    if peer is None:
        raise NotPending
    return Code(node_id=peer.node_id.raw, introduction=peer, code=pending.machine.code)


def _fault(error: Exception) -> PairingFault:
    return PairingFault.CERTIFICATE_TAKEN if isinstance(error, CertificateTaken) else PairingFault.BROKEN
