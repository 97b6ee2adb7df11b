"""Alembic's entry: runs migrations on the connection that db.py holds, inside its transaction."""

from typing import Any, Literal

from alembic import context
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

import indexer.store.tables  # noqa: F401 - fills the metadata


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """How a new migration spells our column types."""
    if kind == "type" and isinstance(item, AutoString):
        return "sa.String()"
    if kind == "type" and type(item).__module__ == "indexer.store.columns":
        return f"columns.{type(item).__name__}()"
    return False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    render_item=render_item,
    compare_type=True,
    transactional_ddl=True,
)
context.run_migrations()
