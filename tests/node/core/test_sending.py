"""From a case to an alert: everything that stops a send, and that the case stays whatever happens (DESIGN §7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node import sharing
from almenara.node.clock import DAY_MS
from almenara.node.models import CircleNew
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from tests.support.circles import found, join
from tests.support.mesh import NOW

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")


def day(offset: int) -> str:
    """A calendar date, in days from the tests' present."""
    return datetime.fromtimestamp((NOW + offset * DAY_MS) / 1000, UTC).date().isoformat()


async def two(mesh: Mesh, **terms: Any) -> tuple[Office, Office, str]:
    """Alpha and beta in a group of alpha's."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    new = CircleNew(**({"name": "c-andes", "tier": "network"} | terms))
    circle = (await alpha.service.create_circle(LOCAL, new)).circle_id
    await join(mesh, alpha, circle, beta)
    return alpha, beta, circle


async def refusal(office: Office, circle: str, **changes: Any) -> Problem:
    """Why a preview is refused; the case is kept as it was."""
    record = await office.service.save_case(LOCAL, office.mesh.case(**changes))
    with pytest.raises(Problem) as caught:
        await office.service.preview(LOCAL, record.case_id, circle)
    kept = await office.service.case(LOCAL, record.case_id)
    assert kept == record
    return caught.value


async def test_what_is_sent_is_what_was_previewed(mesh: Mesh) -> None:
    """The same bytes, to the people that were named; received once, with the view of the circle's tier."""
    alpha, beta, circle = await two(mesh)
    record = await alpha.service.save_case(LOCAL, mesh.case())
    shown = await alpha.service.preview(LOCAL, record.case_id, circle)
    assert [(r.name, r.verified) for r in shown.recipients] == [("beta", True)]
    assert shown.tier == "network"
    sent = await alpha.service.send(
        LOCAL, record.case_id, circle, body_sha256=shown.body_sha256, statement=shown.statement
    )
    await mesh.flow()
    (received,) = (await beta.service.inbox(LOCAL)).alerts
    assert (received.alert_id, received.view, received.circle_id) == (sent.alert_id, shown.view, circle)
    assert received.expires_at == shown.expires_at
    detail = await alpha.service.alert(LOCAL, sent.alert_id)
    assert (detail.case_id, detail.view) == (record.case_id, shown.view)
    kept = await alpha.service.case(LOCAL, record.case_id)
    assert [(s.circle_id, s.alert_id) for s in kept.sent] == [(circle, sent.alert_id)]


async def test_a_case_goes_to_a_circle_once(mesh: Mesh) -> None:
    """Refused at preview and at sending, also when two people press the button together; another circle is free."""
    alpha, beta, circle = await two(mesh)
    record = await alpha.service.save_case(LOCAL, mesh.case())
    shown = await alpha.service.preview(LOCAL, record.case_id, circle)
    arguments = {"body_sha256": shown.body_sha256, "statement": shown.statement}
    await alpha.service.send(LOCAL, record.case_id, circle, **arguments)
    for again in (
        alpha.service.preview(LOCAL, record.case_id, circle),
        alpha.service.send(LOCAL, record.case_id, circle, **arguments),
    ):
        with pytest.raises(Problem) as caught:
            await again
        assert caught.value.kind is Kind.ALREADY_SENT
    direct = await alpha.direct(beta)
    partner = await alpha.service.preview(LOCAL, record.case_id, direct)
    assert (partner.tier, partner.view["tier"]) == ("partner", 1)


