"""Prices in KRW, EUR and BTC, from the files to the level: converted by a rate of their instant, else they wait."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from import_samples import NOW
from small import FIXED

from indexer.files.importing import FileReport
from indexer.levels.pipeline import update
from indexer.methodology.load import load_methodology
from indexer.registry import Registry
from indexer.store.assets import read_assets
from indexer.store.db import Store
from indexer.store.levels import read_levels
from indexer.store.rates import read_rates
from indexer.verify.store import verify_all

PRICES = """
kind = "tokens"
interval = "1d"
stamp = "bar_open"
volume_unit = "base"
pairs = true
columns = { time = "day", symbol = "pair", close = "close", volume = "volume", venue = "venue" }
constants = { source = "test" }
"""
RATES = """
kind = "benchmarks"
interval = "1d"
stamp = "bar_open"
columns = { time = "day", symbol = "symbol", close = "close" }
constants = { source = "test", price_basis = "close" }
"""
RULES = (
    FIXED.replace("2024-01-01T00:00:00Z", "2024-03-03T00:00:00Z")
    .replace("[[elig", "[schedule]\neffective_day = 3\nreference_days_before = 1\nreconstitution_months = [3]\n[[elig")
    .replace('"aaa", "bbb"', '"near", "fet", "tao"')
    .replace("aaa = 0.5, bbb = 0.5", "near = 0.5, fet = 0.25, tao = 0.25")
)


def test_bars_in_other_currencies_wait_for_a_rate_and_are_converted_by_it(
    take: Callable[..., FileReport], store: Store, registry: Registry
) -> None:
    days = ("2024-03-01", "2024-03-02", "2024-03-03")
    closes = {
        "upbit,KRW-NEAR": (5000, 5500, 6000),
        "bitvavo,FET/EUR": (2, 2.2, 2.4),
        "okx,TAOBTC": (0.01, 0.01, 0.011),
    }
    rows = [f"{day},{name},{close},1000" for name, row in closes.items() for day, close in zip(days, row, strict=True)]
    report = take(*rows, manifest=PRICES, header="day,venue,pair,close,volume")
    assert [note.split(" are priced")[0] for note in report.notes] == ["bars in BTC", "bars in EUR", "bars in KRW"]

    def computed():
        rules = {"small": load_methodology(RULES, source="small.toml", registry=registry)}
        return update(store, registry=registry, methodologies=rules, clock=lambda: NOW)

    first = computed()
    assert first.waiting[2] == (
        "3 bars in KRW wait for a KRW/USD rate of their instants, 2024-03-02T00:00:00Z to 2024-03-04T00:00:00Z"
    )
    assert first.indices == ()
    assert not len(read_rates(store).rate), "a quote currency is not a dollar"

    usd = {"KRW-USD": (0.0008, 0.00075), "EUR-USD": (1.1, 1.0), "BTC-USD": (60_000, 65_000, 62_000)}
    rows = [f"{day},{name},{close}" for name, row in usd.items() for day, close in zip(days, row, strict=False)]
    take(*rows, manifest=RATES, header="day,symbol,close", name="rates.csv")
    report = computed()
    assert [text.split(" wait")[0] for text in report.waiting] == ["1 bars in EUR", "1 bars in KRW"]
    slugs = {asset.id: asset.slug for asset in read_assets(store)}
    rates = read_rates(store)
    found = [(slugs[int(i)], rate) for i, rate in zip(rates.asset_id, rates.rate.tolist(), strict=True)]
    assert sorted(found) == [
        ("fet", pytest.approx(2.2)),  # 2 · 1.1
        ("fet", pytest.approx(2.2)),  # 2.2 · 1.0: the euro fell as the token rose
        ("near", pytest.approx(4.0)),  # 5000 · 0.0008
        ("near", pytest.approx(4.125)),  # 5500 · 0.00075
        ("tao", pytest.approx(600.0)),
        ("tao", pytest.approx(650.0)),
        ("tao", pytest.approx(682.0)),  # 0.011 · 62000
    ]
    # near and fet have no rate of the last day: 500 + 250 + 250 · 682 / 650
    assert read_levels(store, "small").levels.tolist() == [1000.0, 1012.307692]
    [verdict] = verify_all(store, registry)
    assert verdict.ok, verdict.problem
