"""Three organisations pair, form a circle, and a case becomes an alert that only the right people can read."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from almenara.node.models import CircleNew
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from tests.support import steps
from tests.support.nodes import make_home, pair, running, until
from tests.support.steps import join, own_id, send

if TYPE_CHECKING:
    from pathlib import Path

CASE = steps.CASE | {"role": "community-leader", "issue": "land-environment-climate"}


async def test_an_alert_crosses_a_direct_circle_and_is_acknowledged(tmp_path: Path) -> None:
    """The shortest way: two nodes, one alert, stored there and known to be stored here."""
    async with running(make_home(tmp_path / "a", "alpha")) as alpha, running(make_home(tmp_path / "b", "beta")) as beta:
        await pair(alpha, beta)
        (direct,) = (await alpha.circles(LOCAL)).circles
        alert_id = await send(alpha, direct.circle_id)

        async def stored() -> bool:
            recipients = (await alpha.alert(LOCAL, alert_id)).recipients or []
            return [r.state for r in recipients] == ["stored"]

        await until(stored, "stored at beta")
        (received,) = (await beta.inbox(LOCAL)).alerts
        assert received.alert_id == alert_id
        assert received.view["threats"] == CASE["threats"]
        assert received.view["area"] == "CO-CAU"
        assert received.author.verified


async def test_a_members_alert_reaches_a_member_it_is_not_paired_with(tmp_path: Path) -> None:
    """Beta and gamma know each other only through alpha; beta's alert reaches gamma, vouched for and carried."""
    async with AsyncExitStack() as stack:
        alpha, beta, gamma = [
            await stack.enter_async_context(running(make_home(tmp_path / name, name)))
            for name in ("alpha", "beta", "gamma")
        ]
        await pair(alpha, beta)
        await pair(alpha, gamma)
        circle = await alpha.create_circle(LOCAL, CircleNew(name="c-andes", tier="network"))
        await join(alpha, beta, circle.circle_id)
        await join(alpha, gamma, circle.circle_id)

        async def all_active() -> bool:
            found = await beta.circle(LOCAL, circle.circle_id)
            return [m.state for m in found.members] == ["active"] * 3

        await until(all_active, "beta knows of gamma")
        alert_id = await send(beta, circle.circle_id, CASE)

        async def arrived() -> bool:
            return [a.alert_id for a in (await gamma.inbox(LOCAL)).alerts] == [alert_id]

        await until(arrived, "the alert at gamma")
        (received,) = (await gamma.inbox(LOCAL)).alerts
        assert (received.author.name, received.author.verified) == ("beta", False)
        assert "area" in received.view
        assert "role" not in received.view

        async def states() -> bool:
            recipients = (await beta.alert(LOCAL, alert_id)).recipients or []
            return {r.name: r.state for r in recipients} == {"alpha": "stored", "gamma": "carried"}

        await until(states, "stored at alpha, carried for gamma")


async def test_a_removed_member_reads_nothing_sealed_after_its_removal(tmp_path: Path) -> None:
    """Removal re-keys at once: the removed node is told, and later alerts do not open there."""
    async with AsyncExitStack() as stack:
        alpha, beta, gamma = [
            await stack.enter_async_context(running(make_home(tmp_path / name, name)))
            for name in ("alpha", "beta", "gamma")
        ]
        await pair(alpha, beta)
        await pair(alpha, gamma)
        circle = await alpha.create_circle(LOCAL, CircleNew(name="c-andes", tier="network"))
        await join(alpha, beta, circle.circle_id)
        await join(alpha, gamma, circle.circle_id)
        await alpha.remove_from_circle(LOCAL, circle.circle_id, await own_id(gamma))
        alert_id = await send(alpha, circle.circle_id)

        async def arrived() -> bool:
            return [a.alert_id for a in (await beta.inbox(LOCAL)).alerts] == [alert_id]

        await until(arrived, "the alert at beta")

        async def told() -> bool:
            return (await gamma.circle(LOCAL, circle.circle_id)).state == "removed"

        await until(told, "gamma knows that it was removed")
        assert (await gamma.inbox(LOCAL)).alerts == []


async def test_a_case_without_consent_stays(tmp_path: Path) -> None:
    """No recorded consent, no sharing: refused with the field, and the case is kept."""
    async with running(make_home(tmp_path / "a", "alpha")) as alpha, running(make_home(tmp_path / "b", "beta")) as beta:
        await pair(alpha, beta)
        (direct,) = (await alpha.circles(LOCAL)).circles
        record = await alpha.save_case(LOCAL, CASE | {"consent": {"state": "not-asked"}})
        assert record.state == "ready"
        with pytest.raises(Problem) as caught:
            await alpha.preview(LOCAL, record.case_id, direct.circle_id)
        assert (caught.value.kind, caught.value.field) == (Kind.CONSENT_MISSING, "consent.state")
        assert (await alpha.case(LOCAL, record.case_id)).state == "ready"


async def test_everything_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Peers, circles, keys and cursors survive; an alert sent while the other side was away arrives."""
    home_a, home_b = make_home(tmp_path / "a", "alpha"), make_home(tmp_path / "b", "beta")
    async with running(home_a) as alpha:
        async with running(home_b) as beta:
            await pair(alpha, beta)
        (direct,) = (await alpha.circles(LOCAL)).circles
        first = await send(alpha, direct.circle_id)
    async with running(home_a) as alpha, running(home_b) as beta:
        second = await send(alpha, direct.circle_id)

        async def both() -> bool:
            return {a.alert_id for a in (await beta.inbox(LOCAL)).alerts} == {first, second}

        await until(both, "both alerts at beta")
