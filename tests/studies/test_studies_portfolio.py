"""Holdings on the real history: index shares are the index, and a mixture equals pandas and statsmodels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from indexer.errors import NotEnoughDataError
from indexer.files.holdings import Holding
from indexer.store.assets import read_asset
from indexer.store.bars import read_benchmark_bars
from indexer.store.rates import read_asset_rates
from indexer.store.rebalancings import read_rebalancings
from indexer.studies.beta import index_beta
from indexer.studies.portfolio import HELD_THROUGH, study_portfolio
from indexer.studies.series import token_series
from indexer.times import HOUR_US, parse_instant, to_us

END = parse_instant("2025-01-31T21:00:00Z")


@pytest.mark.parametrize("month", ["2024-04-01", "2024-08-01", "2024-12-01", "2025-03-01"])
def test_index_shares_of_one_composition_are_the_index_since_its_effective_date(store, month):
    changes = read_rebalancings(store, "deai")
    place = next(n for n, change in enumerate(changes) if f"{change.effective_at:%Y-%m-%d}" == month)
    since, until = to_us(changes[place].effective_at), to_us(changes[place + 1].effective_at)
    shares = [Holding(item.symbol, item.units_after) for item in changes[place].items if item.units_after]
    study = study_portfolio(store, shares, since_us=since, end_us=until - HOUR_US)
    assert study.title == f"holdings as of {month}T00:00:00Z"
    assert study.overlap.shared == pytest.approx(1.0, abs=1e-9)
    value, level = (np.array([getattr(point, name) for point in study.path]) for name in ("value", "level"))
    np.testing.assert_allclose(value[1:] / value[:-1], level[1:] / level[:-1], rtol=1e-9)
    assert study.total == pytest.approx(study.index_return, abs=1e-9)
    to_qqq, _, to_index = study.betas
    index = index_beta(store, "deai", "QQQ", sessions=to_qqq.n, end_us=study.end_us).estimate
    # Published levels are rounded once, to six decimals: that is what is left of a beta's difference.
    assert (to_qqq.beta, to_qqq.se) == pytest.approx((index.beta, index.se), abs=1e-8)
    assert (to_index.beta, to_index.r2) == pytest.approx((1.0, 1.0), abs=1e-8)


def test_a_mixture_equals_pandas_and_statsmodels(store):
    study = study_portfolio(
        store,
        [Holding("TAO", 3.0), Holding("near/usdt", 400.0), Holding("Bittensor", 2.0)],
        benchmarks=["NVDA"],
        sessions=120,
        end_us=END,
    )
    assert study.title == HELD_THROUGH
    rates = {slug: token_series(store, slug) for slug in ("tao", "near")}
    frame = pd.DataFrame({slug: pd.Series(rate.values, rate.times_us) for slug, rate in rates.items()}).ffill()
    times, closes, _ = read_benchmark_bars(store, "NVDA")
    keep = times <= END
    times, closes = times[keep][-121:], closes[keep][-121:]
    prices = frame.loc[times]
    value = prices["tao"] * 5.0 + prices["near"] * 400.0
    assert study.value == pytest.approx(value.iloc[-1]) == sum(row.value for row in study.holdings)
    assert study.total == pytest.approx(value.iloc[-1] / value.iloc[0] - 1.0)
    earned = (prices.iloc[-1] - prices.iloc[0]) * [5.0, 400.0] / value.iloc[0]
    assert {row.asset: row.contribution for row in study.holdings} == pytest.approx(earned.to_dict())
    fit = sm.OLS(np.diff(np.log(value)), sm.add_constant(np.diff(np.log(closes)))).fit()
    beta = study.betas[0]
    assert (beta.n, beta.beta, beta.r2) == (120, pytest.approx(fit.params[1]), pytest.approx(fit.rsquared))
    hac = fit.get_robustcov_results("HAC", maxlags=4, use_correction=True)
    assert beta.se == pytest.approx(max(fit.bse[1], hac.bse[1]))


def test_a_predecessor_counts_as_what_it_became_and_the_unknown_is_named(store):
    end = parse_instant("2025-10-20T00:00:00Z")
    coins = [Holding("AI16Z", 100.0), Holding("FETT", 1.0), Holding("USDC", 5.0), Holding("AGIX", 7.0)]
    study = study_portfolio(store, coins, end_us=end)
    old = read_asset(store, "AI16Z")
    times, rates = read_asset_rates(store, [old.id])[old.id]
    (held,) = study.holdings
    assert (held.asset, held.symbols, held.amount) == ("elizaos", ("AI16Z",), pytest.approx(600.0))
    assert study.value == pytest.approx(100.0 * rates[np.searchsorted(times, study.at_us, side="right") - 1])
    assert [(row.symbol, row.amount) for row in study.unpriced] == [("FETT", 1.0), ("USDC", 5.0), ("AGIX", 7.0)]
    assert 'Did you mean "FET"' in study.unpriced[0].reason and "no reference rate after" in study.unpriced[2].reason
    with pytest.raises(NotEnoughDataError, match="USDC is no token"):
        study_portfolio(store, [Holding("USDC", 5.0)])
