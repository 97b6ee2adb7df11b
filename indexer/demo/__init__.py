"""The simulated market, drawn from a seed so that a later call extends and never changes history, and its store.

A latent equity price moves every hour, more in the exchange's session than outside it. Every token's log return
is 1.5 times the equity's plus a common crypto move and a move of its own; benchmarks are the equity seen at the
exchange's closes. So the index's true beta to the simulated QQQ is 1.5, and anyone can check what we estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from indexer.analytics.align import session_closes
from indexer.arrays import F64, I64
from indexer.levels.pipeline import UpdateReport, update
from indexer.methodology.load import load_methodology
from indexer.registry import Registry
from indexer.registry.read import DECIMALS, SOURCE, TOKENS, simulated_registry
from indexer.store.assets import ensure_benchmarks, ensure_listings, write_registry
from indexer.store.bars import write_bars, write_benchmark_bars
from indexer.store.db import Store
from indexer.store.rows import BarColumns, BenchmarkColumns, BenchmarkRow, ListingRow, SupplyRow
from indexer.store.runs import finish_run, start_run
from indexer.store.supplies import write_supplies
from indexer.times import DAY_US, HOUR_US, Clock, from_us, iso, parse_instant, to_us

TRUE_BETA = 1.5
START_US = parse_instant("2025-01-01")
SEED = 20250127
EQUITY_YEARLY_SD = 0.22
CRYPTO_YEARLY_SD = 0.35
OWN_YEARLY_SD = 0.60
SESSION_HOURS = range(14, 21)
HOURS_A_YEAR = 365 * 24
# Betas of the simulated benchmarks to the latent equity, and their own yearly risk.
BENCHMARKS = {"QQQ": (1.0, 0.0), "NVDA": (1.8, 0.30), "SMH": (1.4, 0.15), "SPY": (0.8, 0.05)}


@dataclass(frozen=True, slots=True)
class SimulatedMarket:
    """Hourly closes: instants (T,), the latent equity (T,), tokens (T, 12) in USD, volumes (T, 12) in tokens."""

    times_us: I64
    equity: F64
    tokens: F64
    volumes: F64
    benchmarks: dict[str, F64]


def simulate(until_us: int) -> SimulatedMarket:
    """The market from 2025-01-01 to the last full hour at or before `until_us`."""
    hours = max(0, (until_us - START_US) // HOUR_US)
    rng = np.random.default_rng(SEED)
    width = 2 + 2 * TOKENS + len(BENCHMARKS)
    draws = rng.standard_normal((hours, width))  # row by row: a longer draw begins with the shorter one
    times = START_US + HOUR_US * np.arange(1, hours + 1, dtype=np.int64)
    day = times // DAY_US
    weekday = (day + 3) % 7 < 5
    hour = (times // HOUR_US) % 24
    in_session = weekday & np.isin(hour, list(SESSION_HOURS))
    tempo = np.where(in_session, 1.8, np.where(weekday, 0.5, 0.15))
    equity = draws[:, 0] * tempo * EQUITY_YEARLY_SD / HOURS_A_YEAR**0.5
    crypto = draws[:, 1] * CRYPTO_YEARLY_SD / HOURS_A_YEAR**0.5
    own = draws[:, 2 : 2 + TOKENS] * OWN_YEARLY_SD / HOURS_A_YEAR**0.5
    returns = TRUE_BETA * equity[:, None] + crypto[:, None] + own
    start = 2.0 ** np.arange(TOKENS)[::-1] / 8
    noise = draws[:, 2 + 2 * TOKENS :]
    seen = {
        symbol: 100 * np.exp(np.cumsum(beta * equity + noise[:, n] * sd / HOURS_A_YEAR**0.5))
        for n, (symbol, (beta, sd)) in enumerate(BENCHMARKS.items())
    }
    tokens = start * np.exp(np.cumsum(returns, axis=0))
    traded_usd = 400_000 * np.exp(0.5 * draws[:, 2 + TOKENS : 2 + 2 * TOKENS])
    return SimulatedMarket(times, 100 * np.exp(np.cumsum(equity)), tokens, traded_usd / tokens, seen)


METHODOLOGY = Path(__file__).with_name("methodology.toml")
WHOLE_TOKENS = 1_000_000_000


def build_demo(
    store: Store, *, clock: Clock, progress: Callable[[int, int], None] = lambda done, total: None
) -> UpdateReport:
    """Write the market up to the last full hour and compute its index. A later call adds only what is new."""
    registry = simulated_registry()
    write_registry(store, registry)
    until = (to_us(clock()) // HOUR_US) * HOUR_US
    run_id = start_run(store, kind="simulate", key=f"simulate:{iso(until)}", now=clock())
    if run_id is not None:
        market = simulate(until)
        _write_tokens(store, run_id, market, registry)
        progress(1, 4)
        _write_benchmarks(store, run_id, market)
        _write_supplies(store, run_id, registry, until_us=until)
        finish_run(store, run_id, now=clock(), detail={"hours": len(market.times_us)})
    progress(2, 4)
    methodology = load_methodology(METHODOLOGY.read_text(encoding="utf-8"), source=METHODOLOGY.name)
    report = update(store, registry=registry, methodologies={methodology.id: methodology}, clock=clock, simulated=True)
    progress(4, 4)
    return report


def _write_tokens(store: Store, run_id: int, market: SimulatedMarket, registry: Registry) -> None:
    listings = [
        ListingRow(asset=a.slug, venue=SOURCE, source=SOURCE, symbol=a.symbol, interval="1h", stamp="bar_close")
        for a in registry.assets
    ]
    unknown = np.full(len(market.times_us), np.nan)
    for n, listing in enumerate(ensure_listings(store, listings)):
        closes, volumes = market.tokens[:, n], market.volumes[:, n]
        bars = BarColumns(
            listing_id=np.full(len(closes), listing, dtype=np.int64), time_us=market.times_us,
            open=unknown, high=unknown, low=unknown, close=closes, volume_base=volumes, volume_usd=volumes * closes,
        )  # fmt: skip
        write_bars(store, run_id, bars)


def _write_benchmarks(store: Store, run_id: int, market: SimulatedMarket) -> None:
    rows = [BenchmarkRow(symbol=name, name=f"Simulated {name}", kind="equity") for name in BENCHMARKS]
    ids = ensure_benchmarks(store, rows)
    if not len(market.times_us):
        return
    first, last = from_us(START_US).date(), from_us(int(market.times_us[-1])).date() + timedelta(days=1)
    closes_us = session_closes(first, last)
    closes_us = closes_us[(closes_us >= market.times_us[0]) & (closes_us <= market.times_us[-1])]
    slot = np.searchsorted(market.times_us, closes_us)
    for symbol, series in market.benchmarks.items():
        bars = BenchmarkColumns(
            benchmark_id=np.full(len(slot), ids[symbol], dtype=np.int64), time_us=closes_us, close=series[slot],
            adjusted_close=series[slot], volume=np.full(len(slot), np.nan), price_basis=["simulated"] * len(slot),
            source=[SOURCE] * len(slot),
        )  # fmt: skip
        write_benchmark_bars(store, run_id, bars)


def _write_supplies(store: Store, run_id: int, registry: Registry, *, until_us: int) -> None:
    """A billion tokens each, stated anew every 30 days: a supply that is too old would not be used."""
    amount = WHOLE_TOKENS * 10**DECIMALS
    rows = [
        SupplyRow(asset.slug, "circulating", "imported", SOURCE, observed_at=from_us(observed_us), amount=amount)
        for asset in registry.assets
        for observed_us in range(START_US, until_us + 1, 30 * DAY_US)
    ]
    write_supplies(store, run_id, rows)
