"""The people of this office: names, roles, passwords, and their sessions in the panel (SCHEMAS §7)."""

from __future__ import annotations

import asyncio
import unicodedata
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, get_args

from almenara.crypto.codes import short_code
from almenara.crypto.errors import WrongPassword
from almenara.crypto.hashing import digest, equal
from almenara.crypto.labels import Label
from almenara.crypto.passwords import check_password, hash_password
from almenara.crypto.random import random_bytes
from almenara.node import models
from almenara.node.clock import MINUTE_MS, Clock, rfc3339
from almenara.node.problem import Kind, Problem
from almenara.node.storage.rows import PersonRow, SessionRow
from almenara.node.words import N_

if TYPE_CHECKING:
    from almenara.node.storage.engine import Store

FIRST_CODE_MINUTES = 15
FIRST_CODE_TRIES = 5
PASSWORD_MIN = 12  # characters; length beats composition rules (NIST SP 800-63B)
PASSWORD_MAX = 1024  # bytes; only so that hashing stays bounded
SIGN_IN_TRIES = 5  # wrong passwords for one name before it has to wait
SIGN_IN_WAIT_MS = MINUTE_MS
SIGN_IN_NAMES = 1024  # names whose tries are counted at a time; only so that memory stays bounded
NAME_MAX = 80


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a person in the panel, or the local command line."""

    name: str
    role: models.RoleName
    kind: Literal["person", "local"]


SOMEBODY_THERE = N_("There is already somebody who can sign in.")
LOCAL = Actor(N_("local command line"), "admin", "local")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A panel session: the cookie's token, the form token, who it is, until when (ms)."""

    token: str
    csrf: str
    actor: Actor
    expires_at: int


