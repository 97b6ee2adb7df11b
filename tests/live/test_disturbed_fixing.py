"""A fixing before providers in trouble of their own: a liar, a burst refused, no market of USDT, broken answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from played import run_of
from simulation import providers

from indexer.config import Settings
from indexer.live.context import live_of
from indexer.live.fixing import fix
from indexer.live.upstream import upstream_of
from indexer.reference.rules import RateStatus
from indexer.registry import load_registry
from indexer.store.assets import read_assets
from indexer.store.db import open_store
from indexer.store.quality import read_open_quality
from indexer.store.rates import read_rates

NOW = datetime(2026, 11, 30, 12, 2, tzinfo=UTC)
DUE = datetime(2026, 11, 30, 12, tzinfo=UTC)
VENUES = ("binance", "okx", "bybit", "defillama", "coingecko")
TROUBLE = """about = "OKX is 3 % above the others, Binance refuses a burst, Bybit fails, DefiLlama is a page"
fault = [
  { provider = "okx", scale = 1.03 },
  { provider = "binance", answer = "429", skip = 8, times = 4 },
  { provider = "bybit", answer = "503", retry_after_s = 1.0, times = 3 },
  { provider = "defillama", answer = "html" },
]
"""


def fixing(folder: Path, profile: str) -> tuple[dict[str, tuple[float, int]], dict[str, str]]:
    """Rates and statuses by asset, and the open entries about quote currencies."""
    with providers(profile, now="2026-11-30T12:02:00Z") as root:
        settings = Settings(data_dir=folder, sources=VENUES, source_base_url=root)
        store = open_store(settings.store_url)
        store.migrate()
        upstream = upstream_of(settings, clock=lambda: NOW)
        live = live_of(store, settings, registry=load_registry(), upstream=upstream, clock=lambda: NOW)
        try:
            fix(live, DUE, run_of(live, "fixing"))
            rows, slugs = read_rates(store), {asset.id: asset.slug for asset in read_assets(store)}
            stale = {row.subject: row.detail for row in read_open_quality(store, ("stale",))}
            columns = zip(rows.asset_id, rows.rate, rows.status, strict=True)
            return {slugs[int(number)]: (float(rate), int(status)) for number, rate, status in columns}, stale
        finally:
            upstream.close()
            store.close()


def test_rates_of_three_venues_are_those_of_a_good_day(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(TROUBLE)
    good, _ = fixing(tmp_path / "good", "healthy")
    rates, stale = fixing(tmp_path / "bad", str(tmp_path / "own.toml"))
    three = [slug for slug, (_, status) in good.items() if status == RateStatus.FINAL]
    assert len(three) > 10
    gaps = np.array([rates[slug][0] / good[slug][0] - 1.0 for slug in three])
    assert np.abs(np.median(gaps)) < 1e-4
    assert np.abs(gaps).max() < 4e-4, "venues of the simulation are up to 2 bp apart"
    assert "USDT at coingecko's price of it" in stale["USDT"]
