"""For the import tests: a fixed now, an hourly manifest and its header, where the real data is, what was not taken."""

from datetime import UTC, datetime
from pathlib import Path

from sqlmodel import col, select

from indexer.store.db import Store
from indexer.store.rows import RejectRow, as_row
from indexer.store.tables import Reject

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


def read_rejects(store: Store) -> list[RejectRow]:
    """Rows that were not taken, by file and line."""
    with store.session() as session:
        rows = session.exec(select(Reject).order_by(col(Reject.file), col(Reject.line), col(Reject.id)))
        return [as_row(RejectRow, reject) for reject in rows]
