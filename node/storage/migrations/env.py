"""How Alembic runs a migration: on the connection and in the transaction that `node.storage.migrate` hands over."""

from __future__ import annotations

from alembic import context

from almenara.node.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
