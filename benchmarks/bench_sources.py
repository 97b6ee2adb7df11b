"""Sources and the reference rate, measured: the fixing, the rate of bars, parsing, and a backfill over sockets.

Run: `python benchmarks/bench_sources.py`. Peers are what one would write with pandas or plain Python.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from indexer.live.plan import least_seconds, series_of  # noqa: E402 - found by the path above
from indexer.live.walk import Piece, Walk  # noqa: E402
from indexer.reference.bars import bar_rates  # noqa: E402
from indexer.reference.fixing import fixing_rates  # noqa: E402
from indexer.sources.base import Ask, Dataset, Mapped  # noqa: E402
from indexer.sources.http import LIMITS, Answer, HttpClient  # noqa: E402
from indexer.sources.registry import build_sources  # noqa: E402
from indexer.times import HOUR_US, from_us, parse_instant  # noqa: E402

ASSETS = (
    *("FET", "NEAR", "GRT", "ICP", "AR", "FIL", "PHA", "NMR", "LPT", "THETA"),
    *("IOTX", "ROSE", "FLUX", "PHB", "BTC", "ETH", "SOL", "WLD", "ARKM", "GLM"),
)


def best(work: Callable[[], object], times: int) -> float:
    """The least milliseconds of several runs."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found) * 1e3


def row(name: str, ours_ms: float, peer: str, peer_ms: float, goal: str) -> dict[str, Any]:
    return {
        "name": name,
        "ours_ms": round(ours_ms, 3),
        "peer": peer,
        "peer_ms": round(peer_ms, 3),
        "ratio": round(peer_ms / ours_ms, 2),
        "goal": goal,
    }


