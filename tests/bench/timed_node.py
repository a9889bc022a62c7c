"""`almenara` with timers around the stages of receiving: only for the shares, since the timers themselves cost.

On SIGUSR1 it writes what each stage has taken so far, in seconds on the processor, to the file that STAGES_FILE names.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from almenara.node import daemon
from almenara.node.cards import Cards
from almenara.node.circles import Circles
from almenara.node.cli import main
from almenara.node.ingest import Ingest
from almenara.node.storage.engine import Store
from almenara.node.storage.log import Log
from almenara.node.transport.link import Channel
from almenara.protocol import alert, envelope
from almenara.protocol import object as signed_object
from almenara.protocol.circle import CircleHistory
from almenara.protocol.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

STAGES_FILE = "BENCH_STAGES_FILE"
SOCKET, DECODE, OPEN, VERIFY, STORE = STAGES = ("socket", "decode", "open", "verify", "store")
ALL = "all"


class Stages:
    """Time of the main thread by the innermost stage under way."""

    def __init__(self) -> None:
        self.taken = dict.fromkeys(STAGES, 0.0)
        self._under_way: list[str] = []
        self._since = 0.0

    def begin(self, stage: str) -> None:
        """Count for this stage, no longer for the one around it."""
        self._count()
        self._under_way.append(stage)

    def end(self) -> None:
        """Count for the one around it again."""
        self._count()
        self._under_way.pop()

    def _count(self) -> None:
        now = time.thread_time()
        if self._under_way:
            self.taken[self._under_way[-1]] += now - self._since
        self._since = now

    def write(self) -> None:
        """What was taken so far. The database works in threads of its own; the rest of the main thread has no name."""
        main_thread, process = time.thread_time(), time.process_time()
        taken = self.taken | {STORE: self.taken[STORE] + process - main_thread, ALL: process}
        partial = Path(os.environ[STAGES_FILE]).with_suffix(".part")
        partial.write_text(json.dumps(taken), encoding="ascii")
        partial.rename(os.environ[STAGES_FILE])


stages = Stages()


class _Steps:
    """A coroutine whose every step counts for a stage; what it waits for does not."""

    def __init__(self, stage: str, work: Coroutine[Any, Any, Any]) -> None:
        self._stage, self._work = stage, work

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        answer: Any = None
        failure: BaseException | None = None
        while True:
            stages.begin(self._stage)
            try:
                asked = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as done:
                return done.value
            finally:
                stages.end()
            answer, failure = None, None
            try:
                answer = yield asked
            except BaseException as error:  # noqa: BLE001 - handed on to the coroutine
                failure = error


class _Block:
    """An asynchronous context manager whose beginning and end count for a stage."""

    def __init__(self, stage: str, block: Any) -> None:
        self._stage, self._block = stage, block

    async def __aenter__(self) -> Any:
        return await _Steps(self._stage, self._block.__aenter__())

    async def __aexit__(self, *error: object) -> Any:
        return await _Steps(self._stage, self._block.__aexit__(*error))


def _timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        stages.begin(stage)
        try:
            return function(*args, **kwargs)
        finally:
            stages.end()

    @functools.wraps(function)
    async def timed_steps(*args: Any, **kwargs: Any) -> Any:
        return await _Steps(stage, function(*args, **kwargs))

    return timed_steps if asyncio.iscoroutinefunction(function) else timed


def _time_methods(stage: str, owner: type, *names: str) -> None:
    for name in names:
        found = owner.__dict__[name]
        function = found.__func__ if isinstance(found, staticmethod) else found
        timed = _timed(stage, function)
        setattr(owner, name, staticmethod(timed) if isinstance(found, staticmethod) else timed)


def _time_blocks(stage: str, owner: type, *names: str) -> None:
    for name in names:
        made = owner.__dict__[name]
        setattr(owner, name, functools.wraps(made)(lambda *args, made=made: _Block(stage, made(*args))))


def _time_functions(stage: str, *functions: Callable[..., Any]) -> None:
    """Wherever the node has imported them."""
    for function in functions:
        timed = _timed(stage, function)
        for name, module in list(sys.modules.items()):
            if name.startswith("almenara.node") and getattr(module, function.__name__, None) is function:
                setattr(module, function.__name__, timed)


def _time_all() -> None:
    transport: Any = asyncio.selector_events
    _time_methods(SOCKET, transport._SelectorSocketTransport, "_read_ready", "_write_ready")
    _time_methods(SOCKET, Channel, "send", "receive")
    _time_methods(DECODE, Session, "receive")
    _time_functions(DECODE, envelope.parse_outer, envelope.envelope_id, alert.parse_view, signed_object.parse_object)
    _time_functions(OPEN, envelope.open_circle)
    _time_functions(VERIFY, signed_object.verify_object)
    _time_methods(VERIFY, CircleHistory, "check_author")
    _time_methods(VERIFY, Cards, "sign_public")
    _time_methods(STORE, Ingest, "_write", "_move_cursors")
    _time_methods(STORE, Log, "known", "head", "after")
    _time_blocks(STORE, Store, "write", "read")
    _time_blocks(STORE, Circles, "change")


if __name__ == "__main__":
    _time_all()
    wiring: Any = daemon
    run = wiring.run

    async def _run(*args: Any) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, stages.write)
        await run(*args)

    wiring.run = _run
    main()
