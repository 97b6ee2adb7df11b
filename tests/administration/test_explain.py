"""Explain: everything a level was computed from, adding up to it; contributions add up to the return."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from eventful import eventful
from test_restatement import HOUR
from worlds import START_US, prices, registry, world

from indexer.administration.explain import explain
from indexer.errors import NotFoundError
from indexer.registry import supply_facts
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import SupplyRow
from indexer.store.supplies import write_supplies
from indexer.studies.attribution import study_attribution
from indexer.times import DAY_US, HOUR_US, from_us, to_us


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    one = eventful(tmp_path_factory.mktemp("explained"))
    yield one
    one.store.close()


def at(hour):
    return START_US + hour * HOUR_US


def test_units_prices_and_divisor_give_the_level_and_its_hash(made):
    rows = made.levels()
    for n in range(0, len(rows), 97):
        said = explain(made.store, made.registry, index_id="small", at_us=int(rows.times_us[n]))
        assert said.level == rows.levels[n]
        assert said.level_exact == pytest.approx(rows.levels[n], abs=5.1e-7)
        value = sum(one.units * one.price for one in said.constituents)
        assert value / said.divisor == pytest.approx(said.level_exact, rel=1e-14)
        assert sum(one.weight for one in said.constituents) == pytest.approx(1.0, abs=1e-12)
        assert said.inputs_hold
        assert said.hash == rows.hash[n].hex()


def test_criterion_9_contributions_add_up_to_the_return_at_every_hour_and_day(made):
    rows = made.levels()
    for n in range(1, len(rows), 53):
        said = explain(made.store, made.registry, index_id="small", at_us=int(rows.times_us[n]))
        total = sum(one.contribution for one in said.constituents)
        assert total == pytest.approx(said.return_since_previous, abs=1e-12)
        assert said.return_since_previous == pytest.approx(rows.levels[n] / rows.levels[n - 1] - 1, abs=3e-9)
    days = range(int(rows.times_us[0]), int(rows.times_us[-1]) - DAY_US, 7 * DAY_US)
    for start in days:  # linked by Cariño over each week
        study = study_attribution(made.store, "small", start_us=start, end_us=start + 7 * DAY_US)
        assert sum(one.contribution for one in study.constituents) == pytest.approx(study.total, abs=1e-12)


def test_at_a_rebalance_the_level_is_explained_by_the_basket_held_into_it(made):
    change = read_rebalancings(made.store, "small")[1]
    said = explain(made.store, made.registry, index_id="small", at_us=to_us(change.effective_at))
    assert said.basket_since < change.effective_at
    assert said.inputs_hold
    later = explain(made.store, made.registry, index_id="small", at_us=to_us(change.effective_at) + HOUR_US)
    assert later.basket_since == change.effective_at
    assert sum(one.contribution for one in later.constituents) == pytest.approx(later.return_since_previous, abs=1e-12)


def test_every_venue_is_shown_with_its_verdict(tmp_path):
    one = world(tmp_path)
    closes = prices()
    for n, (slug, series) in enumerate(closes.items()):
        wild = series.copy()
        wild[HOUR] *= 1.3
        for venue, quoted in (("alpha", series), ("beta", series * 1.001), ("gamma", wild)):
            one.bars(slug, quoted, venue=venue)
        one.supply(slug, (n + 1) * 1e6)
    one.update()
    said = explain(one.store, one.registry, index_id="small", at_us=at(HOUR))
    for line in said.constituents:
        assert {quote.venue: quote.verdict for quote in line.quotes} == {
            "alpha": "used",
            "beta": "used",
            "gamma": "outlier",
        }
        assert line.price_status == "indicative"
        assert line.quotes[2].price == pytest.approx(closes[line.asset][HOUR] * 1.3)
    assert said.status == "indicative"
    assert said.inputs_hold
    one.store.close()


def test_the_supply_is_that_of_the_last_review_with_its_origin(made):
    said = explain(made.store, made.registry, index_id="small", at_us=at(HOUR))
    one = next(line for line in said.constituents if line.asset == "token-1")
    assert one.supply.tokens == 2e6, "9e6 came later and does not count for a review that was done"
    assert one.supply.reading_tokens == 2e6
    assert (one.supply.origin, one.supply.kind, one.supply.source) == ("imported", "circulating", "test")
    assert one.supply.observed_at == from_us(START_US - 5 * DAY_US)


def test_a_shipped_supply_tells_its_grade_and_who_has_none(tmp_path):
    """TAO's rule of 2023-10-01 was in force at the base; GLM has no supply here and stays out."""
    slugs = ("tao", "token-1", "token-2", "token-3", "glm")
    one = world(tmp_path, registry=registry(slugs=slugs))
    for slug, series in prices(slugs).items():
        one.bars(slug, series)
    for slug in slugs[1:4]:
        one.supply(slug, 2e6)
    fact = supply_facts.load_supply_facts().at("tao", datetime(2023, 10, 1, tzinfo=UTC))
    run_id = one.run()
    row = SupplyRow("tao", "circulating", "reported", supply_facts.SOURCE, fact.day, fact.tokens * 10**6)
    write_supplies(one.store, run_id, [row])
    one.update()
    said = explain(one.store, one.registry, index_id="small", at_us=at(HOUR))
    supplies = {line.asset: line.supply for line in said.constituents}
    assert (supplies["tao"].tokens, supplies["tao"].grade) == (fact.tokens, "rule")
    assert supplies["tao"].rests_on.startswith("protocol rule: 314,800 issued")
    assert supplies["token-1"].grade is None
    assert said.without_supply == ("glm",)
    one.store.close()


def test_a_restated_level_shows_every_revision_and_who_was_told(made):
    said = explain(made.store, made.registry, index_id="small", at_us=at(HOUR + 30))
    assert [one["revision"] for one in said.revisions] == [2, 1]
    assert said.revisions[0]["level"] != said.revisions[1]["level"]
    assert len(said.announcements) == 1
    before = said.revisions[0]["published_at"] - timedelta(seconds=1)
    old = explain(made.store, made.registry, index_id="small", at_us=at(HOUR + 30), as_of_us=to_us(before))
    assert old.level == said.revisions[1]["level"]
    assert old.inputs_hold, "the inputs shown are those of then"


def test_the_first_level_has_no_move_to_explain(made):
    first = made.levels().times_us[0]
    said = explain(made.store, made.registry, index_id="small", at_us=int(first))
    assert said.previous_time is None
    assert {one.contribution for one in said.constituents} == {None}
    assert said.level_exact == pytest.approx(1000.0, rel=1e-14)


def test_before_the_base_there_is_nothing_to_explain(made):
    with pytest.raises(NotFoundError, match=r'"small" has no level at or before 2023-12-21.*its history starts later'):
        explain(made.store, made.registry, index_id="small", at_us=START_US + DAY_US)


def test_a_carried_price_is_said_to_be_carried(tmp_path):
    one = world(tmp_path)
    closes = prices()
    closes["token-7"][HOUR - 3 : HOUR + 5] = np.nan
    for n, (slug, series) in enumerate(closes.items()):
        one.bars(slug, series)
        one.supply(slug, (n + 1) * 1e6)
    one.update()
    said = explain(one.store, one.registry, index_id="small", at_us=at(HOUR))
    line = next(line for line in said.constituents if line.asset == "token-7")
    assert line.carried
    assert line.price_status == said.status == "carried"
    assert line.price_at == from_us(at(HOUR - 4))
    assert said.carried_weight == pytest.approx(line.weight, abs=1e-11)
    assert line.contribution == 0.0
    one.store.close()
