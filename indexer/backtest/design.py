"""Backtests and sweeps over a store: the market by what is known now, the flagship's published levels beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.arrays import F64, I64
from indexer.backtest.backtest import Backtest, Result, daily
from indexer.backtest.sweep import Bench, Tried, as_table, read_grid, sweep
from indexer.backtest.wide import Progress, quiet, run_wide
from indexer.config import Settings
from indexer.engine.level import compute_index
from indexer.engine.market import STATUS_NAMES, Status
from indexer.errors import InputError, MethodologyError, NotEnoughDataError, NotFoundError
from indexer.levels.markets import load_market, narrowed
from indexer.levels.pipeline import late_base
from indexer.levels.published import registry_for
from indexer.levels.rules import load_rules
from indexer.methodology.load import FLAGSHIP, load_methodology
from indexer.methodology.spec import Methodology
from indexer.store.db import Store
from indexer.store.drafts import draft
from indexer.store.indices import read_indices
from indexer.store.levels import read_levels
from indexer.times import DAY_US
from onchain.strict_toml import toml_text

if TYPE_CHECKING:
    import pyarrow as pa


def run_backtests(
    store: Store,
    settings: Settings,
    *,
    files: Sequence[Path],
    hourly: bool = False,
    end_us: int | None = None,
    cost_bps: float = 0.0,
    out: Path | None = None,
    cluster: str = "",
    workers: int | None = None,
    progress: Progress = quiet,
) -> list[Result]:
    """The result of each methodology file over the stored history, up to `end_us`; their days to `out` (CSV, Parquet).

    Raises MethodologyError for a file, NotEnoughDataError when one has no base in this history.
    """
    check_ending(out)
    registry = registry_for(store, settings)
    rules = [
        load_methodology(toml_text(file, error=MethodologyError), source=str(file), registry=registry) for file in files
    ]
    bench = bench_of(store, settings, hourly=hourly, end_us=end_us, cost_bps=cost_bps)
    outcomes = run_wide(bench, rules, cluster=cluster, workers=workers, progress=progress)
    if out is not None:
        write_table(_days(outcomes), out)
    return [outcome.result for outcome in outcomes]


def run_sweep(
    store: Store,
    settings: Settings,
    *,
    file: Path,
    by: str = "tracking_error",
    cost_bps: float = 0.0,
    out: Path | None = None,
    cluster: str = "",
    workers: int | None = None,
    progress: Progress = quiet,
) -> list[Tried]:
    """Every combination of a sweep file over the daily history, best first; every row to `out` when given."""
    check_ending(out)
    grid, bench = read_grid(file), bench_of(store, settings, cost_bps=cost_bps)
    tried = sweep(bench, grid, by=by, cluster=cluster, workers=workers, progress=progress)
    if out is not None:
        import pyarrow as pa

        write_table(pa.Table.from_pylist(as_table(tried)), out)
    return tried


def bench_of(
    store: Store, settings: Settings, *, hourly: bool = False, end_us: int | None = None, cost_bps: float = 0.0
) -> Bench:
    """What is stored, to try methodologies on; the market of every hour or of every day."""
    registry = registry_for(store, settings)
    rules = load_rules(registry, folder=settings.methodology_dir)
    market = load_market(store, registry, effects=rules.supplies)
    market = market if end_us is None else market.until(end_us)
    market = market if hourly else daily(market)
    return Bench(market, registry, flagship(store), tuple(rules.basket), cost_bps=cost_bps, end_us=end_us)


def base_note(store: Store, settings: Settings, methodology: Methodology) -> str:
    """Why an index of these rules begins after its base date over the stored history, or not at all; else ''."""
    bench = bench_of(store, settings)
    market = narrowed(bench.market, methodology, bench.registry)
    try:
        return late_base(methodology, compute_index(market, methodology), market)
    except NotEnoughDataError as error:
        return str(error)


def flagship(store: Store) -> tuple[I64, F64] | None:
    """Daily instants and levels of the flagship (or of the only index there is), None without any."""
    known = [row.id for row in read_indices(store)]
    name = FLAGSHIP if FLAGSHIP in known else (known[0] if len(known) == 1 else None)
    if name is None:
        return None
    try:
        rows = read_levels(store, name, step_us=DAY_US)
    except NotFoundError:
        return None
    good = rows.status != Status.IMPAIRED
    return (rows.times_us[good], rows.levels[good]) if good.any() else None


def _days(outcomes: Sequence[Backtest]) -> pa.Table:
    """A row for each index and day: both levels, status, one-way turnover, and the weights held from then on."""
    import pyarrow as pa

    tables = []
    for outcome in outcomes:
        columns: dict[str, Any] = {
            "time": pa.array(outcome.times_us, pa.timestamp("us", "UTC")),
            "index": [outcome.result.index] * len(outcome.times_us),
            "level": outcome.levels,
            "net_level": outcome.net_levels,
            "status": [STATUS_NAMES[status] for status in outcome.status.tolist()],
            "turnover": outcome.turnover,
        }
        tables.append(pa.table(columns | {f"weight.{of}": outcome.weights[:, n] for n, of in enumerate(outcome.slugs)}))
    return pa.concat_tables(tables, promote_options="default")


def check_ending(path: Path | None) -> None:
    """Raises InputError for a table that is neither .csv nor .parquet, before anything is computed for it."""
    if path is not None and path.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"{path}: give a name that ends in .csv or .parquet")


def write_table(table: pa.Table, path: Path) -> None:
    """The table as a CSV or Parquet file, written beside and moved in place when whole.

    CSV has instants in ISO 8601 and lists with semicolons between. Raises InputError for the place.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv
    import pyarrow.parquet as pq

    with draft(path) as part:
        if path.suffix.lower() == ".parquet":
            pq.write_table(table, part, compression="zstd")
            return
        for n, column in enumerate(table.schema):
            cells = table[n]
            if pa.types.is_timestamp(column.type):
                cells = pc.strftime(cells.cast(pa.timestamp("s", "UTC")), "%Y-%m-%dT%H:%M:%SZ")
            elif pa.types.is_list(column.type):
                cells = pc.binary_join(cells.cast(pa.list_(pa.string())), "; ")
            table = table.set_column(n, column.name, cells)
        pa.csv.write_csv(table, part, pa.csv.WriteOptions(quoting_style="needed"))