class FirstCode:
    """The one-time code that `run` prints while nobody can sign in: 15 minutes, five tries."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.code = short_code(random_bytes(32))
        self._until = clock() + FIRST_CODE_MINUTES * MINUTE_MS
        self._tries = FIRST_CODE_TRIES

    def check(self, given: str) -> None:
        """Raises `Problem(NOT_ALLOWED)` for a wrong, spent or outdated code."""
        digits = "".join(c for c in unicodedata.normalize("NFKC", given) if c.isdecimal())
        right = equal(digits.encode(), self.code.replace(" ", "").encode())
        if self._tries <= 0 or self._clock() > self._until:
            raise Problem(
                Kind.NOT_ALLOWED,
                N_("This code is no longer valid."),
                field="code",
                next=N_("Stop the node and start it again to get a new code."),
            )
        if not right:
            self._tries -= 1
            raise Problem(
                Kind.NOT_ALLOWED,
                N_("The code is not the one that the node printed."),
                field="code",
                next=N_("Type the 12 digits from the terminal where the node runs."),
            )


class People:
    """Who may sign in, and who is signed in."""

    def __init__(self, store: Store, clock: Clock, idle_minutes: int) -> None:
        self._store, self._clock = store, clock
        self._idle_ms = idle_minutes * MINUTE_MS
        self._tries: dict[str, tuple[int, int]] = {}  # name -> (tries without success, when the last was)

    async def nobody(self) -> bool:
        """Whether there is no person yet."""
        async with self._store.read() as tx:
            return not await tx.people.all()

    async def list(self) -> models.People:
        """Everybody who may sign in."""
        async with self._store.read() as tx:
            rows = await tx.people.all()
        return models.People(people=[_person(row) for row in sorted(rows, key=lambda row: row.name)])

    async def add(self, name: str, role: str, password: str, *, first: bool = False) -> models.Person:
        """Raises `Problem` for a name in use, an unknown role, a short password; `first`: for anybody there already."""
        name = _name(name)
        if role not in get_args(models.RoleName):
            raise Problem(
                Kind.UNKNOWN_CODE, field="role", expected=" · ".join(get_args(models.RoleName)), got=role[:40]
            )
        hashed = await self._hash(password)
        row = PersonRow(name=name, role=role, password_hash=hashed, created_at=self._clock())
        async with self._store.write() as tx:
            if first and await tx.people.all():
                raise Problem(Kind.NOT_ALLOWED, SOMEBODY_THERE)
            if name.casefold() == LOCAL.name or await tx.people.get(name) is not None:  # the audit knows names only
                raise Problem(Kind.NOT_ALLOWED, N_("There is already a person with this name."), field="name")
            await tx.people.put(row)
        return _person(row)

    async def remove(self, name: str) -> None:
        """Sessions end at once. The last admin stays."""
        async with self._store.write() as tx:
            row = await tx.people.get(name)
            if row is None:
                raise Problem(Kind.NOT_FOUND, field="name")
            admins = [person for person in await tx.people.all() if person.role == "admin"]
            if row.role == "admin" and len(admins) == 1:
                raise Problem(Kind.NOT_ALLOWED, N_("Somebody must stay admin."), field="name")
            await tx.people.delete(name)
            await tx.people.delete_sessions_of(name)

    async def set_password(self, name: str, password: str) -> None:
        """Every session of the person ends: whoever knew the old password is out."""
        hashed = await self._hash(password)
        async with self._store.write() as tx:
            row = await tx.people.get(name)
            if row is None:
                raise Problem(Kind.NOT_FOUND, field="name")
            await tx.people.put(PersonRow(row.name, row.role, hashed, row.created_at))
            await tx.people.delete_sessions_of(name)

    async def sign_in(self, name: str, password: str) -> SignedIn:
        """Raises `Problem(NOT_ALLOWED)`; it never says whether the name or the password was wrong."""
        name = unicodedata.normalize("NFC", " ".join(name.split()))
        self._count_try(name)
        async with self._store.read() as tx:
            row = await tx.people.get(name)
        try:
            await asyncio.to_thread(_check, row, password)
        except WrongPassword:
            row = None
        if row is None:
            raise Problem(Kind.NOT_ALLOWED, N_("The name or the password is wrong."))
        self._tries.pop(name, None)
        return await self._open(Actor(row.name, _role(row.role), "person"))

    def _count_try(self, name: str) -> None:
        """Counted before the answer is known, so that many at once do not get more tries than one after another."""
        now = self._clock()
        tries, since = self._tries.get(name, (0, now))
        if tries >= SIGN_IN_TRIES and now < since + SIGN_IN_WAIT_MS:
            raise Problem(Kind.NOT_ALLOWED, N_("Too many wrong passwords."), next=N_("Wait a minute, then try again."))
        if tries >= SIGN_IN_TRIES:
            tries = 0
        while len(self._tries) >= SIGN_IN_NAMES:
            self._tries.pop(next(iter(self._tries)))
        self._tries[name] = tries + 1, now

    async def _open(self, actor: Actor) -> SignedIn:
        token = urlsafe_b64encode(random_bytes(32)).decode().rstrip("=")
        csrf = urlsafe_b64encode(random_bytes(32)).decode().rstrip("=")
        now = self._clock()
        async with self._store.write() as tx:
            await tx.people.expire_sessions(now - self._idle_ms)
            await tx.people.put_session(SessionRow(_hash_token(token), actor.name, csrf, now, now))
        return SignedIn(token, csrf, actor, now + self._idle_ms)

    async def session(self, token: str, *, touch: bool = True) -> SignedIn | None:
        """The session of a cookie, or none when it has ended. `touch`: somebody is there, so it goes on."""
        hashed, now = _hash_token(token), self._clock()
        async with self._store.read() as tx:
            row = await tx.people.session(hashed)
            person = await tx.people.get(row.name) if row else None
        if row is None or person is None or now - row.seen_at > self._idle_ms:
            return None
        if touch and now - row.seen_at > MINUTE_MS:  # once a minute is enough, and spares the disk
            async with self._store.write() as tx:
                await tx.people.touch(hashed, now)
        return SignedIn(token, row.csrf, Actor(person.name, _role(person.role), "person"), now + self._idle_ms)

    async def sign_out(self, token: str) -> None:
        """End one session."""
        async with self._store.write() as tx:
            await tx.people.delete_session(_hash_token(token))

    @staticmethod
    async def _hash(password: str) -> str:
        if len(password) < PASSWORD_MIN:
            raise Problem(
                Kind.WRONG_TYPE,
                field="password",
                expected=f"≥ {PASSWORD_MIN}",
                got=str(len(password)),
                next=N_("Choose at least 12 characters; a few unrelated words are good."),
            )
        if len(password.encode()) > PASSWORD_MAX:
            raise Problem(Kind.TOO_LONG, field="password", expected=f"≤ {PASSWORD_MAX}")
        return await asyncio.to_thread(hash_password, password)


def _check(row: PersonRow | None, password: str) -> None:
    """Raises `WrongPassword`; for an unknown name it takes as long."""
    check_password(row.password_hash if row else _nobodys_hash(), password)


@cache
def _nobodys_hash() -> str:
    return hash_password(random_bytes(16).hex())


def _name(name: str) -> str:
    name = unicodedata.normalize("NFC", " ".join(name.split()))
    if not name:
        raise Problem(Kind.WRONG_TYPE, field="name", expected="1–80")
    if len(name.encode()) > NAME_MAX or any(unicodedata.category(c).startswith("C") for c in name):
        raise Problem(Kind.TOO_LONG, field="name", expected=f"≤ {NAME_MAX}")
    return name


def _person(row: PersonRow) -> models.Person:
    return models.Person(name=row.name, role=_role(row.role), created_at=rfc3339(row.created_at))


def _role(text: str) -> models.RoleName:
    match text:
        case "admin" | "case worker" | "viewer":
            return text
        case _:
            return "viewer"


def _hash_token(token: str) -> bytes:
    return digest(Label.TOKEN, token.encode())
