"""What both sides of a pairing do alike: show the code, take confirmations, and trust each other once both are in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from almenara.node.transport.errors import CertificateTaken
from almenara.protocol.card import Introduction
from almenara.protocol.errors import RemoteError
from almenara.protocol.pairing import Inviter, State

if TYPE_CHECKING:
    from almenara.node.pending import Pending, PendingBook
    from almenara.node.transport.door import Door


class PairingEnd(StrEnum):
    """Why a pairing with a code ended without two confirmations."""

    EXPIRED = "expired"
    MISMATCH = "mismatch"
    CERTIFICATE_TAKEN = "certificate-taken"


class NotPending(Exception):  # noqa: N818
    """No pairing with this node waits for a confirmation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """Who the other side says it is, and the code that two people compare."""

    node_id: bytes
    introduction: Introduction
    code: str


def code_of(pending: Pending[Any]) -> Code:
    """Return a pairing's code. Raises NotPending while there is none."""
    peer = pending.peer
    if peer is None:
        raise NotPending
    return Code(node_id=peer.node_id.raw, introduction=peer, code=pending.machine.code)


OnCode = Callable[[bytes, Introduction, str], Awaitable[None]]
OnPaired = Callable[[bytes, Introduction, bool], Awaitable[None]]
OnEnded = Callable[[bytes, PairingEnd], Awaitable[None]]


class Agreement:
    """The steps from a code to two nodes that trust each other; every change is saved before anybody hears of it."""

    def __init__(
        self, book: PendingBook, door: Door, *, on_code: OnCode, on_paired: OnPaired, on_ended: OnEnded
    ) -> None:
        self._book = book
        self._door = door
        self._on_code = on_code
        self._on_paired = on_paired
        self._on_ended = on_ended

    async def confirm(self, pending: Pending[Any]) -> bytes:
        """Record our person's confirmation; the message for the other side comes back."""
        async with pending.lock:
            before = pending.machine.state
            message: bytes = pending.machine.confirm()
            await self._book.save(pending)
            await self._complete_if_new(pending, before)
        return message

    async def show(self, pending: Pending[Any]) -> None:
        """Save a pairing that has just got its code, in place of any other with the same node, and tell.

        Raises:
            CertificateTaken: the card names another peer's certificate, or ours; the pairing is dropped.

        """
        code = code_of(pending)
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

    async def take_confirmation(self, pending: Pending[Any], message: bytes) -> None:
        """Take the other side's confirmation.

        Raises:
            RemoteError: WRONG_ORDER for another message; after any other that is not BAD_MAC the pairing is over.

        """
        async with pending.lock:
            before, peer = pending.machine.state, pending.peer
            try:
                pending.machine.receive_confirm(message)
            except RemoteError:
                if pending.machine.state is State.VOID:
                    await self._end(pending, peer, PairingEnd.MISMATCH)
                raise
            await self._book.save(pending)
            await self._complete_if_new(pending, before)

    async def _complete_if_new(self, pending: Pending[Any], before: State) -> None:
        if pending.machine.state is State.DONE and before is not State.DONE:
            await self.complete(pending)

    async def complete(self, pending: Pending[Any]) -> None:
        """Both have confirmed: from here on the peer enters by its own certificate."""
        code = code_of(pending)
        try:
            self._door.pin(code.node_id, code.introduction.card.tls_cert)
        except CertificateTaken:  # by a peer that was paired while these two compared
            await self._end(pending, pending.peer, PairingEnd.CERTIFICATE_TAKEN)
        else:
            await self._on_paired(code.node_id, code.introduction, isinstance(pending.machine, Inviter))

    async def expire(self, pending: Pending[Any]) -> None:
        """Drop a pairing whose time is over."""
        peer = pending.peer if pending.machine.state is State.COMPARING else None  # done: only its last word was unsure
        await self._end(pending, peer, PairingEnd.EXPIRED)

    async def _end(self, pending: Pending[Any], peer: Introduction | None, end: PairingEnd) -> None:
        """Drop a pairing, and say why if a code with this peer was shown."""
        await self._book.drop(pending)
        if peer is not None:
            await self._on_ended(peer.node_id.raw, end)
