"""A small store with known content: two indices with hourly levels, one simulated, one without any level.

The index's session returns are exactly 1.5 times QQQ's plus a known noise; prices, weights and units agree with
the levels, so that answers can be computed by hand in the tests.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np

from indexer.analytics.align import session_closes
from indexer.engine.history import Decision, Rebalance
from indexer.store.assets import ensure_benchmarks, write_assets
from indexer.store.bars import write_benchmark_bars
from indexer.store.db import Store, open_store
from indexer.store.indices import read_index, write_index, write_methodology
from indexer.store.levels import write_levels
from indexer.store.quality import write_quality
from indexer.store.rates import write_rates
from indexer.store.rebalancings import write_rebalancings
from indexer.store.rows import AssetRow, BenchmarkColumns, BenchmarkRow, QualityRow
from indexer.store.runs import finish_run, start_run
from indexer.store.tables import Event
from indexer.times import DAY_US, HOUR_US, from_us, parse_instant, to_us

START = parse_instant("2024-01-01")
HOURS = 24 * 400
NOW = datetime(2025, 2, 4, 0, 30, tzinfo=UTC)
SLUGS = ["alpha", "beta", "gamma", "delta"]
UNITS = np.array([400.0, 300.0, 200.0, 100.0])
RULES = """
id = "{id}"
name = "{id} index"
version = "1.0.0"
base_date = 2024-01-01T00:00:00Z
base_level = 1000.0
effective_from = 2023-01-01T00:00:00Z
[[eligibility]]
effective_from = 2023-01-01T00:00:00Z
[selection]
target = 4
entry_rank = 4
exit_rank = 4
min_constituents = 3
"""


def instants() -> np.ndarray:
    """The hourly instants of every level (HOURS + 1,)."""
    return START + HOUR_US * np.arange(HOURS + 1, dtype=np.int64)


def latent() -> tuple[np.ndarray, np.ndarray]:
    """The benchmark's hourly price (T,) and the tokens' prices (T, 4)."""
    rng = np.random.default_rng(7)
    equity = rng.standard_normal(HOURS) * 0.004
    common = 1.5 * equity + rng.standard_normal(HOURS) * 0.003
    own = rng.standard_normal((HOURS, 4)) * 0.002
    own -= own.mean(axis=1, keepdims=True)
    prices = np.exp(np.vstack([np.zeros(4), np.cumsum(common[:, None] + own, axis=0)]))
    return 100.0 * np.exp(np.r_[0.0, np.cumsum(equity)]), prices


def seeded_store(path: Path) -> Store:
    """A migrated SQLite store with everything above in it."""
    store = open_store(f"sqlite:///{path}")
    store.migrate()
    seed(store)
    return store


def seed(store: Store) -> None:
    """Fills a migrated, empty store."""
    run = start_run(store, kind="test", key="test:1", now=NOW)
    assert run is not None
    ids = write_assets(
        store,
        [
            AssetRow(slug, slug.title(), slug[:3].upper(), "ethereum", f"0x{n:040x}", 18, "compute", "active", slug)
            for n, slug in enumerate(SLUGS)
        ],
    )
    equity, prices = latent()
    times = instants()
    write_rates(
        store,
        run,
        asset_id=np.repeat([ids[slug] for slug in SLUGS], len(times)),
        time_us=np.tile(times, 4),
        rate=prices.T.reshape(-1).copy(),
        status=np.zeros(4 * len(times), np.int8),
        method="test",
        verdicts=["{}"] * (4 * len(times)),
    )
    levels = 1000.0 * (prices @ UNITS) / UNITS.sum()
    for index_id, simulated, factor in (("deai", False, 1.0), ("demo", True, 0.5)):
        _index(store, run, index_id, simulated=simulated, times=times, levels=levels * factor, prices=prices)
    _register(store, "empty", simulated=False)
    closes = np.isin(times, session_closes(from_us(START).date(), NOW.date()))
    _benchmarks(store, run, times[closes], equity[closes])
    shock = datetime(2025, 1, 27, 14, tzinfo=UTC)
    title = "DeepSeek R1 shakes AI valuations"
    with store.writing_session() as session:
        session.add(Event(slug="deepseek-2025", kind="shock", time=shock, title=title, source="test"))
    write_quality(store, run, [QualityRow("gap", "alpha", datetime(2024, 3, 1, tzinfo=UTC))])
    finish_run(store, run, now=NOW)


def _register(store: Store, index_id: str, *, simulated: bool) -> int:
    text = RULES.format(id=index_id)
    methodology = write_methodology(
        store, index_id=index_id, version="1.0", hash=sha256(text.encode()).hexdigest(), text_=text, loaded_at=NOW
    )
    write_index(
        store,
        index_id=index_id,
        name=f"{index_id} index",
        description="for tests",
        methodology_id=methodology,
        simulated=simulated,
    )
    return methodology


def _index(
    store: Store,
    run: int,
    index_id: str,
    *,
    simulated: bool,
    times: np.ndarray,
    levels: np.ndarray,
    prices: np.ndarray,
) -> None:
    methodology = _register(store, index_id, simulated=simulated)
    status = np.zeros(len(times), np.int8)
    status[1000:1010] = 3
    carried = np.where(status == 3, 0.25, 0.0)
    blank = [bytes(32)] * len(times)
    write_levels(
        store,
        run,
        index_id=index_id,
        methodology_id=methodology,
        times_us=times,
        levels=levels,
        status=status,
        carried_weight=carried,
        constituents=np.full(len(times), len(SLUGS)),
        inputs_hash=blank,
        prev_hash=blank,
        hash=blank,
        published_at_us=times + 60_000_000,
    )
    changes = [rebalance(n, prices=prices) for n in range(3)]
    write_rebalancings(store, run, index_id=index_id, methodology_id=methodology, rebalances=changes, slugs=SLUGS)


def rebalance(number: int, *, prices: np.ndarray) -> Rebalance:
    """The base (0) and two rebalances that change nothing, 100 days apart, with evidence."""
    at = number * 100 * 24
    value = prices[at] * UNITS
    weights = value / value.sum()
    return Rebalance(
        kind="base" if number == 0 else "rebalance",
        reference_us=START + at * HOUR_US - 5 * DAY_US,
        effective_us=START + at * HOUR_US,
        units_before=np.zeros(4) if number == 0 else UNITS,
        units_after=UNITS,
        weight_drifted=np.zeros(4) if number == 0 else weights,
        weight_target=weights,
        prices=prices[at],
        divisor_before=1.0,
        divisor_after=1.0,
        level=1000.0 * float(value.sum()) / UNITS.sum(),
        turnover=0.0,
        decisions=tuple(Decision(slug, True, n + 1, "eligible", 1e6, 2, 1e9, 1e7) for n, slug in enumerate(SLUGS)),
    )


def _benchmarks(store: Store, run: int, times: np.ndarray, closes: np.ndarray) -> None:
    rows = [BenchmarkRow("QQQ", "Nasdaq 100 ETF", "etf"), BenchmarkRow("NVDA", "NVIDIA", "equity")]
    ids = ensure_benchmarks(store, [*rows, BenchmarkRow("TSM", "TSMC", "equity")])
    count = len(times)
    write_benchmark_bars(
        store,
        run,
        BenchmarkColumns(
            benchmark_id=np.repeat([ids["QQQ"], ids["NVDA"]], count),
            time_us=np.tile(times, 2),
            close=np.r_[closes, closes**1.8],
            adjusted_close=np.full(2 * count, np.nan),
            volume=np.full(2 * count, np.nan),
            price_basis=["test"] * (2 * count),
            source=["test"] * (2 * count),
        ),
    )


def publish(store: Store, level: float, *, number: int = 0, ends: bool = True) -> int:
    """One more level, as a scheduler of any process would write it, and its run; `number` counts them from 0.

    Where it does not end, the level is there and the run is still at work.
    """
    run = start_run(store, kind="update", key=f"hour:{number}", now=NOW)
    assert run is not None
    write_levels(
        store,
        run,
        index_id="deai",
        methodology_id=read_index(store, "deai").methodology_id,
        times_us=np.array([START + (HOURS + 1 + number) * HOUR_US]),
        levels=np.array([level]),
        status=np.zeros(1, np.int8),
        carried_weight=np.zeros(1),
        constituents=np.array([len(SLUGS)]),
        inputs_hash=[bytes(32)],
        prev_hash=[bytes(32)],
        hash=[bytes(32)],
        published_at_us=to_us(NOW),
    )
    if ends:
        finish_run(store, run, now=NOW)
    return run
