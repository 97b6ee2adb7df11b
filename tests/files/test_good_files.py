"""What files may look like: Parquet, other separators, filters, constants, supplies, sessions, volumes, time zones."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from import_samples import HEADER, HOURLY, NOW, read_rejects

from indexer.files.containers import Table
from indexer.files.importing import FileReport, import_files
from indexer.files.manifest import parse_manifest
from indexer.files.rows import gated
from indexer.files.text import blocks
from indexer.registry import Registry
from indexer.store.assets import read_benchmarks, read_listings
from indexer.store.bars import read_bars, read_benchmark_bars
from indexer.store.db import Store
from indexer.store.supplies import read_supplies
from indexer.times import iso, to_us

Take = Callable[..., FileReport]

DAILY_BENCHMARK = """
kind = "benchmarks"
interval = "1d"
stamp = "session_date"
[columns]
time = "date"
symbol = "symbol"
close = "close"
adjusted_close = "adj"
[constants]
source = "test"
price_basis = "unadjusted"
[benchmarks]
QQQ = { name = "Invesco QQQ Trust", kind = "etf" }
"NQ=F" = { name = "E-mini", kind = "future" }
"""

SUPPLY = """
kind = "supply"
[columns]
time = "date"
symbol = "symbol"
supply = "tokens"
[constants]
source = "test"
"""


def test_the_symbol_of_a_time_is_the_asset_of_that_time(take: Take, store: Store) -> None:
    take("2024-07-19T00:00:00Z,RNDR,,,6,1", "2024-07-26T00:00:00Z,RENDER,,,6.5,1")
    slugs = {one.id: (one.asset, one.symbol) for one in read_listings(store)}
    found = read_bars(store)
    assert [slugs[one] for one in found.listing_id.tolist()] == [("rndr", "RNDR"), ("render", "RENDER")]


def test_the_close_of_a_bar_stamped_with_its_open_is_true_at_its_end(take: Take, store: Store) -> None:
    take("2025-01-27T20:00:00Z,FET,,,1,1")
    assert iso(read_bars(store).time_us[0]) == "2025-01-27T21:00:00Z"


@pytest.mark.parametrize(("stamp", "end"), [("bar_close", "20:00"), ("instant", "20:00"), ("bar_open", "21:00")])
def test_what_a_stamp_means(take: Take, store: Store, stamp: str, end: str) -> None:
    take("2025-01-27T20:00:00Z,FET,,,1,1", manifest=HOURLY.replace("bar_open", stamp))
    assert iso(read_bars(store).time_us[0]) == f"2025-01-27T{end}:00Z"


@pytest.mark.parametrize(
    "stamp", ["1738008000", "1738008000000", "2025-01-27 20:00:00+00:00", "2025-01-27T15:00-05:00"]
)
def test_ways_to_write_an_instant(take: Take, store: Store, stamp: str) -> None:
    assert take(f"{stamp},FET,,,1,1").new == 1
    assert iso(read_bars(store).time_us[0]) == "2025-01-27T21:00:00Z"


def test_naive_stamps_are_in_the_manifests_zone(take: Take, store: Store) -> None:
    report = take(
        "2025-01-27 15:00:00,FET,,,1,1",
        "2025-03-09 02:30:00,FET,,,1,1",
        "2025-11-02 01:30:00,FET,,,1,1",
        manifest='timezone = "America/New_York"\n' + HOURLY,
    )
    assert report.new == 1
    assert iso(read_bars(store).time_us[0]) == "2025-01-27T21:00:00Z"
    assert {one.reason for one in read_rejects(store)} == {
        "not a time: skipped or twice in America/New_York (daylight saving)"
    }


def test_parquet_with_native_types(store: Store, registry: Registry, tmp_path: Path) -> None:
    stamps = [datetime(2025, 1, 1, hour, tzinfo=UTC) for hour in range(3)]
    table = pa.table(
        {
            "timestamp": pa.array(stamps, pa.timestamp("ns", tz="UTC")),
            "symbol": ["FET", "FET", "BAD"],
            "high": pa.array([None, 2.0, None], pa.float32()),
            "low": pa.array([None, 1.0, None], pa.float32()),
            "close": pa.array([1, 2, 3], pa.int64()),
            "volume": pa.array([None, 5.0, None]),
        }
    )
    pq.write_table(table, tmp_path / "prices.parquet")
    (tmp_path / "prices.toml").write_text(HOURLY)
    (report,) = import_files(store, [tmp_path / "prices.parquet"], registry=registry, clock=lambda: NOW).files
    assert (report.new, report.rejected) == (2, 1)
    assert read_bars(store).close.tolist() == [1.0, 2.0]
    (kept,) = read_rejects(store)
    assert kept.line == 3
    assert '"symbol": "BAD"' in kept.row


def test_another_separator_and_rows_kept_by_value(take: Take, store: Store) -> None:
    manifest = 'delimiter = ";"\n' + HOURLY.replace("[constants]", '[keep]\nmarket = ["spot"]\n[constants]')
    report = take(
        "2025-01-01T00:00:00Z;FET;;;1;1;spot",
        "2025-01-01T00:00:00Z;FET;;;9;1;perp",
        "nonsense;FET;;;9;1;perp",
        manifest=manifest,
        header="timestamp;symbol;high;low;close;volume;market",
    )
    assert (report.new, report.filtered, report.rejected) == (1, 2, 0)
    assert read_bars(store).close.tolist() == [1.0]


def test_only_comparable_volumes_count_as_traded_value(take: Take, store: Store) -> None:
    manifest = (
        HOURLY.replace('volume_unit = "base"', 'volume_unit = "usd"\nusd_volume_kinds = ["exchange"]')
        .replace('venue = "binance"\n', "")
        .replace('close = "close"', 'close = "close"\nvolume_kind = "kind"\nvenue = "venue"')
    ) + '[quotes]\nyahoo = "USD"\n'
    take(
        "2025-01-01T00:00:00Z,FET,,,2,100,exchange,binance",
        "2025-01-01T00:00:00Z,FET,,,2,900,vendor,yahoo",
        manifest=manifest,
        header="timestamp,symbol,high,low,close,volume,kind,venue",
    )
    found = read_bars(store)
    assert str(found.volume_usd.tolist()) == "[100.0, nan]"
    assert [(one.venue, one.quote) for one in read_listings(store)] == [("binance", "USDT"), ("yahoo", "USD")]


def test_session_dates_become_closes_with_daylight_saving_and_early_closes(take: Take, store: Store) -> None:
    report = take(
        "2025-01-27,QQQ,500,499",
        "2025-07-03,QQQ,501,500",
        "2025-07-07,QQQ,502,501",
        "2025-07-04,QQQ,503,502",
        "2025-07-05T00:00:01,QQQ,503,502",
        "2025-07-04,NQ=F,20000,20000",
        manifest=DAILY_BENCHMARK,
        header="date,symbol,close,adj",
    )
    times, closes, basis = read_benchmark_bars(store, "QQQ")
    assert [iso(one) for one in times] == ["2025-01-27T21:00:00Z", "2025-07-03T17:00:00Z", "2025-07-07T20:00:00Z"]
    assert (closes.tolist(), basis) == ([499.0, 500.0, 501.0], "adjusted_close")
    assert report.reasons == {
        "no session of the exchange on that date": 1,
        "a session date must be a plain date": 1,
    }
    assert [iso(one) for one in read_benchmark_bars(store, "NQ=F")[0]] == ["2025-07-04T21:00:00Z"]
    assert [(one.symbol, one.kind) for one in read_benchmarks(store)] == [("NQ=F", "future"), ("QQQ", "etf")]


def test_an_intraday_bar_ends_with_its_session(take: Take, store: Store) -> None:
    manifest = DAILY_BENCHMARK.replace('"1d"', '"1h"').replace("session_date", "bar_open")
    take(
        "2025-07-03T16:30:00Z,QQQ,500,500",
        "2025-07-07T13:30:00Z,QQQ,501,501",
        "2025-07-07T19:30:00Z,QQQ,502,502",
        manifest=manifest,
        header="date,symbol,close,adj",
    )
    times = read_benchmark_bars(store, "QQQ", interval="1h")[0]
    assert [iso(one) for one in times] == ["2025-07-03T17:00:00Z", "2025-07-07T14:30:00Z", "2025-07-07T20:00:00Z"]


def test_supplies_are_exact_base_units(take: Take, store: Store) -> None:
    report = take(
        "2025-01-01,FET,2602200000.000000000000000001",
        "2025-01-01,TAO,8189094",
        "2025-02-01,TAO,-5",
        "2025-03-01,TAO,lots",
        "2025-04-01,TAO,",
        "2025-05-01,TAO,NaN",
        manifest=SUPPLY,
        header="date,symbol,tokens",
    )
    found = read_supplies(store)
    assert [(one.asset, one.amount) for one in found] == [
        ("fet", 2602200000 * 10**18 + 1),
        ("tao", 8189094 * 10**9),
    ]
    assert to_us(found[0].observed_at) == to_us(datetime(2025, 1, 1, tzinfo=UTC))
    assert (found[0].origin, found[0].kind) == ("imported", "circulating")
    assert set(report.reasons) == {
        "supply is not positive",
        "supply is not a number",
        "supply is empty",
        "supply is not finite",
    }


def test_an_empty_symbol_between_others_mixes_nothing_up(store: Store, registry: Registry, tmp_path: Path) -> None:
    table = pa.table(
        {
            "date": ["2025-01-27", "2025-01-27", "2025-01-27"],
            "symbol": ["QQQ", "", "SPY"],
            "close": [1.0, 2.0, 3.0],
            "adj": [1.0, 2.0, 3.0],
        }
    )
    pq.write_table(table, tmp_path / "closes.parquet")
    (tmp_path / "closes.toml").write_text(DAILY_BENCHMARK)
    (report,) = import_files(store, [tmp_path / "closes.parquet"], registry=registry, clock=lambda: NOW).files
    assert report.reasons == {"no symbol": 1}
    assert read_benchmark_bars(store, "SPY")[1].tolist() == [3.0]
    assert [one.symbol for one in read_benchmarks(store)] == ["QQQ", "SPY"]


def test_dates_no_calendar_knows_are_rejected_not_asked_for(take: Take) -> None:
    days = ("9999-12-31", "2925-01-27", "1925-01-27", "0001-01-01", "2025-01-27")
    report = take(*(f"{day},QQQ,1,1" for day in days), manifest=DAILY_BENCHMARK, header="date,symbol,close,adj")
    assert report.new == 1
    assert report.reasons == {"in the future": 2, "before 1970": 2}


def test_numbers_beyond_measure(take: Take, store: Store) -> None:
    assert take("2025-01-01T00:00:00Z,FET,,,1e300,1e300").new == 1
    assert str(read_bars(store).volume_usd.tolist()) == "[nan]"
    report = take(
        "2025-01-01,FET,1e400", "2025-02-01,FET,1e40", manifest=SUPPLY, header="date,symbol,tokens", name="s.csv"
    )
    assert (report.new, report.reasons) == (1, {"supply is too large": 1})
    assert read_supplies(store)[0].amount == 10**58


def test_progress_ends_at_the_whole(store: Store, registry: Registry, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(
            "timestamp,symbol,high,low,close,volume\n2025-01-01T00:00:00Z,FET,,,"
            + ("1" if name == "a" else "2")
            + ",1\n"
        )
        (tmp_path / f"{name}.toml").write_text(HOURLY)
    seen: list[tuple[int, int]] = []
    import_files(
        store,
        [tmp_path / "a.csv", tmp_path / "b.csv"],
        registry=registry,
        clock=lambda: NOW,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0


def test_a_supply_stamped_when_a_symbol_begins_counts(take, store):
    """RENDER is a symbol from 2023-11-02 00:00 on: a reading of that instant is one of it."""
    report = take("2023-11-02,RENDER,500", manifest=SUPPLY, header="date,symbol,tokens", name="s.csv")
    assert (report.new, report.rejected) == (1, 0)
    assert [row.asset for row in read_supplies(store)] == ["render"]


def test_memory_does_not_grow_with_the_file(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.files.columns.blocks", partial(blocks, size=1 << 17))
    manifest, path = parse_manifest(HOURLY, name="prices.toml"), tmp_path / "prices.csv"

    def peak(rows: int) -> int:
        hours = pd.date_range("1990-01-01", periods=rows, freq="h", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ")
        path.write_text("\n".join([HEADER, *(f"{hour},FET,1.2,0.9,1.0,10" for hour in hours)]) + "\n")
        del hours
        tracemalloc.start()
        parts = gated(Table(path, "text"), manifest, registry=registry, now_us=to_us(NOW))
        assert sum(part.total for part in parts) == rows
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(20_000)  # what is loaded once
    assert peak(80_000) < 1.1 * peak(20_000)
