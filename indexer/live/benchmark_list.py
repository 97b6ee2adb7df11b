"""The benchmarks that are kept up to date, and by which sources: never by one upstream alone where two have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from indexer.store.records import BenchmarkRow


@dataclass(frozen=True, slots=True)
class Followed:
    """A benchmark with its symbol at Yahoo and its series at FRED; empty where a source does not have it."""

    row: BenchmarkRow
    yahoo: str = ""
    fred: str = ""


def _equity(symbol: str, name: str, kind: str = "equity") -> Followed:
    return Followed(BenchmarkRow(symbol, name, kind), yahoo=symbol)


FOLLOWED: Final = (
    _equity("QQQ", "Invesco QQQ Trust", "etf"),
    Followed(BenchmarkRow("^NDX", "Nasdaq-100", "equity_index"), yahoo="^NDX", fred="NASDAQ100"),
    Followed(BenchmarkRow("^IXIC", "Nasdaq Composite", "equity_index"), yahoo="^IXIC", fred="NASDAQCOM"),
    Followed(BenchmarkRow("^GSPC", "S&P 500", "equity_index"), yahoo="^GSPC", fred="SP500"),
    Followed(BenchmarkRow("^VIX", "Cboe Volatility Index", "equity_index"), yahoo="^VIX", fred="VIXCLS"),
    _equity("NQ=F", "E-mini Nasdaq-100 future", "future"),
    _equity("SPY", "SPDR S&P 500 ETF Trust", "etf"),
    _equity("SMH", "VanEck Semiconductor ETF", "etf"),
    _equity("SOXX", "iShares Semiconductor ETF", "etf"),
    _equity("NVDA", "NVIDIA"),
    _equity("MSFT", "Microsoft"),
    _equity("GOOGL", "Alphabet"),
    _equity("META", "Meta Platforms"),
    _equity("AMZN", "Amazon"),
    _equity("AMD", "Advanced Micro Devices"),
    _equity("AVGO", "Broadcom"),
    _equity("TSM", "Taiwan Semiconductor"),
)
# Rates a year in percent at FRED, kept as metrics of `us`: they are not prices.
POLICY_RATES: Final = {"DFF": "fed_funds_percent", "DGS10": "treasury_10y_percent"}
