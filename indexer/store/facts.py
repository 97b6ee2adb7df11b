"""Stored facts by the runs that wrote them: for verification, and to see what came first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Text, case, cast, func, literal, or_, select, type_coerce
from sqlmodel import SQLModel, col

from indexer.store.columnar import Columns, fields, read_columns
from indexer.store.db import Store
from indexer.store.runs import COMPUTING, known_by
from indexer.store.tables import Asset, Bar, Listing, Run, Supply
from indexer.times import from_us


def read_facts(
    store: Store,
    model: type[SQLModel],
    names: Sequence[str],
    *,
    run: int | None = None,
    kind: str | None = None,
    but_run: int | None = None,
    known_us: int | None = None,
    where: Mapping[str, Any] | None = None,
    order: Sequence[str] = (),
) -> Columns:
    """Columns of a table's rows, revisions included: of one run, of a kind of runs, or of all but one run.

    `known_us` leaves only runs that had started by then; `where` gives columns a value or a list of values.
    Exact amounts come as text.
    """
    columns = fields(model, *names)
    wanted = [cast(column, Text).label(column.key) if column.key == "amount" else column for column in columns]
    query = select(*wanted).where(*known_by(model, known_us)).order_by(*fields(model, *order))
    (run_id,) = fields(model, "run_id")
    if run is not None:
        query = query.where(run_id == run)
    if but_run is not None:
        query = query.where(run_id != but_run)
    if kind is not None:
        query = query.where(run_id.in_(select(col(Run.id)).where(col(Run.kind) == kind)))
    for name, value in (where or {}).items():
        (column,) = fields(model, name)
        query = query.where(column.in_(value) if isinstance(value, list) else column == value)
    return read_columns(store, query)


def first_data_since(store: Store, since_us: int, *, until_us: int) -> list[str]:
    """Slugs of assets whose first data came in runs started after `since_us` and is true at or before `until_us`.

    First data of a listing, or of a kind of supply of a source, is what has none before it, or reaches further back
    or further on than what was known. Corrections and rows in between are not.
    """
    new = select(col(Run.id)).where(col(Run.kind) != COMPUTING, col(Run.started_at) > from_us(since_us))
    with store.reading() as connection:
        if connection.execute(new.limit(1)).first() is None:
            return []
        listings = _reaching(Bar, ("listing_id",), time="time", new=new, until_us=until_us)
        readings = _reaching(Supply, ("asset_id", "kind", "source"), time="observed_at", new=new, until_us=until_us)
        of_listings = select(col(Asset.slug)).join(Listing).where(col(Listing.id).in_(listings))
        of_readings = select(col(Asset.slug)).where(col(Asset.id).in_(readings))
        slugs = [slug for query in (of_listings, of_readings) for slug in connection.execute(query).scalars()]
    return sorted(set(slugs))


def _reaching(model: type[SQLModel], series: Sequence[str], *, time: str, new: Any, until_us: int) -> Any:
    """The first column of the series in which new rows reach before or after the old ones."""
    at = type_coerce(fields(model, time)[0], BigInteger)
    is_new = fields(model, "run_id")[0].in_(new)
    new_first, old_first = func.min(case((is_new, at))), func.min(case((~is_new, at)))
    new_last, old_last = func.max(case((is_new & (at <= literal(until_us)), at))), func.max(case((~is_new, at)))
    earlier_or_later = or_(old_first.is_(None), new_first < old_first, new_last > old_last)
    keys = fields(model, *series)
    return select(keys[0]).group_by(*keys).having(new_first <= literal(until_us), earlier_or_later)
