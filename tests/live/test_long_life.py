"""A year of hourly ticks, compressed: the same hours and faults on three weeks of history and on a year of it.

What an hour takes is counted, not timed. What a year adds to store and archive is stated in docs/operations.md.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from fault_server import Fault
from fault_world import World, with_usdt
from played import ASSETS, VENUES, Played, at, played
from sqlalchemy import event

from indexer.store.db import Store
from indexer.store.levels import read_levels
from indexer.times import DAY_US, HOUR_US, MINUTE_US, parse_instant, to_us

FIRST, LAST = at("2025-02-10T00:05:00Z"), at("2025-12-10T00:05:00Z")
HOURS = 6
SOURCES = (*VENUES, "coingecko")


@dataclass(frozen=True)
class Tick:
    """What one hour took: requests to providers, SQL statements, and objects alive afterwards."""

    requests: int
    statements: int
    alive: int


def year() -> World:
    """Hours and days of a made-up year, and the minutes of the days that are played."""
    hours = np.arange(parse_instant("2025-01-01"), parse_instant("2025-12-13"), HOUR_US)
    days = [to_us(day) // DAY_US * DAY_US for day in (FIRST, LAST)]
    minutes = np.concatenate([np.arange(day - DAY_US, day + DAY_US, MINUTE_US) for day in days])
    series = {}
    for number, asset in enumerate(ASSETS):
        walk = np.cumsum(np.random.default_rng(number).normal(0.0, 0.005, len(hours)))
        series[asset, "1h"] = (hours, np.exp(walk), np.full(len(hours), 6_000.0))
        series[asset, "1d"] = (hours[::24], np.exp(walk[23::24]), np.full(len(hours) // 24, 144_000.0))
        series[asset, "1m"] = (
            minutes,
            np.exp(np.interp(minutes + MINUTE_US, hours + HOUR_US, walk)),
            np.full(len(minutes), 100.0),
        )
    world = World(series)
    for interval in ("1h", "1d", "1m"):
        world = with_usdt(world, interval)
    return world


def faults(day: datetime) -> list[Fault]:
    """In the same hours of each day that is played: a ban, a cut, a wrong price, a source that is gone."""

    def during(provider: str, kind: str, hour: int, **more: float) -> Fault:
        begin = to_us(day) + hour * HOUR_US - 6 * MINUTE_US
        return Fault(provider, kind, begin, begin + 30 * MINUTE_US, **more)  # type: ignore[arg-type]

    return [
        during("binance", "429", 2), during("kraken", "cut", 3), during("okx", "scale", 4, factor=1.3),
        during("coinbase", "drop", 5),
    ]  # fmt: skip


def hours(world: Played, store: Store, day: datetime) -> list[Tick]:
    """The first hours of a day, each by a tick, by a process that started before them."""
    scheduler, ticks, statements = world.scheduler(store), [], [0]
    assert scheduler.tick(), "the history"

    def count(*_: object) -> None:
        statements[0] += 1

    event.listen(store.engine, "before_cursor_execute", count)
    for hour in range(1, HOURS + 1):
        world.now = day + timedelta(hours=hour)
        asked, statements[0] = sum(world.server.requests.values()), 0
        assert scheduler.tick()
        gc.collect()
        ticks.append(Tick(sum(world.server.requests.values()) - asked, statements[0], len(gc.get_objects())))
    event.remove(store.engine, "before_cursor_execute", count)
    scheduler.stop()
    return ticks


def test_a_tick_on_a_year_of_history_is_like_one_on_three_weeks(tmp_path: Path) -> None:
    known, taken = year(), []
    for day in (FIRST, LAST):
        folder = tmp_path / f"{day:%m}"
        folder.mkdir()
        days = (day - FIRST).days + 20
        with played(folder, start=day, sources=SOURCES, history_days=days, faults=faults(day), known=known) as world:
            store = world.open()
            taken.append(hours(world, store, day))
            assert len(read_levels(store, "trio").times_us) > 24 * (day - FIRST).days + HOURS
    early, late = taken
    for what in ("requests", "statements"):  # the history is eighteen times as long; retries come as they may
        assert sum(getattr(tick, what) for tick in late) < 1.1 * sum(getattr(tick, what) for tick in early)
    assert late[-1].alive < late[0].alive * 1.01, "nothing gathers from hour to hour"
