"""Free-float bands for the second calculator, in plain Python: which band holds at a reference date, and why.

Shares nothing with the fast path (`evidence.py`, which takes `onchain.freefloat`). METHODOLOGY §2.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from math import ceil, isnan, nan

from indexer.methodology.spec import Methodology

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BUFFER = 0.02
ROUNDING = 1e-12


def band_at(methodology: Methodology, *, reference: int, share_at: Callable[[int], float]) -> float:
    """The band (0, 0.2, 0.3 … 1) in force at a reference date, by all those before it; NaN while none was known.

    `share_at` gives the free float's share of the total at an instant in microseconds, NaN where not known.
    """
    band = nan
    for moment in references(methodology, reference):
        share = share_at(moment)
        if isnan(share):
            continue
        low, high = _edges(band)
        if isnan(band) or not low - BUFFER <= share <= high + BUFFER:
            band = _fresh(share)
    return band


def references(methodology: Methodology, last: int) -> Iterator[int]:
    """The reference instants of the base and of every scheduled date, in order, up to `last` (all in us)."""
    schedule, base = methodology.schedule, methodology.base_date.astimezone(UTC)
    before = timedelta(days=schedule.reference_days_before)
    when, month = base, datetime(base.year, base.month, schedule.effective_day, tzinfo=UTC)
    while (at := (when - before - EPOCH) // timedelta(microseconds=1)) <= last:
        yield at
        while month <= when or month.month not in schedule.rebalance_months:
            month = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
        when = month


def _fresh(share: float) -> float:
    if share < 0.15:
        return 0.0
    if share > 0.9 + ROUNDING:
        return 1.0
    return max(ceil(share * 10 - ROUNDING * 10) / 10, 0.2)


def _edges(band: float) -> tuple[float, float]:
    if isnan(band):
        return nan, nan
    lows = {0.0: 0.0, 0.2: 0.15, 1.0: 0.9}
    return lows.get(band, band - 0.1), 0.15 if band == 0.0 else band
