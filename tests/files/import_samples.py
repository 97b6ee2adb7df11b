"""Constants of the import tests: a fixed now, an hourly manifest and its header, where the real data is."""

from datetime import UTC, datetime
from pathlib import Path

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DATA = Path(__file__).parents[2] / ".." / "shared" / "data"

HOURLY = """
kind = "tokens"
interval = "1h"
stamp = "bar_open"
volume_unit = "base"
[columns]
time = "timestamp"
symbol = "symbol"
high = "high"
low = "low"
close = "close"
volume = "volume"
[constants]
venue = "binance"
source = "test"
quote = "USDT"
"""

HEADER = "timestamp,symbol,high,low,close,volume"
