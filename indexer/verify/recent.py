"""Settled history from its last review on, and the prices since shortly before: enough to decide what came next.

Place in the flow: `verify_index.py` decides every later change of units again by it, instead of walking all the years
before each. Pure. What it leaves out cannot matter but where a whole basket had no price for longer than a price is
carried; there the whole history is walked (`IndexCheck` does so before it reports any difference).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from indexer.engine.history import REVIEWS, Settled
from indexer.engine.market import Market
from indexer.methodology.spec import Methodology
from indexer.times import DAY_US, HOUR_US

MARGIN_US = 31 * DAY_US


def recent(settled: Settled, market: Market, methodology: Methodology) -> tuple[Settled, Market]:
    """The changes of the last review (all its fixings) and later ones, and the market from long enough before."""
    changes = settled.changes
    reviews = [n for n, one in enumerate(changes) if one.kind in REVIEWS]
    if not reviews:
        return settled, market
    reference = changes[reviews[-1]].reference_us
    first = next(n for n in reviews if changes[n].reference_us == reference)
    carried = methodology.missing.max_carry_hours * HOUR_US
    row = int(np.searchsorted(market.times_us, reference - carried - MARGIN_US))
    cut = replace(
        market, times_us=market.times_us[row:], prices=market.prices[row:], price_status=market.price_status[row:]
    )
    return Settled(changes[first:], settled.until_us), cut
