"""The restatement policy: what is logged, what is restated, what is a fact."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from worlds import HOURS, START, START_US, World, prices, world

from indexer.errors import MethodologyError
from indexer.levels.rules import load_rules
from indexer.methodology.load import load_methodology
from indexer.methodology.policy import load_policy, read_policy
from indexer.store.administration import read_announcements
from indexer.store.quality import read_quality
from indexer.store.rates import read_rates
from indexer.store.rebalancings import read_rebalancings
from indexer.times import HOUR_US, from_us, to_us

HOUR = 24 * 50 + 7  # an ordinary hour, no rebalance near


@pytest.fixture
def made(tmp_path):
    one = world(tmp_path)
    one.fill()
    one.update()
    yield one
    one.store.close()


def weight_of(one: World, slug: str, hour: int) -> float:
    """The share of a token in the level at an hour, by the units held into it."""
    at = from_us(START_US + hour * HOUR_US)
    change = [row for row in read_rebalancings(one.store, "small") if row.effective_at < at][-1]
    value = {item.asset: item.units_after * prices()[item.asset][hour] for item in change.items}
    return value[slug] / sum(value.values())


def corrected(one: World, slug: str, hour: int, move: float) -> None:
    """A correction of one bar that moves the level of its hour by `move`."""
    before = prices()[slug][hour]
    one.bars(slug, [before * (1 + move / weight_of(one, slug, hour))], first=hour)


def heaviest(one: World, hour: int) -> str:
    return max((slug for slug in prices()), key=lambda slug: _weight(one, slug, hour))


def _weight(one: World, slug: str, hour: int) -> float:
    try:
        return weight_of(one, slug, hour)
    except KeyError:
        return 0.0


def test_a_correction_of_0_4_percent_is_logged_and_not_applied(made):
    slug = heaviest(made, HOUR)
    before, rates = made.levels(), read_rates(made.store)
    corrected(made, slug, HOUR, 0.004)
    report = made.update()
    after = made.levels()
    assert (after.levels == before.levels).all()
    assert set(after.revision.tolist()) == {1}
    assert (read_rates(made.store).rate == rates.rate).all(), "the official rate stays"
    [entry] = read_quality(made.store, kind="correction_deferred")
    detail = json.loads(entry.detail)
    assert entry.subject == slug
    assert detail["move"] == pytest.approx(0.004, rel=1e-6)
    assert detail["threshold"] == 0.005
    assert detail["official"] == pytest.approx(prices()[slug][HOUR])
    assert [(one.asset, one.count, one.too_late) for one in report.deferred] == [(slug, 1, False)]
    [told] = read_announcements(made.store, kind="deferred")
    assert "not applied: largest move of a level 0.400%, 0.50% needed" in told.title
    assert made.verify().ok, made.verify().problem


def test_a_correction_of_0_6_percent_restates_exactly_the_dependent_levels(made):
    slug = heaviest(made, HOUR)
    before, known = made.levels(), made.now
    corrected(made, slug, HOUR, 0.006)
    report = made.update()
    after = made.levels()
    [n] = np.flatnonzero(after.revision > 1).tolist()
    assert int(after.times_us[n]) == START_US + HOUR * HOUR_US
    assert after.levels[n] / before.levels[n] - 1 == pytest.approx(0.006, rel=1e-5)
    others = np.arange(len(after)) != n
    assert (after.levels[others] == before.levels[others]).all()
    assert [after.hash[k] for k in np.flatnonzero(others)] == [before.hash[k] for k in np.flatnonzero(others)]
    old = made.levels(as_of=known)
    assert (old.levels == before.levels).all(), "what was known then stays readable"
    assert report.indices[0].restated == 1
    [told] = read_announcements(made.store, kind="restatement")
    detail = json.loads(told.detail)
    assert told.index_id == "small"
    assert detail["levels"] == 1
    assert detail["largest_move"] == pytest.approx(0.006, rel=1e-5)
    found = made.verify()
    assert found.ok, found.problem


def test_small_corrections_do_not_creep(made):
    """Each is held against the official rate: two of 0.4 % in the same direction are one of 0.8 %."""
    slug = heaviest(made, HOUR)
    corrected(made, slug, HOUR, 0.004)
    made.update()
    corrected(made, slug, HOUR, 0.008)
    made.update()
    assert made.levels().revision.max() == 2
    assert made.verify().ok


def test_a_correction_reaches_the_levels_that_carried_it(tmp_path):
    one = world(tmp_path)
    closes = prices()
    closes["token-7"][HOUR + 1 : HOUR + 5] = np.nan
    for n, (slug, series) in enumerate(closes.items()):
        one.bars(slug, series)
        one.supply(slug, (n + 1) * 1e6)
    one.update()
    corrected(one, "token-7", HOUR, 0.02)
    one.update()
    restated = one.levels().times_us[one.levels().revision == 2]
    assert ((restated - START_US) // HOUR_US).tolist() == list(range(HOUR, HOUR + 5))
    assert one.verify().ok, one.verify().problem
    one.store.close()


def test_a_correction_at_the_instant_of_a_rebalance_leaves_its_units_alone(made):
    change = next(row for row in read_rebalancings(made.store, "small") if row.kind == "reconstitution")
    hour = (to_us(change.effective_at) - START_US) // HOUR_US
    slug = heaviest(made, hour)
    corrected(made, slug, hour, 0.01)
    made.update()
    rows = made.levels()
    assert ((rows.times_us[rows.revision > 1] - START_US) // HOUR_US).tolist() == [hour]
    again = next(row for row in read_rebalancings(made.store, "small") if row.effective_at == change.effective_at)
    assert again == change
    assert made.verify().ok, made.verify().problem


def test_a_late_supply_never_rewrites_a_past_rebalance_but_counts_at_the_next(made):
    made.now += timedelta(hours=49)  # the index is set up: what comes now is late
    made.supply("token-1", 9e6, day=-5)  # another figure for the same day: a correction
    made.supply("token-2", 7e6, day=20)  # a later reading, before a rebalance that is done
    before, changes = made.levels(), read_rebalancings(made.store, "small")
    made.update()
    assert made.levels().hash == before.hash
    assert read_rebalancings(made.store, "small") == changes
    for slug, closes in prices(hours=HOURS + 24 * 40).items():
        made.bars(slug, closes[HOURS:] if len(closes) > HOURS else [], first=HOURS)
    made.now = START + timedelta(days=150)
    made.update()
    new = [row for row in read_rebalancings(made.store, "small") if row not in changes]
    assert [row.kind for row in new][:1] == ["reconstitution"]
    told = {item.asset: item.supply for item in new[0].items}
    assert told["token-1"] == pytest.approx(9e6)
    assert made.verify().ok, made.verify().problem


def test_a_rebuild_restates_with_its_reason_and_the_old_stays_readable(made):
    made.supply("token-1", 9e6, day=-5)
    made.update()
    before, known, changes = made.levels(), made.now, read_rebalancings(made.store, "small")
    report = made.update(rebuild="supply of token-1 was misread")
    after = made.levels()
    assert (after.levels != before.levels).sum() > 1000
    assert after.levels[0] == before.levels[0] == 1000.0
    assert report.restated_because == "supply of token-1 was misread"
    assert (made.levels(as_of=known).levels == before.levels).all()
    told = read_rebalancings(made.store, "small", as_of_us=to_us(known))
    assert told == changes
    [one] = read_announcements(made.store, kind="restatement")
    assert one.title.endswith("supply of token-1 was misread")
    assert made.verify().ok, made.verify().problem
    assert made.update().unchanged, "a rebuild leaves nothing to do"


def test_while_an_index_is_set_up_files_may_come_in_any_order(tmp_path):
    whole, piecemeal = world(_made(tmp_path / "whole")), world(_made(tmp_path / "parts"))
    whole.fill()
    whole.update()
    closes = prices()
    for n in (3, 5, 1, 7):
        piecemeal.supply(f"token-{n}", (n + 1) * 1e6)
    for n in (7, 1, 5, 3):
        piecemeal.bars(f"token-{n}", closes[f"token-{n}"][24 * 30 :], first=24 * 30)
        piecemeal.update()
    for n in (0, 2, 4, 6):
        piecemeal.bars(f"token-{n}", closes[f"token-{n}"])
        piecemeal.update()
        piecemeal.supply(f"token-{n}", (n + 1) * 1e6)
        piecemeal.update()
    for n in (7, 1, 5, 3):
        piecemeal.bars(f"token-{n}", closes[f"token-{n}"][: 24 * 30])
        report = piecemeal.update()
        assert report.restated_because.startswith(f"first data of token-{n} within 48 hours")
    one, other = whole.levels(), piecemeal.levels()
    assert (one.times_us == other.times_us).all()
    assert (one.levels == other.levels).all()
    assert piecemeal.verify().ok, piecemeal.verify().problem
    whole.store.close()
    piecemeal.store.close()


def test_after_the_setup_first_data_of_a_token_waits_for_the_next_review(tmp_path):
    one = world(tmp_path)
    closes = prices()
    for n in range(7):
        one.bars(f"token-{n}", closes[f"token-{n}"])
        one.supply(f"token-{n}", (n + 1) * 1e6)
    one.update()
    before = one.levels()
    one.now += timedelta(hours=49)
    one.bars("token-7", closes["token-7"])
    one.supply("token-7", 8e6)
    report = one.update()
    assert report.restated_because == ""
    assert one.levels().hash == before.hash
    assert one.verify().ok, one.verify().problem
    one.store.close()


def test_beyond_the_window_a_correction_needs_a_decision(made):
    slug = heaviest(made, HOUR)
    made.now += timedelta(days=366)
    corrected(made, slug, HOUR, 0.02)
    report = made.update()
    assert made.levels().revision.max() == 1
    assert [one.too_late for one in report.deferred] == [True]
    [told] = read_announcements(made.store, kind="deferred")
    assert "published more than 365 days ago (largest move 2.00%)" in told.title
    made.update(rebuild="decided by the committee")
    assert made.levels().revision.max() == 2
    assert made.verify().ok, made.verify().problem


def test_hours_between_published_days_are_first_data(tmp_path):
    """Daily bars were published; hours that come later fill in without touching a published day."""
    one = world(tmp_path)
    closes = prices()
    for n, (slug, series) in enumerate(closes.items()):
        daily = np.where(np.arange(HOURS) % 24 == 0, series, np.nan)
        one.bars(slug, daily)
        one.supply(slug, (n + 1) * 1e6)
    one.update()
    days = one.levels()
    one.now += timedelta(days=10)
    for slug, series in closes.items():
        one.bars(slug, series)
    one.update()
    hours = one.levels()
    at = np.searchsorted(hours.times_us, days.times_us)
    assert (hours.levels[at] == days.levels).all()
    assert set(hours.revision.tolist()) == {1}
    assert len(hours) > 20 * len(days)
    assert one.verify().ok, one.verify().problem
    one.store.close()


def test_a_new_version_of_the_rules_counts_from_the_next_review_on(made):
    before = made.levels()
    changed = made.methodology.text.replace('version = "1.0.0"', 'version = "1.1.0"').replace(
        "single = 0.4", "single = 0.35"
    )
    made.methodology = load_methodology(changed, source="small.toml")
    made.update()
    assert made.levels().hash == before.hash
    for slug, closes in prices(hours=HOURS + 24 * 3).items():
        made.bars(slug, closes[HOURS:], first=HOURS)
    made.update()
    rows = made.levels()
    assert len(set(rows.methodology_id[: len(before)].tolist())) == 1
    assert rows.methodology_id[-1] != rows.methodology_id[0]
    newest = read_rebalancings(made.store, "small")[-1]
    assert max(item.weight_target for item in newest.items) <= 0.35 + 1e-12
    assert made.verify().ok, made.verify().problem


def test_levels_that_are_out_cannot_be_taken_back(made):
    changed = made.methodology.text.replace("base_date = 2024-01-01", "base_date = 2024-02-01")
    made.methodology = load_methodology(changed.replace('"1.0.0"', '"2.0.0"'), source="small.toml")
    refused = made.update(rebuild="a later base").refused
    assert "levels from 2024-01-01T00:00:00Z are published and cannot be taken back" in refused["small"]


def test_the_policy_is_data_and_is_read_strictly(tmp_path):
    assert load_policy().threshold == 0.005
    (tmp_path / "administration").mkdir()
    own = (load_policy.__globals__["SHIPPED"]).read_text(encoding="utf-8").replace("0.005", "0.001")
    (tmp_path / "administration" / "policy.toml").write_text(own, encoding="utf-8")
    assert load_policy(tmp_path).threshold == 0.001
    with pytest.raises(MethodologyError, match=r"restatement.treshold: there is no such key here. Did you mean"):
        read_policy(own.replace("threshold", "treshold"), source="policy.toml")


def test_another_threshold_restates_by_it(made):
    rules = load_rules(made.registry)
    made.rules = replace(rules, policy=replace(rules.policy, threshold=0.003))
    corrected(made, heaviest(made, HOUR), HOUR, 0.004)
    made.update()
    assert made.levels().revision.max() == 2


def _made(folder):
    folder.mkdir()
    return folder
