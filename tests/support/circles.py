"""Steps with circles that many tests take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.node.models import CircleNew
from almenara.node.service import LOCAL

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office


async def found(steward: Office, name: str = "c-andes") -> str:
    """A group of one."""
    return (await steward.service.create_circle(LOCAL, CircleNew(name=name, tier="network"))).circle_id


async def invite(steward: Office, circle_id: str, node: Office, role: str = "member") -> str:
    """Ask; returns the state the member has then."""
    return (await steward.service.invite_to_circle(LOCAL, circle_id, node.text, role)).state


async def accept(node: Office, circle_id: str) -> str:
    """Say yes; nothing can come while the test holds the line, so this does not wait."""
    return (await node.service.accept_circle(LOCAL, circle_id)).state


async def join(mesh: Mesh, steward: Office, circle_id: str, node: Office, role: str = "member") -> None:
    """All the way in."""
    await invite(steward, circle_id, node, role)
    await mesh.flow()
    await accept(node, circle_id)
    await mesh.flow()
    assert await node.state(circle_id) == "active"


async def trio(mesh: Mesh) -> tuple[Office, Office, Office, str]:
    """Alpha, steward, and two members that are paired with it alone; the circle's id."""
    alpha, beta, gamma = [await mesh.office(name) for name in ("alpha", "beta", "gamma")]
    await mesh.pair(alpha, beta)
    await mesh.pair(alpha, gamma)
    circle = await found(alpha)
    await join(mesh, alpha, circle, beta)
    await join(mesh, alpha, circle, gamma)
    return alpha, beta, gamma, circle
