"""Many venue quotes → one reference rate, with every venue's verdict and a status. Pure.

Place in the flow: sources and gates deliver candles; this package makes the one price per asset that the
engine uses. Two ways in: `fixing_rate` / `fixing_rates` from minute candles (METHODOLOGY §1.2), and
`bar_rates` for the history of hourly and daily bars. Both say in `method` which one it was.
"""

from indexer.reference.bars import THETA_DAILY, THETA_INTRADAY, BarRates, bar_rates, conversion_rate, weighted_median
from indexer.reference.changes import verdict_changes
from indexer.reference.fixing import Fixings, Memory, fixing_rates
from indexer.reference.minutes import FixingRate, fixing_rate, minute_cube, named
from indexer.reference.rules import FixingRules, Method, RateStatus, Verdict, status_of_count, twap_weights

__all__ = [
    "THETA_DAILY",
    "THETA_INTRADAY",
    "BarRates",
    "FixingRate",
    "FixingRules",
    "Fixings",
    "Memory",
    "Method",
    "RateStatus",
    "Verdict",
    "bar_rates",
    "conversion_rate",
    "fixing_rate",
    "fixing_rates",
    "minute_cube",
    "named",
    "status_of_count",
    "twap_weights",
    "verdict_changes",
    "weighted_median",
]
