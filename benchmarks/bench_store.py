"""The store against its peers: importing the real hourly file, writing its rows, reading a million of them back.

Peers do what their documentation shows: pandas.to_sql and read_sql over a SQLAlchemy engine, SQLModel's add_all.
The import of ours gates every row, keeps rejects and revisions; the peers write what they are given. Rows of
ORM peers are measured on a part and scaled, which the name says.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parents[1] / ".." / "shared" / "data" / "tokens_hourly.csv.gz"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
READ_ROWS = 1_000_000
ORM_ROWS = 50_000


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Rows of the table; without the real file, generated rows of its shape stand in for it. `quick`: few rows."""
    rows, orm = (2_000, 100) if quick else (READ_ROWS, ORM_ROWS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = DATA if DATA.is_file() and not quick else made_up(folder, rows=2_000 if quick else 671_497)
        return [*_imports(folder, path), *_writes(folder, rows, orm), *_reads(folder, rows, orm)]


def _imports(folder: Path, path: Path) -> list[dict[str, Any]]:
    import pandas as pd
    import pyarrow.csv  # noqa: F401 - loaded before the clock runs, as pandas is
    from sqlalchemy import create_engine

    from indexer.files.importing import import_files
    from indexer.registry import load_registry
    from indexer.store.archive import Archive

    registry, archive = load_registry(), Archive(folder / "archive")

    def pandas_import() -> None:
        frame = pd.read_csv(path, parse_dates=["timestamp"])
        frame.to_sql("bar", create_engine(f"sqlite:///{folder / 'pandas.db'}"), index=False, if_exists="replace")

    with _store(folder / "ours.db") as store:
        ours = _timed(lambda: import_files(store, [path], registry=registry, clock=lambda: NOW, archive=archive))
        again = _timed(lambda: import_files(store, [path], registry=registry, clock=lambda: NOW, archive=archive))
    peer = _timed(pandas_import)
    rows = _count(path)
    return [
        _row(f"import of {rows:,} rows, gated, with rejects, file archived", ours, "read_csv + to_sql", peer, ">= 2 x"),
        _row("the same file again (writes nothing)", again, "read_csv + to_sql", peer, ""),
    ]


def _writes(folder: Path, count: int, orm_rows: int) -> list[dict[str, Any]]:
    import pandas as pd
    from sqlalchemy import create_engine
    from sqlmodel import Session

    from indexer.store.bars import write_bars
    from indexer.store.tables import Bar

    with _store(folder / "write.db") as store:
        run_id, bars = _bars(store, count)
        ours = _timed(lambda: write_bars(store, run_id, bars))
        again = _timed(lambda: write_bars(store, run_id, bars))
    frame = pd.DataFrame({name: getattr(bars, name) for name in type(bars).__dataclass_fields__})
    engine = create_engine(f"sqlite:///{folder / 'frame.db'}")
    peer = _timed(lambda: frame.to_sql("bar", engine, index=False, if_exists="replace"))
    with _store(folder / "orm.db") as store:
        run_id, _ = _bars(store, 2)
        rows = frame.head(orm_rows).rename(columns={"time_us": "time"}).to_dict("records")
        objects = [Bar(**row, run_id=run_id) for row in rows]
        with store.writing() as connection, Session(connection) as session:
            orm = _timed(lambda: (session.add_all(objects), session.flush())) * count / orm_rows
    return [
        _row(f"write of {count:,} bars as revisions", ours, "pandas.to_sql, no key", peer, ">= 2 x"),
        _row(f"write of {count:,} bars as revisions", ours, f"SQLModel add_all, {orm_rows:,} scaled", orm, ""),
        _row("the same bars again (all compared, none written)", again, "pandas.to_sql, no key", peer, ""),
    ]


def _reads(folder: Path, count: int, orm_rows: int) -> list[dict[str, Any]]:
    import pandas as pd
    from sqlalchemy import create_engine, select
    from sqlmodel import Session

    from indexer.store.bars import read_bars, write_bars
    from indexer.store.tables import Bar

    columns = "listing_id, time, close, volume_base, volume_usd"
    with _store(folder / "read.db") as store:
        run_id, bars = _bars(store, count)
        write_bars(store, run_id, bars)
        ours = _median(lambda: read_bars(store))
        engine = create_engine(f"sqlite:///{store.path}")
        store.close()
        peer = _median(lambda: pd.read_sql(f"SELECT {columns} FROM bar", engine), times=3)
        with Session(engine) as session:
            orm = _timed(lambda: session.execute(select(Bar).limit(orm_rows)).all()) * count / orm_rows
        engine.dispose()
        write_bars(store, run_id, _one_changed(bars))
        revised = _median(lambda: read_bars(store))
    return [
        _row(f"read of {count:,} bars, latest revision", ours, "pandas.read_sql, same columns", peer, ">= 10 x"),
        _row(f"read of {count:,} bars, one of them revised", revised, "pandas.read_sql, same columns", peer, ""),
        _row(f"read of {count:,} bars, latest revision", ours, f"ORM objects, {orm_rows:,} scaled", orm, ""),
    ]


def _bars(store: Any, count: int) -> tuple[int, Any]:
    """A run and so many minute bars of thirty listings, in the order of the key."""
    from indexer.store.assets import ensure_listings, write_assets
    from indexer.store.rows import AssetRow, BarColumns, ListingRow
    from indexer.store.runs import start_run

    slugs = [f"token{i}" for i in range(30)]
    write_assets(store, [AssetRow(s, s, s.upper(), "chain", s, 18, "x", "core", s) for s in slugs])
    ids = ensure_listings(store, [ListingRow(s, "venue", "bench", s.upper(), "1m", "bar_open") for s in slugs])
    run_id = start_run(store, kind="bench", key="bench", now=NOW)
    assert run_id is not None
    each = -(-count // len(ids))
    rng = np.random.default_rng(1)
    return run_id, BarColumns(
        np.repeat(np.array(ids, dtype=np.int64), each)[:count],
        np.tile(1_700_000_000_000_000 + np.arange(each, dtype=np.int64) * 60_000_000, len(ids))[:count],
        *(rng.uniform(1, 2, count) for _ in range(6)),
    )


def _one_changed(bars: Any) -> Any:
    part = type(bars)(*(getattr(bars, name)[:1].copy() for name in type(bars).__dataclass_fields__))
    part.close[0] += 1.0
    return part


def made_up(folder: Path, *, rows: int) -> Path:
    """Generated rows with the columns of the real file."""
    import pandas as pd

    symbols = ("FET", "TAO", "NEAR", "ICP", "RENDER", "GRT", "AR", "FIL", "LPT", "NMR")
    each = -(-rows // len(symbols))
    stamps = pd.date_range("2018-06-01", periods=each, freq="h", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ")
    frame = pd.DataFrame({"timestamp": np.tile(stamps, len(symbols)), "symbol": np.repeat(symbols, each)}).head(rows)
    rng = np.random.default_rng(1)
    for name in ("open", "high", "low", "close", "volume_base"):
        frame[name] = 2.0 if name == "high" else 1.0 if name == "low" else rng.uniform(1, 2, rows).round(4)
    frame["venue"], frame["source"] = "binance_spot", "made up"
    path = folder / "tokens_hourly.csv.gz"
    frame.to_csv(path, index=False, compression={"method": "gzip", "compresslevel": 1})
    return path


def _count(path: Path) -> int:
    import gzip

    with gzip.open(path, "rb") as stream:
        return sum(1 for _ in stream) - 1


@contextmanager
def _store(path: Path) -> Iterator[Any]:
    from indexer.store.db import open_store

    store = open_store(f"sqlite:///{path}")
    store.migrate()
    try:
        yield store
    finally:
        store.close()


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def _median(work: Callable[[], object], *, times: int = 5) -> float:
    work()
    return statistics.median(_timed(work) for _ in range(times))


def _row(name: str, ours: float, peer: str, peer_ms: float, goal: str) -> dict[str, Any]:
    return {"name": name, "ours_ms": ours, "peer": peer, "peer_ms": peer_ms, "ratio": peer_ms / ours, "goal": goal}
