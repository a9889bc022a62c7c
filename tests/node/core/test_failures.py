"""A change that fails in the middle leaves memory saying exactly what the database says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.service import LOCAL
from tests.support.circles import accept, found, invite, join, trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")


class FaultError(Exception):
    """Injected."""


async def begin_and_fail(office: Office, peer: Office, pause: Callable[[], Awaitable[Any]] | None = None) -> None:
    """A change that draws a key, founds a circle and posts in it, and then comes to nothing."""
    async with office.node.circles.change() as tx:
        statement, key, carry = office.node.epochs.found_direct(peer.id, 90)
        await office.node.groups._begin(tx, statement, key, carry, peer=peer.id)
        if pause is not None:
            await pause()
        raise FaultError


def after(calls: int, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The method, until it was called so often."""
    left = [calls]

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not left[0]:
            raise FaultError
        left[0] -= 1
        return await method(*args, **kwargs)

    return wrapped


async def agrees_with_its_disk(mesh: Mesh, office: Office) -> None:
    """A restart shows what the database holds."""
    memory = mesh.knowledge(office)
    await office.restart()
    assert mesh.knowledge(office) == memory


@pytest.mark.parametrize(("part", "calls"), [("post_packet", 0), ("post", 0)])
async def test_a_failed_removal_leaves_no_trace(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, part: str, calls: int
) -> None:
    """Keys drawn, statements issued, members put out: all taken back, and it works the next time."""
    alpha, beta, gamma, circle = await trio(mesh)
    before = mesh.knowledge(alpha)
    with monkeypatch.context() as patch:
        patch.setattr(alpha.node.author, part, after(calls, getattr(alpha.node.author, part)))
        with pytest.raises(FaultError):
            await alpha.service.remove_from_circle(LOCAL, circle, gamma.text)
    assert mesh.knowledge(alpha) == before
    await agrees_with_its_disk(mesh, alpha)
    await alpha.service.remove_from_circle(LOCAL, circle, gamma.text)
    await mesh.flow()
    assert (await beta.members(circle))["gamma"] == "removed"


async def test_a_failed_batch_is_taken_as_if_for_the_first_time(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packet and statement taken in, then the disk fails: no key stays in memory that is not on disk."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await invite(alpha, circle, beta)
    await mesh.flow()
    await accept(beta, circle)
    await mesh.push(beta, alpha)
    before = mesh.knowledge(beta)
    given = set(alpha.given[beta.id.raw])
    with monkeypatch.context() as patch:
        patch.setattr(beta.node.ingest, "_move_cursors", after(0, beta.node.ingest._move_cursors))
        with pytest.raises(FaultError):
            await mesh.push(alpha, beta)
    assert mesh.knowledge(beta) == before
    assert not beta.node.circles._early._packets
    alpha.given[beta.id.raw] = given
    await agrees_with_its_disk(mesh, beta)
    await mesh.flow()
    assert await beta.state(circle) == "active"


async def test_a_commit_that_fails_is_no_commit(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything went well until the very end."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    before = mesh.knowledge(alpha)
    with pytest.raises(FaultError):
        await begin_and_fail(alpha, beta)
    assert mesh.knowledge(alpha) == before
    await agrees_with_its_disk(mesh, alpha)


async def test_others_wait_until_memory_is_back(mesh: Mesh) -> None:
    """Two changes at once, the first fails: the second neither sees what was undone nor is undone with it."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    entered = asyncio.Event()

    async def pause() -> None:
        entered.set()
        await asyncio.sleep(0)

    async def fails() -> None:
        with pytest.raises(FaultError):
            await begin_and_fail(alpha, beta, pause)

    async def works() -> str:
        await entered.wait()
        return await found(alpha)

    _, circle = await asyncio.gather(fails(), works())
    assert {c.kind for c in (await alpha.service.circles(LOCAL)).circles} == {"direct", "group"}
    assert len(list(alpha.node.circles)) == 2
    await join(mesh, alpha, circle, beta)
    await agrees_with_its_disk(mesh, alpha)


async def test_memory_that_could_not_be_read_back_is_read_before_the_next_change(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails, and fails again while memory goes back: nothing is built on what is left in it."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    with monkeypatch.context() as patch:
        patch.setattr(alpha.node.circles, "load", after(0, alpha.node.circles.load))
        with pytest.raises(FaultError):
            await begin_and_fail(alpha, beta)
    circle = await found(alpha)
    assert len(list(alpha.node.circles)) == 2
    await join(mesh, alpha, circle, beta)
    await agrees_with_its_disk(mesh, alpha)


async def test_a_cancelled_change_is_undone(mesh: Mesh) -> None:
    """As by a lock, or the end of the program."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    before = mesh.knowledge(alpha)
    entered = asyncio.Event()

    async def pause() -> None:
        entered.set()
        await asyncio.sleep(3600)

    task = asyncio.create_task(begin_and_fail(alpha, beta, pause))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert mesh.knowledge(alpha) == before
