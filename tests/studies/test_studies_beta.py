"""Beta by every method on the real history, against statsmodels and against each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from indexer.analytics.align import Clock
from indexer.analytics.beta import BetaPath
from indexer.errors import InputError, NotEnoughDataError, NotFoundError
from indexer.store.assets import ensure_benchmarks
from indexer.store.bars import read_benchmark_bars, read_benchmark_closes, write_benchmark_bars
from indexer.store.db import open_store
from indexer.store.rows import BenchmarkColumns, BenchmarkRow
from indexer.store.runs import start_run
from indexer.studies.beta import beta_history, index_beta, untraded_warning, windowed_beta
from indexer.studies.compare import compare_betas, constituent_betas
from indexer.studies.methods import METHODS
from indexer.studies.series import benchmark_series, index_series, make_frame, token_series
from indexer.times import DAY_US, HOUR_US, from_us, iso, parse_instant

END = parse_instant("2025-01-31")


def closes_of(store, symbol, count, end="2025-02-01"):
    series = benchmark_series(store, symbol)
    last = int(np.searchsorted(series.times_us, parse_instant(end)))
    return series.times_us[last - count - 1 : last], series.values[last - count - 1 : last]


def at(series, instants):
    known = dict(zip(series.times_us.tolist(), series.values.tolist(), strict=True))
    return np.array([known[t] for t in instants.tolist()])


def test_two_factors_equal_statsmodels(store):
    made = index_beta(store, "deai", ["QQQ", "btc"], method="multi", sessions=250, end_us=END)
    times, closes = closes_of(store, "QQQ", 250)
    y = np.diff(np.log(at(index_series(store, "deai"), times)))
    x = np.column_stack([np.diff(np.log(closes)), np.diff(np.log(at(token_series(store, "btc"), times)))])
    oracle = sm.OLS(y, sm.add_constant(x)).fit()
    assert [factor.beta for factor in made.estimate.detail.factors] == pytest.approx(oracle.params[1:], rel=1e-9)
    assert made.estimate.r2 == pytest.approx(oracle.rsquared, rel=1e-9)
    assert made.benchmark == "QQQ"


def test_dimson_on_daily_bars_equals_a_regression_on_lag_lead_and_now(store):
    made = index_beta(store, "deai", "QQQ", method="dimson", clock=Clock.DAILY_UTC, sessions=250, end_us=END)
    times, closes = closes_of(store, "QQQ", 250)
    midnights = -(-times // DAY_US) * DAY_US
    y, x = np.diff(np.log(at(index_series(store, "deai"), midnights))), np.diff(np.log(closes))
    design = sm.add_constant(np.column_stack([x[:-2], x[1:-1], x[2:]]))
    assert made.estimate.beta == pytest.approx(sm.OLS(y[1:-1], design).fit().params[1:].sum(), rel=1e-9)
    assert made.estimate.detail.sync == "dimson"


def test_the_naive_join_is_marked_and_pairs_the_days_own_return(store):
    made = index_beta(store, "deai", "QQQ", clock=Clock.DATE_JOIN, sessions=250, end_us=END)
    assert made.naive
    assert "naive join" in made.reasons[0]
    times, closes = closes_of(store, "QQQ", 250)
    midnights = -(-times[1:] // DAY_US) * DAY_US
    levels = index_series(store, "deai")
    y = np.log(at(levels, midnights) / at(levels, midnights - DAY_US))
    assert made.estimate.beta == pytest.approx(sm.OLS(y, sm.add_constant(np.diff(np.log(closes)))).fit().params[1])


@pytest.mark.parametrize("method", [name for name in METHODS if name != "multi"])
def test_every_method_has_a_number_an_error_and_an_interval(store, method):
    made = index_beta(store, "deai", "QQQ", method=method, sessions=250, end_us=END, bootstrap=method == "ols")
    e = made.estimate
    assert e.ci_low < e.beta < e.ci_high
    assert 0.5 < e.beta < 3.0
    assert made.last_us == parse_instant("2025-01-31T21:00:00Z")
    assert made.calendar.startswith("XNYS exchange_calendars ")
    assert made.pairs_dropped == 0
    if method == "ols":
        assert made.bootstrap.beta_low < e.beta < made.bootstrap.beta_high


def test_a_shifted_stamp_trips_the_sentinel(store):
    levels = index_series(store, "deai-networks")
    btc = token_series(store, "btc")
    clean = windowed_beta(make_frame(store, levels, [btc], clock="hourly_utc"), sessions=2000)
    assert not clean.sentinel.shifted
    late = replace(btc, times_us=btc.times_us + HOUR_US)
    shifted = windowed_beta(make_frame(store, levels, [late], clock="hourly_utc"), sessions=2000)
    assert shifted.sentinel.shifted
    assert "a time stamp is probably one interval off" in shifted.estimate.warnings[-1]


def test_futures_hours_are_a_clock_of_their_own(store):
    made = index_beta(store, "deai", "NQ=F", clock="nq_hours", sessions=None)
    assert made.estimate.n > 1300
    assert made.estimate.ci_low > 1.0
    assert made.periods_per_year == 252 * 23


def test_hourly_bars_at_half_hours_are_taken_where_they_are(store):
    made = index_beta(store, "deai", "NVDA", method="hayashi_yoshida", sessions=90, end_us=END)
    tx, x, _ = read_benchmark_bars(store, "NVDA", interval="1h")
    keep = (tx >= made.first_us) & (tx <= made.last_us)
    tx, x = tx[keep], np.log(x[keep])
    levels = index_series(store, "deai")
    inside = (levels.times_us >= made.first_us) & (levels.times_us <= made.last_us)
    ty, y = levels.times_us[inside], np.log(levels.values[inside])
    top = sum(
        (x[i + 1] - x[i]) * (y[j + 1] - y[j])
        for i in range(len(tx) - 1)
        for j in range(max(0, np.searchsorted(ty, tx[i]) - 1), min(len(ty) - 1, np.searchsorted(ty, tx[i + 1]) + 1))
        if max(tx[i], ty[j]) < min(tx[i + 1], ty[j + 1])
    )
    assert made.estimate.beta == pytest.approx(top / float(np.diff(x) @ np.diff(x)), rel=1e-9)
    assert made.estimate.se is None
    assert "no standard error" in made.estimate.warnings[0]
    none = index_beta(store, "deai", "SMH", method="hayashi_yoshida", sessions=90, end_us=END)
    assert none.estimate.beta is None
    assert none.estimate.reason == "SMH by the hour: each side needs at least 2 observations"


def test_a_constituent_as_benchmark_is_called_a_regression_on_itself(store):
    made = index_beta(store, "deai", "near", sessions=90, end_us=END)
    assert "near is or was a constituent of deai: this is partly a regression on itself" in made.reasons
    assert "regression on itself" not in " ".join(index_beta(store, "deai", "btc", sessions=90, end_us=END).reasons)


def test_an_answer_that_is_older_than_the_data_says_so(store):
    made = index_beta(store, "deai", "QQQ", sessions=90)
    assert any("later intervals have no pair" in reason for reason in made.reasons)


@pytest.mark.parametrize("kind", list(BetaPath))
def test_every_path_ends_where_its_window_ends_and_hindsight_is_marked(store, kind):
    end = parse_instant("2025-06-30")
    path = beta_history(store, "deai", "QQQ", sessions=90, kind=kind, end_us=end + DAY_US)
    assert path.hindsight == (kind == "kalman_smoothed")
    assert np.isfinite(path.rolling.beta[-1])
    if kind == "rolling":
        # one rule for every beta: the last row is the beta of that window with the very same error
        one = index_beta(store, "deai", "QQQ", sessions=90, end_us=end)
        assert path.rolling.beta[-1] == pytest.approx(one.estimate.beta, rel=1e-12)
        assert path.rolling.se[-1] == pytest.approx(one.estimate.se, rel=1e-9)
        low, high = path.interval()
        assert (low[-1], high[-1]) == pytest.approx((one.estimate.ci_low, one.estimate.ci_high), rel=1e-9)
    if kind in ("upside", "downside", "quantile"):
        one = index_beta(store, "deai", "QQQ", sessions=90, end_us=end, method=kind).estimate
        assert (path.rolling.beta[-1], path.rolling.se[-1]) == pytest.approx((one.beta, one.se), rel=1e-12)
    if kind == "kalman":
        cut = beta_history(store, "deai", "QQQ", sessions=90, kind=kind, end_us=parse_instant("2025-06-20"))
        assert path.times_us[: len(cut.times_us)].tolist() == cut.times_us.tolist()


def test_comparison_has_a_cell_for_every_way_and_a_reason_where_it_cannot(store):
    found = compare_betas(store, ["deai", "deai-ew"], ["QQQ", "NQ=F"], sessions=250, end_us=END)
    spans = [(row.first_session_us, row.last_session_us) for row in found.rows if row.beta is not None]
    assert found.first_session_us == min(first for first, _ in spans if first is not None)
    assert found.last_session_us == max(last for _, last in spans if last is not None)
    assert (found.n, found.stale_days) == (250, min(row.stale_days for row in found.rows if row.beta is not None))
    assert len(found.rows) == 2 * 2 * 3
    cells = {(row.subject, row.benchmark, row.way): row for row in found.rows}
    close, naive = cells["deai", "QQQ", "at_close"], cells["deai", "QQQ", "date_join"]
    assert close.beta == pytest.approx(index_beta(store, "deai", "QQQ", sessions=250, end_us=END).estimate.beta)
    assert naive.naive and not close.naive
    assert naive.beta < close.beta
    assert "are needed" in cells["deai", "NQ=F", "at_close"].reason


@pytest.mark.parametrize("sessions", [90, None])
def test_the_ways_are_compared_over_the_same_sessions(store, sessions):
    """Daily levels reach ten months further than hourly ones: without care the columns would be of different times."""
    rows = compare_betas(store, ["deai"], ["QQQ"], sessions=sessions).rows
    assert len({iso(row.last_us - 1)[:10] for row in rows}) == 1
    close, naive, dimson = rows
    assert abs(close.n - naive.n) <= close.n // 20 and abs(naive.n - dimson.n) <= 2
    assert max(row.first_us for row in rows) - min(row.first_us for row in rows) <= 5 * DAY_US


def test_all_history_without_a_common_return_is_refused_with_the_count(store):
    with pytest.raises(NotEnoughDataError, match="0 session returns in common; 20 are needed"):
        index_beta(store, "aioz", "QQQ", sessions=None)


def test_constituents_are_those_of_the_day_and_shrink_towards_their_mean(store):
    found = constituent_betas(store, "deai", "QQQ", sessions=90, end_us=parse_instant("2025-01-31T21:00:00Z"))
    rows = {row.asset: row for row in found.rows}
    assert "kaito" not in rows
    near = rows["near"]
    assert abs(near.vasicek.beta - found.prior.mean) < abs(near.beta - found.prior.mean)
    assert near.blume == pytest.approx(2 / 3 * near.beta + 1 / 3)


def test_a_line_is_read_through_its_migration(store):
    render = token_series(store, "render")
    before = render.times_us < parse_instant("2024-07-21")
    assert before.sum() > 9000
    assert (np.diff(render.times_us) > 0).all()


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (
            lambda s: index_beta(s, "deai", "QQQ", method="olsx"),
            InputError,
            '"olsx" is not a method. Did you mean "ols"',
        ),
        (lambda s: index_beta(s, "deai", "QQQ", clock="noon"), InputError, '"noon" is not a clock.'),
        (
            lambda s: index_beta(s, "deai", ["QQQ", "SMH"]),
            InputError,
            'takes one benchmark and 2 are named; use method "m',
        ),
        (lambda s: index_beta(s, "deai", "QQQ", sessions=5), InputError, "a window of 5 sessions is too short"),
        (lambda s: index_beta(s, "deia", "QQQ"), NotFoundError, 'No index or token "deia". Did you mean "deai"?'),
        (lambda s: index_beta(s, "deai", "QQK"), NotFoundError, 'No benchmark "QQK". Did you mean "QQQ"?'),
        (lambda s: index_beta(s, "kaito", "QQQ", sessions=900), NotEnoughDataError, "900 are needed"),
        (lambda s: index_beta(s, "elizaos", "QQQ", sessions=900), NotEnoughDataError, "900 are needed"),
        (lambda s: index_beta(s, "deai", "QQQ", method="ewma").result, InputError, "has no least-squares result"),
        (lambda s: beta_history(s, "deai", "QQQ", kind="path"), InputError, '"path" is not a path'),
        (lambda s: beta_history(s, "deai", "QQQ", sessions=2000), NotEnoughDataError, "2000 are needed"),
        (
            lambda s: make_frame(s, index_series(s, "deai"), [], clock=Clock.AT_CLOSE),
            InputError,
            "name at least one benchmark",
        ),
    ],
)
def test_what_cannot_be_answered_says_why(store, call, error, said):
    with pytest.raises(error) as caught:
        call(store)
    assert said in str(caught.value)


def test_a_beta_says_from_when_to_when_and_how_old_it_is(store, client):
    body = client.get("/v1/indices/deai/beta?benchmark=QQQ&sessions=90").json()
    times = benchmark_series(store, "QQQ").times_us
    last = int(np.searchsorted(times, parse_instant(body["last_session"])))
    assert body["last_session"] == "2025-10-22T20:00:00Z"
    assert body["first_session"] == iso(int(times[last - 89])), "the end of the first return, its start is first_time"
    assert body["first_time"] == iso(int(times[last - 90]))
    newest = index_series(store, "deai").newest_us
    assert newest == parse_instant("2025-11-27"), "the last level, though the index was impaired then"
    assert body["stale_days"] == newest // DAY_US - parse_instant("2025-10-22") // DAY_US
    history = client.get("/v1/indices/deai/beta/history?benchmark=QQQ&start=2025-01-20").json()
    assert history["last_session"] == body["last_session"]
    assert history["n"] == sum(row["beta"] is not None for row in history["data"])


def test_the_members_betas_say_when_each_ends(store):
    table = constituent_betas(store, "deai", sessions=90)
    assert {iso(row.last_session_us) for row in table.rows} == {"2025-10-22T20:00:00Z"}
    assert table.last_session_us == parse_instant("2025-10-22T20:00:00Z")
    newest = index_series(store, "deai").newest_us
    days = newest // DAY_US - table.last_session_us // DAY_US
    assert {row.stale_days for row in table.rows} == {table.stale_days} == {days}


def test_weight_without_a_trade_in_the_hour_before_the_close_is_warned_of():
    carried = np.array([0.0, 0.1, 0.2])
    [warning] = untraded_warning(carried)
    assert warning.startswith("10.0% of the weight (at most 20.0%) had no trade in the hour before the close")
    assert untraded_warning(np.array([0.0, 0.1])) == (), "5 % is not more than 5 %"
    assert untraded_warning(np.zeros(0)) == ()


def test_adjusted_closes_are_used_where_both_ends_have_one(store):
    """Ten of QQQ's bars have none; their returns are of the closes, all others of the adjusted ones."""
    _, closes, adjusted = read_benchmark_closes(store, "QQQ", interval="1d")
    series = benchmark_series(store, "QQQ")
    both = np.isfinite(adjusted[1:]) & np.isfinite(adjusted[:-1])
    assert 0 < np.count_nonzero(~both) < 20
    by_hand = np.where(both, np.diff(np.log(adjusted)), np.diff(np.log(closes)))
    assert np.diff(np.log(series.values)) == pytest.approx(by_hand, abs=1e-12)
    assert series.values[-1] == pytest.approx(closes[-1], rel=1e-12)
    assert series.basis == "adjusted_close; unadjusted_for_dividends where there is none"


