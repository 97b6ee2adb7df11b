"""What an hour costs a running server: the tick with a new bar a token, with nothing new, with more indices, `/readyz`
and answers that nobody has asked for since. CPU time.

The store is generated: thirty tokens by the hour, all shipped indices. Four times the history shows what grows with it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

BEGIN, DAYS, TOKENS = datetime(2023, 1, 1, tzinfo=UTC), 245, 30  # no review is due then, nor at four times it
REPEATS, CUSTOM = 5, 10
COLD = {
    "event study": "/v1/indices/deai/events/deepseek",
    "breadth": "/v1/indices/deai/breadth",
    "factsheet PDF": "/v1/indices/deai/factsheet.pdf",
    "chart": "/charts/deai.svg",
}


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Rows of the table; the peer of a tick is the same store computed as a whole, which a late bar makes it do."""
    with tempfile.TemporaryDirectory() as name:
        once = _World(Path(name) / "once", days=120 if quick else DAYS)
        repeats = 1 if quick else REPEATS
        tick = statistics.median(once.hour() for _ in range(repeats))
        whole, idle = once.late(), statistics.median(once.update() for _ in range(repeats))
        ready, cold = once.readyz(repeats), once.readyz(0)
        rows = [
            _row("tick, one new hour of every token, sealed", tick, "a late bar: all computed", whole, "<= 150 ms"),
            _row("tick with nothing new", idle, None, None, "<= 15 ms"),
            _row("/readyz", ready, "without a watched version", cold, "<= 2 ms"),
        ]
        once.store.close()
        more = _World(Path(name) / "more", days=120 if quick else DAYS, custom=CUSTOM)
        each = (statistics.median(more.hour() for _ in range(repeats)) - tick) / CUSTOM
        more.store.close()
        rows.append(_row("tick, one custom index more", max(each, 0.0), "all shipped ones", tick, "<= 2 ms"))
        if not quick:
            much = _World(Path(name) / "much", days=4 * DAYS)
            grown = statistics.median(much.hour() for _ in range(repeats))
            rows.append(_row("tick, one new hour, 4 x the history", grown, "1 x the history", tick, "ratio >= 0.83"))
            rows += [_row(f"cold answer: {what}", *much.cold(path), "<= 60 ms") for what, path in COLD.items()]
            much.store.close()
    return rows


class _World:
    """A store of generated hours, brought up to date."""

    def __init__(self, folder: Path, *, days: int, custom: int = 0) -> None:
        from indexer.config import Settings
        from indexer.registry import load_registry
        from indexer.store.assets import ensure_listings, write_registry
        from indexer.store.db import open_store
        from indexer.store.rows import ListingRow

        self.settings = Settings(data_dir=folder, methodology_dir=_copies(folder / "rules", custom))
        self.store = open_store(self.settings.store_url)
        self.store.migrate()
        registry = load_registry()
        write_registry(self.store, registry)
        assets = [asset for asset in registry.assets if asset.line == asset.slug and not asset.candidate_from][:TOKENS]
        listings = [ListingRow(one.slug, "binance_spot", "made up", one.symbol, "1h", "bar_open") for one in assets]
        self.listings = np.array(ensure_listings(self.store, listings), dtype=np.int64)
        self.rng, self.at, self.runs = np.random.default_rng(1), BEGIN, 0
        self.bars(24 * days, supplies=[(one.slug, one.decimals) for one in assets])
        self.update()
        self.hour()  # the first hour after the first publication

    def bars(self, hours: int, *, back: int = 0, supplies: Sequence[tuple[str, int]] = ()) -> None:
        """So many more hours of every token, with `supplies` by slug and decimals; or one hour of `back` hours ago."""
        from indexer.store.bars import write_bars
        from indexer.store.rows import BarColumns, SupplyRow
        from indexer.store.runs import finish_run, start_run
        from indexer.store.supplies import write_supplies
        from indexer.times import HOUR_US, to_us

        times = to_us(self.at) + np.arange(1, hours + 1) * HOUR_US - back * HOUR_US
        count = hours * len(self.listings)
        close = np.exp(self.rng.normal(0.0, 0.01, (len(self.listings), hours)).cumsum(axis=1)).ravel()
        prices = [close] * 4
        self.runs += 1
        run_id = start_run(self.store, kind="import", key=f"import:{self.runs}", now=self.now)
        volumes = (np.full(count, 1e5), np.full(count, 1e6))
        listing, time_us = np.repeat(self.listings, hours), np.tile(times, len(self.listings))
        write_bars(self.store, run_id or 0, BarColumns(listing, time_us, *prices, *volumes))
        months = [BEGIN + timedelta(days=30 * n - 20) for n in range(hours // 720 + 1)]
        facts = [
            SupplyRow(slug, "circulating", "imported", "made up", at, 10 ** (decimals + 8))
            for slug, decimals in supplies
            for at in months
        ]
        write_supplies(self.store, run_id or 0, facts)
        self.at += timedelta(hours=0 if back else hours)
        finish_run(self.store, run_id or 0, now=self.now)

    @property
    def now(self) -> datetime:
        """Later than what is there, and than the days in which an index is set up."""
        return self.at + timedelta(days=3 * min(self.runs, 2), minutes=self.runs)

    def update(self) -> float:
        """CPU milliseconds of bringing rates and levels up to date."""
        from indexer.workflow.work import computed

        return _cpu_ms(lambda: computed(self.store, self.settings, clock=lambda: self.now))

    def hour(self) -> float:
        self.bars(1)
        return self.update()

    def late(self) -> float:
        self.bars(1, back=24 * 30)
        return self.update()

    def cold(self, path: str) -> tuple[float, str, float]:
        """CPU milliseconds of the first answer of a fresh data version in a warm process, and of the next one."""
        times = [self._asked(path) for _ in range(2)][1]
        return times[0], "the same answer, kept", times[1]

    def _asked(self, path: str) -> list[float]:
        from fastapi.testclient import TestClient

        from api.app import create_app

        with TestClient(create_app(self.store, settings=self.settings, clock=lambda: self.now)) as client:
            return [_cpu_ms(lambda: client.get(path).raise_for_status()) for _ in range(2)]

    def readyz(self, watched: int) -> float:
        """CPU milliseconds of an answer, once the data version is `watched` or without."""
        import asyncio

        import httpx

        from api.app import create_app

        app = create_app(self.store, settings=self.settings, clock=lambda: self.now)
        if watched:
            app.state.services.refresh()
        transport = httpx.ASGITransport(app=app)

        async def ask() -> float:
            async with httpx.AsyncClient(transport=transport, base_url="http://bench") as client:
                await client.get("/readyz")
                began = time.process_time()
                for _ in range(max(watched, 1)):
                    await client.get("/readyz")
                return (time.process_time() - began) * 1e3 / max(watched, 1)

        return asyncio.run(ask())


def _copies(folder: Path, count: int) -> Path:
    """A folder with so many copies of a shipped methodology under ids of their own."""
    from indexer.methodology.load import SHIPPED

    text = (SHIPPED / "deai-ew.toml").read_text(encoding="utf-8")
    folder.mkdir(parents=True)
    for n in range(count):
        (folder / f"own-{n}.toml").write_text(text.replace('id = "deai-ew"', f'id = "own-{n}"'), encoding="utf-8")
    return folder


def _cpu_ms(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e3


def _row(name: str, ours: float, peer: str | None, peer_ms: float | None, goal: str) -> dict[str, Any]:
    ratio = None if peer_ms is None else peer_ms / ours
    return {"name": name, "ours_ms": ours, "peer": peer, "peer_ms": peer_ms, "ratio": ratio, "goal": goal}
