"""Bringing a database to this program's schema, and refusing one that is newer than the program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, text

from almenara.node.storage.errors import SchemaTooNew
from almenara.node.storage.schema import VERSION

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.ext.asyncio import AsyncConnection

FOLDER = Path(__file__).parent / "migrations"


async def to_head(connection: AsyncConnection) -> None:
    """Run the migrations that are missing, in the transaction under way. Raises SchemaTooNew."""
    found = await connection.run_sync(current)
    if found == VERSION:
        return  # spares the import of Alembic, a fifth of a second at every start
    if found > VERSION:
        raise SchemaTooNew(found, VERSION)
    await connection.run_sync(upgrade)


def current(connection: Connection) -> str:
    """The schema's version, empty for a new database. Versions are four digits and rise."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found or ""


def upgrade(connection: Connection, version: str = VERSION) -> None:
    """Go up to a version."""
    from alembic import command  # noqa: PLC0415 - only a new or an old database needs it

    command.upgrade(config(connection), version)


def downgrade(connection: Connection, version: str) -> None:
    """Go down to a version; `base` empties the database."""
    from alembic import command  # noqa: PLC0415 - only a developer needs it

    command.downgrade(config(connection), version)


def config(connection: Connection) -> Config:
    """Alembic's settings for one connection."""
    from alembic.config import Config  # noqa: PLC0415 - see upgrade

    made = Config(attributes=_attributes(connection))
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return made


def _attributes(connection: Connection) -> dict[str, Any]:
    return {"connection": connection}
