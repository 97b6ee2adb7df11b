"""The index against `bt` on real daily prices: capped monthly weights over the tokens that are complete."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from baskets import AT_ONCE, methodology
from real_market import ASSETS, daily

from indexer.engine.level import compute_index
from indexer.engine.market import Line, Market, SupplyHistory
from indexer.methodology.spec import Caps
from indexer.times import DAY_US, parse_instant

COMPLETE = ["FET", "NEAR", "ICP", "GRT", "AR", "FIL", "NMR", "LPT", "THETA"]
START, END = parse_instant("2023-01-01"), parse_instant("2025-03-31")


def complete_market() -> Market:
    """Nine real tokens with every day from 2023-01-01 on and a made-up constant supply each."""
    frame = daily()
    wide = frame[frame["symbol"].isin(COMPLETE)].pivot(index="at_us", columns="symbol", values="close")
    wide = wide.loc[START:END, COMPLETE]
    assert not wide.isna().any(axis=None)
    lines = []
    for place, symbol in enumerate(COMPLETE):
        tokens = np.array([1e9 / (1 + place) ** 1.3])
        unknown = np.array([np.nan])
        held = SupplyHistory(np.array([START - DAY_US]), tokens, unknown, unknown, np.array([2], dtype=np.int8))
        lines.append(Line(ASSETS[symbol].slug, ASSETS[symbol].sub_sector, START, 1, held))
    values = np.ascontiguousarray(wide.to_numpy())
    days = wide.index.to_numpy()
    return Market(
        days, values, np.zeros(values.shape, dtype=np.int8), tuple(lines), days, np.full(values.shape, np.nan)
    )


def bt_levels(prices: pd.DataFrame, weights: pd.DataFrame) -> np.ndarray:
    """What bt makes of target weights: fractional positions, no commission, traded at the close of the day."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bt's own use of pandas, not ours
        import bt

        strategy = bt.Strategy(
            "index", [bt.algos.RunOnDate(*weights.index), bt.algos.WeighTarget(weights), bt.algos.Rebalance()]
        )
        test = bt.Backtest(strategy, prices, initial_capital=1e6, integer_positions=False, progress_bar=False)
        bt.run(test)
    return test.strategy.prices.reindex(prices.index).to_numpy()


def test_capped_monthly_index_equals_bt_on_real_prices() -> None:
    market = complete_market()
    index = methodology(caps=Caps(single=0.25), schedule=AT_ONCE)
    history = compute_index(market, index)
    assert len(history.rebalances) == 27
    assert max(change.weight_target.max() for change in history.rebalances) <= 0.25 + 1e-12
    days = pd.to_datetime(market.times_us, unit="us")
    prices = pd.DataFrame(market.prices, index=days, columns=market.slugs)
    weights = pd.DataFrame(
        [change.weight_target for change in history.rebalances],
        index=pd.to_datetime([change.effective_us for change in history.rebalances], unit="us"),
        columns=market.slugs,
    )
    levels = bt_levels(prices, weights)
    difference = np.abs(history.levels / 1000.0 / (levels / levels[0]) - 1.0)
    assert len(levels) == (END - START) // DAY_US + 1
    assert difference.max() <= 1e-9
