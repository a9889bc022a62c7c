"""Who may ask for what: every method of the one door has a decision, for every role, open or locked (SCHEMAS §7)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.config import load_config
from almenara.node.home import Home
from almenara.node.models import CircleNew
from almenara.node.people import LOCAL, Actor
from almenara.node.problem import Kind, Problem
from almenara.node.service import Service

if TYPE_CHECKING:
    from pathlib import Path

    from almenara.node.models import RoleName
    from almenara.node.runtime import Runtime

ADMIN: tuple[RoleName, ...] = ("admin",)
WORKERS: tuple[RoleName, ...] = ("admin", "case worker")
ALL: tuple[RoleName, ...] = ("admin", "case worker", "viewer")

ROLES: dict[str, tuple[RoleName, ...]] = {
    "lock": ALL,
    "clock": ALL,
    "settle_clock": WORKERS,
    "forks": ALL,
    "settle_forks": ADMIN,
    "people": ADMIN,
    "add_person": ADMIN,
    "remove_person": ADMIN,
    "invite": ADMIN,
    "pair": ADMIN,
    "peers": ALL,
    "peer": ALL,
    "confirm_peer": ADMIN,
    "remove_peer": ADMIN,
    "circles": ALL,
    "circle": ALL,
    "create_circle": ADMIN,
    "invite_to_circle": ADMIN,
    "remove_from_circle": ADMIN,
    "accept_circle": ADMIN,
    "decline_circle": ADMIN,
    "leave_circle": ADMIN,
    "discovery": ALL,
    "discover": ADMIN,
    "stop_discovery": ADMIN,
    "carriers": ALL,
    "add_carrier": ADMIN,
    "remove_carrier": ADMIN,
    "carrying": ALL,
    "set_carry_quota": ADMIN,
    "export_bundle": ADMIN,
    "import_bundle": ADMIN,
    "save_case": WORKERS,
    "cases": WORKERS,
    "case": WORKERS,
    "close_case": WORKERS,
    "preview": WORKERS,
    "send": WORKERS,
    "alert": ALL,
    "inbox": ALL,
    "recent": ALL,
    "sent": ALL,
}
# Decided by something else than a role: what is shown to everybody, a secret that is given, or whose password it is.
OTHERWISE = {
    "status",
    "set_password",
    "unlock",
    "close",
    "needs_first_person",
    "add_first_person",
    "sign_in",
    "sign_out",
    "session",
    "wait_event",
}


async def _no_opener(_: str) -> Runtime:
    raise Problem(Kind.WRONG_PASSPHRASE)


@pytest.fixture
def locked(tmp_path: Path) -> Service:
    """A door behind which nothing is open."""
    home = Home(tmp_path)
    home.create()
    home.write(home.config_path, b'[node]\nname = "alpha"\n')
    return Service(load_config(home), "test", _no_opener)


def arguments(method: Any) -> dict[str, Any]:
    """Something for every parameter that has no default."""
    wanted = inspect.signature(method).parameters.values()
    return {p.name: "x" for p in wanted if p.default is p.empty and p.name not in {"self", "actor"}}


def test_every_method_has_a_decision() -> None:
    """A new one without is found here."""
    methods = {name for name, value in vars(Service).items() if inspect.iscoroutinefunction(value)}
    assert {name for name in methods if not name.startswith("_")} == ROLES.keys() | OTHERWISE


@pytest.mark.parametrize("role", ALL)
@pytest.mark.parametrize("name", ROLES)
async def test_each_role_gets_what_the_table_says_and_nothing_of_a_locked_node(
    locked: Service, name: str, role: RoleName
) -> None:
    """Refused by role first; whoever may ask is told that the node is locked."""
    method = getattr(locked, name)
    with pytest.raises(Problem) as caught:
        await method(Actor("somebody", role, "person"), **arguments(method))
    assert caught.value.kind is (Kind.LOCKED if role in ROLES[name] else Kind.NOT_ALLOWED)
    assert caught.value.next


@pytest.mark.parametrize("role", ["case worker", "viewer"])
async def test_only_admins_set_the_passwords_of_others(locked: Service, role: RoleName) -> None:
    """One's own is one's own; for anybody else the answer is the same whether there is such a person or not."""
    actor = Actor("somebody", role, "person")
    kinds = []
    for name in ("somebody", "another", "nobody-at-all"):
        with pytest.raises(Problem) as caught:
            await locked.set_password(actor, name, "a long enough password")
        kinds.append(caught.value.kind)
    assert kinds == [Kind.LOCKED, Kind.NOT_ALLOWED, Kind.NOT_ALLOWED]


async def test_a_locked_node_says_that_it_is_locked_and_nothing_else(locked: Service) -> None:
    """Signed in or not."""
    for actor in (None, LOCAL):
        status = await locked.status(actor)
        assert (status.state, status.name, status.node_id, status.problems) == ("locked", "alpha", None, [])
    assert locked.locked
    assert await locked.session("token") is None
    for refused in (
        locked.needs_first_person(),
        locked.add_first_person("1234 5678 9012", "ana", "a long enough password"),
        locked.sign_in("ana", "a long enough password"),
        locked.sign_out("token"),
        locked.create_circle(LOCAL, CircleNew(name="c", tier="network")),
    ):
        with pytest.raises(Problem) as caught:
            await refused
        assert caught.value.kind is Kind.LOCKED


async def test_a_wrong_passphrase_leaves_it_locked(locked: Service) -> None:
    """And is told as such."""
    with pytest.raises(Problem) as caught:
        await locked.unlock("not this one")
    assert caught.value.kind is Kind.WRONG_PASSPHRASE
    assert locked.locked
