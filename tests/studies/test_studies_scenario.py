"""Scenarios and hedges on the real history: each prediction is statsmodels' own, made before the day it is about."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from indexer.analytics.rolling import predict
from indexer.errors import InputError, NotEnoughDataError
from indexer.store.bars import read_benchmark_closes
from indexer.studies.beta import beta_pairs
from indexer.studies.scenario import scenario_record, study_hedge, study_scenario
from indexer.times import parse_instant

DEEPSEEK = parse_instant("2025-01-27T21:00:00Z")


@pytest.fixture(scope="module")
def pairs(store):
    frame = beta_pairs(store, "deai", "NVDA", sessions=None)
    return pd.DataFrame({"x": frame.x[:, 0], "y": frame.y}, index=frame.times_us)


def predicted(pairs, row, x0, window=250):
    """Statsmodels' simple returns: mean and 90 % interval of an observation at x0, by the rows before `row`."""
    before = pairs.iloc[row - window : row]
    fit = sm.OLS(before["y"], sm.add_constant(before["x"])).fit()
    table = fit.get_prediction([[1.0, x0]]).summary_frame(alpha=0.1)
    return np.expm1(table[["mean", "obs_ci_lower", "obs_ci_upper"]].iloc[0].to_numpy())


def test_a_scenario_is_statsmodels_prediction_of_a_new_observation(store, pairs):
    study = study_scenario(store, "deai", "NVDA", -0.17, end_us=parse_instant("2025-01-24"))
    row = pairs.index.get_loc(DEEPSEEK)
    assert [study.expected, study.low, study.high] == pytest.approx(predicted(pairs, row, np.log(0.83)), rel=1e-9)
    assert [round(100 * value, 1) for value in (study.expected, study.low, study.high)] == [-7.6, -16.6, 2.4]
    assert study.notes[-1].startswith("beyond every move of the window (−10.0 % to +16.4 %)")
    with pytest.raises(InputError, match="cannot be"):
        study_scenario(store, "deai", "NVDA", -1.0)
    with pytest.raises(NotEnoughDataError, match="250 are needed"):
        study_scenario(store, "deai", "NVDA", -0.17, end_us=parse_instant("2023-06-01"))


@pytest.mark.parametrize("benchmark", ["NVDA", "QQQ", "SMH"])
def test_the_record_is_calibrated_and_never_looks_ahead(store, pairs, benchmark):
    record = scenario_record(store, "deai", benchmark)
    assert record.realised.n == len(record.rows) > 400
    assert 0.87 <= record.realised.coverage <= 0.93 and record.realised.calibrated
    assert record.realised.coverage == sum(row.low <= row.actual <= row.high for row in record.rows) / len(record.rows)
    day = next(row for row in record.rows if row.time_us == DEEPSEEK)
    cut = scenario_record(store, "deai", benchmark, end_us=DEEPSEEK).rows[-1]
    assert day == cut and day.actual == pytest.approx(np.expm1(pairs["y"].loc[DEEPSEEK]), abs=1e-12)
    if benchmark == "NVDA":
        for row in record.rows[:: len(record.rows) // 7]:
            place = pairs.index.get_loc(row.time_us)
            expected = predicted(pairs, place, pairs["x"].iloc[place])
            assert [row.expected, row.low, row.high] == pytest.approx(expected, rel=1e-9)


def test_a_hedge_is_scored_out_of_sample_and_refused_where_it_failed(store, pairs):
    hedge = study_hedge(store, "deai", "NVDA", 100_000.0)
    rolled = pairs["y"].rolling(250).cov(pairs["x"]) / pairs["x"].rolling(250).var()
    hedged = (np.expm1(pairs["y"]) - rolled.shift(1) * np.expm1(pairs["x"])).dropna()
    open_ = np.expm1(pairs["y"]).loc[hedged.index]
    largest = np.expm1(pairs["x"]).loc[hedged.index].abs().nlargest(25).index
    assert hedge.removed == pytest.approx(1 - (hedged**2).sum() / (open_**2).sum(), rel=1e-9)
    by_largest = 1 - (hedged[largest] ** 2).sum() / (open_[largest] ** 2).sum()
    assert hedge.removed_largest == pytest.approx(by_largest, rel=1e-9)
    assert hedge.units * hedge.unit_value == pytest.approx(-rolled.iloc[-1] * 100_000.0, rel=1e-9)
    assert hedge.verdict == "usable"
    earlier = study_hedge(store, "deai", "QQQ", 100_000.0, end_us=parse_instant("2025-02-01"))
    times, closes, adjusted = read_benchmark_closes(store, "QQQ", interval="1d")
    place = np.searchsorted(times, earlier.last_session_us)
    assert earlier.unit_value == closes[place] > adjusted[place], "what a share cost, before the dividends since"
    short = study_hedge(store, "deai", "NVDA", 100_000.0, sessions=60)
    assert short.verdict == "doubtful" and short.removed > 0 > short.removed_largest and short.units < 0
    refused = study_hedge(store, "deai", "NVDA", 100_000.0, sessions=20)
    assert (refused.verdict, refused.units) == ("refused", None) and refused.removed <= 0
    nasdaq = study_hedge(store, "deai", "^NDX", 100_000.0)
    assert study_hedge(store, "deai", "mnq", 100_000.0).units == pytest.approx(nasdaq.units / 2.0)
    assert study_hedge(store, "deai", "NQ", 100_000.0).units == pytest.approx(nasdaq.units / 20.0)


def test_intervals_cover_what_they_claim_in_a_simulation():
    rng = np.random.default_rng(5)
    x = rng.standard_normal(6_000) * 0.02
    y = 0.001 + 1.5 * x + rng.standard_normal(6_000) * 0.03
    found = predict(x, y, window=60, confidence=0.9)
    inside = np.abs(y[60:] - found.expected) <= found.half
    assert inside.mean() == pytest.approx(0.9, abs=0.012)  # three standard errors of 5,940 draws
