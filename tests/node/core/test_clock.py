"""Doubt about our own clock (PROTOCOL §9): shown, holding sends, and destroying or refusing nothing by date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.clock import DAY_MS, HOUR_MS, MINUTE_MS
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from almenara.node.timekeeper import JUMP_MS, WITNESSES, Timekeeper
from tests.support.circles import accept, found, invite, join, trio
from tests.support.mesh import NOW

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")

TEN_YEARS_MS = 3652 * DAY_MS


class Computer:
    """A clock that can be set wrong, and a time that runs whatever it says."""

    def __init__(self) -> None:
        self.true, self.skew, self.boot, self.started = NOW, 0, "first", NOW

    def clock(self) -> int:
        """What it says."""
        return self.true + self.skew

    def uptime(self) -> tuple[str, int]:
        """What it has run."""
        return self.boot, self.true - self.started

    def reboot(self, off_ms: int) -> None:
        """Off for a while, then on again."""
        self.true += off_ms
        self.started, self.boot = self.true, self.boot + "+"


class Facts:
    """The table of small facts, as far as a timekeeper uses it."""

    def __init__(self) -> None:
        self.meta, self._kept = self, {}  # type: ignore[var-annotated]

    async def get(self, key: str) -> bytes | None:
        """As `Meta.get`."""
        return self._kept.get(key)

    async def set(self, key: str, value: bytes) -> None:
        """As `Meta.set`."""
        self._kept[key] = value


def keeper(computer: Computer, ahead: list[int] | None = None, known: int | None = None) -> Timekeeper:
    """One with these peers."""
    made, heard = Timekeeper(computer.clock, computer.uptime), ahead or []
    made.witnesses = lambda: (heard, len(heard) if known is None else known)
    return made


async def again(computer: Computer, kept: Any, ahead: list[int] | None = None, known: int = 5) -> Timekeeper:
    """The same after a start of the program."""
    made = keeper(computer, ahead, known)
    await made.load(kept)
    return made


@pytest.mark.parametrize("sign", [1, -1])
def test_a_jump_of_a_running_clock_is_doubted_only_past_26_hours(sign: int) -> None:
    computer = Computer()
    time = keeper(computer)
    computer.true += 40 * DAY_MS  # that it runs is no jump
    computer.skew = sign * JUMP_MS
    assert time.doubt() is None
    computer.skew = sign * (JUMP_MS + 1)
    doubt = time.doubt()
    assert doubt is not None
    assert (doubt.kind, doubt.computer, doubt.supposed) == ("jump", computer.clock(), computer.true)
    assert time() == computer.true
    computer.skew = 0
    assert time.doubt() is None


@pytest.mark.parametrize("minutes", [61, -61])
def test_three_peers_make_a_doubt_and_two_do_not(minutes: int) -> None:
    """PROTOCOL §9: the median of at least three; an hour is no reason."""
    computer = Computer()
    ahead = [minutes] * (WITNESSES - 1)
    time = keeper(computer, ahead)
    assert time.doubt() is None
    ahead.append(minutes)
    doubt = time.doubt()
    assert doubt is not None
    assert (doubt.kind, doubt.supposed) == ("peers", computer.true + minutes * MINUTE_MS)
    ahead[:] = [minutes, 0, 0]
    assert time.doubt() is None
    ahead[:] = [60 if minutes > 0 else -60] * WITNESSES
    assert time.doubt() is None


@pytest.mark.parametrize(("off", "doubted"), [(25 * HOUR_MS, False), (27 * HOUR_MS, True), (-27 * HOUR_MS, True)])
async def test_after_a_start_of_the_computer_its_time_must_have_gone_on_from_the_last_we_saw(
    off: int, doubted: bool
) -> None:
    computer, kept = Computer(), Facts()
    await keeper(computer).keep(kept)  # type: ignore[arg-type]
    last = computer.true
    computer.reboot(HOUR_MS)
    computer.skew = off - HOUR_MS
    time = await again(computer, kept)
    assert (time.doubt() is not None) is doubted
    if doubted:
        computer.true += 5 * MINUTE_MS
        assert time() == last + 5 * MINUTE_MS, "the least that it can be, and it runs on"


async def test_a_start_of_the_program_alone_is_seen_through() -> None:
    """Off for a month while the computer ran: no doubt; set to another day meanwhile: doubt."""
    computer, kept = Computer(), Facts()
    await keeper(computer).keep(kept)  # type: ignore[arg-type]
    computer.true += 30 * DAY_MS
    assert (await again(computer, kept)).doubt() is None
    computer.skew = -2 * DAY_MS
    assert (await again(computer, kept)).doubt() is not None


@pytest.mark.parametrize(
    ("ahead", "known", "settled"),
    [([0, 5, -5], 9, True), ([0, 0], 9, False), ([0, 0], 2, True), ([30], 1, True), ([61], 1, False), ([], 0, False)],
)
async def test_peers_settle_a_jump_three_or_all_that_there_are(ahead: list[int], known: int, settled: bool) -> None:
    """A weekend off looks like a jump; two organisations must not need a person every Monday for it."""
    computer, kept = Computer(), Facts()
    await keeper(computer).keep(kept)  # type: ignore[arg-type]
    computer.reboot(60 * HOUR_MS)
    time = await again(computer, kept, ahead, known)
    assert (time.doubt() is None) is settled
    await time.keep(kept)  # type: ignore[arg-type]
    assert ((await again(computer, kept)).doubt() is None) is settled, "what they settled stays so without them"


async def test_what_a_person_settles_stays_settled_until_it_is_otherwise() -> None:
    computer, kept, ahead = Computer(), Facts(), [600, 600, 600]
    time = keeper(computer, ahead)
    assert time.doubt() is not None
    time.settle()
    await time.write(kept)  # type: ignore[arg-type]
    assert (await again(computer, kept, ahead)).doubt() is None
    ahead[:] = [700, 700, 700]
    assert time.doubt() is not None
    computer.skew, ahead[:] = 3 * DAY_MS, []
    assert time.doubt() is not None
    time.settle()
    assert time.doubt() is None


async def held(office: Office, circle: str) -> bool:
    """Whether its people can send nothing, and are told what to do."""
    try:
        await office.send(circle)
    except Problem as problem:
        return (problem.kind, problem.field, bool(problem.next)) == (Kind.NOT_READY, "clock", True)
    return False


async def substance(office: Office) -> tuple[int, int, int, list[str]]:
    """What a wrong date could destroy: keys, prekeys, envelopes, alerts."""
    async with office.store.read() as tx:
        prekeys, head = len(await tx.prekeys.own()), len(await tx.log.held(office.node.keyring.kids()))
        own = [row.state for row in await tx.alerts.own()]
    return len(office.node.keyring.kids()), prekeys, head, own


@pytest.mark.parametrize("skew", [TEN_YEARS_MS, -TEN_YEARS_MS])
@pytest.mark.parametrize("at_start", [True, False])
async def test_ten_years_of_skew_destroy_and_lose_nothing_and_are_shown(mesh: Mesh, skew: int, at_start: bool) -> None:
    """A node whose computer is ten years wrong, from now on or since its last start, over its real parts."""
    alpha, beta, _, circle = await trio(mesh)
    before = await alpha.send(circle)
    await mesh.flow()
    await beta.maintain()
    kept = await substance(beta)
    statements = beta.node.keyring.statements_of(beta.circle(circle).id)
    beta.skew = skew
    if at_start:
        beta.boot = "second"
        await beta.restart()
    for _ in range(3):
        mesh.advance(minutes=10)
        await beta.maintain()
    status = await beta.service.status(LOCAL)
    assert [problem.code for problem in status.problems] == ["clock-in-doubt"]
    assert status.clock is not None
    assert (status.clock.doubt, status.clock.supposed != status.clock.computer) == ("jump", True)
    assert await held(beta, circle)
    assert await substance(beta) == kept
    assert beta.node.keyring.statements_of(beta.circle(circle).id) == statements
    during = await alpha.send(circle, title="another")
    await mesh.flow()
    shown = {alert.alert_id: alert.state for alert in (await beta.service.inbox(LOCAL)).alerts}
    assert shown == {before: "current", during: "current"}
    async with beta.store.read() as tx:
        assert await tx.quarantine.recent(9) == []
    beta.skew = 0
    await beta.maintain()
    assert (await beta.service.status(LOCAL)).problems == []
    assert not await held(beta, circle)


async def test_a_person_settles_it_and_what_waited_is_done(mesh: Mesh) -> None:
    """Somebody left meanwhile: the steward's node re-keys only once its date is right."""
    alpha, beta, gamma, circle = await trio(mesh)
    alpha.skew = 30 * HOUR_MS
    alpha.boot = "second"
    await alpha.restart()
    number = alpha.circle(circle).current.number
    await beta.service.leave_circle(LOCAL, circle)
    await mesh.flow()
    await alpha.maintain()
    assert alpha.circle(circle).current.number == number
    shown = await alpha.service.settle_clock(LOCAL)
    assert shown.doubt is None
    assert alpha.circle(circle).current.number == number + 1
    alpha.boot = "third"
    await alpha.restart()
    assert not await held(alpha, await alpha.direct(gamma))


