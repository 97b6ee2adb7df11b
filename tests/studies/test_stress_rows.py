"""Stress beside the index: sums inside bars, nothing invented where there is no row."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

from indexer.errors import InputError
from indexer.studies.series import index_series
from indexer.studies.stress import METRICS, liquidation_totals, move_z, study_stress
from indexer.times import DAY_US, HOUR_US, iso, parse_instant

ROWS = [
    ("2025-01-27T10:30:00Z", "liquidation_long_usd", 900),
    ("2025-01-27T12:00:00Z", "liquidation_short_usd", 100),
    ("2025-01-27T12:30:00Z", "liquidation_long_usd", 500),
    ("2025-01-27T16:00:00Z", "funding_rate", 0.0001),
    ("2025-01-26T23:00:00Z", "open_interest_usd", 1000),
    ("2025-01-27T23:00:00Z", "open_interest_usd", 800),
    ("2025-01-27T23:30:00Z", "fear_greed", 71),
]


def readings(rows):
    """The rows by metric, in order of time."""
    columns = {}
    for time, metric, value in sorted(rows):
        columns.setdefault(metric, []).append((parse_instant(time), float(value)))
    return {name: tuple(np.array(column) for column in zip(*pairs, strict=True)) for name, pairs in columns.items()}


def test_a_day_beside_its_readings(store):
    found = study_stress(
        store, "deai", readings(ROWS), start_us=parse_instant("2025-01-26"), end_us=parse_instant("2025-01-28")
    )
    before, day = found.rows
    assert iso(day.time_us) == "2025-01-28T00:00:00Z"
    assert (day.long_usd, day.short_usd, day.long_share) == (1400.0, 100.0, pytest.approx(1400 / 1500))
    assert day.open_interest_change == pytest.approx(-0.2)
    assert day.fear_greed == 71.0
    assert day.funding == 0.0001
    levels = index_series(store, "deai")
    daily = levels.values[(levels.times_us % DAY_US == 0) & (levels.times_us <= day.time_us)]
    moves = np.diff(np.log(daily))
    assert day.move_z == pytest.approx((moves[-1] - moves[-91:-1].mean()) / moves[-91:-1].std(ddof=1), rel=1e-9)
    assert before.long_usd is None and before.fear_greed is None, "no row is unknown, not zero"
    assert found.liquidations.worst.long_usd == 900.0
    assert found.liquidations.long_usd == 1400.0


def test_hours_are_bars_too_and_absent_metrics_are_named(store):
    rows = [("2025-01-27T10:30:00Z", "fear_greed", 50)]
    found = study_stress(
        store, "deai", readings(rows), start_us=parse_instant("2025-01-27T10:00Z"),
        end_us=parse_instant("2025-01-27T12:00Z"), bar="hourly",
    )  # fmt: skip
    assert [row.fear_greed for row in found.rows] == [50.0, None]
    assert found.liquidations is None
    assert set(found.absent) == set(METRICS) - {"fear_greed"}


def test_the_real_fear_and_greed_index_reads_71_on_the_day(store, history_files):
    path = history_files[0].with_name("onchain_daily.csv.gz")
    if not path.exists():
        pytest.skip(f"no {path.name} here")
    with gzip.open(path, "rt", newline="") as file:
        rows = [
            (f"{row['date']}T12:00:00Z", "fear_greed", row["value"])
            for row in csv.DictReader(file)
            if row["metric"] == "fear_greed_index" and row["date"].startswith("2025-01")
        ]
    found = study_stress(
        store, "deai", readings(rows), start_us=parse_instant("2025-01-20"),
        end_us=parse_instant("2025-01-31"),
    )  # fmt: skip
    by_day = {iso(row.time_us)[:10]: row.fear_greed for row in found.rows}
    assert by_day["2025-01-28"] == 71.0
    assert np.isfinite(list(by_day.values())).all()


def test_an_unknown_bar_is_refused(store):
    with pytest.raises(InputError, match='"weekly" is not a bar'):
        study_stress(store, "deai", readings(ROWS), start_us=0, end_us=1, bar="weekly")


def test_hours_of_liquidations_are_summed_by_side():
    sides = {
        "liquidation_long_usd": (np.array([1, HOUR_US]), np.array([100.0, 50.0])),
        "liquidation_short_usd": (np.array([HOUR_US - 1, 5 * HOUR_US]), np.array([2.0, 10.0])),
    }
    totals = liquidation_totals(sides, start_us=0, end_us=5 * HOUR_US)
    assert [hour.start_us // HOUR_US for hour in totals.hours] == [0, 1, 5], "no row is not a zero"
    assert totals.hours[0].long_share == pytest.approx(100 / 102) and totals.hours[0].n == 2
    assert (totals.long_usd, totals.short_usd, totals.worst) == (150.0, 12.0, totals.hours[0])
    assert liquidation_totals(sides, start_us=5 * HOUR_US, end_us=6 * HOUR_US) is None


def test_move_z_leaves_the_move_out_of_its_yardstick():
    r = np.random.default_rng(2).normal(0, 0.01, 100)
    r[95] = -0.2
    got = move_z(r, window=90)
    assert got[95] == pytest.approx((-0.2 - r[5:95].mean()) / r[5:95].std(ddof=1)) and got[95] < -15
    assert np.isnan(got[:90]).all() and np.isnan(move_z(np.zeros(100))).all() and np.isnan(move_z(r[:5])).all()
