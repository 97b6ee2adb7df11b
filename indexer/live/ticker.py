"""The level that lives between fixings: every venue's last prices, asked now, through the fixing's own gates.

Nothing is stored, and nobody asked unless somebody wants a level. The prices stand for the newest minute of a fixing,
weighed by each venue's value of the last one, so that on prices that stand still the level is the next fixing's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from indexer.errors import NotEnoughDataError, SourceUnavailable
from indexer.live.asking import Question, ask_all, exchanges_of
from indexer.live.collect import constant_bars, in_dollars
from indexer.live.context import Live
from indexer.live.fixing import Fixed, compute, remembered_before
from indexer.live.mapping import quote_mappings
from indexer.live.standing import LiveLevel
from indexer.reference.rules import RateStatus
from indexer.registry.records import LinePart
from indexer.sources.base import Ask, Dataset, Mapped
from indexer.store.assets import read_assets, read_listings
from indexer.store.bars import read_bars
from indexer.store.indices import read_index
from indexer.store.levels import read_latest_level
from indexer.store.rates import rate_at
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import RebalancingRow
from indexer.times import DAY_US, HOUR_US, MINUTE_US, from_us, to_us

SPACING_S: Final = 2.5
ONE_BY_ONE: Final = ("coinbase",)
AT_ONCE: Final = 10  # pairs of a venue that answers one at a time, the stalest first: the flagship's in two rounds
TOO_OLD_S: Final = 60.0
BACK_DAYS: Final = 400

Place = tuple[str, str]
"""Source and its symbol."""


@dataclass(slots=True)
class _Prices:
    """The last price of each pair with when it was asked (monotonic seconds)."""

    by_pair: dict[Place, tuple[float, float]] = field(default_factory=dict)
    asked: float = float("-inf")
    at_us: int = 0
    rates: Mapping[str, tuple[float, int]] = field(default_factory=dict)  # asset → rate, how many venues


class Ticker:
    """The venues' last prices as rates, shared by all who ask. Safe for several threads."""

    def __init__(self, live: Live, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.live, self._monotonic = live, monotonic
        self._prices, self._lock = _Prices(), threading.Lock()
        self._wanted: frozenset[str] = frozenset()  # the tokens of all indices that were asked for

    def level(self, index_id: str) -> LiveLevel:
        """The live level of an index.

        Raises NotFoundError for the index, NotEnoughDataError while it has no official level or no venue is in use,
        and SourceUnavailable when no venue answers.
        """
        live, now = self.live, self.live.clock()
        index, newest = read_index(live.store, index_id), read_latest_level(live.store, index_id)
        changes = read_rebalancings(live.store, index_id, start_us=to_us(now) - BACK_DAYS * DAY_US, end_us=to_us(now))
        if newest is None or not changes:
            raise NotEnoughDataError(f"index {index_id} has no level yet; a live level begins with the first one")
        held = self._held(changes[-1], at_us=to_us(now))
        prices = self._newest(frozenset(token.slug for _, token in held))
        worth, carried, three = self._worth(held, prices, at_us=to_us(now))
        level, official = worth / changes[-1].divisor_after, float(newest.levels[-1])
        fresh = {source for (source, _), (_, at) in prices.by_pair.items() if self._is_fresh(at)}
        return LiveLevel(
            index=index_id,
            simulated=index.simulated,
            time=from_us(prices.at_us),
            age_s=round(max(self._monotonic() - prices.asked, 0.0), 3),
            level=round(level, 9),
            final=False,
            carried_weight=carried / worth,
            three_venues=three / worth,
            venues=tuple(sorted(fresh)),
            fixed_at=from_us(int(newest.times_us[-1])),
            since_fixing=level / official - 1.0,
        )

    def _held(self, basket: RebalancingRow, *, at_us: int) -> list[tuple[float, LinePart]]:
        """Units of each constituent, with the token that stands for its line now."""
        parts = self.live.registry.parts({asset.slug: int(asset.id) for asset in read_assets(self.live.store)})
        units = {item.asset: item.units_after for item in basket.items if item.units_after > 0}
        tokens = {line: next((part for part in parts.get(line, ()) if part.holds(at_us)), None) for line in units}
        unknown = sorted(line for line, token in tokens.items() if token is None)
        if unknown:
            raise NotEnoughDataError(f"no live level: the registry does not name {', '.join(unknown)}, which is held")
        return [(held, token) for line, held in units.items() if (token := tokens[line])]

    def _worth(self, held: Sequence[tuple[float, LinePart]], prices: _Prices, *, at_us: int) -> tuple[float, ...]:
        """What is held is worth now, and of it what is carried and what three venues price."""
        worth = carried = three = 0.0
        with self.live.store.session() as session:
            for units, token in held:
                rate, venues = prices.rates.get(token.slug, (float("nan"), 0))
                if not np.isfinite(rate):
                    last = rate_at(session, token.asset_id, at_us=at_us, as_of_us=None)
                    if last is None:
                        raise NotEnoughDataError(f"{token.slug} has no price, now or before")
                    rate = last.rate
                value = units * rate / token.ratio
                worth += value
                carried += value if not venues else 0.0
                three += value if venues >= 3 else 0.0
        return worth, carried, three

    def _newest(self, wanted: frozenset[str]) -> _Prices:
        with self._lock:
            if self._monotonic() - self._prices.asked >= SPACING_S or not wanted <= self._wanted:
                self._wanted |= wanted
                self._ask()
            if not self._prices.by_pair:
                raise SourceUnavailable("no venue gave a price now; the newest official level stands")
            return self._prices

    def _is_fresh(self, at: float) -> bool:
        return self._monotonic() - at <= TOO_OLD_S

    def _ask(self) -> None:
        """Ask every venue for the tokens wanted, and make rates of what is fresh."""
        live, began, at_us = self.live, self._monotonic(), to_us(self.live.clock())
        rows = [row for row in live.venues() if row.asset in self._wanted]
        if not rows:
            raise NotEnoughDataError("no venue is in use, so there are no prices of now; see DEAI_SOURCES")
        asked = (*rows, *quote_mappings(sorted({row.quote for row in rows}), live.sources))
        by_pair = dict(self._prices.by_pair)
        for _, call, _, parsed in exchanges_of(ask_all(live, _questions(asked, by_pair, now_us=at_us))):
            at = self._monotonic()
            by_pair |= {(call.source, quote.symbol): (quote.price, at) for quote in parsed.quotes}
        by_pair = {pair: known for pair, known in by_pair.items() if self._is_fresh(known[1])}
        if not by_pair:
            self._prices = _Prices(asked=self._monotonic())
            return
        fixed = _fixed(live, rows, asked, {pair: price for pair, (price, _) in by_pair.items()})
        used = (fixed.rates.verdicts == 0).sum(axis=1)
        live_now = fixed.rates.status < RateStatus.CARRIED
        rates = {slug: (float(fixed.rates.rate[a]), int(used[a])) for a, slug in enumerate(fixed.assets) if live_now[a]}
        self._prices = _Prices(by_pair, began, at_us, rates)


def _questions(asked: Sequence[Mapped], before: Mapping[Place, tuple[float, float]], *, now_us: int) -> list[Question]:
    """One question a venue, for all its pairs; a venue that answers one at a time, for its stalest."""
    questions = []
    for source in dict.fromkeys(row.source for row in asked):
        symbols = list(dict.fromkeys(row.symbol for row in asked if row.source == source))
        if source in ONE_BY_ONE:
            stalest = sorted(symbols, key=lambda symbol: before.get((source, symbol), (0.0, float("-inf")))[1])
            symbols = stalest[: AT_ONCE if len(before) else len(stalest)]
        ask = Ask(Dataset.QUOTES, tuple(symbols), now_us - HOUR_US, now_us, now_us)
        questions.append(Question("live", source, ask))
    return questions


def _fixed(live: Live, rows: Sequence[Mapped], asked: Sequence[Mapped], prices: Mapping[Place, float]) -> Fixed:
    """The fixing of one minute in which these prices stood, with the memory of the last official one."""
    now = live.clock()
    at_us = -(-to_us(now) // MINUTE_US) * MINUTE_US
    before = remembered_before(live, now)
    values, grid = _values(live, rows, at_us=before.at_us), np.array([at_us])
    markets = []
    for row in asked:
        place = (row.source, row.symbol)
        if place in prices:
            value = np.array([values.get(place, np.nan)])
            markets.append((row, replace(constant_bars(prices[place], grid), quote=row.quote, volume_usd=value)))
    got = in_dollars(markets, grid, last=before.last_rates())
    return compute(rows, got.bars, memory=before, at_us=at_us, rules=live.rules)


def _values(live: Live, rows: Sequence[Mapped], *, at_us: int | None) -> dict[Place, float]:
    """The traded value of each pair in the hour of the last fixing, in USD; NaN or absent where not known."""
    if at_us is None:
        return {}
    places = {(row.asset, row.source): (row.source, row.symbol) for row in rows}
    listings = {
        row.id: places[row.asset, row.venue]
        for row in read_listings(live.store, interval="1h")
        if row.id is not None and (row.asset, row.venue) in places
    }
    bars = read_bars(live.store, listing_ids=list(listings), since_us=at_us, until_us=at_us + 1)
    return {listings[int(number)]: float(usd) for number, usd in zip(bars.listing_id, bars.volume_usd, strict=True)}
