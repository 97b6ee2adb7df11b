"""Column types that survive both databases (aware instants, exact integers) and the names of keys and constraints.

SQLite forgets time zones and rounds large NUMERICs (measured); so an instant is an integer of microseconds on
both, and a token amount in base units is text on SQLite and NUMERIC(78, 0) on PostgreSQL.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Dialect, MetaData, Numeric, String
from sqlalchemy.types import TypeDecorator, TypeEngine

from indexer.times import from_us, to_us

# The same on every database, so that migrations can speak of them.
NAMING = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
).naming_convention


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as int64 microseconds since the epoch. Refuses naive datetimes."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_us(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_us(value)


class ExactInteger(TypeDecorator[int]):
    """An integer of any size up to 78 digits, exact on both databases (uint256 fits)."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        exact = Numeric(78, 0) if dialect.name == "postgresql" else String(79)
        return dialect.type_descriptor(exact)

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        return None if value is None else int(value)