async def test_a_statement_between_preview_and_send_refuses(mesh: Mesh) -> None:
    """Somebody joined meanwhile: the person looks again; so also when the case was changed."""
    alpha, beta, circle = await two(mesh)
    gamma = await mesh.office("gamma")
    await mesh.pair(alpha, gamma)
    record = await alpha.service.save_case(LOCAL, mesh.case())
    shown = await alpha.service.preview(LOCAL, record.case_id, circle)
    await join(mesh, alpha, circle, gamma)
    with pytest.raises(Problem) as caught:
        await alpha.service.send(
            LOCAL, record.case_id, circle, body_sha256=shown.body_sha256, statement=shown.statement
        )
    assert (caught.value.kind, bool(caught.value.next)) == (Kind.AUDIENCE_CHANGED, True)
    again = await alpha.service.preview(LOCAL, record.case_id, circle)
    assert {r.name for r in again.recipients} == {"beta", "gamma"}
    await alpha.service.save_case(LOCAL, mesh.case(urgency="Expected"), record.case_id)
    with pytest.raises(Problem) as caught:
        await alpha.service.send(
            LOCAL, record.case_id, circle, body_sha256=again.body_sha256, statement=again.statement
        )
    assert caught.value.kind is Kind.AUDIENCE_CHANGED
    await mesh.flow()
    assert await beta.received() == await gamma.received() == []


async def test_an_empty_audience_is_an_error(mesh: Mesh) -> None:
    """Nobody else in the circle yet."""
    alpha = await mesh.office("alpha")
    problem = await refusal(alpha, await found(alpha))
    assert (problem.kind, problem.field, bool(problem.next)) == (Kind.AUDIENCE_EMPTY, "circle_id", True)


async def test_a_label_above_the_circles_ceiling_stays(mesh: Mesh) -> None:
    """TLP:RED goes to one organisation only."""
    alpha, beta, circle = await two(mesh, max_tlp="TLP:AMBER")
    for label in ("TLP:AMBER+STRICT", "TLP:RED"):
        problem = await refusal(alpha, circle, tlp=label)
        assert (problem.kind, problem.field, problem.got) == (Kind.TLP_ABOVE_CIRCLE, "tlp", label)
    await alpha.send(await alpha.direct(beta), tlp="TLP:RED")
    await mesh.flow()
    (received,) = (await beta.service.inbox(LOCAL)).alerts
    assert received.tlp == "TLP:RED"


@pytest.mark.parametrize("state", ["not-asked", "pending", "refused", "local-only", "withdrawn", "expired"])
async def test_without_a_sharing_consent_nothing_leaves(mesh: Mesh, state: str) -> None:
    """Each state that does not share, with the field and what would do."""
    alpha, _, circle = await two(mesh)
    problem = await refusal(alpha, circle, consent={"state": state})
    assert (problem.kind, problem.field) == (Kind.CONSENT_MISSING, "consent.state")
    assert "share-network" in problem.expected


async def test_a_consent_ends_by_the_clock(mesh: Mesh) -> None:
    """Valid through its last day; also between preview and send."""
    alpha, _, circle = await two(mesh)
    consent = {"state": "share-network", "basis": "self", "valid_until": day(1)}
    record = await alpha.service.save_case(LOCAL, mesh.case(consent=consent))
    mesh.advance(days=1)
    shown = await alpha.service.preview(LOCAL, record.case_id, circle)
    mesh.advance(days=1)
    with pytest.raises(Problem) as caught:
        await alpha.service.send(
            LOCAL, record.case_id, circle, body_sha256=shown.body_sha256, statement=shown.statement
        )
    assert (caught.value.kind, caught.value.got) == (Kind.CONSENT_MISSING, "expired")


async def test_an_alert_lives_until_the_sooner_of_retention_and_consent(mesh: Mesh) -> None:
    """And is shown as expired from then on, at both sides, whether or not a round of upkeep came."""
    alpha, beta, circle = await two(mesh, retention_days=30)
    plain = await alpha.send(circle)
    ends = {"state": "share-network", "basis": "self", "valid_until": day(9)}
    short = await alpha.send(circle, title="Persona Ficticia Dos", consent=ends)
    await mesh.flow()
    found_there = {a.alert_id: a for a in (await beta.service.inbox(LOCAL)).alerts}
    assert found_there[plain].expires_at == iso(NOW + 30 * DAY_MS)
    assert found_there[short].expires_at == f"{day(10)}T00:00:00.000Z"
    mesh.advance(days=10)
    for office in (alpha, beta):
        assert (await office.service.alert(LOCAL, short)).state == "expired"
        await office.maintain()
        assert (await office.service.alert(LOCAL, short)).state == "expired"
        assert (await office.service.alert(LOCAL, plain)).state == "current"


