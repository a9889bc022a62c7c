"""Making a bundle: what one peer lacks, or all that we hold, as a file for a stick (DESIGN §6, SPEC.md §14).

The file is made whole before anybody gets it, in a place without a name that the system forgets with the process: what
is in it is sealed already. Whoever asked then reads it at leisure, and no read of the database waits for a slow stick.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

from almenara.crypto.random import random_bytes
from almenara.crypto.stream import KEY_BYTES
from almenara.node.clock import Clock, minute_of
from almenara.node.groups import parse_node
from almenara.node.home import checked
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_
from almenara.protocol import scope
from almenara.protocol.answers import split_keys
from almenara.protocol.bundle import BundleWriter, nameless_header, sign_header
from almenara.protocol.bundle_head import SALT_BYTES, Opened, lock_with, seal_for
from almenara.protocol.limits import CLASS_DAYS, HOURS_PER_DAY, LARGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from almenara.crypto.identity import NodeId
    from almenara.crypto.signing import SigningKey
    from almenara.node.carriers import Carriers
    from almenara.node.circles import Circles
    from almenara.node.keydesk import KeyDesk
    from almenara.node.keyring import Keyring
    from almenara.node.storage.engine import Store
    from almenara.node.storage.rows import LoggedRow, Place
    from almenara.protocol.messages import Keys

PAGE = 2048  # places looked at in one read
ROWS = 64  # envelopes read at a time: at most 4 MiB
LANES = (0, 1)
BEHIND_THE_LAST = 2**62  # no log has so many positions

ONE_OF_TWO = N_("A bundle is for one organisation, or under a passphrase.")
NOT_VERIFIED = N_("Pair with them first; while there is no network, use a passphrase.")
KEY_TOO_OLD = N_("The newest key of theirs that is here is more than 35 days old.")
USE_A_PASSPHRASE = N_("Use a passphrase, and tell it to them by voice. Their next bundle brings a new key.")
DISK_FULL = N_("The disk has no room for it.")


@dataclass(slots=True)
class Bundle:
    """A finished file without a name. Leaving its `with` block frees it."""

    file: IO[bytes] = field(repr=False)
    to: NodeId | None
    envelopes: int = 0
    left_out: int = 0  # older routine ones for which the largest file had no room
    bytes: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()


class BundleExport:
    """Chooses, seals and writes; one at a time, since each may take a quarter of a gigabyte of memory for a moment."""

    def __init__(
        self,
        store: Store,
        circles: Circles,
        keyring: Keyring,
        keydesk: KeyDesk,
        carriers: Carriers,
        key: SigningKey,
        clock: Clock,
        folder: Path,
    ) -> None:
        self._store, self._circles, self._cards, self._keyring = store, circles, circles.cards, keyring
        self._keydesk, self._carriers = keydesk, carriers
        self._key, self._clock, self._folder = key, clock, folder
        self._turn = asyncio.Lock()
        self._closed = False

    def close(self) -> None:
        """The node is being locked: nothing more is read for a bundle."""
        self._closed = True

    async def make(self, *, to: str | None, passphrase: str | None) -> Bundle:
        """Make a bundle for one verified peer, or one that a passphrase opens.

        Raises `Problem`: MALFORMED unless exactly one is given; NOT_FOUND, PEER_NOT_VERIFIED, NOT_READY (no usable key
        of the peer, or no room on the disk), WRONG_TYPE (the passphrase is too short).
        """
        if (to is None) is (passphrase is None):
            raise Problem(Kind.MALFORMED, ONE_OF_TWO, field="to", expected="to · passphrase")
        async with self._turn:
            peer = await self._peer(to) if to is not None else None
            opened = await self._opened(peer, passphrase or "")
            bundle = Bundle(TemporaryFile(dir=self._folder), peer)  # noqa: SIM115 - closed by whoever gets it
            try:
                await self._fill(bundle, opened)
            except BaseException as error:
                bundle.file.close()
                if isinstance(error, OSError):
                    raise Problem(Kind.NOT_READY, DISK_FULL) from None
                raise
        return bundle

    async def _peer(self, text: str) -> NodeId:
        node = parse_node(text)
        async with self._store.read() as tx:
            row = await tx.peers.get(node.raw)
        if row is None:
            raise Problem(Kind.NOT_FOUND, field="to")
        if row.state != "verified":
            raise Problem(Kind.PEER_NOT_VERIFIED, field="to", next=NOT_VERIFIED)
        return node

    async def _opened(self, peer: NodeId | None, passphrase: str) -> Opened:
        if peer is None:
            return await asyncio.to_thread(lock_with, checked(passphrase), random_bytes(SALT_BYTES))
        prekey = self._cards.prekey(peer, minute_of(self._clock()))
        if prekey is None:
            raise Problem(Kind.NOT_READY, KEY_TOO_OLD, field="to", next=USE_A_PASSPHRASE)
        return seal_for(peer, prekey[1], random_bytes(KEY_BYTES))

    async def _fill(self, bundle: Bundle, opened: Opened) -> None:
        writer = BundleWriter(opened, self._header(opened))
        await _write(bundle.file, writer.start())
        if bundle.to is not None:
            async for message in self._keys(bundle.to):
                await _write(bundle.file, writer.keys(message))
        async for row in self._chosen(bundle.to):
            if writer.has_room(LARGE):
                await _write(bundle.file, writer.envelope(row.data))
                bundle.envelopes += 1
            else:
                bundle.left_out += 1
        await asyncio.to_thread(bundle.file.writelines, writer.finish())
        bundle.bytes = bundle.file.tell()
        bundle.file.seek(0, os.SEEK_SET)

    def _header(self, opened: Opened) -> bytes:
        hour = minute_of(self._clock()) // 60
        if opened.recipient is None:
            return nameless_header(hour)
        own = self._cards.introduction(self._circles.own)
        if own is None:
            raise Problem(Kind.NOT_READY)
        return sign_header(hour, own, opened, self._key)

    async def _keys(self, peer: NodeId) -> AsyncIterator[Keys]:
        """As to a question without a statement: what it holds nobody can ask it now."""
        for circle in list(self._circles):
            told = await self._keydesk.answer(peer, circle.id, b"")
            if told is not None:
                for message in split_keys(told.circle, told.statements, told.introductions, told.packet):
                    yield message

    async def _chosen(self, peer: NodeId | None) -> AsyncIterator[LoggedRow]:
        """Envelopes that still travel: the critical lane first, in each lane the newest first."""
        hour = minute_of(self._clock()) // 60
        tags = self._tags_of(peer, hour) if peer is not None else set()
        for lane in LANES:
            before = BEHIND_THE_LAST
            while places := await self._page(lane, before):
                before = places[-1].position
                wanted = [place for place in places if _travels(place, hour) and _is_for(place, peer, tags)]
                for at in range(0, len(wanted), ROWS):
                    for row in await self._rows(wanted[at : at + ROWS]):
                        yield row

    async def _page(self, lane: int, before: int) -> list[Place]:
        self._check_open()
        async with self._store.read() as tx:
            return await tx.log.newest(lane, before=before, limit=PAGE)

    async def _rows(self, places: list[Place]) -> list[LoggedRow]:
        self._check_open()
        async with self._store.read() as tx:
            found = await tx.log.of_ids([place.envelope_id for place in places])
        return found[::-1]

    def _check_open(self) -> None:
        if self._closed:
            raise Problem(Kind.LOCKED)

    def _tags_of(self, peer: NodeId, hour: int) -> set[bytes]:
        """Scopes that the peer can prove, as far as we know.

        They are those of circles it is in, by the statements it is named in; those we asked it to carry; and those it
        asked us to carry, which nobody here can read.
        """
        secrets: set[bytes] = set()
        for circle in self._circles:
            if peer not in circle.history.recipients():
                continue
            for statement_id in self._keyring.statements_of(circle.id):
                statement, secret = circle.history.find(statement_id), self._keyring.carry_secret(statement_id)
                if secret is not None and statement is not None and peer in statement.roles:
                    secrets.add(secret)
        weeks = scope.weeks_of_interest(hour)
        of_circles = {scope.scope(secret, week).tag for secret in secrets for week in weeks}
        carries = {scope.tag(asked.key) for asked in self._carriers.wanted(peer)}
        return of_circles | carries | self._keyring.carried_for(peer.raw)


def _travels(place: Place, hour: int) -> bool:
    return hour - place.created_hour <= CLASS_DAYS[place.cls] * HOURS_PER_DAY


def _is_for(place: Place, peer: NodeId | None, tags: set[bytes]) -> bool:
    """Everything for whoever has the passphrase; for one peer what is in its scopes or addressed to it, not its own."""
    if peer is None:
        return True
    return place.source != peer.raw and (place.tag in tags or place.recipient == peer.raw)


async def _write(file: IO[bytes], data: bytes) -> None:
    if data:
        await asyncio.to_thread(file.write, data)
