"""Who is there: a peer that falls silent is noticed at both ends, and what is known of it stands beside its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from almenara.node import silence
from almenara.node.service import LOCAL
from almenara.node.transport import link
from tests.support.nodes import make_home, pair, running, until
from tests.support.socks import socks
from tests.support.steps import own_id

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.mesh import Mesh


async def test_a_peer_that_falls_silent_is_noticed_at_both_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line stays open and carries nothing any more: no answer to a ping, and it is given up."""
    async with socks() as line, running(make_home(tmp_path / "a", "alpha")) as alpha:
        (endpoint,) = alpha.config.endpoints
        line.places[endpoint] = int(endpoint.rpartition(":")[2])
        betas = make_home(tmp_path / "b", "beta", f'listen = ""\nproxy = "socks5://{line.address}"')
        async with running(betas) as beta:
            await pair(alpha, beta)
            monkeypatch.setattr(link, "HEARTBEAT_SECONDS", 2.0)
            node, other = await own_id(beta), await own_id(alpha)
            links: Any = alpha._open.health._links
            (before,) = links
            await before.close()

            async def again() -> bool:
                ends = await alpha.peer(LOCAL, node), await beta.peer(LOCAL, other)
                both = all(end.connected and end.clock_difference_minutes == 0 for end in ends)
                return both and before not in list(links)

            await until(again, "a new link, with the shorter beat")
            line.silent.set()

            async def noticed() -> bool:
                return not (await alpha.peer(LOCAL, node)).connected and not (await beta.peer(LOCAL, other)).connected

            await until(noticed, "both ends give the silent line up")
            seen, known = await alpha.peer(LOCAL, node), await beta.peer(LOCAL, other)
            assert (seen.reason, bool(seen.last_contact_at)) == (silence.CALLS_US.reason, True)
            assert known.reason
            assert known.last_contact_at
            assert seen.clock_difference_minutes is known.clock_difference_minutes is None


def test_every_connection_has_a_beat_of_its_own_around_25_seconds() -> None:
    """Not above 30 s, after which many a router forgets a line."""
    drawn = [link.heartbeat() for _ in range(200)]
    assert all(20 <= seconds <= 30 for seconds in drawn)
    assert len(set(drawn)) > 100


async def test_clock_difference_and_contact_stand_beside_a_connected_peer(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that is not connected, the last contact only."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    monkeypatch.setattr(alpha.node.links, "clock_difference", {beta.id.raw: -7}.get)
    first = await alpha.service.peer(LOCAL, beta.text)
    mesh.advance(minutes=30)
    later = await alpha.service.peer(LOCAL, beta.text)
    assert first.clock_difference_minutes == later.clock_difference_minutes == -7
    assert first.last_contact_at != later.last_contact_at
    monkeypatch.undo()
    beta.online = False
    gone = await alpha.service.peer(LOCAL, beta.text)
    assert gone.clock_difference_minutes is None
    mesh.advance(minutes=30)
    assert (await alpha.service.peer(LOCAL, beta.text)).last_contact_at == gone.last_contact_at
