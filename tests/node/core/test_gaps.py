"""Gaps in authors' chains: shown at once what came, said after a day what is missing, over by itself when it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almenara.node.service import LOCAL
from tests.support.circles import join, trio

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")


async def gaps(office: Office) -> set[tuple[str | None, str | None]]:
    """Whose record has a hole, and in which circle."""
    problems = (await office.service.status(LOCAL)).problems
    return {(one.name, one.circle) for one in problems if one.code == "gap"}


async def envelope(office: Office, alert: str) -> bytes:
    """The id of an own alert's envelope."""
    async with office.store.read() as tx:
        return (await tx.deliveries.of(bytes.fromhex(alert.replace("-", ""))))[0].envelope_id


async def without(mesh: Mesh, beta: Office, alpha: Office, *kept_back: str) -> None:
    """Push all but these alerts."""
    ids = [await envelope(beta, alert) for alert in kept_back]
    await mesh.push(beta, alpha, which=lambda row: row.envelope_id not in ids)


async def test_a_missing_number_is_said_after_a_day_and_ends_when_it_comes(mesh: Mesh) -> None:
    """What came after it is shown at once; the state outlives a restart."""
    alpha, beta, _, circle = await trio(mesh)
    one, two, three, four = [await beta.send(circle, title=f"{number}") for number in range(4)]
    await without(mesh, beta, alpha, two, three)
    assert await alpha.received() == [one, four]
    mesh.advance(minutes=24 * 60 - 1)
    assert await gaps(alpha) == set()
    mesh.advance(minutes=1)
    assert await gaps(alpha) == {("beta", "c-andes")}
    await alpha.restart()
    assert await gaps(alpha) == {("beta", "c-andes")}
    await without(mesh, beta, alpha, two)
    assert await gaps(alpha) == {("beta", "c-andes")}, "one of two is missing still"
    await mesh.push(beta, alpha)
    assert await gaps(alpha) == set()
    async with alpha.store.read() as tx:
        assert [await tx.gaps.of(chain.chain_id) for chain in await tx.chains.all()] == [[]] * len(
            await tx.chains.all()
        )


async def test_the_end_of_an_incarnation_that_is_held_back_is_missed_at_the_next(mesh: Mesh) -> None:
    """The next one begins with the hash of a header that nobody here has seen."""
    alpha, beta, _, circle = await trio(mesh)
    await beta.send(circle)
    await mesh.push(beta, alpha)
    last = await beta.send(circle, title="held back")
    await beta.restart()
    await beta.send(circle, title="after the restart")
    await without(mesh, beta, alpha, last)
    mesh.advance(days=1)
    assert await gaps(alpha) == {("beta", "c-andes")}
    await mesh.push(beta, alpha)
    assert await gaps(alpha) == set()


async def test_honest_restarts_and_any_order_leave_no_gap(mesh: Mesh) -> None:
    alpha, beta, _, circle = await trio(mesh)
    for number in range(3):
        await beta.send(circle, title=f"{number}")
        await beta.send(circle, title=f"more {number}")
        await beta.restart()
    await mesh.push(beta, alpha, backwards=True)
    mesh.advance(days=2)
    assert await gaps(alpha) == set()


async def test_a_newcomer_misses_nothing_of_the_time_before_it_came(mesh: Mesh) -> None:
    """Others have long chains by then; what is kept back from it afterwards it does miss."""
    alpha, beta, _, circle = await trio(mesh)
    for number in range(3):
        await beta.send(circle, title=f"{number}")
        await alpha.send(circle, title=f"{number}")
    await mesh.flow()
    delta = await mesh.office("delta")
    await mesh.pair(alpha, delta)
    await join(mesh, alpha, circle, delta)
    sent = [await alpha.send(circle, title=f"after {number}") for number in range(3)]
    await without(mesh, alpha, delta, sent[1])
    await beta.send(circle, title="after")
    await mesh.push(beta, alpha)
    await without(mesh, alpha, delta, sent[1])
    mesh.advance(days=2)
    assert await gaps(delta) == {("alpha", "c-andes")}
    await mesh.flow()
    assert await gaps(delta) == set()


async def test_what_can_come_no_more_is_no_red_state_any_more(mesh: Mesh) -> None:
    alpha, beta, _, circle = await trio(mesh)
    lost = await beta.send(circle)
    await beta.send(circle, title="next")
    await without(mesh, beta, alpha, lost)
    mesh.advance(days=36)
    assert len(await gaps(alpha)) == 1
    mesh.advance(days=1)
    assert await gaps(alpha) == set()
    await alpha.maintain()
    async with alpha.store.read() as tx:
        assert [row for chain in await tx.chains.all() for row in await tx.gaps.of(chain.chain_id)] == []
