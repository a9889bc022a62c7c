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
from typing import TYPE_CHECKING

import structlog

from almenara.crypto.random import random_bytes
from almenara.node.agreement import Agreement, Code, NotPending, PairingEnd, code_of
from almenara.node.clock import minute_of
from almenara.node.pending import Pending, PendingBook
from almenara.node.transport.backoff import Backoff
from almenara.node.transport.errors import (
    CertificateTaken,
    CloseReason,
    DialFault,
    LinkClosed,
    TransportError,
    Unreachable,
)
from almenara.protocol.card import parse_introduction
from almenara.protocol.errors import Defect, LocalError, ProtocolError, RemoteError
from almenara.protocol.limits import INVITATION_MINUTES, NONCE_BYTES, PAIRING_ATTEMPTS, PAIRING_SECRET_BYTES
from almenara.protocol.pairing import Invitation, Inviter, Joiner, State, parse_link

if TYPE_CHECKING:
    from collections.abc import Callable

    from almenara.crypto.signing import SigningKey
    from almenara.node.agreement import OnCode, OnEnded, OnPaired
    from almenara.node.clock import Clock
    from almenara.node.pending import PairingStore
    from almenara.node.transport.dialer import Dialer
    from almenara.node.transport.door import Door
    from almenara.node.transport.link import PairingChannel


EXCHANGE_SECONDS = 10.0  # for the joiner's side of the exchange, as the listener allows
EXCHANGE_TRIES = 2  # a line that breaks once between the cards and the code does not cost the invitation
RETRY_BASE_SECONDS = 1.0  # between dials for the other person's confirmation
RETRY_CAP_SECONDS = 30.0
SWEEP_SECONDS = 60.0

__all__ = ["Code", "NotPending", "Own", "Pairing", "PairingEnd", "PairingFailed", "PairingFault"]

log = structlog.get_logger()


class PairingFault(StrEnum):
    """Why an invitation cannot be used."""

    MALFORMED = "malformed"
    OUR_OWN = "our-own"
    REFUSED = "refused"  # used, expired, in use by somebody else, or unknown there: the other side does not say which
    BROKEN = "broken"  # the other side broke a rule: another implementation, or somebody in between
    CERTIFICATE_TAKEN = "certificate-taken"  # it names a certificate that another peer uses


class PairingFailed(Exception):  # noqa: N818
    """Joining with an invitation came to nothing; the invitation may still be good for another try."""

    def __init__(self, fault: PairingFault) -> None:
        super().__init__(f"pairing failed: {fault}")
        self.fault = fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Own:
    """What we show when we pair: card, profile and prekey as one, and the operational key that the card names."""

    introduction: bytes
    key: SigningKey = field(repr=False)


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
        self._book = PendingBook(store, door)
        self._agreement = Agreement(self._book, door, on_code=on_code, on_paired=on_paired, on_ended=on_ended)
        self._sweeper: asyncio.Task[None] | None = None

    # Life

    async def start(self) -> None:
        """Take up what an earlier run left, and open the door for what waits."""
        await self._book.restore(self._own().key)
        await self.expire()
        for pending in self._book:
            if pending.machine.state is State.DONE:
                await self._agreement.complete(pending)
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
                await self._agreement.expire(pending)

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
        async with pending.attempt:
            for tries_left in reversed(range(EXCHANGE_TRIES)):
                if pending.peer is None:
                    await self._try_exchange(pending, last=not tries_left)
        return code_of(pending)

    async def confirm(self, node_id: bytes) -> bool:
        """Record that our person found the codes equal. Returns whether theirs has already, so that we are paired.

        Raises:
            NotPending: there is no code with this node.

        """
        pending = self._book.with_node(node_id)
        if pending is None:
            raise NotPending
        message = await self._agreement.confirm(pending)
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
                if pending.attempt.locked():
                    return False
                await self._exchange(pending, channel, message)
            except RemoteError as error:
                if error.kind is not Defect.BAD_MAC:
                    raise
            else:
                return True
        return False

    async def _exchange(self, pending: Pending[Inviter], channel: PairingChannel, message: bytes | None) -> None:
        async with pending.attempt:
            while message is not None:
                await channel.send(await self._step(pending, message))
                if pending.peer is not None:
                    return
                message = await channel.receive()

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
                await self._agreement.show(pending)
            else:
                await self._book.save(pending)
        return answer

    async def _took_confirmation(self, pending: Pending[Inviter], channel: PairingChannel, message: bytes) -> bool:
        """Take a confirmation, and keep the channel until the joiner closes it, which it does when it has ours."""
        if pending.peer is None:
            return False
        try:
            await self._agreement.take_confirmation(pending, message)
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
        pending = Pending(machine=machine, begun=self._now())
        self._book.add(pending)
        return pending

    async def _try_exchange(self, pending: Pending[Joiner], *, last: bool) -> None:
        """Run the exchange once; a break after the cards is forgiven unless this was the last try."""
        try:
            await self._run_exchange(pending)
        except Unreachable as error:
            if error.fault is not DialFault.TURNED_AWAY:
                if pending.machine.state is State.WAITING:
                    await self._book.drop(pending)
                raise
        except (LinkClosed, TimeoutError):
            pass
        except (ProtocolError, CertificateTaken) as error:
            await self._book.drop(pending)
            raise PairingFailed(_fault(error)) from None
        if pending.peer is None and (last or pending.machine.state is State.WAITING):
            await self._book.drop(pending)
            raise PairingFailed(PairingFault.REFUSED)

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
                await self._agreement.show(pending)

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
                await self._agreement.take_confirmation(pending, message)

    # Housekeeping

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.expire()

    def _now(self) -> int:
        return minute_of(self._clock())


def _fault(error: Exception) -> PairingFault:
    return PairingFault.CERTIFICATE_TAKEN if isinstance(error, CertificateTaken) else PairingFault.BROKEN
