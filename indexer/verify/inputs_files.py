"""Imported files read again from the archive, and held against what their runs stored.

Place in the flow: part of `verify` (see `inputs.py`). The file, its manifest, what symbols meant and the instant of
the import come from the archive, the gates are the program's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import I64
from indexer.files.kept import read_import
from indexer.files.records import bars_of, benchmarks_of, metrics_of, supplies_of
from indexer.files.rows import FileRows
from indexer.store.archive import Archive
from indexer.store.bars import BAR_VALUES
from indexer.store.db import Store
from indexer.store.facts import read_facts
from indexer.store.read import RunRow, read_assets, read_benchmarks, read_listings
from indexer.store.tables import Bar, BenchmarkBar, Metric, Supply
from indexer.times import iso, to_us
from indexer.verify.inputs_rows import Rows, unlike

BENCHMARK_VALUES = ("close", "adjusted_close", "volume", "price_basis", "source")


@dataclass
class FileCheck:
    """The check of imported files; `rows` counts the good rows that were read again."""

    store: Store
    archive: Archive
    rows: int = 0
    _listings: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)

    def problems(self, run: RunRow) -> Iterator[str]:
        """What an import stored and its file does not give, or the other way round.

        Raises NotFoundError or VerificationError when the file or its record cannot be read.
        """
        name, rows = read_import(self.archive, str(run.detail["record"]))
        self.rows += len(rows.order)
        if rows.manifest.kind == "supply":
            yield from self._supplies(run, rows, source=name)
        elif rows.manifest.kind == "metrics":
            yield from self._metrics(run, rows, source=name)
        elif rows.manifest.kind == "benchmarks":
            yield from self._benchmarks(run, rows, source=name)
        else:
            yield from self._bars(run, rows, source=name)

    def _bars(self, run: RunRow, rows: FileRows, *, source: str) -> Iterator[str]:
        if not self._listings:
            for one in read_listings(self.store):
                self._listings[one.asset, one.venue, one.interval, one.source] = one.id or 0
                self._names[one.id or 0] = f"bar of {one.asset} ({one.venue}, {one.interval}, {one.source})"
        keys = [(one.asset, one.venue, one.interval, one.source) for one in rows.listings]
        used = np.unique(rows.series[rows.order]).tolist()
        lost = [keys[n] for n in used if keys[n] not in self._listings]
        if lost:
            yield f"listing {', '.join(lost[0])}: {source} has bars of it, but it is not stored"
            return
        numbers = np.array([self._listings.get(one, -1) for one in keys], dtype=np.int64)
        made = bars_of(rows, slice(None), numbers)
        given = Rows(made.listing_id, made.time_us, {name: getattr(made, name) for name in BAR_VALUES})
        yield from unlike(
            self._written(run, model=Bar, series="listing_id", names=BAR_VALUES),
            _ordered(given),
            earlier=self._earlier(run, model=Bar, series="listing_id", names=BAR_VALUES),
            named=lambda number: self._names.get(number, f"bar of listing {number}"),
            source=source,
        )

    def _benchmarks(self, run: RunRow, rows: FileRows, *, source: str) -> Iterator[str]:
        ids = {one.symbol: one.id or 0 for one in read_benchmarks(self.store)}
        symbols = {number: symbol for symbol, number in ids.items()}
        numbers = np.array([ids.get(one.symbol, -1) for one in rows.benchmarks], dtype=np.int64)
        made = benchmarks_of(rows, slice(None), numbers)
        texts = {"price_basis": made.price_basis, "source": made.source}
        values = {
            name: np.array(texts[name], dtype=object) if name in texts else getattr(made, name)
            for name in BENCHMARK_VALUES
        }
        where = {"interval": rows.manifest.interval}
        yield from unlike(
            self._written(run, model=BenchmarkBar, series="benchmark_id", names=BENCHMARK_VALUES),
            _ordered(Rows(made.benchmark_id, made.time_us, values)),
            earlier=self._earlier(run, model=BenchmarkBar, series="benchmark_id", names=BENCHMARK_VALUES, where=where),
            named=lambda number: f"{rows.manifest.interval} bar of {symbols.get(number, number)}",
            source=source,
        )

    def _supplies(self, run: RunRow, rows: FileRows, *, source: str) -> Iterator[str]:
        ids = {asset.slug: int(asset.id) for asset in read_assets(self.store)}
        slugs = {number: slug for slug, number in ids.items()}
        names = ("asset_id", "observed_at", "run_id", "kind", "source", "origin", "amount")
        found = read_facts(self.store, Supply, names, known_us=_until(run))
        asset, at, wrote, *rest = (found[name].tolist() for name in names)
        stored = list(zip(asset, at, *rest, strict=True))
        given = {
            (ids.get(one.asset), to_us(one.observed_at), one.kind, one.source, one.origin, str(one.amount))
            for one in supplies_of(rows)
        }
        for number, row in zip(wrote, stored, strict=True):
            if number == run.id and row not in given:
                yield f"supply of {slugs[row[0]]} at {iso(row[1])}: stored as {row[5]}, {source} gives another or none"
        for gone in sorted(given - set(stored), key=str)[:5]:
            yield f"supply of {slugs.get(gone[0] or 0)} at {iso(gone[1])} is in {source}, but not stored"

    def _metrics(self, run: RunRow, rows: FileRows, *, source: str) -> Iterator[str]:
        names = ("subject", "name", "source", "time", "value")
        found = read_facts(self.store, Metric, (*names, "run_id"), known_us=_until(run))
        stored = list(zip(*(found[name].tolist() for name in names), strict=True))
        given = {
            (one.subject, one.name, one.source, time, value)
            for one in metrics_of(rows)
            for time, value in zip(one.time_us.tolist(), one.value.tolist(), strict=True)
        }
        for number, row in zip(found["run_id"].tolist(), stored, strict=True):
            if number == run.id and row not in given:
                yield f"{row[1]} of {row[0]} at {iso(row[3])}: stored as {row[4]}, {source} gives another or none"
        for gone in sorted(given - set(stored))[:5]:
            yield f"{gone[1]} of {gone[0]} at {iso(gone[3])} is in {source}, but not stored"

    def _written(self, run: RunRow, *, model: type[Bar | BenchmarkBar], series: str, names: Sequence[str]) -> Rows:
        """What the run itself wrote."""
        found = read_facts(self.store, model, (series, "time", *names), run=run.id, order=(series, "time"))
        return _rows(found, series, names)

    def _earlier(
        self,
        run: RunRow,
        *,
        model: type[Bar | BenchmarkBar],
        series: str,
        names: Sequence[str],
        where: Mapping[str, object] | None = None,
    ) -> Callable[[I64], Rows]:
        """Reads what other runs that began before this one ended wrote of some series, revisions included."""

        def read(numbers: I64) -> Rows:
            found = read_facts(
                self.store,
                model,
                (series, "time", *names),
                but_run=run.id,
                known_us=_until(run),
                where={series: numbers.tolist(), **(where or {})},
            )
            return _rows(found, series, names)

        return read


def _until(run: RunRow) -> int:
    return to_us(run.finished_at or run.started_at)


def _rows(found: dict[str, NDArray[Any]], series: str, names: Sequence[str]) -> Rows:
    return Rows(found[series], found["time"], {name: found[name] for name in names})


def _ordered(rows: Rows) -> Rows:
    order = np.lexsort((rows.time_us, rows.series))
    return rows if (np.diff(order) == 1).all() else rows.take(order)
