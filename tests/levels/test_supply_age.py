"""Supplies that step, age and are of several kinds, counted by hand on a small index."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from small import FIXED, Small, registry, small

from indexer.administration.explain import explain
from indexer.engine.level import compute_index
from indexer.engine.second import compare, second_index
from indexer.levels.lifecycle import status_of
from indexer.levels.markets import load_market, narrowed
from indexer.store.administration import read_announcements
from indexer.store.quality import read_quality
from indexer.store.rebalancings import read_constituents, read_rebalancings, read_supply_times, weighted_age_days
from indexer.times import parse_instant

CAPPED = FIXED.replace("min_venues = 1", "min_venues = 1\nsupply_max_age_days = 120").replace(
    'scheme = "fixed"\nweights = { aaa = 0.5, bbb = 0.5 }', 'scheme = "free_float_cap"'
)
MONTHS = tuple(
    f"2024-{day}" for day in ("01-01", "01-27", "02-01", "02-25", "03-01", "03-27", "04-01", "04-26", "05-01")
)
MONTHS = ("2023-12-27", *MONTHS)


def world(path: Path, *, rules: str = CAPPED) -> Small:
    """Two tokens at one dollar throughout."""
    made = small(path, rules=rules)
    for slug in ("aaa", "bbb"):
        made.bars(slug, dict.fromkeys(MONTHS, 1.0), interval="1d")
    return made


def weights(made: Small) -> dict[str, float]:
    """The target weight of aaa by the day from which it held."""
    return {
        f"{change.effective_at:%m-%d}": {item.asset: item.weight_target for item in change.items}["aaa"]
        for change in read_rebalancings(made.store, "small")
    }


def agree(made: Small) -> bool:
    market = narrowed(load_market(made.store, made.registry), made.methodology, made.registry)
    return compare(compute_index(market, made.methodology), second_index(market, made.methodology)).agree


def test_a_step_waits_and_the_older_figure_goes_on(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.supplies("bbb", {"2023-12-20": 300, "2024-01-20": 300, "2024-02-20": 300})
    made.supplies("aaa", {"2023-12-20": 100, "2024-01-20": 150, "2024-02-20": 150})
    made.update()
    assert weights(made)["01-01"] == pytest.approx(100 / 400)
    assert weights(made)["02-01"] == weights(made)["03-01"] == pytest.approx(100 / 400)
    [entry] = read_quality(made.store, kind="supply_step")
    assert (entry.subject, entry.opened_at, entry.closed_at) == ("aaa", datetime(2024, 1, 20, tzinfo=UTC), None)
    assert "+50.0%" in json.loads(entry.detail)["text"]
    assert agree(made) and made.verified() == ""
    level = explain(made.store, made.registry, index_id="small", at_us=parse_instant("2024-02-25"))
    supply = next(line.supply for line in level.constituents if line.asset == "aaa")
    assert supply is not None
    assert (supply.reading_tokens, supply.observed_at) == (100.0, datetime(2023, 12, 20, tzinfo=UTC))


def test_another_source_lets_it_act_from_then_on(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.supplies("bbb", {"2023-12-20": 300, "2024-01-20": 300, "2024-02-20": 300})
    made.supplies("aaa", {"2023-12-20": 100, "2024-01-20": 150, "2024-02-20": 150})
    made.supplies("aaa", {"2024-02-19": 155}, source="explorer")
    made.update()
    assert weights(made)["02-01"] == pytest.approx(100 / 400)
    assert weights(made)["03-01"] == pytest.approx(150 / 450)
    [entry] = read_quality(made.store, kind="supply_step")
    assert entry.closed_at == datetime(2024, 2, 19, tzinfo=UTC), "the two confirm each other"
    assert agree(made) and made.verified() == ""


def test_figures_of_two_kinds_make_no_series(tmp_path: Path) -> None:
    """The free float that came later is not the next circulating supply."""
    made = world(tmp_path)
    made.supplies("bbb", {"2023-12-20": 300, "2024-01-20": 300})
    made.supplies("aaa", {"2023-12-20": 100})
    made.supplies("aaa", {"2024-01-20": 90}, kind="free_float")
    made.update()
    assert weights(made)["02-01"] == pytest.approx(100 / 400)
    assert agree(made)


def test_a_newcomer_needs_a_younger_supply_than_a_member(tmp_path: Path) -> None:
    rules = CAPPED.replace(
        "supply_max_age_days = 120", "supply_max_age_days = 120\nincumbent_supply_max_age_days = 400"
    )
    rules = rules.replace('assets = ["aaa", "bbb"]', 'assets = ["aaa", "bbb", "ccc"]')
    made = small(tmp_path, rules=rules, registry=registry("aaa", "bbb", "ccc"))
    for slug in ("aaa", "bbb", "ccc"):
        made.bars(slug, dict.fromkeys(MONTHS, 1.0), interval="1d")
    made.supplies("aaa", {"2023-12-20": 100})
    made.supplies("bbb", {"2023-12-20": 300})
    made.supplies("ccc", {"2023-08-20": 300})  # 129 days before the reference date of the base
    made.update()
    base, *later = read_rebalancings(made.store, "small")
    assert {item.asset: item.units_after > 0 for item in base.items} == {"aaa": True, "bbb": True, "ccc": False}
    assert next(i.reason for i in base.items if i.asset == "ccc") == "supply is 129 days old, a newcomer's may be 120"
    assert [f"{change.effective_at:%m-%d}" for change in later] == ["02-01", "03-01", "04-01", "05-01"], "of 128 days"
    assert agree(made) and made.verified() == ""


def test_a_level_says_when_its_supply_is_old(tmp_path: Path) -> None:
    """Imported figures count as old 100 days after they were true: 2023-12-20 and 100 days is 2024-03-29."""
    made = world(tmp_path)
    three = dict.fromkeys(MONTHS, 1.0)
    for slug in ("aaa", "bbb"):
        for venue in ("second", "third"):
            made.bars(slug, three, venue=venue, interval="1d")
        made.supplies(slug, {"2023-12-20": 100})
    made.update()
    rows = made.levels()
    assert rows.status.tolist() == [0] * 6 + [2] * 3
    assert made.verified() == ""


def test_the_age_of_the_supplies_is_by_weight(tmp_path: Path) -> None:
    """On 2024-02-25: aaa (a quarter) weighed by a reading 36 days old, bbb by one of 67 days."""
    made = world(tmp_path)
    made.supplies("aaa", {"2023-12-20": 100, "2024-01-20": 100})
    made.supplies("bbb", {"2023-12-20": 300})
    made.update()
    at_us = parse_instant("2024-02-25")
    true_at = read_supply_times(made.store, "small", at_us)
    assert true_at == {"aaa": datetime(2024, 1, 20, tzinfo=UTC), "bbb": datetime(2023, 12, 20, tzinfo=UTC)}
    rows = read_constituents(made.store, "small", at_us)
    assert weighted_age_days(rows, true_at, at_us) == pytest.approx(0.25 * 36 + 0.75 * 67)
    assert weighted_age_days(rows, {**true_at, "bbb": None}, at_us) is None
    assert status_of(made.store, "small", now=made.now).supply_age_days == pytest.approx(0.25 * 102 + 0.75 * 133)


def test_a_step_between_two_origins_acts_is_logged_and_is_no_shock(tmp_path: Path) -> None:
    """Weighed by 100 imported tokens; from 04-10 on a provider says 130 of aaa, and the old source 130 of bbb."""
    made = world(tmp_path)
    made.now = datetime(2024, 5, 1, tzinfo=UTC)
    for slug in ("aaa", "bbb"):
        made.supplies(slug, dict.fromkeys(("2023-12-27", "2024-03-27"), 100.0))
    made.supplies("aaa", {"2024-04-10": 130.0}, source="provider", origin="reported")
    made.supplies("bbb", {"2024-04-10": 130.0})
    made.update()
    logged = {(entry.kind, entry.subject): json.loads(entry.detail) for entry in read_quality(made.store)}
    seam = logged["supply_seam", "aaa"]
    assert (seam["before"], seam["after"]) == (100.0, 130.0)
    assert "+30.0% where reported figures take over from imported ones" in seam["text"]
    assert ("supply_step", "aaa") not in logged, "its precedence acknowledges it"
    assert ("supply_step", "bbb") in logged, "one series has stepped: that waits"
    assert [row.kind for row in read_announcements(made.store) if "supply" in row.kind] == []
    assert weights(made)["05-01"] == pytest.approx(130 / 230)
