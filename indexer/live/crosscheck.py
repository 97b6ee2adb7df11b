"""The cross-check: our newest fixings against what others say now; differences go to the quality log.

Others are the aggregators, which contain the venues and so can confirm a rate but never make it, and venues that the
`ccxt` library reads. Compared is the newest five-minute
median of the fixing, because the rate itself is the mean of an hour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from indexer.errors import NotEnoughDataError
from indexer.live.asking import Question, Reply, ask_all, keep_replies
from indexer.live.context import Live
from indexer.live.fixing import remembered_before
from indexer.live.mapping import ids_at
from indexer.live.memory import Remembered
from indexer.live.quality_log import settle
from indexer.registry import Registry
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
    theirs = _theirs(live, replies) | _extra(live, replies, extra, rates=newest.quotes)
    apart = {
        subject: f"{subject.partition('/')[0]} says {price:.8g}, our newest median is {ours[slug]:.8g}"
        f" ({price / ours[slug] - 1.0:+.2%})"
        for (subject, slug), price in theirs.items()
        if slug in ours and abs(price / ours[slug] - 1.0) > THRESHOLD
    }
    compared = {subject for (subject, slug) in theirs if slug in ours}
    settle(
        live.store,
        run_id,
        kind="disagreement",
        now=apart,
        at=live.clock(),
        concerns=lambda subject: subject in compared,
    )
    return {"compared": len(compared), "apart": len(apart), "failed_sources": sorted(down)}


def last_prices(memory: Remembered) -> dict[str, float]:
    """The newest non-empty partition median of each asset."""
    prices: dict[str, float] = {}
    for slug, one in memory.assets.items():
        filled = [value for value in one.recent if math.isfinite(value)]
        if filled:
            prices[slug] = filled[-1]
    return prices


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


def _extra(
    live: Live, replies: Sequence[Reply], extra: Mapping[str, str], *, rates: Mapping[str, tuple[int, float]]
) -> dict[tuple[str, str], float]:
    """(`venue/asset`, asset) → dollar price of the library's quotes, by the dollar rates of the newest fixing."""
    oldest = to_us(live.clock()) - MAX_AGE_US
    prices = {}
    for one in (quote for reply in replies for _, _, parsed in reply.parsed for quote in parsed.quotes):
        _, rate = rates.get(one.quote, (0, 1.0 if one.quote == "USD" else math.nan))
        if one.symbol in extra and (one.observed_us or oldest) >= oldest and math.isfinite(rate):
            slug = extra[one.symbol]
            prices[f"{one.symbol.partition(':')[0]}/{slug}", slug] = one.price * rate
    return prices


def _questions(live: Live, due: datetime, extra: Mapping[str, str]) -> list[Question]:
    now_us = to_us(live.clock())
    asked = []
    for source, dataset in (("defillama", Dataset.QUOTES), ("coingecko", Dataset.SUPPLY)):
        identifiers = tuple(ids_at(live.registry, source))
        if source in live.sources and identifiers:
            asked.append(Question("prices", source, Ask(dataset, identifiers, to_us(due) - HOUR_US, now_us, now_us)))
    if extra:
        ask = Ask(Dataset.QUOTES, tuple(extra), to_us(due) - HOUR_US, now_us, now_us)
        asked.append(Question("prices", "ccxt", ask))
    return asked


def _theirs(live: Live, replies: Sequence[Reply]) -> dict[tuple[str, str], float]:
    """(`source/asset`, asset) → price, of quotes that are not old."""
    prices: dict[tuple[str, str], float] = {}
    oldest = to_us(live.clock()) - MAX_AGE_US
    for reply in replies:
        source = reply.question.source
        assets = ids_at(live.registry, source)
        for _, _, parsed in reply.parsed:
            quotes = {one.symbol: one.price for one in parsed.quotes if (one.observed_us or oldest) >= oldest}
            for symbol, price in quotes.items():
                if symbol in assets:
                    prices[f"{source}/{assets[symbol].slug}", assets[symbol].slug] = price
    return prices
