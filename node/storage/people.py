"""People who may sign in, and their sessions. On PostgreSQL names and tokens are found by keyed hashes only."""

from __future__ import annotations

from almenara.node.storage import schema
from almenara.node.storage.repository import Repository, Shape
from almenara.node.storage.rows import PersonRow, SessionRow

_PERSON = Shape(PersonRow, schema.people, name_key="name")
_SESSION = Shape(SessionRow, schema.sessions, name_key="name", token_key="token_hash")  # noqa: S106 - column names
_person, _session = schema.people.c, schema.sessions.c


class People(Repository):
    """Persons by name, sessions by the hash of their token."""

    __slots__ = ()

    async def put(self, row: PersonRow) -> None:
        await self._put(_PERSON, row)

    async def get(self, name: str) -> PersonRow | None:
        return await self._row(_PERSON, _person.name_key == name)

    async def all(self) -> list[PersonRow]:
        """In the order they were added."""
        return await self._rows(_PERSON, _PERSON.select().order_by(_person.created_at, _person.name_key))

    async def delete(self, name: str) -> None:
        await self._delete(schema.people, _person.name_key == name)

    async def put_session(self, row: SessionRow) -> None:
        await self._put(_SESSION, row)

    async def session(self, token_hash: bytes) -> SessionRow | None:
        return await self._row(_SESSION, _session.token_key == token_hash)

    async def touch(self, token_hash: bytes, at: int) -> None:
        """The session was used."""
        await self._set(schema.sessions, {"seen_at": at}, _session.token_key == token_hash)

    async def delete_session(self, token_hash: bytes) -> None:
        await self._delete(schema.sessions, _session.token_key == token_hash)

    async def delete_sessions_of(self, name: str) -> None:
        await self._delete(schema.sessions, _session.name_key == name)

    async def expire_sessions(self, before: int) -> int:
        """End sessions last used before this instant; returns how many."""
        return await self._delete(schema.sessions, _session.seen_at < before)
