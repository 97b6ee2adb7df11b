"""Facts by the runs that wrote them: taken over into another store, and what came first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import BigInteger, case, func, literal, or_, select, type_coerce
from sqlmodel import SQLModel, col

from indexer.store.bulk import upsert
from indexer.store.columnar import fields, table_of
from indexer.store.db import Store
from indexer.store.runs import COMPUTING
from indexer.store.tables import Asset, Bar, Benchmark, BenchmarkBar, Listing, Rate, Run, Supply
from indexer.times import from_us, iso


def runs_with_rows(store: Store, model: type[SQLModel]) -> set[int]:
    """The numbers of the runs that wrote into a table."""
    with store.reading() as connection:
        return set(connection.execute(select(*fields(model, "run_id")).distinct()).scalars())


def copy_rows(
    store: Store, into: Store, model: type[SQLModel], *, run: int | None = None, run_id: int | None = None
) -> None:
    """Writes a table's rows into another store where they are not there yet.

    All of them under their own numbers, or those of one run as the run `run_id` there.
    """
    table = table_of(model)
    query = select(table).order_by(*table.primary_key)
    if run is not None:
        query = query.where(table.c.run_id == run)
    with store.reading() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    if run is not None:
        rows = [{name: value for name, value in row.items() if name != "id"} | {"run_id": run_id} for row in rows]
    with into.writing_session() as session:
        upsert(session, model, rows, key=())


def late_facts(store: Store, runs: Collection[int], *, before_us: int, currencies: Collection[str]) -> str:
    """What of the rows of some runs can change what was so before an instant, in words, or ''.

    Those are bars and rates before it, closes of the benchmarks that are currencies too, and any supply.
    """
    quoted = select(col(Benchmark.id)).where(col(Benchmark.symbol).in_(currencies))
    searches = {
        "a bar": select(col(Bar.time)).where(col(Bar.time) < before_us),
        "a rate": select(col(Rate.time)).where(col(Rate.time) < before_us),
        "a currency's rate": select(col(BenchmarkBar.time)).where(
            col(BenchmarkBar.time) < before_us, col(BenchmarkBar.benchmark_id).in_(quoted)
        ),
        "a supply": select(col(Supply.id)),
    }
    models: tuple[type[SQLModel], ...] = (Bar, Rate, BenchmarkBar, Supply)
    with store.reading() as connection:
        for (word, query), model in zip(searches.items(), models, strict=True):
            mine = fields(model, "run_id")[0].in_(runs)
            if connection.execute(query.where(mine).limit(1)).first() is not None:
                return f"{word} came" if model is Supply else f"{word} came of before {iso(before_us)}"
    return ""


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