def test_a_probable_split_is_left_out_until_an_event_confirms_the_move(store, tmp_path):
    levels = index_series(store, "deai")
    true = benchmark_series(store, "QQQ")
    day = int(np.searchsorted(true.times_us, parse_instant("2024-12-02T21:00:00Z")))
    closes = np.where(np.arange(len(true.values)) < day, true.values * 10.0, true.values)
    times = [int(at) for at in true.times_us]
    small = open_store(f"sqlite:///{tmp_path / 'deai.sqlite'}")
    small.migrate()
    run = start_run(small, kind="import", key="a", now=from_us(times[-1]))
    number = ensure_benchmarks(small, [BenchmarkRow("QQQ", "QQQ", "etf")])["QQQ"]
    blank, texts = np.full(len(closes), np.nan), [["raw"] * len(closes)] * 2
    columns = BenchmarkColumns(np.full(len(closes), number), true.times_us, closes, blank, blank, *texts)
    write_benchmark_bars(small, run, columns)
    split = benchmark_series(small, "QQQ")
    window = {"sessions": 90, "end_us": END}
    found = windowed_beta(make_frame(store, levels, [split]), **window)
    assert any("probably a split" in reason and "2024-12-02T21:00:00Z" in reason for reason in found.reasons)
    whole = windowed_beta(make_frame(store, levels, [true]), sessions=91, end_us=END)
    assert found.estimate.beta == pytest.approx(whole.estimate.beta, abs=0.1)
    (tmp_path / "events.toml").write_text(
        '[[event]]\nid = "x"\nname = "It did fall"\nat = 2024-12-02T15:00:00Z\nkind = "own"\nsources = ["me"]\n'
        'benchmark = "QQQ"\n'
    )
    confirmed = benchmark_series(small, "QQQ")
    assert confirmed.splits == ()
    assert abs(windowed_beta(make_frame(store, levels, [confirmed]), **window).estimate.beta) < 0.2
    known_us = times[-1] + DAY_US
    later = start_run(small, kind="import", key="b", now=from_us(known_us))
    write_benchmark_bars(small, later, replace(columns, close=true.values))
    then, now = (benchmark_series(small.as_known(at), "QQQ").values for at in (known_us - 1, known_us))
    assert then.tolist() == closes.tolist() and now.tolist() == true.values.tolist(), "a correction is not known before"
    small.close()
