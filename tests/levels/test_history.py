"""The real history, imported and computed: what a user gets from `make run IMPORT=…`."""

import csv
import gzip

import numpy as np
import pytest
import statsmodels.api as sm

from indexer.errors import NotEnoughDataError, NotFoundError
from indexer.store.bars import read_benchmark_bars
from indexer.store.indices import read_indices
from indexer.store.levels import read_levels
from indexer.store.rebalancings import read_constituents, read_memberships, read_rebalancings
from indexer.studies.beta import beta_history, index_beta
from indexer.times import DAY_US, HOUR_US, parse_instant, to_us
from indexer.verify.store import verify_all
from indexer.workflow.work import import_and_update, registry_of, run_update

IDS = ["deai", "deai-agents", "deai-compute", "deai-data", "deai-ew", "deai-networks", "deai-sqrt"]
SHOCK_CLOSE = parse_instant("2025-01-27T21:00:00Z")


def level_at(store, text, index="deai"):
    at = parse_instant(text)
    rows = read_levels(store, index, start_us=at, end_us=at + 1)
    assert len(rows) == 1, f"no level of {index} at {text}"
    return float(rows.levels[0])


def test_every_shipped_index_is_computed_hourly_and_daily(history):
    store, report = history
    assert [row.id for row in read_indices(store)] == IDS
    assert not report.update.not_started
    hourly = read_levels(store, "deai", start_us=parse_instant("2023-01-01"), end_us=parse_instant("2025-10-01"))
    daily = read_levels(store, "deai", step_us=DAY_US)
    assert len(hourly) > 24_000
    assert (np.diff(hourly.times_us) >= HOUR_US).all()
    assert (np.diff(daily.times_us[: len(hourly) // 24]) == DAY_US).all()


def test_the_flagship_begins_at_1000_on_its_base_date(history):
    store, _ = history
    first = read_levels(store, "deai", limit=None)
    assert int(first.times_us[0]) == parse_instant("2023-01-01")
    assert first.levels[0] == 1000.0


def test_importing_and_updating_again_writes_nothing(history, history_files, history_settings, history_now):
    store, _ = history
    before = read_levels(store, "deai")
    again = import_and_update(store, history_settings, paths=history_files, clock=lambda: history_now)
    assert sum(f.new + f.revised for f in again.files) == 0
    assert again.update.unchanged
    assert run_update(store, history_settings, clock=lambda: history_now).unchanged
    after = read_levels(store, "deai")
    assert after.hash == before.hash
    assert set(after.revision.tolist()) == {1}


def test_fast_plain_and_stored_levels_agree_on_all_history_and_the_chain_is_whole(history, history_settings):
    store, _ = history
    results = verify_all(store, registry_of(history_settings))
    assert [r.index_id for r in results] == IDS
    for result in results:
        assert result.ok, result.problem
        assert result.max_difference <= 1e-9


def test_render_follows_rndr_without_a_tear(history):
    store, _ = history
    rows = read_levels(
        store, "deai", start_us=parse_instant("2024-07-20"), end_us=parse_instant("2024-07-28"), step_us=HOUR_US
    )
    moves = np.abs(np.diff(np.log(rows.levels)))
    assert moves.max() < 0.05, "an hour of the gap or of its end moves the index like any other hour"


def test_render_is_held_while_a_spot_venue_prices_it(history):
    """RNDR has spot bars until 2023-12-30 and then only an average over venues, which is no price; RENDER has spot bars
    from 2024-07-26 on, but volumes that are known at a review only from 2025 on."""
    store, _ = history
    first, second = [m for m in read_memberships(store, "deai") if m.asset == "render"]
    assert to_us(first.valid_from) == parse_instant("2023-01-01")
    last_price = parse_instant("2023-12-30T20:00:00Z")
    assert 168 * HOUR_US <= to_us(first.valid_to) - last_price <= 172 * HOUR_US
    assert to_us(second.valid_from) == parse_instant("2025-04-01")


def test_ocean_ends_early_and_leaves_by_rule(history):
    store, _ = history
    [ocean] = [m for m in read_memberships(store, "deai") if m.asset == "ocean"]
    last_price = parse_instant("2023-12-30T20:00:00Z")
    assert to_us(ocean.valid_to) - last_price >= 168 * HOUR_US
    assert to_us(ocean.valid_to) - last_price <= 170 * HOUR_US
    change = next(r for r in read_rebalancings(store, "deai") if r.kind == "suspension")
    assert change.effective_at == ocean.valid_to
    before = level_at(store, change.effective_at.isoformat())
    assert change.level == pytest.approx(before, rel=1e-9)


def test_agix_never_enters_because_no_supply_was_known(history):
    store, _ = history
    assert not [m for m in read_memberships(store, "deai") if m.asset == "agix"]
    change = next(r for r in read_rebalancings(store, "deai") if r.effective_at.isoformat().startswith("2023-07-01"))
    [agix] = [item for item in change.items if item.asset == "agix"]
    assert "no supply known" in agix.reason


def test_membership_on_the_day_of_the_shock_is_of_its_time(history):
    store, _ = history
    held = {row.asset: row for row in read_constituents(store, "deai", SHOCK_CLOSE)}
    assert "kaito" not in held
    assert "elizaos" not in held
    assert {"tao", "near", "fet", "icp"} <= set(held)
    assert sum(row.weight_target for row in held.values()) == pytest.approx(1.0, abs=1e-12)
    assert sum(row.weight for row in held.values()) == pytest.approx(1.0, abs=1e-9)
    assert max(row.weight_target for row in held.values()) <= 0.20 + 1e-12


def test_before_its_migration_a_line_is_priced_by_its_old_token(history):
    store, _ = history
    held = {row.asset: row for row in read_constituents(store, "deai", parse_instant("2023-06-15T12:00:00Z"))}
    assert held["render"].rate is not None
    assert all(row.weight is not None for row in held.values())


def test_missing_prices_are_carried_and_say_so(history):
    store, _ = history
    gap = read_levels(
        store, "deai", start_us=parse_instant("2024-01-02"), end_us=parse_instant("2024-01-06"), step_us=HOUR_US
    )
    assert set(gap.status.tolist()) == {3}
    assert (gap.carried_weight > 0.05).all()


def test_beta_equals_statsmodels_on_returns_between_new_york_closes(history):
    store, _ = history
    made = index_beta(store, "deai", "QQQ", sessions=90, end_us=parse_instant("2025-01-31"))
    times, closes, _ = read_benchmark_bars(store, "QQQ")
    levels = read_levels(store, "deai")
    at = dict(zip(levels.times_us.tolist(), levels.levels.tolist(), strict=True))
    last = np.searchsorted(times, parse_instant("2025-02-01"))
    window = slice(last - 91, last)
    y = np.diff(np.log([at[t] for t in times[window].tolist()]))
    x = np.diff(np.log(closes[window]))
    oracle = sm.OLS(y, sm.add_constant(x)).fit()
    assert made.result.n == 90
    assert made.result.beta == pytest.approx(oracle.params[1], rel=1e-9)
    assert made.result.alpha == pytest.approx(oracle.params[0], rel=1e-9)
    assert made.result.se_ols == pytest.approx(oracle.bse[1], rel=1e-9)
    assert made.result.r2 == pytest.approx(oracle.rsquared, rel=1e-9)
    assert made.last_us == parse_instant("2025-01-31T21:00:00Z")


@pytest.mark.parametrize("sessions", [30, 60, 90, 180, 250])
def test_the_last_rolling_window_is_the_beta_of_that_window(history, sessions):
    store, _ = history
    end = parse_instant("2025-06-30")
    rolled = beta_history(store, "deai", "NVDA", sessions=sessions, end_us=end + DAY_US)
    alone = index_beta(store, "deai", "NVDA", sessions=sessions, end_us=end)
    assert int(rolled.times_us[-1]) == alone.last_us
    assert rolled.rolling.beta[-1] == pytest.approx(alone.result.beta, rel=1e-9)
    assert rolled.rolling.se[-1] == pytest.approx(alone.result.se, rel=1e-9)


def test_every_benchmark_of_the_issue_has_a_beta(history):
    store, _ = history
    for name in ("QQQ", "^NDX", "NVDA", "SMH", "MSFT", "GOOGL", "META", "AMZN", "AMD", "AVGO", "TSM"):
        made = index_beta(store, "deai", name, sessions=250, end_us=parse_instant("2025-06-30"))
        assert made.result.se > 0, name


def test_too_little_data_says_how_much_there_is_and_is_needed(history):
    store, _ = history
    with pytest.raises(NotEnoughDataError, match=r"have 2\d session returns in common .*; 90 are needed"):
        index_beta(store, "deai", "QQQ", sessions=90, end_us=parse_instant("2023-02-10"))


def test_an_unknown_benchmark_is_named_with_the_closest(history):
    store, _ = history
    with pytest.raises(NotFoundError, match=r'"QQK".* Did you mean "QQQ"\?'):
        index_beta(store, "deai", "QQK")


def test_the_level_is_the_weighted_price_move_since_the_rebalance_counted_by_hand(history, history_files):
    """From the file itself: sum of target weight times price relative over an ordinary half month."""
    store, _ = history
    start, end = parse_instant("2025-01-01"), parse_instant("2025-01-15T10:00:00Z")
    prices: dict[str, dict[int, float]] = {}
    with gzip.open(history_files[0], "rt", newline="") as file:
        for row in csv.DictReader(file):
            closes_at = parse_instant(row["timestamp"]) + HOUR_US
            if closes_at in (start, end):
                prices.setdefault(row["symbol"], {})[closes_at] = float(row["close"])
    held = read_constituents(store, "deai", end)
    relative = sum(row.weight_target * prices[row.symbol][end] / prices[row.symbol][start] for row in held)
    expected = level_at(store, "2025-01-01") * relative
    assert level_at(store, "2025-01-15T10:00:00Z") == pytest.approx(expected, rel=1e-9)
