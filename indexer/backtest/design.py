"""Backtests and sweeps over a store: the market by what is known now, the flagship's published levels beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from indexer.arrays import F64, I64
from indexer.backtest.backtest import Backtest, Result, backtest, daily
from indexer.backtest.sweep import Tried, as_table, read_grid, sweep, write_parquet
from indexer.config import Settings
from indexer.engine.level import compute_index
from indexer.engine.market import Status
from indexer.errors import MethodologyError, NotEnoughDataError, NotFoundError
from indexer.levels.markets import load_market, narrowed
from indexer.levels.pipeline import late_base
from indexer.levels.published import registry_for
from indexer.levels.rules import load_rules
from indexer.methodology.load import FLAGSHIP, load_methodology
from indexer.methodology.spec import Methodology, universe_lines
from indexer.store.db import Store
from indexer.store.indices import read_indices
from indexer.store.levels import read_levels
from indexer.times import DAY_US, iso
from onchain.strict_toml import toml_text


def run_backtest(
    store: Store,
    settings: Settings,
    *,
    file: Path,
    hourly: bool = False,
    end_us: int | None = None,
    out: Path | None = None,
) -> Result:
    """The result of a methodology file over the stored history, up to `end_us`; its daily levels to `out` (Parquet).

    Raises MethodologyError for the file, NotEnoughDataError when it has no base in this history.
    """
    registry = registry_for(store, settings)
    text = toml_text(file, error=MethodologyError)
    methodology = load_methodology(text, source=str(file), registry=registry)
    rules = load_rules(registry, folder=settings.methodology_dir)
    lines = universe_lines(methodology.universe, registry)
    market = narrowed(load_market(store, registry, effects=rules.supplies), methodology, registry)
    market = market if end_us is None else market.until(end_us)
    outcome = backtest(
        market if hourly else daily(market),
        methodology,
        flagship=flagship(store),
        events=rules.events_of(lines),
        end_us=end_us,
    )
    if out is not None:
        write_parquet(_levels(outcome), out)
    return outcome.result


def base_note(store: Store, settings: Settings, methodology: Methodology) -> str:
    """Why an index of these rules begins after its base date over the stored history, or not at all; else ''."""
    registry = registry_for(store, settings)
    rules = load_rules(registry, folder=settings.methodology_dir)
    market = daily(narrowed(load_market(store, registry, effects=rules.supplies), methodology, registry))
    try:
        return late_base(methodology, compute_index(market, methodology), market)
    except NotEnoughDataError as error:
        return str(error)


def run_sweep(
    store: Store,
    settings: Settings,
    *,
    file: Path,
    by: str = "tracking_error",
    out: Path | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Tried]:
    """Every combination of a sweep file over the daily history, best first; every row to `out` when given."""
    grid = read_grid(file)
    registry = registry_for(store, settings)
    rules = load_rules(registry, folder=settings.methodology_dir)
    market = daily(load_market(store, registry, effects=rules.supplies))
    tried = sweep(
        market, registry, grid=grid,
        flagship=flagship(store), by=by, workers=workers, progress=progress, events=rules.basket,
    )  # fmt: skip
    if out is not None:
        write_parquet(as_table(tried), out)
    return tried


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


def _levels(made: Backtest) -> list[dict[str, object]]:
    rounded = np.round(made.levels, 10).tolist()
    return [{"time": iso(time), "level": level} for time, level in zip(made.times_us.tolist(), rounded, strict=True)]
