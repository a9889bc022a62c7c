"""What one session says about carrying: our request and the peer's answer, its request and ours (PROTOCOL §6)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from almenara.protocol.session import CarryAsked

if TYPE_CHECKING:
    from collections.abc import Callable

    from almenara.crypto.identity import NodeId
    from almenara.node.carriage import Carriage
    from almenara.node.carriers import Carriers
    from almenara.protocol.carry import CarriedScope
    from almenara.protocol.session import CarryTold, Session

PAUSE_SECONDS = 1.0  # between two steps: of what a peer says faster than this, only the last counts


class CarryTalk:
    """One step at a time, each from what is so at that moment, so that a flood of requests or answers costs little."""

    def __init__(
        self,
        carriers: Carriers,
        carriage: Carriage,
        session: Session,
        peer: NodeId,
        say: Callable[[bytes], None],
    ) -> None:
        self._carriers, self._carriage, self._session = carriers, carriage, session
        self._peer, self._say = peer, say
        self._due = asyncio.Event()
        self._unlooked = True  # circles, keys or week may have changed since we last looked what to ask for
        self._said: frozenset[CarriedScope] | None = None  # what we asked for in this session
        self._granted = -1  # by the peer, as it said last
        self._heard: CarryAsked | None = None  # a request not looked at yet
        self._told: CarryTold | None = None  # an answer not looked at yet
        self._answered: tuple[int, int] | None = None  # granted and used, as we said last
        self._asks = False

    def wake(self) -> None:
        """Something may have changed: circles, keys, the week, or what is granted."""
        self._unlooked = True
        self._due.set()

    def grown(self) -> None:
        """The log has, and so perhaps the pool of a peer that asks us."""
        if self._asks:
            self._due.set()

    def hear(self, event: CarryAsked | CarryTold) -> None:
        """The peer's request, or its answer to ours."""
        if isinstance(event, CarryAsked):
            self._heard = event
        else:
            self._told = event
        self.wake()

    async def run(self, ready: asyncio.Event) -> None:
        """For ever, from the moment the session is open."""
        await ready.wait()
        self.wake()
        while True:
            await self._due.wait()
            self._due.clear()
            if await self._step():
                await asyncio.sleep(PAUSE_SECONDS)

    async def _step(self) -> bool:
        """Whatever is due; returns whether anything was."""
        told = await self._take_answer()
        asked = await self._request()
        heard = await self._take_request()
        return await self._answer() or told or asked or heard

    async def _request(self) -> bool:
        """Said once in each session, if only to say that we ask for nothing, and when it has changed."""
        if not self._unlooked:
            return False
        self._unlooked = False
        wanted = self._carriers.wanted(self._peer)
        if wanted == self._said or self._session.ended:
            return False
        self._said = wanted
        self._say(self._session.carry(self._carriers.request(self._peer, wanted)))
        return True

    async def _take_answer(self) -> bool:
        if self._told is None:
            return False
        told, self._told = self._told, None
        if told.granted and not self._granted:
            self._said = None  # it had refused, and kept nothing of what we asked
        self._granted = told.granted
        await self._carriers.told(self._peer, told.granted, told.used)
        return True

    async def _take_request(self) -> bool:
        if self._heard is None:
            return False
        heard, self._heard = self._heard, None
        self._asks, self._answered = bool(heard.scopes), None
        await self._carriage.asked(self._peer, heard.scopes)
        return True

    async def _answer(self) -> bool:
        standing = await self._carriage.standing(self._peer) if self._asks else None
        if standing is None or standing == self._answered or self._session.ended:
            return False
        self._answered = standing
        self._say(self._session.carrying(*standing))
        return True