def iso(ms: int) -> str:
    """RFC 3339, in whole minutes, as headers can say."""
    return datetime.fromtimestamp(ms // 60_000 * 60, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def test_a_secret_that_equals_a_shown_value_stops_the_send(mesh: Mesh) -> None:
    """An identifier of another case of ours stands in what would leave: the field is named, the text is not."""
    alpha, _, circle = await two(mesh)
    await alpha.service.save_case(LOCAL, mesh.case(title="Another", identifiers=["CO-CAU"]))
    problem = await refusal(alpha, circle)
    assert problem.kind is Kind.SECRET_WOULD_LEAVE
    assert "CO-CAU" not in str(problem.as_json())


async def test_a_draft_says_its_first_problem_and_a_closed_case_stays_closed(mesh: Mesh) -> None:
    """Neither leaves; both are kept."""
    alpha, _, circle = await two(mesh)
    problem = await refusal(alpha, circle, urgency="Yesterday")
    assert (problem.kind, problem.field) == (Kind.UNKNOWN_CODE, "urgency")
    record = await alpha.service.save_case(LOCAL, mesh.case())
    await alpha.service.close_case(LOCAL, record.case_id)
    with pytest.raises(Problem) as caught:
        await alpha.service.preview(LOCAL, record.case_id, circle)
    assert caught.value.kind is Kind.NOT_READY


async def test_a_view_that_does_not_fit_is_refused(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never moved up to a larger envelope, which would tell carriers something; nothing is kept as sent."""
    alpha, beta, circle = await two(mesh)
    record = await alpha.service.save_case(LOCAL, mesh.case())
    shown = await alpha.service.preview(LOCAL, record.case_id, circle)

    def padded(*args: Any, **kwargs: Any) -> Any:
        right = minimise(*args, **kwargs)
        return replace(right, body=right.body + bytes(4000))

    minimise = sharing.minimise
    monkeypatch.setattr(sharing, "minimise", padded)
    monkeypatch.setattr(alpha.node.sharing._gate, "check", lambda *_: None)
    again = await alpha.service.preview(LOCAL, record.case_id, circle)
    with pytest.raises(Problem) as caught:
        await alpha.service.send(
            LOCAL, record.case_id, circle, body_sha256=again.body_sha256, statement=shown.statement
        )
    assert caught.value.kind is Kind.TOO_LARGE
    monkeypatch.undo()
    assert (await alpha.service.case(LOCAL, record.case_id)).sent == []
    assert (await alpha.service.sent(LOCAL)).alerts == []
    await mesh.flow()
    assert await beta.received() == []


async def test_place_and_time_are_frozen_for_each_circle(mesh: Mesh) -> None:
    """What a circle was told stands beside the case, by circle; another circle has its own."""
    alpha, beta, circle = await two(mesh)
    record = await alpha.service.save_case(LOCAL, mesh.case())
    for audience in (circle, await alpha.direct(beta)):
        shown = await alpha.service.preview(LOCAL, record.case_id, audience)
        await alpha.service.send(
            LOCAL, record.case_id, audience, body_sha256=shown.body_sha256, statement=shown.statement
        )
    raw = alpha.circle(circle).id, alpha.circle(await alpha.direct(beta)).id
    async with alpha.store.read() as tx:
        (case,) = await tx.cases.all()
        frozen = [await tx.circles.frozen(case.case_id, each) for each in raw]
    assert all(frozen)


async def test_same_view_counts_what_looks_exactly_alike(mesh: Mesh) -> None:
    """So that a person sees when an alert could be about one case only."""
    alpha, _, circle = await two(mesh)
    await alpha.send(circle)
    record = await alpha.service.save_case(LOCAL, mesh.case(title="Persona Ficticia Dos"))
    assert (await alpha.service.preview(LOCAL, record.case_id, circle)).same_view == 1
