# ruff: noqa: ARG002 # every method takes the actor, which the guard around it reads
"""The one door: panel, REST API and command line come through here, and here is decided who may do what (SCHEMAS §7).

Every method takes the `Actor` who asks, returns objects of `models`, and raises `Problem`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from almenara.node import models
from almenara.node.carriage import MB
from almenara.node.events import Event, Events
from almenara.node.people import LOCAL, SOMEBODY_THERE, Actor, FirstCode, SignedIn
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from almenara.node.bundle_export import Bundle
    from almenara.node.config import Config
    from almenara.node.runtime import Runtime
    from almenara.node.sharing import Status

__all__ = ["LOCAL", "Actor", "Event", "Service", "SignedIn"]

ADMIN: frozenset[models.RoleName] = frozenset({"admin"})
WORKERS: frozenset[models.RoleName] = frozenset({"admin", "case worker"})
ALL: frozenset[models.RoleName] = frozenset({"admin", "case worker", "viewer"})

P = ParamSpec("P")
R = TypeVar("R")


Method = Callable[Concatenate["Service", Actor, P], Coroutine[Any, Any, R]]


def _for(roles: frozenset[models.RoleName]) -> Callable[[Method[P, R]], Method[P, R]]:
    """Let only these roles through."""

    def wrap(method: Method[P, R]) -> Method[P, R]:
        @functools.wraps(method)
        async def guarded(self: Service, actor: Actor, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if actor.role not in roles:
                raise Problem(Kind.NOT_ALLOWED, N_("Your role does not include this."), next=N_("Ask an admin."))
            return await method(self, actor, *args, **kwargs)

        return guarded

    return wrap


class Service:
    """What this node can be asked to do."""

    def __init__(self, config: Config, version: str, opener: Callable[[str], Awaitable[Runtime]]) -> None:
        """`opener` opens the vault with a passphrase and wires the node up; raises `Problem(WRONG_PASSPHRASE)`."""
        self.config = config
        self._version, self._opener = version, opener
        self._runtime: Runtime | None = None
        self._opening = asyncio.Lock()
        self.events = Events()
        self.first_code: FirstCode | None = None

    # life

    @property
    def locked(self) -> bool:
        """Whether keys, database and connections are closed."""
        return self._runtime is None

    @property
    def last_event(self) -> int:
        """The number of the newest event, to start waiting from."""
        return self.events.last

    async def wait_event(self, after: int, timeout: float) -> list[tuple[int, Event]]:  # noqa: ASYNC109 - as in Events
        """Changes after that number; an empty list when none came in `timeout` seconds."""
        return await self.events.wait(after, timeout)

    async def unlock(self, passphrase: str) -> None:
        """Open the node; open already, it stays so. Raises `Problem(WRONG_PASSPHRASE)`."""
        async with self._opening:  # two at once would open the database twice
            if self._runtime is not None:
                return
            runtime = await self._opener(passphrase)
            self.first_code = FirstCode(runtime.clock) if await runtime.people.nobody() else None
            self._runtime = runtime
        self.events.publish("status")

    @_for(ALL)
    async def lock(self, actor: Actor) -> None:
        """Drop keys, database and connections; only the passphrase opens the node again."""
        await self._audit(actor, "lock")
        await self.close()
        self.events.publish("status")

    async def close(self) -> None:
        """The same at the end of the program."""
        async with self._opening:
            runtime, self._runtime, self.first_code = self._runtime, None, None
            if runtime is not None:
                await runtime.close()

    async def status(self, actor: Actor | None) -> models.Status:
        """How the node is; somebody not signed in learns only that it runs, where, and whether it is locked."""
        basic = models.Status(
            state="locked" if self.locked else "ready",
            name=self.config.node.name,
            version=self._version,
            listen=self.config.peer.listen,
            panel=self.config.panel_url,
        )
        if self._runtime is None or actor is None:
            return basic
        return await self._runtime.health.status(basic)

    @_for(ALL)
    async def clock(self, actor: Actor) -> models.Clock:
        """What this computer says, and whether that is in doubt."""
        return self._open.health.clock()

    @_for(WORKERS)
    async def settle_clock(self, actor: Actor) -> models.Clock:
        """A person compared both times: this computer's is right. What waited for it is done now."""
        runtime = self._open
        runtime.clock.settle()
        async with runtime.store.write() as tx:
            await runtime.clock.write(tx)
            await tx.audit.add(runtime.clock(), actor.name, "settle clock", "")
        await runtime.maintenance.round()
        self.events.publish("status")
        return runtime.health.clock()

    # people

    async def needs_first_person(self) -> bool:
        """Whether nobody can sign in yet."""
        return await self._open.people.nobody()

    async def add_first_person(self, code: str, name: str, password: str) -> SignedIn:
        """The first admin, for whoever reads the code on the terminal. Raises `Problem(NOT_ALLOWED)`."""
        people = self._open.people
        if self.first_code is None or not await people.nobody():
            raise Problem(Kind.NOT_ALLOWED, SOMEBODY_THERE)
        self.first_code.check(code)
        person = await people.add(name, "admin", password, first=True)
        self.first_code = None
        signed_in = await people.sign_in(person.name, password)
        await self._audit(signed_in.actor, "first person")
        return signed_in

    async def sign_in(self, name: str, password: str) -> SignedIn:
        """Raises `Problem(NOT_ALLOWED)`."""
        return await self._open.people.sign_in(name, password)

    async def session(self, token: str, *, touch: bool = True) -> SignedIn | None:
        """Who a cookie belongs to; pages that refresh by themselves ask without `touch`, so that idle sessions end."""
        return None if self._runtime is None else await self._runtime.people.session(token, touch=touch)

    async def sign_out(self, token: str) -> None:
        """End a session."""
        await self._open.people.sign_out(token)

    @_for(ADMIN)
    async def people(self, actor: Actor) -> models.People:
        """Everybody who may sign in."""
        return await self._open.people.list()

    @_for(ADMIN)
    async def add_person(self, actor: Actor, name: str, role: str, password: str) -> models.Person:
        """Let somebody sign in."""
        person = await self._open.people.add(name, role, password)
        self.first_code = None
        await self._audit(actor, "add person", person.name)
        return person

    @_for(ADMIN)
    async def remove_person(self, actor: Actor, name: str) -> None:
        """End somebody's access at once."""
        await self._open.people.remove(name)
        await self._audit(actor, "remove person", name)

    async def set_password(self, actor: Actor, name: str, password: str) -> None:
        """One's own, or anybody's for an admin; whoever may not learns nothing about who there is."""
        if actor.role != "admin" and actor.name != name:
            raise Problem(Kind.NOT_ALLOWED, N_("Your role does not include this."), next=N_("Ask an admin."))
        await self._open.people.set_password(name, password)
        await self._audit(actor, "set password", name)

    # peers

    @_for(ADMIN)
    async def invite(self, actor: Actor) -> models.InvitationMade:
        """Make a one-time invitation for another organisation."""
        made = await self._open.peers.invite()
        await self._audit(actor, "invite")
        return made

    @_for(ADMIN)
    async def pair(self, actor: Actor, invitation: str) -> models.Peer:
        """Use an invitation; the peer comes back unconfirmed, with the code to compare."""
        peer = await self._open.peers.pair(invitation)
        await self._audit(actor, "pair", peer.node_id)
        return peer

    @_for(ALL)
    async def peers(self, actor: Actor) -> models.Peers:
        """Organisations we are paired with, or are about to be."""
        return await self._open.peers.list()

    @_for(ALL)
    async def peer(self, actor: Actor, node_id: str) -> models.Peer:
        """One of them."""
        return await self._open.peers.get(node_id)

    @_for(ADMIN)
    async def confirm_peer(self, actor: Actor, node_id: str) -> models.PeerChanged:
        """Record that a person compared the code over another channel and found it equal."""
        changed = await self._open.peers.confirm(node_id, actor.name)
        await self._audit(actor, "confirm peer", node_id)
        return changed

    @_for(ALL)
    async def discovery(self, actor: Actor) -> models.Discovery:
        """Whether we look for neighbours on the local network, and whom we heard."""
        return self._open.discovery.state()

    @_for(ADMIN)
    async def discover(self, actor: Actor, minutes: int) -> models.Discovery:
        """Look for neighbours for so many minutes; whoever is around sees that a node is here."""
        found = await self._open.discovery.look(minutes)
        await self._audit(actor, "discover")
        return found

    @_for(ADMIN)
    async def stop_discovery(self, actor: Actor) -> models.Discovery:
        """Fall silent now."""
        return await self._open.discovery.stop()

    @_for(ADMIN)
    async def remove_peer(self, actor: Actor, node_id: str) -> models.PeerChanged:
        """Cut the link now, and re-key the circles where we are steward."""
        changed = await self._open.peers.remove(node_id)
        await self._audit(actor, "remove peer", node_id)
        return changed

    # circles

    @_for(ALL)
    async def circles(self, actor: Actor) -> models.Circles:
        """All circles, groups and direct ones."""
        return await self._open.groups.list()

    @_for(ALL)
    async def circle(self, actor: Actor, circle_id: str) -> models.Circle:
        """One of them."""
        return await self._open.groups.get(circle_id)

    @_for(ADMIN)
    async def create_circle(self, actor: Actor, new: models.CircleNew) -> models.Circle:
        """Found a group; we are its first steward."""
        circle = await self._open.groups.create(new)
        await self._audit(actor, "create circle", circle.circle_id)
        return circle

    @_for(ADMIN)
    async def invite_to_circle(
        self, actor: Actor, circle_id: str, node_id: str, role: str = "member"
    ) -> models.MemberChanged:
        """Ask a verified peer of ours to join."""
        changed = await self._open.groups.invite(circle_id, node_id, role)
        await self._audit(actor, "invite to circle", circle_id)
        return changed

    @_for(ADMIN)
    async def remove_from_circle(self, actor: Actor, circle_id: str, node_id: str) -> models.MemberChanged:
        """Remove a member and re-key the circle."""
        changed = await self._open.groups.remove(circle_id, node_id)
        await self._audit(actor, "remove from circle", circle_id)
        return changed

    @_for(ADMIN)
    async def accept_circle(self, actor: Actor, circle_id: str) -> models.CircleChanged:
        """Join; returns when the key has come, or after ten seconds with the state `accepted`."""
        changed = await self._open.groups.accept(circle_id)
        await self._audit(actor, "accept circle", circle_id)
        return changed

    @_for(ADMIN)
    async def decline_circle(self, actor: Actor, circle_id: str) -> models.CircleChanged:
        """Say no to an invitation."""
        changed = await self._open.groups.decline(circle_id)
        await self._audit(actor, "decline circle", circle_id)
        return changed

    @_for(ADMIN)
    async def leave_circle(self, actor: Actor, circle_id: str) -> models.CircleChanged:
        """Leave a group; its history stays here."""
        changed = await self._open.groups.leave(circle_id)
        await self._audit(actor, "leave circle", circle_id)
        return changed

    # bundles

    @_for(ADMIN)
    async def export_bundle(self, actor: Actor, asked: models.BundleAsked) -> Bundle:
        """Make a file for one organisation, or under a passphrase; the caller reads it and closes it."""
        bundle = await self._open.bundle_export.make(to=asked.to, passphrase=asked.passphrase)
        await self._audit(actor, "export bundle", asked.to or "")
        return bundle

    @_for(ADMIN)
    async def import_bundle(
        self, actor: Actor, data: AsyncIterator[bytes], passphrase: str | None = None
    ) -> models.BundleImported:
        """Take in what a file brings; damaged or not, all that can be read of it."""
        taken = await self._open.bundle_import.take(data, passphrase)
        await self._audit(actor, "import bundle", taken.sender or "")
        return taken

    # carrying

    @_for(ALL)
    async def carriers(self, actor: Actor, circle_id: str) -> models.CircleCarriers:
        """Who carries for a circle of ours."""
        return await self._open.carriers.show(circle_id)

    @_for(ADMIN)
    async def add_carrier(self, actor: Actor, circle_id: str, node_id: str) -> models.CircleCarriers:
        """Ask a verified peer that is not in the circle to carry for it."""
        found = await self._open.carriers.add(circle_id, node_id)
        await self._audit(actor, "ask to carry", node_id)
        return found

    @_for(ADMIN)
    async def remove_carrier(self, actor: Actor, circle_id: str, node_id: str) -> models.CircleCarriers:
        """Ask it no more."""
        found = await self._open.carriers.remove(circle_id, node_id)
        await self._audit(actor, "stop asking to carry", node_id)
        return found

    @_for(ALL)
    async def carrying(self, actor: Actor) -> models.Carrying:
        """For whom this node carries, and how much."""
        return await self._open.carriage.show()

    @_for(ADMIN)
    async def set_carry_quota(self, actor: Actor, node_id: str, quota_mb: int) -> models.Carrying:
        """How much a peer may leave here; 0 stops carrying for it and erases what is here."""
        found = await self._open.carriage.set_quota(node_id, quota_mb * MB)
        await self._audit(actor, "carry quota", node_id)
        return found

    # cases

    @_for(WORKERS)
    async def save_case(self, actor: Actor, document: object, case_id: str | None = None) -> models.CaseRecord:
        """Keep a case: ready, or a draft with its problems."""
        return await self._open.casebook.save(document, case_id)

    @_for(WORKERS)
    async def cases(self, actor: Actor, state: str | None = None) -> models.Cases:
        """Our cases, newest first."""
        return await self._open.casebook.list(state)

    @_for(WORKERS)
    async def case(self, actor: Actor, case_id: str) -> models.CaseRecord:
        """One case whole."""
        return await self._open.casebook.get(case_id)

    @_for(WORKERS)
    async def close_case(self, actor: Actor, case_id: str) -> models.CaseRecord:
        """No further sending or changing."""
        record = await self._open.casebook.close(case_id)
        await self._audit(actor, "close case", case_id)
        return record

    # alerts

    @_for(WORKERS)
    async def preview(self, actor: Actor, case_id: str, circle_id: str, status: Status = "Actual") -> models.Preview:
        """Exactly what would leave, and to whom."""
        return await self._open.sharing.preview(case_id, circle_id, status)

    @_for(WORKERS)
    async def send(
        self,
        actor: Actor,
        case_id: str,
        circle_id: str,
        *,
        body_sha256: str,
        statement: str,
        status: Status = "Actual",
    ) -> models.AlertSent:
        """Send what was previewed."""
        return await self._open.sharing.send(
            case_id, circle_id, body_sha256=body_sha256, statement=statement, status=status, who=actor.name
        )

    @_for(ALL)
    async def alert(self, actor: Actor, alert_id: str) -> models.AlertDetail:
        """One alert; of our own also its recipients."""
        return await self._open.readings.show(alert_id)

    @_for(ALL)
    async def inbox(self, actor: Actor, after: str | None = None, limit: int = 100) -> models.Inbox:
        """Others' alerts in order of arrival."""
        return await self._open.readings.inbox(after, limit)

    @_for(ALL)
    async def recent(self, actor: Actor, before: str | None = None, limit: int = 100) -> models.Inbox:
        """The same newest first, as people read them; `next` leads to older ones and is empty at the end."""
        return await self._open.readings.recent(before, limit)

    @_for(ALL)
    async def sent(self, actor: Actor) -> models.Sent:
        """Our own alerts, newest first."""
        return await self._open.readings.sent()

    @_for(ALL)
    async def forks(self, actor: Actor) -> models.Forks:
        """Where authors contradict themselves, us included."""
        return await self._open.contradictions.show()

    @_for(ADMIN)
    async def settle_forks(self, actor: Actor) -> models.ForksSettled:
        """Both versions were ours: sending goes on, as a chain of its own."""
        runtime = self._open
        async with runtime.store.write() as tx:
            settled = await runtime.contradictions.settle(tx)
            await tx.audit.add(runtime.clock(), actor.name, "settle forks", "")
        self.events.publish("status")
        return models.ForksSettled(settled=settled)

    # inside

    @property
    def _open(self) -> Runtime:
        if self._runtime is None:
            raise Problem(Kind.LOCKED, next=N_("Enter the node's passphrase."))
        return self._runtime

    async def _audit(self, actor: Actor, what: str, ref: str = "") -> None:
        runtime = self._open
        async with runtime.store.write() as tx:
            await tx.audit.add(runtime.clock(), actor.name, what, ref)
