"""The cross-check: our newest fixings against what others say now; differences go to the quality log.

Others are the aggregators, which contain the venues and so can confirm a rate but never make it, and venues that the
`ccxt` library reads. Compared is the newest five-minute median of the fixing: the rate is the mean of an hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from indexer.errors import NotEnoughDataError
from indexer.live.asking import Question, Reply, ask_all, exchanges_of, keep_replies
from indexer.live.collect import AGGREGATORS
from indexer.live.context import Live
from indexer.live.fixing import Remembered, remembered_before
from indexer.live.mapping import ids_at
from indexer.live.quality_log import settle
from indexer.registry import Registry
from indexer.registry.records import DOLLAR
from indexer.sources.base import Ask, Dataset, Source
from indexer.sources.registry import REGISTRY
from indexer.times import HOUR_US, to_us

THRESHOLD: Final = 0.03
MAX_AGE_US: Final = 2 * HOUR_US
LATE: Final = timedelta(microseconds=1)


def check(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Compare and settle the quality log's disagreements; what was compared.

    Raises SourceUnavailable when no aggregator answered, NotEnoughDataError when there is no recent fixing.
    """
    newest = remembered_before(live, due + LATE)
    if newest.at_us is None or to_us(due) - newest.at_us > MAX_AGE_US:
        raise NotEnoughDataError(f"there is no fixing of the last {MAX_AGE_US // HOUR_US} hours to compare with")
    ours = last_prices(newest)
    extra = extra_pairs(live.registry, live.sources)
    replies = ask_all(live, _questions(live, due, extra))
    down = keep_replies(live, run_id, replies, what="prices to compare with")
    theirs = _prices(live, replies, extra, rates=newest.quotes)
    apart = {
        subject: f"{subject.partition('/')[0]} says {price:.8g}, our newest median is {ours[slug]:.8g}"
        f" ({price / ours[slug] - 1.0:+.2%})"
        for (subject, slug), price in theirs.items()
        if slug in ours and abs(price / ours[slug] - 1.0) > THRESHOLD
    }
    compared = {subject for (subject, slug) in theirs if slug in ours}
    settle(live, run_id, "disagreement", apart, concerns=compared.__contains__)
    return {"compared": len(compared), "apart": len(apart), "failed_sources": sorted(down)}


def last_prices(memory: Remembered) -> dict[str, float]:
    """The newest non-empty partition median of each asset."""
    medians = {slug: np.array(asset.recent, dtype=np.float64) for slug, asset in memory.assets.items()}
    filled = {slug: recent[np.isfinite(recent)] for slug, recent in medians.items()}
    return {slug: float(recent[-1]) for slug, recent in filled.items() if len(recent)}


def extra_pairs(registry: Registry, sources: Mapping[str, Source]) -> dict[str, str]:
    """`<venue>:<pair>` → asset, of listings at venues that only the ccxt library reads; none without it. Pure."""
    if "ccxt" not in sources:
        return {}
    return {
        f"{listing.venue}:{listing.symbol}": asset.slug
        for asset in registry.assets
        for listing in asset.venues
        if listing.venue not in REGISTRY and "/" in listing.symbol and asset.status != "legacy"
    }


def _questions(live: Live, due: datetime, extra: Mapping[str, str]) -> list[Question]:
    now_us = to_us(live.clock())
    asked = [(source, tuple(ids_at(live.registry, source))) for source in AGGREGATORS] + [("ccxt", tuple(extra))]
    datasets = {"coingecko": Dataset.SUPPLY}  # its markets carry the prices too
    return [
        Question(
            "prices", source, Ask(datasets.get(source, Dataset.QUOTES), symbols, to_us(due) - HOUR_US, now_us, now_us)
        )
        for source, symbols in asked
        if symbols and source in live.sources
    ]


def _prices(
    live: Live, replies: Sequence[Reply], extra: Mapping[str, str], *, rates: Mapping[str, tuple[int, float]]
) -> dict[tuple[str, str], float]:
    """(`source/asset`, asset) → dollar price, of quotes that are not old; `rates` are the newest fixing's of quotes."""
    prices: dict[tuple[str, str], float] = {}
    oldest = to_us(live.clock()) - MAX_AGE_US
    dollars = {DOLLAR: 1.0} | {currency: rate for currency, (_, rate) in rates.items()}
    slugs = {("ccxt", symbol): slug for symbol, slug in extra.items()}
    for source in AGGREGATORS:
        slugs |= {(source, symbol): asset.slug for symbol, asset in ids_at(live.registry, source).items()}
    for _, call, _, parsed in exchanges_of(replies):
        for quote in parsed.quotes:
            slug = slugs.get((call.source, quote.symbol))
            if slug and (quote.observed_us or oldest) >= oldest and quote.quote in dollars:
                venue = quote.symbol.partition(":")[0] if call.source == "ccxt" else call.source
                prices[f"{venue}/{slug}", slug] = quote.price * dollars[quote.quote]
    return prices
