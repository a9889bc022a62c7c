"""Taking in a bundle: untrusted, as often as one likes, and never losing what came before damage (SPEC.md §14).

Every envelope goes the way of those that peers push. A file adds no trust: who made it counts only for what a peer of
ours could have told us itself, and only where its signature says so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from almenara.node import models
from almenara.node.clock import HOUR_MS, Clock, rfc3339
from almenara.node.exchange import Arrival
from almenara.node.ingest import DISK_FAULTS
from almenara.node.problem import Kind, Problem
from almenara.node.storage.rows import QuarantineRow
from almenara.node.words import N_
from almenara.protocol.bundle import MAX_CHUNKS, SEALED_BYTES, BundleReader, Carried, Event, Header, Spoilt
from almenara.protocol.bundle_head import HEAD_BYTES, START_BYTES, Opened, Suite, open_with, parse_start, unlock
from almenara.protocol.envelope import envelope_id
from almenara.protocol.errors import Defect, NewerVersion, ProtocolError, RemoteError
from almenara.protocol.messages import Keys
from almenara.protocol.session import KeysTold, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from almenara.crypto.identity import NodeId
    from almenara.node.circles import Circles
    from almenara.node.ingest import Ingest
    from almenara.node.keydesk import KeyDesk
    from almenara.node.keyring import Keyring
    from almenara.node.storage.engine import Store
    from almenara.protocol.card import Introduction

MAX_BYTES = 4096 + MAX_CHUNKS * SEALED_BYTES  # of a file: what stands before the chunks is shorter than a page
BATCH = 512  # envelopes given to the ingest at a time: one of its transactions
BATCH_BYTES = 2 * 1024 * 1024  # the same in bytes: half of what it lets wait, so that peers are heard meanwhile
NOTED = 1000  # spoilt records of one file whose reasons are kept; all are counted

NO_BUNDLE = N_("This is not a bundle.")
NEWER = N_("A later version of almenara made this file.")
UPDATE = N_("Update this node, then take the file in again.")
NOT_FOR_US = N_("This file is sealed for another organisation, or its beginning is damaged.")
ASK_FOR_ANOTHER = N_("Ask who gave it to you for another copy.")
NEEDS_PASSPHRASE = N_("This file needs the passphrase under which it was made.")
WRONG_PASSPHRASE = N_("The passphrase does not open this file, or its beginning is damaged.")
CUT_SHORT = N_("The file ends too early. Everything before that place was taken.")
DAMAGED = N_("The file is damaged. Everything before that place was taken.")
DISK = N_("The disk did not take all of it. What was taken stays.")
MAKE_ROOM = N_("Make room on the disk, then take the file in again.")

log = structlog.get_logger()


class Stick:
    """Stands where a session stands: says who brought an envelope, and counts what became of each."""

    def __init__(self, peer: NodeId) -> None:
        self.peer, self.peer_epoch = peer, b""
        self.new = self.known = self.refused = 0
        self._failed: Problem | None = None
        self._waiting: set[int] = set()
        self._held: set[int] = set()
        self._done = asyncio.Event()
        self._last = 0

    @property
    def held(self) -> int:
        """How many could not be opened so far."""
        return len(self._held)

    def proves(self, tag: bytes) -> bool:  # noqa: ARG002 - a session's shape
        """An admin of ours took the file in by hand; the quota bounds what it fills."""
        return True

    def next(self) -> int:
        """A place for one more envelope."""
        self._last += 1
        self._waiting.add(self._last)
        self._done.clear()
        return self._last

    def acknowledge(self, lane: int, outcomes: list[tuple[int, Outcome]]) -> None:  # noqa: ARG002 - a session's shape
        """After the commit; what was held may open later, while the file is still being read or after."""
        for position, outcome in outcomes:
            self._waiting.discard(position)
            self._held.discard(position)
            match outcome:
                case Outcome.STORED:
                    self.new += 1
                case Outcome.HELD:
                    self._held.add(position)
                case Outcome.REFUSED | Outcome.BUSY:  # busy: its author's day is full; the file can be read in again
                    self.refused += 1
        if not self._waiting:
            self._done.set()

    async def rest(self) -> None:
        """The disk failed."""
        self.fail(_disk_failed())

    def fail(self, problem: Problem) -> None:
        """No answer comes any more."""
        self._failed = problem
        self._done.set()

    async def settled(self) -> None:
        """Wait for the answers to everything given. Raises the `Problem` for which none comes."""
        if self._waiting and self._failed is None:
            await self._done.wait()
        self.check()

    def check(self) -> None:
        """Raise the `Problem` that has ended it, if one has."""
        if self._failed is not None:
            raise self._failed


class BundleImport:
    """Reads one file at a time; `on_taken` tells after each that the log may have grown otherwise than by a session."""

    def __init__(
        self, store: Store, circles: Circles, keyring: Keyring, keydesk: KeyDesk, ingest: Ingest, clock: Clock
    ) -> None:
        self._store, self._circles, self._keyring = store, circles, keyring
        self._keydesk, self._ingest, self._clock = keydesk, ingest, clock
        self._turn = asyncio.Lock()
        self._taking: _Taking | None = None
        self.on_taken: Callable[[], None] = lambda: None

    def close(self) -> None:
        """The node is being locked: whoever waits for the ingest would wait for ever."""
        if self._taking is not None:
            self._taking.stick.fail(Problem(Kind.LOCKED))

    async def take(self, data: AsyncIterator[bytes], passphrase: str | None) -> models.BundleImported:
        """Take in whatever can be read of a file.

        Raises `Problem` when that is nothing: MALFORMED, WRONG_PASSPHRASE, TOO_LARGE; or NOT_READY, the disk failed.
        """
        async with self._turn:
            head, rest = await _head(data)
            reader = BundleReader(await self._open(head, passphrase))
            taking = self._taking = _Taking(self._store, self._circles, self._keydesk, self._ingest, self._clock)
            try:
                fault = await taking.everything(reader, rest, data)
            finally:
                self._taking = None
                self.on_taken()
            if fault is not None and taking.header is None:
                raise _unreadable(fault, head)
            return taking.result(fault)

    async def _open(self, head: bytes, passphrase: str | None) -> Opened:
        try:
            if parse_start(head) is Suite.PASSPHRASE:
                if passphrase is None:
                    raise Problem(Kind.WRONG_PASSPHRASE, NEEDS_PASSPHRASE, field="passphrase")
                return await asyncio.to_thread(unlock, head, passphrase)
            return open_with(head, self._circles.own, self._keyring.prekeys())
        except RemoteError as error:
            raise _unreadable(error, head) from None


class _Taking:
    """One file under way."""

    def __init__(self, store: Store, circles: Circles, keydesk: KeyDesk, ingest: Ingest, clock: Clock) -> None:
        self._store, self._circles, self._cards = store, circles, circles.cards
        self._keydesk, self._ingest, self._clock = keydesk, ingest, clock
        self.stick = Stick(circles.own)
        self._sender: NodeId | None = None
        self._batch: dict[bytes, bytes] = {}
        self._size = 0
        self._noted = 0
        self.header: Header | None = None

    async def everything(self, reader: BundleReader, rest: bytes, data: AsyncIterator[bytes]) -> RemoteError | None:
        """Take all there is, up to the end or the damage, which is returned."""
        fault = None
        try:
            try:
                await self._feed(reader, rest)
                async for part in data:
                    await self._feed(reader, part)
                reader.close()
            except RemoteError as error:
                fault = error
            await self._flush()
        except DISK_FAULTS:
            raise _disk_failed() from None
        return fault

    def result(self, fault: RemoteError | None) -> models.BundleImported:
        """What became of it."""
        stick, header = self.stick, self.header
        cut = fault is not None and fault.kind is Defect.TRUNCATED
        return models.BundleImported(
            records=stick.new + stick.known + stick.held + stick.refused,
            new=stick.new,
            known=stick.known,
            held=stick.held,
            refused=stick.refused,
            complete=fault is None,
            reason="" if fault is None else CUT_SHORT if cut else DAMAGED,
            next="" if fault is None else ASK_FOR_ANOTHER,
            sender=self._sender.text if self._sender else None,
            made_at=rfc3339(header.created_hour * HOUR_MS) if header else None,
        )

    async def _feed(self, reader: BundleReader, part: bytes) -> None:
        for event in reader.feed(part):
            await self._on(event)

    async def _on(self, event: Event) -> None:
        self.stick.check()
        match event:
            case Header():
                self.header = event
                if event.sender is not None and await self._is_from(event.sender):
                    self._sender = self.stick.peer = event.sender.node_id
            case Keys() if self._sender is not None:
                await self._take_keys(self._sender, event)
            case Carried():
                await self._add(event.envelope)
            case Spoilt():
                await self._spoilt(event)

    async def _is_from(self, sender: Introduction) -> bool:
        """Whether a peer of ours, as it stands now, signed the file; what it says of itself is taken too."""
        if sender.node_id.raw not in self._circles.verified:
            return False
        try:
            async with self._circles.change() as tx:
                await self._circles.take_introduction(tx, sender.encode())
        except ProtocolError as error:
            log.info("bundle-sender-refused", peer=sender.node_id.short, defect=str(error.kind), field=error.field)
            return False
        newest = self._cards.newest(sender.node_id)
        current = newest is not None and newest.op_sign == sender.card.op_sign
        return current and not self._cards.is_revoked(sender.node_id)

    async def _take_keys(self, sender: NodeId, message: Keys) -> None:
        told = KeysTold(
            circle=message.circle,
            statements=message.statements,
            introductions=message.introductions,
            packet=message.packet,
        )
        await self._keydesk.take(sender, told)

    async def _add(self, envelope: bytes) -> None:
        found = envelope_id(envelope)
        if found in self._batch:
            self.stick.known += 1
            return
        self._batch[found] = envelope
        self._size += len(envelope)
        if len(self._batch) >= BATCH or self._size >= BATCH_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        """Give what is not here yet to the ingest, and wait for its commit: memory stays bounded by one batch."""
        batch, self._batch, self._size = self._batch, {}, 0
        if not batch:
            return
        async with self._store.read() as tx:
            known = await tx.log.known(list(batch))
        self.stick.known += len(known)
        for found, envelope in batch.items():
            if found not in known:
                await self._ingest.submit(Arrival(self.stick, 0, self.stick.next(), envelope))
        await self.stick.settled()

    async def _spoilt(self, spoilt: Spoilt) -> None:
        """Keep the reason; the first thousand of a file are enough to see what is wrong with it."""
        self.stick.refused += 1
        if self._noted == NOTED:
            return
        self._noted += 1
        error = spoilt.error
        row = QuarantineRow(
            at=self._clock(),
            peer=self.stick.peer.raw,
            reason=str(error.kind),
            field=error.field,
            expected=error.expected,
            got=error.got,
            envelope_id=b"",
            size=spoilt.size,
        )
        async with self._store.write() as tx:
            await tx.quarantine.add([row])


async def _head(data: AsyncIterator[bytes]) -> tuple[bytes, bytes]:
    """The head, and what came behind it in the same piece. Raises `Problem(MALFORMED)`."""
    found = bytearray()
    size = START_BYTES
    try:
        while len(found) < size:
            part = await anext(data, None)
            if part is None:
                break
            found += part
            if len(found) >= START_BYTES:
                size = HEAD_BYTES[parse_start(bytes(found[:START_BYTES]))]
        parse_start(bytes(found))
    except RemoteError as error:
        raise _unreadable(error, b"") from None
    return bytes(found[:size]), bytes(found[size:])


def _unreadable(error: RemoteError, head: bytes) -> Problem:
    """Nothing could be taken: say why in words that fit what somebody holds in her hand."""
    if isinstance(error, NewerVersion):
        return Problem(Kind.MALFORMED, NEWER, field="file", next=UPDATE)
    if error.kind is Defect.BAD_MAGIC or not head:
        return Problem(Kind.MALFORMED, NO_BUNDLE, field="file", expected="ALMB")
    if error.kind is Defect.WRONG_RECIPIENT:
        return Problem(Kind.MALFORMED, NOT_FOR_US, field="file", next=ASK_FOR_ANOTHER)
    if error.kind is Defect.BAD_TAG and head[START_BYTES - 1] == Suite.PASSPHRASE:
        return Problem(Kind.WRONG_PASSPHRASE, WRONG_PASSPHRASE, field="passphrase")
    reason = CUT_SHORT if error.kind is Defect.TRUNCATED else DAMAGED
    return Problem(Kind.MALFORMED, reason, field="file", got=str(error.kind), next=ASK_FOR_ANOTHER)


def _disk_failed() -> Problem:
    return Problem(Kind.NOT_READY, DISK, next=MAKE_ROOM)
