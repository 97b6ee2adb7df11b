"""A backtest of an index that loses its members: what is counted, by hand-computed numbers."""

from __future__ import annotations

import numpy as np
import pytest
from baskets import BASE_US, market, methodology

from indexer.backtest.backtest import backtest
from indexer.methodology.spec import Missing, Scheme, Selection, Weighting
from indexer.times import DAY_US

RULES = methodology(
    weighting=Weighting(Scheme.EQUAL), missing=Missing(48), selection=Selection(3, 3, 3, min_constituents=3)
)


def test_a_backtest_counts_what_is_held_and_leaves_impaired_days_out() -> None:
    # Three tokens of a third each. a loses a tenth on day 2; c has no price from day 5 on, leaves on day 7, and two
    # are held from day 8 to day 18, the fourteenth impaired one. Days 1 to 4 are left: 1000 · (1 − 0.1 / 3).
    prices = np.full((40, 3), 10.0)
    prices[1:, 0] = 9.0
    prices[4:, 2] = np.nan
    prices[9:, 1] = 1.0  # a fall that is nobody's return: the index was impaired
    times = BASE_US + np.arange(40) * DAY_US
    made = backtest(market(times, prices, [3.0, 2.0, 1.0]), RULES, end_us=int(times[-1]) + 30 * DAY_US)
    result = made.result
    assert result.total_return == pytest.approx(-0.1 / 3, rel=1e-12)
    assert result.max_drawdown == pytest.approx(-0.1 / 3, rel=1e-12)
    assert (result.last, result.days, result.left_out) == ("2023-01-04T00:00:00Z", 4, 14)
    assert (result.fewest, len(made.times_us)) == (2, 18)
    assert result.constituents == pytest.approx((3 * 7 + 2 * 11) / 18)
    assert [note.split(":")[0] + note.split("Z ")[1][:8] for note in result.notes] == [
        "2023-01-05T00impaired", "2023-01-18T00suspende", "2023-02-01T00skipped:",
    ]  # fmt: skip
    assert result.warnings[0] == (
        "the data end at 2023-02-09T00:00:00Z, before the end asked for (2023-03-11T00:00:00Z)"
    )
    assert result.warnings[1] == "suspended: no levels after 2023-01-18T00:00:00Z, prices go on to 2023-02-09T00:00:00Z"