async def test_who_accepts_meanwhile_is_let_in_afterwards(mesh: Mesh) -> None:
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await invite(alpha, circle, beta)
    await mesh.flow()
    alpha.skew = 48 * HOUR_MS
    await accept(beta, circle)
    await mesh.flow()
    assert await beta.state(circle) == "accepted"
    alpha.skew = 0
    await alpha.maintain()
    await mesh.flow()
    assert await beta.state(circle) == "active"


async def test_nothing_that_bears_a_date_is_issued_in_doubt(mesh: Mesh) -> None:
    """Neither by the clock nor by people: circles, invitations, answers, removals."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await join(mesh, alpha, circle, beta)
    async with alpha.store.read() as tx:
        head = await tx.log.head()
    alpha.skew = 40 * DAY_MS
    await alpha.maintain()
    door, service = beta.text, alpha.service
    asked = [
        found(alpha, "another"),
        service.invite_to_circle(LOCAL, circle, door),
        service.accept_circle(LOCAL, circle),
        service.decline_circle(LOCAL, circle),
        service.leave_circle(LOCAL, circle),
        service.remove_from_circle(LOCAL, circle, door),
        service.confirm_peer(LOCAL, door),
    ]
    for each in asked:
        with pytest.raises(Problem) as caught:
            await each
        assert caught.value.field == "clock"
    async with alpha.store.read() as tx:
        assert await tx.log.head() == head
