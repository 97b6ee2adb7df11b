"""Spans in which an index was impaired are left out of statistics and named, counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from small import FIXED, small

from indexer.levels.rules import Rules, basket_events
from indexer.methodology.actions import CorporateAction, EventLog, Kind
from indexer.methodology.policy import load_policy
from indexer.studies.attribution import study_attribution
from indexer.studies.breadth import study_breadth
from indexer.studies.drawdowns import study_drawdowns
from indexer.studies.performance import study_performance
from indexer.studies.stress import study_stress
from indexer.times import iso, parse_instant

OUT = "left out: 2 levels from 2024-01-03T00:00:00Z to 2024-01-04T00:00:00Z (impaired)"


def test_an_impaired_span_is_left_out_of_every_statistic_and_named(tmp_path: Path) -> None:
    """bbb has no price for two days, half of the weight: 1000, 1000, [1050, 1100], 1350, 1485."""
    made = small(tmp_path, rules=FIXED)
    days = [f"2024-01-0{n}" for n in range(1, 7)]
    made.bars("aaa", {"2023-12-27": 10.0} | dict(zip(days, (10, 10, 11, 12, 12, 12), strict=True)), interval="1d")
    made.bars("bbb", {"2023-12-27": 20.0, days[0]: 20, days[1]: 20, days[4]: 30, days[5]: 35.4}, interval="1d")
    made.update()
    assert made.levels().levels.tolist() == [1000.0, 1000.0, 1050.0, 1100.0, 1350.0, 1485.0]

    performance = study_performance(made.store, "small")
    periods = {row.period: (row.value, row.over_gap) for row in performance.periods}
    assert periods["1d"] == (pytest.approx(0.1), False)
    assert periods["all"] == (pytest.approx(0.485), True)
    assert performance.risk[-1].n == 2, "of the days alone whose both ends count: 0 % and 10 %"
    assert performance.risk[-1].over_gap
    assert [month.over_gap for month in performance.months if month.year == 2024] == [True]

    path = study_attribution(made.store, "small", start_us=parse_instant(days[0]), end_us=parse_instant(days[5]))
    assert (path.steps, path.impaired_steps) == (5, 3)
    assert (path.total, path.published) == (pytest.approx(0.1), pytest.approx(0.1))
    assert [(row.asset, row.contribution) for row in path.constituents] == [("bbb", pytest.approx(0.1)), ("aaa", 0.0)]

    falls = study_drawdowns(made.store, "small")
    assert study_drawdowns(made.store, "small", end_us=parse_instant(days[1])).left_out == "", "not of this time"
    stress = study_stress(made.store, "small", {}, start_us=parse_instant(days[0]), end_us=parse_instant(days[5]))
    assert [iso(row.time_us)[:10] for row in stress.rows] == [days[1], days[4], days[5]]
    assert stress.rows[1].move is None, "over a gap there is no move of one day"
    breadth = study_breadth(made.store, "small")
    assert {study.left_out for study in (performance, path, falls, stress, breadth)} == {OUT}


def test_who_leaves_at_a_stated_value_carries_the_loss_in_the_attribution(tmp_path: Path) -> None:
    """bbb has half of 1000 and leaves at 5 for 20: 500 + 125 = 625, which then goes on as aaa does, 10 to 12."""
    made = small(tmp_path, rules=FIXED.replace("min_constituents = 2", "min_constituents = 1"))
    days = [f"2024-01-0{n}" for n in range(1, 5)]
    made.bars("aaa", {"2023-12-27": 10.0} | dict(zip(days, (10, 10, 10, 12), strict=True)), interval="1d")
    made.bars("bbb", {"2023-12-27": 20.0} | dict.fromkeys(days, 20.0), interval="1d")
    at = datetime(2024, 1, 2, tzinfo=UTC)
    event = CorporateAction("bbb-delisted", Kind.DELISTING, "bbb", at, "a notice", value=5.0)
    events = basket_events([event], made.registry, emergency_change=0.1)
    made.update(Rules(load_policy(), EventLog((event,), "x"), events, ()))
    assert made.levels().levels.tolist() == [1000.0, 1000.0, 625.0, 750.0]
    path = study_attribution(made.store, "small", start_us=parse_instant(days[0]), end_us=parse_instant(days[3]))
    assert (path.total, path.published) == (pytest.approx(-0.25), pytest.approx(-0.25))
    assert path.largest_step_error < 1e-12
    assert [row.asset for row in path.constituents if row.contribution < 0] == ["bbb"]
    assert {row.asset: row.own_return for row in path.constituents} == {
        "aaa": pytest.approx(0.2), "bbb": pytest.approx(-0.75)
    }  # fmt: skip
