"""The real files of ../shared/data, imported by the shipped manifests: every row is accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from import_samples import NOW, read_rejects

from indexer.files.importing import FileReport, import_files
from indexer.registry import Registry
from indexer.store.assets import read_listings
from indexer.store.bars import read_bars, read_benchmark_bars, read_metrics
from indexer.store.db import Store
from indexer.store.runs import read_runs
from indexer.store.supplies import read_supplies
from indexer.times import HOUR_US, from_us, iso, parse_instant

pytestmark = pytest.mark.slow
ABSENT = {"FLUX", "ROSE"}  # in the files, in no index and not in the registry


def _only(store: Store, registry: Registry, path: Path) -> FileReport:
    return import_files(store, [path], registry=registry, clock=lambda: NOW).files[0]


def test_hourly_tokens(store: Store, registry: Registry, data: Path) -> None:
    report = _only(store, registry, data / "tokens_hourly.csv.gz")
    file = pd.read_csv(data / "tokens_hourly.csv.gz")
    absent = file.symbol.isin(ABSENT)
    assert report.rows == len(file) == 671_497
    assert report.reasons == {"unknown symbol": int(absent.sum())}
    assert (report.new, report.rejected) == (int((~absent).sum()), int(absent.sum()))
    assert (report.duplicates, report.out_of_order, report.filtered) == (0, 0, 0)
    assert len(read_rejects(store)) == report.rejected

    found = read_bars(store, interval="1h")
    listings = {one.id: one for one in read_listings(store)}
    stored = pd.DataFrame(
        {
            "time": found.time_us - HOUR_US,
            "symbol": [listings[one].symbol for one in found.listing_id.tolist()],
            "close": found.close,
            "base": found.volume_base,
            "usd": found.volume_usd,
        }
    )
    wanted = file[~absent].assign(time=pd.to_datetime(file.timestamp).astype("datetime64[us, UTC]").astype("int64"))
    both = wanted.merge(stored, on=["time", "symbol"], how="outer", suffixes=("", "_stored"))
    assert len(both) == len(stored) == report.new
    np.testing.assert_array_equal(both.close, both.close_stored)
    np.testing.assert_array_equal(both.volume_base, both.base)
    np.testing.assert_array_equal(both.volume_base * both.close, both.usd)


def test_the_whole_folder_and_then_again(store: Store, registry: Registry, data: Path) -> None:
    first = {one.name: one for one in import_files(store, [data], registry=registry, clock=lambda: NOW).files}
    assert {name: one.rows for name, one in first.items() if not one.note} == {
        "equities_daily.csv.gz": 43_868,
        "equities_hourly.csv.gz": 58_217,
        "onchain_daily.csv.gz": 32_431,
        "supply_history.csv": 543,
        "tokens_daily.csv.gz": 44_511,
        "tokens_hourly.csv.gz": 671_497,
    }
    chains = first["onchain_daily.csv.gz"]
    assert chains.filtered == sum(chains.left_out.values()) == 2_235 + 52 + 52 and chains.rejected == 0
    assert set(chains.left_out.values()) == {2_235, 52} and any(
        "exchange is not stated" in why for why in chains.left_out
    )
    months = {(one.subject, one.name): one for one in read_metrics(store)}
    issued = months["tao", "month_issued_tokens"]
    assert iso(int(issued.time_us[-1])) == "2025-02-01T00:00:00Z", "of January 2025, known when that is over"
    assert months["btc", "active_addresses"].time_us[0] == parse_instant("2025-11-06")
    assert {name for name, one in first.items() if one.note} == {"tokens_5min_events.csv.gz"}
    for one in first.values():
        assert one.new + one.rejected + one.filtered == one.rows
    assert set().union(*(one.reasons for one in first.values())) == {
        "unknown symbol",
        "no session of the exchange on that date",
    }
    runs = read_runs(store)
    again = import_files(store, [data], registry=registry, clock=lambda: NOW).files
    assert {one.note for one in again} == {"already imported", "left out: no manifest describes it"}
    assert read_runs(store) == runs
    assert all(json.dumps(run.detail) for run in runs)


def test_known_closes_and_moves(store: Store, registry: Registry, data: Path) -> None:
    _only(store, registry, data / "tokens_daily.csv.gz")
    _only(store, registry, data / "equities_daily.csv.gz")
    listings = {one.id: one for one in read_listings(store)}
    found = read_bars(store, interval="1d")

    def close(symbol: str, day_end: str) -> float:
        of = np.array([one for one, listing in listings.items() if listing.symbol == symbol])
        here = np.isin(found.listing_id, of) & (found.time_us == parse_instant(day_end))
        (value,) = found.close[here].tolist()
        return float(value)

    assert close("BTC", "2024-01-11") == 46_653.99
    assert close("BTC", "2025-01-28") == 102_082.83
    assert close("LPT", "2025-06-05") / close("LPT", "2025-06-04") == pytest.approx(1.25, abs=0.1)  # real: no spike

    vendor = [one for one, listing in listings.items() if listing.venue == "yahoo_aggregate"]
    assert np.isnan(found.volume_usd[np.isin(found.listing_id, vendor)]).all()
    assert np.isfinite(found.volume_usd).any()

    times, closes, basis = read_benchmark_bars(store, "NVDA")
    at = int(np.searchsorted(times, parse_instant("2025-01-27T21:00:00Z")))
    assert from_us(int(times[at])).isoformat() == "2025-01-27T21:00:00+00:00"
    assert closes[at] / closes[at - 1] - 1 == pytest.approx(-0.1697, abs=5e-5)
    assert basis == "adjusted_close"


def test_supplies(store: Store, registry: Registry, data: Path) -> None:
    report = _only(store, registry, data / "supply_history.csv")
    assert (report.new, report.rejected) == (543, 0)
    by_key = {(one.asset, one.observed_at.date().isoformat()): one.amount for one in read_supplies(store)}
    assert by_key["fet", "2023-02-01"] == 1_043_462_805 * 10**18
    assert by_key["tao", "2025-01-01"] // 10**9 == 8_189_094
    assert by_key["rndr", "2024-07-01"] != by_key["render", "2024-07-01"]
