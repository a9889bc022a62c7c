"""Idempotency-Key: a repeated request gets the first answer and has no second effect.

A caller that lost the answer repeats with the same key. The memory is short and ends with the process; after that the
rule that a case goes to a circle once (`already-sent`) still stands, so a warning is never sent twice.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from aiohttp import web

from almenara.crypto.hashing import digest
from almenara.crypto.labels import Label
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almenara.node.people import Actor

KEY_HEADER = "Idempotency-Key"
KEY_MAX = 200  # characters
KEPT = 1000  # answers, each a few kilobytes at most: identifiers, and the problems of a draft

_Key = tuple[str, str, str]  # who asks, path, key
_Answer = tuple[int, str, str]  # status, media type, text


class Repetitions:
    """The answers to the newest requests that carried a key."""

    def __init__(self) -> None:
        self._answers: OrderedDict[_Key, tuple[bytes, asyncio.Future[_Answer]]] = OrderedDict()

    async def once(
        self, request: web.Request, actor: Actor, answer: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer as the first time, or by calling `answer`; an answer that is a problem is not remembered.

        Raises `Problem(MALFORMED)` for a key that is none or was used with another request.
        """
        name = request.headers[KEY_HEADER]
        if not 1 <= len(name) <= KEY_MAX:
            raise Problem(Kind.MALFORMED, field=KEY_HEADER, expected=f"1–{KEY_MAX}", got=str(len(name)))
        key = (actor.name, request.path, name)
        asked = digest(Label.TOKEN, await request.read())
        if key in self._answers:
            return await self._again(key, asked)
        return await self._first(key, asked, answer)

    async def _again(self, key: _Key, asked: bytes) -> web.Response:
        before, future = self._answers[key]
        if before != asked:
            raise Problem(Kind.MALFORMED, N_("This key was used with another request."), field=KEY_HEADER)
        status, content_type, text = await asyncio.shield(future)
        return web.Response(text=text, status=status, content_type=content_type)

    async def _first(
        self, key: _Key, asked: bytes, answer: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        future: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._answers[key] = asked, future
        try:
            response = await answer()
        except BaseException as error:
            del self._answers[key]
            if isinstance(error, Problem):
                future.set_exception(error)
                future.exception()  # seen: nobody may be waiting for it
            else:
                future.cancel()
            raise
        text = response.text or "" if isinstance(response, web.Response) else ""
        future.set_result((response.status, response.content_type, text))
        while len(self._answers) > KEPT:
            self._answers.popitem(last=False)
        return response


REPETITIONS: web.AppKey[Repetitions] = web.AppKey("repetitions", Repetitions)
