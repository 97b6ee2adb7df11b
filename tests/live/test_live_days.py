"""Days of ticks against the played providers: on schedule, through every fault, through restarts, and told truly.

What it adds to `test_scripted_day.py` (rates alone): the store, the scheduler and the published levels,
the data-quality log over time, restarts and outages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from fault_server import Fault
from played import SLUGS, VENUES, Played, at, live_through, played

from indexer.reference.rules import RateStatus
from indexer.store.assets import read_assets, read_listings
from indexer.store.bars import read_bars
from indexer.store.db import Store
from indexer.store.levels import read_levels
from indexer.store.quality import read_open_quality, read_quality
from indexer.store.rates import read_rates
from indexer.store.rows import QualityRow
from indexer.store.runs import read_runs
from indexer.times import HOUR_US, MINUTE_US, from_us, parse_instant, to_us

START = at("2025-01-26T20:05:00Z")
END = at("2025-01-27T23:40:00Z")
DAY = parse_instant("2025-01-27")
WITH_SUPPLY = (*VENUES, "coingecko")


def hour(number: int, minute: int = 0) -> int:
    return DAY + number * HOUR_US + minute * MINUTE_US


def during(provider: str, kind: str, number: int, **more: float | str) -> Fault:
    """A fault while the fixing of this hour is asked for, and for the next ticks: twenty minutes."""
    return Fault(provider, kind, hour(number) - MINUTE_US, hour(number, 20), **more)  # type: ignore[arg-type]


def script() -> list[Fault]:
    return [
        during("binance", "429", 1),
        during("okx", "418", 2),
        during("binance", "451", 3),
        during("bybit", "403", 3),
        during("coinbase", "500", 4),
        during("kraken", "timeout", 5),
        during("okx", "drip", 6),
        during("bybit", "cut", 7),
        during("coinbase", "html", 8),
        during("binance", "empty", 8),
        during("okx", "empty-list", 9),
        during("binance", "shuffled", 10),
        during("kraken", "other-unit", 11),
        during("bybit", "future", 12),
        Fault("okx", "scale", hour(12), hour(13), factor=1.30),
        Fault("okx", "scale", hour(13), hour(14), factor=1.06),
        Fault("okx", "scale", hour(14), hour(15), factor=1.04),
        Fault("coinbase", "frozen", hour(15), hour(16)),
        Fault("bybit", "scale", hour(16, 30), hour(16, 31), factor=100.0),
        during("binance", "nan", 17),
        during("kraken", "stranger", 18),
        *(during(venue, "drop", 19) for venue in ("binance", "okx", "bybit")),
        *(during(venue, "500", 20) for venue in ("binance", "okx", "bybit", "kraken")),
        *(during(venue, "html", 21) for venue in VENUES),
    ]


@dataclass
class Day:
    """What a store holds after the day."""

    store: Store
    world: Played

    def levels(self) -> tuple[list[int], list[float], list[int]]:
        rows = read_levels(self.store, "trio")
        return rows.times_us.tolist(), rows.levels.tolist(), rows.status.tolist()

    def rates(self) -> dict[tuple[str, int], tuple[float, int, str, dict[str, str]]]:
        slugs = {int(asset.id): asset.slug for asset in read_assets(self.store)}
        rows = read_rates(self.store, evidence=True)
        assert rows.method is not None
        assert rows.verdicts is not None
        return {
            (slugs[int(asset)], int(time)): (float(rate), int(status), method, json.loads(verdicts))
            for asset, time, rate, status, method, verdicts in zip(
                rows.asset_id, rows.time_us, rows.rate, rows.status, rows.method, rows.verdicts, strict=True
            )
        }


def lived(folder: Path, faults: list[Fault], *, restarts: bool = False, until: datetime = END) -> Iterator[Day]:
    """The day, where asked for with a new process now and then (its objects thrown away without a goodbye)."""
    folder.mkdir(exist_ok=True)
    with played(folder, start=START, faults=faults, sources=WITH_SUPPLY, history_days=4) as world:
        store = world.open()
        scheduler = world.scheduler(store)
        ticks = 0
        while world.now <= until:
            scheduler.tick()
            world.now += timedelta(minutes=10)
            ticks += 1
            if restarts and (ticks < 30 or ticks % 7 == 0):
                scheduler.stop()
                store.close()
                store = world.open()
                scheduler = world.scheduler(store)
        scheduler.stop()
        yield Day(store, world)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    yield from lived(tmp_path_factory.mktemp("clean"), [])


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    yield from lived(tmp_path_factory.mktemp("faulty"), script())


def test_every_hour_has_its_fixing_its_bars_and_its_level(clean: Day) -> None:
    times, _, status = clean.levels()
    assert times == [DAY + n * HOUR_US for n in range(24)]
    assert set(status) == {0}
    rates = clean.rates()
    for number in range(-3, 24):
        for slug in SLUGS:
            _, state, method, verdicts = rates[slug, hour(number)]
            assert (state, method) == (0, "partition-vwm/2")
            assert verdicts == dict.fromkeys(VENUES, "used")
    bars = read_bars(clean.store, interval="1h", since_us=DAY + 1, until_us=hour(23) + 1)
    assert len(bars.time_us) == 23 * 3 * 5
    runs = [run for run in read_runs(clean.store, kind="fixing") if run.due_at]
    assert {run.outcome for run in runs} == {"done"}
    assert sorted(to_us(run.due_at) for run in runs if run.due_at) == [hour(n) for n in range(-4, 24)]


def test_a_fresh_store_was_filled_from_before_it_began(clean: Day) -> None:
    rates = clean.rates()
    old = [key for key, row in rates.items() if row[2] == "bar-vwm/2"]
    assert min(time for _, time in old) < to_us(START) - 3 * 24 * HOUR_US
    assert {slug for slug, _ in old} == set(SLUGS)
    assert not [row for row in read_open_quality(clean.store) if row.kind == "gap"]


def test_faults_move_published_levels_by_less_than_a_basis_point(
    clean: Day, faulty: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    times, good, _ = clean.levels()
    bad_times, bad, states = faulty.levels()
    assert bad_times == times, "the hour without any venue came from the venues' history when they were back"
    rates = faulty.rates()
    lines = []
    for time, honest, level, state in zip(times, good, bad, states, strict=True):
        off = (level / honest - 1.0) * 1e4
        words = " ".join(f"{v}:{w}" for v, w in rates["fet", time][3].items() if w != "used")
        lines.append(f"{from_us(time):%H:%M} {level:9.3f} {off:+7.3f} bp {RateStatus(state).name:10} {words}")
        if state in (RateStatus.FINAL, RateStatus.INDICATIVE):
            assert abs(off) < 1.0, lines[-1]
    with capsys.disabled():
        print("\nlevel at      level    off by     status     what was not used", *lines, sep="\n")


def test_published_rates_and_levels_say_what_they_stand_on(faulty: Day) -> None:
    rates = faulty.rates()
    for number in range(24):
        _, state, _, verdicts = rates["fet", hour(number)]
        used = sum(word == "used" for word in verdicts.values())
        assert state == {1: 2, 2: 1}.get(used, 0), (number, verdicts)
        assert set(verdicts) == set(VENUES), "every venue that lists the asset has its verdict"
    assert rates["fet", hour(19)][1] == RateStatus.INDICATIVE
    assert rates["fet", hour(20)][1] == RateStatus.DEGRADED
    assert [rates["fet", hour(n)][3]["okx"] for n in (13, 14, 15, 16)] == ["outlier", "outlier", "outlier", "used"]
    assert rates["fet", hour(16)][3]["coinbase"] == "stale"


def entries(day: Day, kind: str, subject: str) -> list[QualityRow]:
    return [row for row in read_quality(day.store, kind=kind) if row.subject == subject]


def test_the_quality_log_opens_and_closes_what_was_wrong(faulty: Day) -> None:
    down = entries(faulty, "source_down", "coinbase")
    texts = [json.loads(row.detail)["text"] for row in down]
    assert any("HTTP 500" in text for text in texts)
    assert any("a web page instead of json" in text for text in texts)
    assert all(row.closed_at is not None for row in down)
    (outlier,) = entries(faulty, "outlier", "okx/fet")
    assert (outlier.opened_at, outlier.closed_at) == (from_us(hour(13)), from_us(hour(16)))
    (frozen,) = entries(faulty, "stale", "coinbase/fet")
    assert (frozen.opened_at, frozen.closed_at) == (from_us(hour(16)), from_us(hour(17)))
    assert any("future" in row.detail for row in entries(faulty, "reject", "bybit/fet"))
    failed = [run for run in read_runs(faulty.store, kind="fixing") if run.outcome != "done"]
    assert failed == [], "the fixing of the hour without venues was made when they were back"
    assert read_open_quality(faulty.store) == []


def test_nothing_is_doubled_and_nothing_was_overwritten(clean: Day, faulty: Day) -> None:
    for day in (clean, faulty):
        with day.store.reading() as connection:
            for table in ("bar", "rate", "level"):
                assert connection.exec_driver_sql(f"SELECT count(*) FROM {table} WHERE revision > 1").scalar() == 0
        names = [(row.asset, row.venue, row.interval, row.source) for row in read_listings(day.store)]
        assert len(names) == len(set(names))


def test_restarts_lose_and_double_nothing(faulty: Day, tmp_path: Path) -> None:
    """A new process after each tick of a morning, later after every seventh, which had learnt something by then."""
    until = at("2025-01-27T18:05:00Z")
    for again in lived(tmp_path / "again", script(), restarts=True, until=until):
        times, levels, _ = faulty.levels()
        shorter, same, _ = again.levels()
        assert shorter == times[: len(shorter)]
        assert len(shorter) == 19
        np.testing.assert_array_equal(same, levels[: len(same)])
        rates, others = faulty.rates(), again.rates()
        assert {key: rates[key] for key in others} == others


def test_an_outage_of_the_process_is_made_good_hour_by_hour(clean: Day, tmp_path: Path) -> None:
    """Down for five hours: the fixings of those hours are made from the venues' minutes, as if it had been up."""
    with played(tmp_path, start=START, sources=WITH_SUPPLY, history_days=4) as world:
        store = world.open()
        first = world.scheduler(store)
        live_through(world, first, until=at("2025-01-27T02:10:00Z"))
        first.stop()
        world.now = at("2025-01-27T08:05:00Z")
        second = world.scheduler(store)
        assert second.tick() > 6
        second.stop()
        made = Day(store, world)
        rates = clean.rates()
        assert {key: row for key, row in made.rates().items() if key[1] >= DAY} == {
            key: row for key, row in rates.items() if DAY <= key[1] <= hour(8)
        }
        np.testing.assert_array_equal(made.levels()[1], clean.levels()[1][:9])


def test_hours_beyond_the_minutes_come_as_hourly_bars(tmp_path: Path) -> None:
    """Down for thirty hours: twelve fixings, and before them the rate of the venues' hourly bars, which says so."""
    with played(tmp_path, start=at("2025-01-26T20:05:00Z"), sources=WITH_SUPPLY, history_days=4) as world:
        store = world.open()
        first = world.scheduler(store)
        first.tick()
        first.stop()
        world.now = at("2025-01-28T02:05:00Z")
        second = world.scheduler(store)
        second.tick()
        second.stop()
        rates = Day(store, world).rates()
        methods = [rates["fet", to_us(at("2025-01-26T20:00:00Z")) + n * HOUR_US][2] for n in range(31)]
        assert methods == ["partition-vwm/2", *["bar-vwm/2"] * 18, *["partition-vwm/2"] * 12]
        covered = [run for run in read_runs(store, kind="fixing") if "caught_up_by" in run.detail]
        assert len(covered) == 18
