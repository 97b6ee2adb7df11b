"""The played world for the live jobs: a server on a thread, a clock moved by hand, a small registry and index."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from fault_server import Fault, FaultServer
from fault_world import World, minute_world, with_usdt

from indexer.config import Settings
from indexer.live.context import Live
from indexer.live.scheduler import Scheduler
from indexer.live.upstream import Upstream, sources_of
from indexer.registry import load_registry
from indexer.sources.http import LIMITS, HostLimit, HttpClient, Timeouts
from indexer.store.db import Store, open_store
from indexer.store.runs import start_run
from indexer.times import DAY_US, HOUR_US, from_us, parse_instant
from indexer.workflow.work import make_schedulers

ASSETS = ("FET", "NEAR", "GRT")
SLUGS = ("fet", "near", "grt")
VENUES = ("binance", "coinbase", "kraken", "okx", "bybit")
BASE = datetime(2025, 1, 27, tzinfo=UTC)
FREE = {name: HostLimit(1e6, 1e6, "test") for name in LIMITS}
QUICK = Timeouts(connect=5.0, read=5.0, total=5.0, patience=0.01, attempts=2, first_wait=0.001)

INDEX = """
id = "trio"
name = "Three"
version = "1.0.0"
description = "Three tokens in equal parts."
base_date = 2025-01-27T00:00:00Z
base_level = 1000
decimals = 6
effective_from = 2025-01-27T00:00:00Z

[universe]
statuses = ["core"]

[schedule]
rebalance_months = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
reconstitution_months = [1]
effective_day = 27
reference_days_before = 1

[[eligibility]]
effective_from = 2025-01-01T00:00:00Z
reason = "A small world."
min_history_days = 1
min_median_adv_usd = 0
min_atvr = 0
min_free_float = 0
adv_min_days = 1
min_venues = 1
incumbent_min_venues = 1
supply_max_age_days = 400

[selection]
target = 3
entry_rank = 3
exit_rank = 3
min_constituents = 2

[weighting]
scheme = "equal"
"""


def at(text: str) -> datetime:
    return from_us(parse_instant(text))


def hours_world(start: str = "2025-01-22", end: str = "2025-01-29") -> World:
    """Minutes and the hours made of them."""
    world = World(dict(minute_world(ASSETS, start, end).series))
    for asset in ASSETS:
        opens, close, volume = world.series[(asset, "1m")]
        hours, first = np.unique(opens // HOUR_US, return_index=True)
        whole = np.diff(np.append(first, len(opens))) == 60
        last = first[whole] + 59
        world.series[(asset, "1h")] = (hours[whole] * HOUR_US, close[last], np.add.reduceat(volume, first)[whole])
        days, start_row = np.unique(hours[whole] // 24, return_index=True)
        full = np.diff(np.append(start_row, whole.sum())) == 24
        day_last = start_row[full] + 23
        world.series[(asset, "1d")] = (
            days[full] * DAY_US,
            close[last][day_last],
            np.add.reduceat(world.series[(asset, "1h")][2], start_row)[full],
        )
    return with_usdt(with_usdt(world, "1h"), "1d")


def small_registry(folder: Path, slugs: tuple[str, ...] = SLUGS) -> Path:
    """A registry of a few tokens, cut out of the shipped one."""
    shipped = load_registry()
    lines = ["[sub_sectors]", *(f'{key} = "{text}"' for key, text in shipped.sub_sectors.items())]
    for slug in slugs:
        one = shipped.by_slug[slug]
        venues = ", ".join(
            f'{{ venue = "{v.venue}", symbol = "{v.symbol}", status = "{v.status}" }}' for v in one.venues
        )
        ids = ", ".join(f'{key} = "{value}"' for key, value in one.ids.items())
        lines += [
            "[[asset]]",
            f'slug = "{slug}"',
            f'name = "{one.name}"',
            f'symbols = [{{ symbol = "{one.symbol}" }}]',
            'status = "core"',
            f'sub_sector = "{one.sub_sector}"',
            f'chain = "{one.chain}"',
            f'contract = "{one.contract}"',
            f"decimals = {one.decimals}",
            f"venues = [{venues}]",
            f"ids = {{ {ids} }}",
            'source = "test"',
        ]
    path = folder / "registry.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@dataclass
class Played:
    """One installation in the played world; `now` is moved by hand, `faults` may be changed at any time."""

    folder: Path
    now: datetime
    server: FaultServer
    faults: list[Fault]
    sources: tuple[str, ...] = ()
    since: date = date(2025, 1, 24)
    stores: list[Store] = field(default_factory=list)

    def clock(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    @property
    def settings(self) -> Settings:
        return Settings(
            data_dir=self.folder / "var",
            registry=self.folder / "registry.toml",
            methodology_dir=self.folder / "own",
            sources=self.sources,
            source_base_url=self.server.root,
            history_since=self.since,
        )

    def open(self) -> Store:
        store = open_store(self.settings.store_url)
        store.migrate()
        self.stores.append(store)
        return store

    def upstream(self) -> Upstream:
        def http() -> HttpClient:
            return HttpClient(timeouts=QUICK, limits=FREE, clock=self.clock, monotonic=self.monotonic)

        return Upstream(sources_of(self.settings), http)

    def scheduler(self, store: Store) -> Scheduler:
        """A new process's scheduler: nothing is remembered but what the store and the archive hold."""
        return make_schedulers(store, self.settings, clock=self.clock, upstream=self.upstream())[0]

    def close(self) -> None:
        for store in self.stores:
            store.close()


@contextlib.contextmanager
def played(
    folder: Path,
    *,
    start: datetime,
    faults: list[Fault] | None = None,
    sources: tuple[str, ...] = VENUES,
    history_days: int = 3,
    known: World | None = None,
) -> Iterator[Played]:
    """The world (days of minutes unless one is given) with its server on a thread, until the block ends."""
    small_registry(folder)
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own" / "trio.toml").write_text(INDEX)
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    given = faults if faults is not None else []
    box: list[Played] = []
    server = FaultServer(known or hours_world(), lambda: int(box[0].now.timestamp() * 1e6) if box else 0, given)

    async def serve() -> None:
        async with server.running():
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        since = (start - timedelta(days=history_days)).date()
        box.append(Played(folder, start, server, given, sources, since))
        yield box[0]
    finally:
        for played in box:
            played.close()
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def live_through(
    world: Played, scheduler: Scheduler, *, until: datetime, step: timedelta = timedelta(minutes=30)
) -> None:
    """Tick every step until an instant."""
    while world.now <= until:
        scheduler.tick()
        world.now += step


NOON = at("2025-01-28T12:05:00Z")
EVERYTHING = (
    *VENUES,
    *("coingecko", "defillama", "defillama-usage", "yahoo", "fred", "feargreed"),
    *("okx-derivatives", "bybit-derivatives", "binance-derivatives", "akash-console", "nearblocks", "ic-dashboard"),
)


def run_of(live: Live, kind: str, number: int = 0) -> int:
    run = start_run(live.store, kind=kind, key=f"{kind}:{number}", now=live.clock())
    assert run is not None
    return run
