"""Many venue quotes → one reference rate, with every venue's verdict and a status. Pure.

Place in the flow: sources and gates deliver candles; this package makes the one price per asset that the
engine uses. Two ways in: `fixing_rate` from minute candles (METHODOLOGY §1.2), and `bar_rates` for the
history of hourly and daily bars. Both say in `method` which one it was.
"""

from indexer.reference.bars import BarRates, bar_rates
from indexer.reference.median import weighted_median
from indexer.reference.verdicts import RateStatus, Verdict, status_of_count

__all__ = ["BarRates", "RateStatus", "Verdict", "bar_rates", "status_of_count", "weighted_median"]
