"""Every layout by a synthetic sample in the shape of the download: the bars that are right, or the question it asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_samples import NOW

from indexer.errors import ImportFileError
from indexer.files.containers import tables_of
from indexer.files.importing import import_files
from indexer.files.layouts import shipped_layouts
from indexer.files.recognising import recognise
from indexer.registry import Registry
from indexer.store.assets import read_listings
from indexer.store.bars import read_bars, read_benchmark_bars
from indexer.store.db import Store
from indexer.times import iso

SAMPLES = Path(__file__).with_name("samples")
HOURS = ["2025-01-27T01:00:00Z", "2025-01-27T02:00:00Z", "2025-01-27T03:00:00Z"]
STARTS = ["2025-01-24T00:00:00Z", "2025-01-25T00:00:00Z", "2025-01-26T00:00:00Z"]
ENDS = ["2025-01-25T00:00:00Z", "2025-01-26T00:00:00Z", "2025-01-27T00:00:00Z"]
NEAR = [5.01, 5.02, 5.03]
CLOSES = ["2025-01-24T21:00:00Z", "2025-01-27T21:00:00Z", "2025-01-28T21:00:00Z"]
WITHIN = ["2025-01-27T15:30:00Z", "2025-01-27T16:30:00Z", "2025-01-27T17:30:00Z"]
QQQ = [529.5, 514.75, 521.25]

TOKENS = {  # layout: options, venue, quote, interval, instants
    "binance_klines": ("", "binance", "USDT", "1h", HOURS),
    "binance_klines_header": ("venue=binance", "binance", "USDT", "1h", HOURS),
    "bybit": ("", "bybit", "USDT", "1h", HOURS),
    "bybit_metatrader": ("", "bybit_perpetual", "USDT", "1h", HOURS),
    "coingecko_ohlc": ("symbol=NEAR quote=USD", "coingecko_aggregate", "USD", "1d", ENDS),
    "okx": ("", "okx", "USDT", "1h", HOURS),
    "coinbase": ("", "coinbase", "USD", "1h", HOURS),
    "coinbase_json": ("", "coinbase", "USD", "1h", HOURS),
    "bitstamp": ("", "bitstamp", "USD", "1h", HOURS),
    "kraken_ohlcvt": ("", "kraken", "USD", "1h", HOURS),
    "cryptodatadownload": ("", "binance", "USDT", "1h", HOURS),
    "coingecko_csv": ("", "coingecko_aggregate", "USD", "1d", STARTS),
    "kraken_json": ("", "kraken", "USD", "1h", HOURS),
    "bybit_json": ("symbol=NEAR quote=USDT", "bybit", "USDT", "1h", HOURS),
    "okx_json": ("", "okx", "USDT", "1h", HOURS),
    "okx_daily_swaps": ("", "okx_perpetual", "USDT", "1h", HOURS),
    "candles_json": ("", "binance", "USDT", "1h", HOURS),
    "candles_close_second": ("symbol=NEAR quote=USDT venue=kucoin", "kucoin", "USDT", "1h", HOURS),
    "gate": ("", "gate", "USDT", "1h", HOURS),
    "htx": ("symbol=NEAR quote=USDT", "htx", "USDT", "1h", HOURS),
    "upbit": ("", "upbit", "USDT", "1h", HOURS),
    "dydx": ("", "dydx_perpetual", "USD", "1h", HOURS),
    "hyperliquid": ("", "hyperliquid_perpetual", "USD", "1h", HOURS),
    "bitmex": ("", "bitmex_perpetual", "USDT", "1h", HOURS),
    "freqtrade_futures": ("", "binance_perpetual", "USDT", "1h", HOURS),
    "tradingview_perpetual": ("", "bybit_perpetual", "USDT", "1h", HOURS),
    "tradingview_aggregate": ("", "tradingview_aggregate", "USD", "1h", HOURS),
    "investing_com_token": ("", "binance", "USD", "1d", ENDS),
    "metatrader4": ("venue=broker timezone=Europe/Athens", "broker", "USD", "1h", HOURS),
    "yfinance_token": ("", "yahoo_aggregate", "USD", "1d", ENDS),
    "yfinance_levels_token": ("", "yahoo_aggregate", "USD", "1d", ENDS),
    "yfinance_frame_token": ("", "yahoo_aggregate", "USD", "1d", ENDS),
    "bars": ("venue=binance", "binance", "USDT", "1h", HOURS),
    "prices": ("symbol=NEAR quote=USDT venue=binance stamp=instant", "binance", "USDT", "1h", HOURS),
    "prices_wide": ("quote=USDT venue=binance stamp=instant", "binance", "USDT", "1h", HOURS),
    "coingecko_market_chart": ("symbol=NEAR quote=USD", "coingecko_aggregate", "USD", "1d", STARTS),
    "coinmarketcap": ("", "coinmarketcap_aggregate", "USD", "1d", ENDS),
    "yahoo_page_token": ("", "yahoo_aggregate", "USD", "1d", ENDS),
    "tradingview_token": ("", "binance", "USDT", "1h", HOURS),
    "coinmetrics": ("", "coinmetrics_aggregate", "USD", "1d", ENDS),
    "coinmetrics_assets": ("", "coinmetrics_aggregate", "USD", "1d", ENDS),
    "dune": ("", "dune_aggregate", "USD", "1d", ENDS),
    "freqtrade": ("", "binance", "USDT", "1h", HOURS),
    "metatrader": ("venue=broker timezone=Europe/Athens", "broker", "USD", "1h", HOURS),
}
BENCHMARKS = {  # layout: options, symbol, interval, instants, closes
    "yahoo_page": ("", "QQQ", "1d", CLOSES, [527.5, 512.75, 519.25]),
    "yfinance_history": ("", "QQQ", "1d", CLOSES, QQQ),
    "yfinance_levels": ("", "QQQ", "1d", CLOSES, QQQ),
    "yfinance_frame": ("", "QQQ", "1d", CLOSES, QQQ),
    "closes_wide": ("kind=benchmarks", "QQQ", "1d", CLOSES, QQQ),
    "fred": ("", "^NDX", "1d", CLOSES, QQQ),
    "fred_other": ("symbol=^IRX", "^IRX", "1d", CLOSES, QQQ),
    "stooq_bulk": ("", "QQQ", "1d", CLOSES, QQQ),
    "yfinance_hourly": ("", "QQQ", "1h", [*WITHIN[:2], "2025-01-27T21:00:00Z"], QQQ),
    "tradingview": ("", "QQQ", "1d", CLOSES, QQQ),
    "investing_com": ("", "QQQ", "1d", CLOSES, [1529.5, 1514.75, 1521.25]),
    "prices_share": ("", "QQQ", "1d", CLOSES, QQQ),
    "nasdaq_com": ("symbol=QQQ", "QQQ", "1d", CLOSES, QQQ),
    "stooq": ("", "QQQ", "1d", CLOSES, QQQ),
}
OURS = {"tokens_daily", "tokens_hourly", "equities_daily", "equities_hourly", "supply_history", "onchain_daily"}
TWO = {"okx_daily"}


def _sample(layout: str) -> Path:
    [path] = [path for path in (SAMPLES / layout).rglob("*") if path.is_file()]
    return path


def _options(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split())


def test_every_layout_has_a_sample_and_is_tested() -> None:
    names = {layout.name for layout in shipped_layouts()}
    assert names == {*TOKENS, *BENCHMARKS, *OURS, *TWO}
    assert {path.name for path in SAMPLES.iterdir()} == names - OURS


@pytest.mark.parametrize("layout", TOKENS)
def test_a_download_of_a_token(store: Store, registry: Registry, layout: str) -> None:
    options, venue, quote, interval, instants = TOKENS[layout]
    [report] = import_files(
        store, [_sample(layout)], registry=registry, clock=lambda: NOW, options=_options(options)
    ).files
    [listing] = read_listings(store)
    bars = read_bars(store)
    assert (listing.asset, listing.venue, listing.quote, listing.interval) == ("near", venue, quote, interval)
    assert [iso(at) for at in bars.time_us] == instants
    assert bars.close.tolist() == NEAR
    assert layout != "cryptodatadownload" or bars.volume_base.min() > 0
    assert report.manifest == f"{layout}.toml"


@pytest.mark.parametrize("layout", BENCHMARKS)
def test_a_download_of_a_benchmark(store: Store, registry: Registry, layout: str) -> None:
    options, symbol, interval, instants, closes = BENCHMARKS[layout]
    [report] = import_files(
        store, [_sample(layout)], registry=registry, clock=lambda: NOW, options=_options(options)
    ).files
    times, stored, _ = read_benchmark_bars(store, symbol, interval=interval)
    assert [iso(at) for at in times] == instants
    assert stored.tolist() == closes
    assert report.manifest == f"{layout}.toml"


def test_a_download_of_several_pairs(store: Store, registry: Registry) -> None:
    import_files(store, [_sample("okx_daily")], registry=registry, clock=lambda: NOW)
    listings = {one.id: (one.asset, one.venue, one.quote) for one in read_listings(store)}
    bars = read_bars(store)
    stored = [(listings[number], close) for number, close in zip(bars.listing_id.tolist(), bars.close, strict=True)]
    assert stored == [(("near", "okx", "USDT"), 5.01)] * 3 + [(("fet", "okx", "USDT"), 1.21)] * 3


@pytest.mark.parametrize("layout", [name for name, told in {**TOKENS, **BENCHMARKS}.items() if told[0]])
def test_what_a_file_does_not_say_is_asked_for_with_the_command(store: Store, registry: Registry, layout: str) -> None:
    options = _options({**TOKENS, **BENCHMARKS}[layout][0])
    path = _sample(layout)
    with pytest.raises(ImportFileError) as caught:
        import_files(store, [path], registry=registry, clock=lambda: NOW)
    command = str(caught.value).splitlines()[-1]
    assert command.startswith("  deai import ")
    assert {word.lower() for word in command.split() if word.isupper()} == set(options)
    assert all(f"{name}: " in str(caught.value) for name in options)


def test_a_table_of_anything_else_is_no_layout(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "t.csv"
    path.write_text("name,age\nx,3\n")
    assert recognise(tables_of(path)[0], registry, {}) is None
