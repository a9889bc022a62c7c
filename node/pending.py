"""Pairings under way: kept through restarts, found by invitation or by node, dropped when their time is over."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeGuard, TypeVar

from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.limits import INVITATION_MINUTES
from almenara.protocol.pairing import Inviter, Joiner, State, invitation_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from almenara.crypto.signing import SigningKey
    from almenara.node.transport.door import Door
    from almenara.node.transport.link import PairingChannel
    from almenara.protocol.card import Introduction

Machine = TypeVar("Machine", Inviter, Joiner)

# Whoever has confirmed gives the other side as long again, in minutes: it may be late, or our last word was lost.
GRACE_MINUTES = INVITATION_MINUTES
_BEGUN_BYTES = 8


class PairingStore(Protocol):
    """Where pairings survive a restart. What is stored holds an invitation's secret: encrypted databases only."""

    async def load(self) -> list[bytes]:
        """Return everything saved and not deleted."""

    async def save(self, invitation_id: bytes, pending: bytes) -> None:
        """Insert, or replace what was saved under this id; durable on return."""

    async def delete(self, invitation_id: bytes) -> None:
        """Forget; an id that is not there is fine."""


@dataclass(eq=False, kw_only=True, slots=True)
class Pending(Generic[Machine]):
    """One pairing: its machine, and what lives only while the process does.

    `begun` is in minutes of our own clock: how long a pairing lives never depends on the clocks agreeing.
    """

    machine: Machine
    begun: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # around every change of the machine and its saving
    attempt: asyncio.Lock = field(default_factory=asyncio.Lock)  # held through an exchange; one at a time
    channel: PairingChannel | None = None  # the joiner waits here for our person
    delivery: asyncio.Task[None] | None = None  # the joiner's own: brings our confirmation, fetches theirs

    @property
    def peer(self) -> Introduction | None:
        """The other side, once there is a code."""
        return self.machine.peer if self.machine.state in {State.COMPARING, State.DONE} else None

    def ends(self) -> int:
        """The minute when this pairing is dropped."""
        return self.begun + INVITATION_MINUTES + (GRACE_MINUTES if self.machine.own_confirmed else 0)

    def hold(self, channel: PairingChannel) -> None:
        """Keep this channel open for our person's confirmation, in place of an older one."""
        if self.channel is not None:
            self.channel.cut()
        self.channel = channel

    def release(self) -> None:
        """Let go of connection and task."""
        if self.channel is not None:
            self.channel.cut()
        if self.delivery is not None and self.delivery is not asyncio.current_task():
            self.delivery.cancel()


class PendingBook:
    """All pairings under way; strangers reach the door while any of our invitations is among them."""

    def __init__(self, store: PairingStore, door: Door) -> None:
        self._store = store
        self._door = door
        self._all: dict[bytes, Pending[Any]] = {}

    def __iter__(self) -> Iterator[Pending[Any]]:
        return iter(list(self._all.values()))

    async def restore(self, key: SigningKey) -> None:
        """Read what an earlier run saved; `key` is the operational key."""
        for saved in await self._store.load():
            begun, dump = int.from_bytes(saved[:_BEGUN_BYTES], "big"), saved[_BEGUN_BYTES:]
            machine = _load(dump, key)
            self._all[machine.invitation.id] = Pending(machine=machine, begun=begun)
        self._set_door()

    def under(self, invitation: bytes) -> Pending[Any] | None:
        """Return the pairing of an invitation, by the invitation's id."""
        return self._all.get(invitation)

    def with_node(self, node_id: bytes) -> Pending[Any] | None:
        """Return the pairing whose code was agreed with a node."""
        return next((each for each in self if each.peer and each.peer.node_id.raw == node_id), None)

    def meant_by(self, message: bytes) -> list[Pending[Inviter]]:
        """Return our invitations that a connection's first message can be about.

        Commitments and confirmations name theirs. A reveal, repeated after a break, does not; its mac tells which of
        those that wait for one it was made for.

        Raises:
            RemoteError: not a pairing message.

        """
        try:
            named = self._all.get(invitation_id(message))
            found = [named] if named else []
        except RemoteError as error:
            if error.kind is not Defect.WRONG_ORDER:
                raise
            found = [each for each in self if each.machine.state in {State.ANSWERED, State.COMPARING}]
        return [each for each in found if _is_ours(each)]

    def add(self, pending: Pending[Any]) -> None:
        """Take in a pairing of which nothing has been said yet, so nothing needs saving."""
        self._all[pending.machine.invitation.id] = pending

    async def save(self, pending: Pending[Any]) -> None:
        """Keep the present state; nothing that follows from it may be sent before."""
        saved = pending.begun.to_bytes(_BEGUN_BYTES, "big") + pending.machine.dump()
        await self._store.save(pending.machine.invitation.id, saved)
        self._all[pending.machine.invitation.id] = pending
        self._set_door()

    async def drop(self, pending: Pending[Any]) -> None:
        """Forget a pairing and everything that runs for it."""
        await self._store.delete(pending.machine.invitation.id)
        self._all.pop(pending.machine.invitation.id, None)
        self._set_door()
        pending.release()

    def _set_door(self) -> None:
        wanted = any(_is_ours(each) for each in self)
        if wanted != self._door.strangers_allowed:
            self._door.open_for_strangers(wanted)


def _is_ours(pending: Pending[Any]) -> TypeGuard[Pending[Inviter]]:
    return isinstance(pending.machine, Inviter)


def _load(dump: bytes, key: SigningKey) -> Inviter | Joiner:
    with contextlib.suppress(LocalError):
        return Inviter.load(dump, key)
    return Joiner.load(dump, key)
