"""Many venue quotes → one reference rate, with every venue's verdict and a status. Pure.

Place in the flow: sources and gates deliver candles; this package makes the one price per asset that the
engine uses. Two ways in: `fixing_rates` from minute candles, and
`bar_rates` for the history of hourly and daily bars. Both say in `method` which one it was.
"""

from indexer.reference.bars import THETA_DAILY, THETA_INTRADAY, BarRates, bar_rates, conversion_rate, weighted_median
from indexer.reference.fixing import Fixings, Memory, fixing_rates, minute_cube
from indexer.reference.rules import FixingRules, Method, RateFlag, RateStatus, Verdict, twap_weights

__all__ = [
    "THETA_DAILY",
    "THETA_INTRADAY",
    "BarRates",
    "FixingRules",
    "Fixings",
    "Memory",
    "Method",
    "RateFlag",
    "RateStatus",
    "Verdict",
    "bar_rates",
    "conversion_rate",
    "fixing_rates",
    "minute_cube",
    "twap_weights",
    "weighted_median",
]
