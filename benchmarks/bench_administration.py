"""Administration on the real history: verification, rebuild, explanation, proof, sweep; each against its goal.

Peers: recomputing an index elsewhere means running its rules again, so `verify` is held against the plain calculator
alone, `explain` against recomputing the whole index for one number, and `sweep` against one methodology at a time
on one core.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from indexer.administration.explain import explain
from indexer.backtest.backtest import daily
from indexer.backtest.sweep import Bench, read_grid, sweep
from indexer.config import Settings
from indexer.engine.level import compute_index
from indexer.engine.second import second_index
from indexer.levels.markets import load_market, narrowed
from indexer.live.context import archive_of
from indexer.methodology.load import shipped
from indexer.store.db import open_store
from indexer.store.levels import read_levels
from indexer.times import DAY_US, HOUR_US, parse_instant
from indexer.verify.proof import check_proof, export_proof
from indexer.verify.replay import Replayed, replay
from indexer.verify.store import verify_all
from indexer.workflow.work import import_and_update, registry_of

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
FILES = ("tokens_hourly.csv.gz", "tokens_daily.csv.gz", "supply_history.csv")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
GRID = """
[sweep]
"weighting.scheme" = ["free_float_cap", "sqrt_cap", "equal", "liquidity"]
"caps.single" = [0.20, 0.25, 0.30, 0.35, 0.50]
"caps.group" = [0.4, 0.5, 0.6, 0.8, 1.0]
"eligibility.min_history_days" = [30, 60, 90, 120, 180]
"""

QUICK_GRID = '\n[sweep]\n"weighting.scheme" = ["equal", "sqrt_cap"]\n'


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Rows: name, ours_ms, peer, peer_ms, ratio (peer / ours), goal. Empty, with a note, without the data.

    `quick` takes the daily file alone, and two methodologies.
    """
    files = FILES[1:] if quick else FILES
    missing = [name for name in files if not (DATA / name).exists()]
    if missing:
        sys.stderr.write(f"no real data ({', '.join(missing)} in {DATA.name}): administration is not measured\n")
        return []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        store = open_store(settings.store_url)
        store.migrate()
        import_and_update(store, settings, paths=[DATA / name for name in files], clock=lambda: NOW)
        try:
            return _rows(store, settings, Path(folder), grid=QUICK_GRID if quick else GRID)
        finally:
            store.close()


def _rows(store: Any, settings: Settings, folder: Path, *, grid: str) -> list[dict[str, Any]]:
    registry = registry_of(settings)
    market = load_market(store, registry)
    parts = {name: narrowed(market, one, registry) for name, one in shipped().items()}
    plain = _once(lambda: [second_index(parts[name], one) for name, one in shipped().items()])
    checked = _once(lambda: _whole(verify_all(store, registry)))
    rows = [_row("verify 7 indices x 24,600 hourly levels", checked, "the plain calculator alone", plain, "<= 10 s")]
    inputs = _once(lambda: _whole([_derived(store, settings, folder)]))
    rows.append(_row("derive the imported files again, compare 716,000 rows", inputs, "verify", checked, "beside it"))
    at = parse_instant("2025-01-27T21:00:00Z")
    said = _median(lambda n: explain(store, registry, index_id="deai", at_us=at + n * HOUR_US))
    whole = _once(lambda: compute_index(load_market(store, registry).select(parts["deai"].slugs), shipped()["deai"]))
    rows.append(_row("explain one level", said, "reading and recomputing the index", whole, "<= 50 ms"))
    proof = folder / "proof.zip"
    written = _once(lambda: export_proof(store, registry, path=proof))
    read = _once(lambda: _whole(check_proof(proof)))
    rows.append(_row("export a proof of 165,000 levels", written, "", None, ""))
    rows.append(_row("check it without a database", read, "verify on the store", checked, ""))
    rows.append(_sweep(store, registry, market, folder, grid))
    return rows


def _derived(store: Any, settings: Settings, folder: Path) -> Replayed:
    """All facts again in a store of its own."""
    empty = open_store(f"sqlite:///{folder / 'again.sqlite'}")
    empty.migrate()
    try:
        return replay(store, empty, registry=registry_of(settings), archive=archive_of(settings), updates=False)
    finally:
        empty.close()


def _sweep(store: Any, registry: Any, market: Any, folder: Path, text: str) -> dict[str, Any]:
    path = folder / "grid.toml"
    path.write_text(shipped()["deai"].text + text, encoding="utf-8")
    grid, days = read_grid(path), daily(market)
    levels = read_levels(store, "deai", step_us=DAY_US)
    bench = Bench(days, registry, (levels.times_us, levels.levels))
    both = _once(lambda: sweep(bench, grid, workers=2))
    alone = _once(lambda: sweep(bench, grid, workers=1))
    return _row(f"sweep {len(grid)} methodologies, daily", both, "one core", alone, "<= 20 s on two cores")


def _whole(found: list[Any]) -> None:
    wrong = [str(getattr(one, "problem", "") or one) for one in found if not one.ok]
    if wrong:
        raise RuntimeError("; ".join(wrong))


def _once(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def _median(work: Callable[[int], object], *, times: int = 25) -> float:
    work(0)
    return statistics.median(_once(lambda n=n: work(n)) for n in range(times))  # type: ignore[misc]


def _row(name: str, ours: float, peer: str, peer_ms: float | None, goal: str) -> dict[str, Any]:
    return {
        "name": name,
        "ours_ms": round(ours, 1),
        "peer": peer,
        "peer_ms": None if peer_ms is None else round(peer_ms, 1),
        "ratio": None if peer_ms is None else round(peer_ms / ours, 2),
        "goal": goal,
    }


if __name__ == "__main__":
    for row in run():
        print(row)
