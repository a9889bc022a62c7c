"""Every red state says why and what to do, and every sentence can be translated."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import almenara.node.service as service_module
from almenara.node.service import LOCAL
from almenara.node.storage.rows import QuarantineRow
from tests.support.circles import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")

NODE = Path(service_module.__file__).parent
ENGLISH_ONLY = {"client.py"}  # the command line's side of a connection; the panel never shows it
SPOKEN = {"next", "reason", "detail"}  # keyword arguments that people read


async def codes(office: Office) -> dict[str, str | None]:
    """Problems of a node by code, with the name they concern; each has a reason and a next step."""
    problems = (await office.service.status(LOCAL)).problems
    assert all(problem.reason and problem.next for problem in problems)
    return {problem.code: problem.name for problem in problems}


@dataclass
class Witness:
    """A live session, as far as clocks are concerned."""

    peer: Any
    clock_difference_min: int
    greeted: bool = True

    def prove(self) -> None:
        """Nothing to prove."""

    def ask(self) -> None:
        """Nothing to ask."""


async def test_a_node_alone_says_so(mesh: Mesh) -> None:
    """It neither warns nor is warned."""
    alpha = await mesh.office("alpha")
    assert await codes(alpha) == {"no-peers": None}


async def test_a_healthy_node_has_no_problems(mesh: Mesh) -> None:
    """And counts what it has."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    await alpha.send(await alpha.direct(beta))
    await mesh.flow()
    status = await beta.service.status(LOCAL)
    assert status.problems == []
    assert (status.peers.verified, status.peers.connected, status.alerts_held) == (1, 1, 1)
    assert status.node_id == beta.text


async def test_a_peer_that_is_not_reached_is_named(mesh: Mesh) -> None:
    """And not any more once it is back."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    beta.online = False
    assert await codes(alpha) == {"peer-unreachable": "beta"}
    beta.online = True
    assert await codes(alpha) == {}


async def test_what_was_put_aside_is_said_for_a_week(mesh: Mesh) -> None:
    """With the organisation that sent it; a red state that never ends would be read by nobody."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    async with alpha.store.write() as tx:
        await tx.quarantine.add([QuarantineRow(mesh.now, beta.id.raw, "bad-tag", "", "", "", bytes(32), 4096)])
    assert await codes(alpha) == {"quarantine": "beta"}
    mesh.advance(days=6.9)
    assert (await codes(alpha))["quarantine"] == "beta"
    mesh.advance(days=0.2)
    assert "quarantine" not in await codes(alpha)


async def test_clocks_that_differ_are_said_and_stop_destruction_only_when_three_agree(mesh: Mesh) -> None:
    """PROTOCOL §9: the median of at least three peers, with its sign; two doubtful witnesses prove nothing."""
    alpha, _, gamma, circle = await trio(mesh)
    mesh.advance(days=7)
    await alpha.maintain()
    await mesh.flow()
    mesh.advance(days=40)
    old = len(alpha.node.keyring.statements_of(alpha.circle(circle).id))
    live: dict[bytes, Any] = alpha.node.links._live
    for ahead, expected in (((90, 90, 90), old), ((-90, 0, 90), None)):
        live.clear()
        live.update({bytes([number]): Witness(gamma.id, minutes) for number, minutes in enumerate(ahead)})
        await alpha.maintain()
        held = len(alpha.node.keyring.statements_of(alpha.circle(circle).id))
        assert held == old if expected else held < old
        assert ("clock-in-doubt" if expected else "clock-difference") in await codes(alpha)


async def test_one_part_of_upkeep_that_fails_stops_no_other(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Expiry fails, and the weekly key is drawn all the same."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)

    async def fails() -> None:
        raise OSError

    monkeypatch.setattr(alpha.node.maintenance, "_expire", fails)
    mesh.advance(days=7)
    await alpha.node.maintenance.round()
    assert alpha.circle(await alpha.direct(beta)).current.number == 2


def spoken(tree: ast.AST) -> Iterator[ast.expr]:
    """Expressions whose value people read."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        yield from (keyword.value for keyword in call.keywords if keyword.arg in SPOKEN)
        if isinstance(call.func, ast.Name) and call.func.id == "Problem":
            yield from call.args[1:2]


def loose(expression: ast.expr) -> Iterator[ast.expr]:
    """Texts in an expression that no catalogue knows: literals outside `N_()`, and sentences put together."""
    if isinstance(expression, ast.JoinedStr) or (isinstance(expression, ast.Constant) and expression.value):
        yield expression
    elif isinstance(expression, ast.BoolOp):
        for part in expression.values:
            yield from loose(part)
    elif isinstance(expression, ast.IfExp):
        yield from loose(expression.body)
        yield from loose(expression.orelse)


def test_sentences_are_constants_that_a_catalogue_knows() -> None:
    """Reason, next step and detail are marked where they stand, so that the panel can say them in four languages."""
    found = [
        f"{path.name}:{text.lineno}"
        for path in sorted(NODE.glob("*.py"))
        if path.name not in ENGLISH_ONLY
        for expression in spoken(ast.parse(path.read_text()))
        for text in loose(expression)
        if not (isinstance(text, ast.Constant) and not isinstance(text.value, str))
    ]
    assert found == []