def fixing(repeats: int) -> dict[str, Any]:
    """20 assets × 5 venues × 60 minutes."""
    rng = np.random.default_rng(1)
    prices = 100.0 * (1.0 + rng.normal(0, 1e-4, (20, 5, 60)))
    volumes = rng.lognormal(10, 1, (20, 5, 60))
    memory = fixing_rates(prices, volumes).memory(seconds_to_next=3600)
    ours = best(lambda: fixing_rates(prices, volumes, memory=memory), repeats)

    import pandas as pd

    asset, _, minute = (axis.ravel() for axis in np.indices(prices.shape))
    frame = pd.DataFrame({"asset": asset, "part": minute // 5, "p": prices.ravel(), "v": volumes.ravel()})

    def median(part: pd.DataFrame) -> float:
        part = part.sort_values("p")
        return float(part["p"].to_numpy()[np.searchsorted(part["v"].cumsum(), part["v"].sum() / 2)])

    def pandas() -> object:
        return frame.groupby(["asset", "part"]).apply(median).groupby("asset").mean()

    return row(
        "fixing, 20 assets × 5 venues × 60 minutes", ours, "pandas groupby, medians only", best(pandas, 1), "≤ 5 ms"
    )


def bars(repeats: int) -> dict[str, Any]:
    """40 assets × 24,600 hourly bars × 3 venues, gated and made one rate each."""
    rng = np.random.default_rng(1)
    walk = 100 * np.exp(np.cumsum(rng.normal(0, 0.005, (24_600, 1)), axis=0))
    prices = walk * (1 + rng.normal(0, 1e-3, (24_600, 3)))
    volumes = rng.lognormal(10, 1, (24_600, 3))
    ours = best(lambda: [bar_rates(prices, volumes) for _ in range(40)], repeats)

    rates: list[float] = []

    def python() -> None:
        for p, v in zip(prices[:1000].tolist(), volumes[:1000].tolist(), strict=True):
            half, total = sum(v) / 2, 0.0
            found = 0.0
            for price, volume in sorted(zip(p, v, strict=True)):
                total, found = total + volume, price
                if total >= half:
                    break
            rates.append(found)

    peer = best(python, 3) * 24.6 * 40  # scaled up from 1,000 bars of one asset
    return row(
        "bar rates, 40 assets × 24,600 bars × 3 venues", ours, "plain Python median, no gates", peer, "well under 1 s"
    )


def parsing(repeats: int) -> dict[str, Any]:
    """1,000 klines, gated."""
    start = parse_instant("2024-01-01")
    times = start // 1000 + np.arange(1000) * 3_600_000
    rows = [[int(t), "1.1", "1.2", "1.0", "1.15", "1000.5", int(t) + 1, "1150.5", 9, "0", "0", "0"] for t in times]
    body = json.dumps(rows).encode()
    source = build_sources()["binance"]
    now = start + 2000 * HOUR_US
    (call,) = source.calls(Ask(Dataset.BARS, ("X",), start, start + 1000 * HOUR_US, now))
    answer = Answer("u", 200, {}, body, from_us(now))
    ours = best(lambda: source.parse(call, answer), repeats)

    import pandas as pd

    def pandas() -> object:
        frame = pd.DataFrame(json.loads(body)).iloc[:, [0, 1, 2, 3, 4, 5, 7]].astype(float)
        return frame.assign(t=pd.to_datetime(frame[0], unit="ms", utc=True))

    return row("parse 1,000 klines with all gates", ours, "pandas, no gates", best(pandas, 10), "≤ 20 ms")


async def _backfill(root: str, assets: Sequence[str]) -> tuple[float, float, float, int]:
    start, end = parse_instant("2024-01-01"), parse_instant("2025-01-01")
    async with HttpClient(clock=lambda: datetime(2025, 1, 1, tzinfo=UTC)) as http:
        sources = build_sources(base_url=root)
        rows_of = [Mapped(asset, "binance", f"{asset}USDT", "USDT") for asset in assets]
        wanted = [series_of(row, sources["binance"], "1h", start_us=start, end_us=end, now_us=end) for row in rows_of]
        pieces = [Piece(one, call) for one in wanted for call in one.calls]
        began, cpu = time.perf_counter(), time.process_time()
        rows = 0
        walk = Walk(sources, http, patient=True)
        walk.add(pieces)
        while not walk.over:
            rows += sum(done.parsed.count for done in await walk.take(5.0) if done.parsed)
        await walk.stop()
        least = least_seconds([piece.call for piece in pieces], sources)["binance"]
        return time.perf_counter() - began, time.process_time() - cpu, least, rows


@contextmanager
def _serving() -> Iterator[str]:
    """The played providers in a process of their own; gives their address."""
    command = [sys.executable, str(ROOT / "tests/sources/fault_server.py"), "hours", "2025-01-01T00:00:00Z", *ASSETS]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert server.stdout is not None
    assert server.stdin is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.stdin.close()
        server.stdout.close()
        server.wait(timeout=10)


def backfill(assets: Sequence[str]) -> dict[str, Any]:
    """A year of hours for the assets from the loopback server, at the limits we keep with the real one."""
    with _serving() as root:
        wall, cpu, bound, rows = asyncio.run(_backfill(root, assets))
    why = f"the rate limit's own time ({LIMITS['binance'].per_second:g} a second), {rows} bars"
    goal = f"bounded by the limit, not by us: {cpu / wall:.0%} of one CPU"
    return row(f"backfill of a year of hours, {len(assets)} assets", wall * 1e3, why, bound * 1e3, goal)


def stored(start: str) -> dict[str, Any]:
    """The hours since `start` and what the history job makes of it: archived, converted, written, at no limit."""
    import tempfile

    from indexer.config import Settings
    from indexer.live.context import live_of
    from indexer.live.history import backfill
    from indexer.live.plan import plan_range
    from indexer.live.upstream import Upstream, sources_of
    from indexer.sources.http import HostLimit
    from indexer.store.db import open_store
    from indexer.workflow.work import registry_of

    now = datetime(2025, 1, 1, tzinfo=UTC)
    free = {name: HostLimit(1e6, 1e6, "none: this measures us") for name in LIMITS}
    with tempfile.TemporaryDirectory() as folder, _serving() as root:
        settings = Settings(data_dir=Path(folder), sources=("binance", "coinbase"), source_base_url=root)
        store = open_store(settings.store_url)
        store.migrate()
        upstream = Upstream(sources_of(settings), lambda: HttpClient(limits=free, clock=lambda: now))
        live = live_of(store, settings, registry=registry_of(settings), upstream=upstream, clock=lambda: now)
        plan = plan_range(live, start_us=parse_instant(start), end_us=parse_instant("2025-01-01"))
        began, cpu = time.perf_counter(), time.process_time()
        filled = backfill(live, plan).venues
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        upstream.close()
        store.close()
    what = f"{filled.calls} answers, {filled.bars} bars; {cpu / wall:.0%} of one CPU"
    least = max(least_seconds(plan.calls, live.sources).values()) * 1e3
    return row(
        "the same kept: archive, conversion, store, two venues", wall * 1e3, "the real limits' time", least, what
    )


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """All measurements, as rows of name, ours_ms, peer, peer_ms, ratio (peer / ours) and goal; `quick`: the least."""
    if quick:
        return [fixing(1), bars(1), parsing(1), backfill(ASSETS[:1]), stored("2024-12-30")]
    return [fixing(30), bars(2), parsing(20), backfill(ASSETS), stored("2024-01-01")]


if __name__ == "__main__":
    for line in run():
        print(json.dumps(line, ensure_ascii=False))
