"""What the played providers know: real token bars, made into venues that differ a little, as real venues do.

Minutes are interpolated from recorded 5-minute closes; each venue adds its own small deterministic noise. USDT
is worth a little less than a dollar, so that assuming a peg would show.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from indexer.times import DAY_US, INTERVAL_US, MINUTE_US, parse_instant

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
VENUES = ("binance", "coinbase", "kraken", "okx", "bybit")
IN_USD = ("coinbase", "kraken")
NOISE = 5e-5  # half a basis point: deep venues of one token lie this near to each other within a minute


@dataclass
class World:
    """Closes of assets in USD by interval: (open instants, closes, base volumes), and how venues see them."""

    series: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]]
    usdt: float = 0.9987
    noise: float = NOISE
    _cache: dict[tuple[str, str, str], np.ndarray] = field(default_factory=dict)

    def assets(self) -> list[str]:
        return sorted({asset for asset, _ in self.series})

    def bars(self, venue: str, asset: str, interval: str) -> np.ndarray:
        """(N, 7): open instant us, open, high, low, close in the venue's quote, base volume, quote volume."""
        key = (venue, asset, interval)
        if key not in self._cache:
            self._cache[key] = self._make(venue, asset, interval)
        return self._cache[key]

    def _make(self, venue: str, asset: str, interval: str) -> np.ndarray:
        opens, usd, volume = self.series[(asset, interval)]
        seed = sum(ord(c) * 31**k for k, c in enumerate(f"{venue}/{asset}")) % 2**32
        rng = np.random.default_rng(seed)
        close = usd * (1.0 + rng.normal(0.0, self.noise, len(usd)))
        if venue not in IN_USD and asset != "USDT":
            close = close / self.usdt
        first = np.concatenate([close[:1], close[:-1]])
        high = np.maximum(first, close) * 1.00001
        low = np.minimum(first, close) * 0.99999
        base = volume * rng.uniform(0.5, 1.5) * rng.uniform(0.8, 1.2, len(usd))
        return np.column_stack([opens.astype(np.float64), first, high, low, close, base, base * close])


def _read(name: str, wanted: tuple[str, ...], start: str, end: str) -> dict[str, list[tuple[int, float, float]]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the recorded market data is not here: {path}")
    rows: dict[str, list[tuple[int, float, float]]] = {asset: [] for asset in wanted}
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            if row["symbol"] in rows and start <= row["timestamp"] < end:
                volume = float(row["volume_base"] or "nan")
                rows[row["symbol"]].append((parse_instant(row["timestamp"]), float(row["close"]), volume))
    return rows


def with_usdt(world: World, interval: str) -> World:
    """The world with a USDT/USD market on the same grid."""
    opens = next(opens for (_, kind), (opens, _, _) in world.series.items() if kind == interval)
    wave = world.usdt * (1.0 + 2e-5 * np.sin(np.arange(len(opens)) / 97.0))
    world.series[("USDT", interval)] = (opens, wave, np.full(len(opens), 50_000.0))
    return world


@lru_cache(maxsize=2)
def minute_world(
    assets: tuple[str, ...] = ("FET", "NEAR", "GRT"), start: str = "2025-01-26", end: str = "2025-01-29"
) -> World:
    """Minutes of the days around the shock of 2025-01-27."""
    series = {}
    for asset, rows in _read("tokens_5min_events.csv.gz", assets, start, end).items():
        opens5 = np.array([t for t, _, _ in rows])
        closes5 = np.array([c for _, c, _ in rows])
        opens = np.arange(opens5[0], opens5[-1] + 5 * MINUTE_US, MINUTE_US)
        at = np.interp(opens + MINUTE_US, opens5 + 5 * MINUTE_US, np.log(closes5))
        volume = np.repeat([max(v, 1.0) / 5.0 for _, _, v in rows], 5)[: len(opens)]
        series[(asset, "1m")] = (opens, np.exp(at), volume)
    return with_usdt(World(series), "1m")


@lru_cache(maxsize=2)
def hour_world(assets: tuple[str, ...], start: str = "2024-01-01", end: str = "2025-01-01") -> World:
    """Hours and days of a year; a day's close is that of its last hour."""
    series = {}
    for asset, rows in _read("tokens_hourly.csv.gz", assets, start, end).items():
        table = np.array(rows)
        opens = table[:, 0].astype(np.int64)
        assert (np.diff(opens) >= INTERVAL_US["1h"]).all()
        series[(asset, "1h")] = (opens, table[:, 1], np.nan_to_num(table[:, 2], nan=1000.0) + 1.0)
        days, first, count = np.unique(opens // DAY_US, return_index=True, return_counts=True)
        whole = count == 24
        last = first[whole] + 23
        volume = np.add.reduceat(series[(asset, "1h")][2], first)[whole]
        series[(asset, "1d")] = (days[whole] * DAY_US, table[last, 1], volume)
    return with_usdt(with_usdt(World(series), "1h"), "1d")
