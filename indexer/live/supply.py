"""The supply job: circulating, total and maximal supply as CoinGecko reports them, each kept apart.

A fresh store has no supplies of the past, and an index by free float needs one at each reference date. CoinGecko's
chart gives market value and price at the same instants; their quotient is the circulating supply it reckoned with
then. Such readings are kept as reported under a source name of their own, `coingecko-implied`: implied by two
published numbers, learnt now, true then as far as the provider knew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np

from indexer.live.asking import Question, Reply, ask_all, keep_replies
from indexer.live.context import Live
from indexer.live.mapping import ids_at
from indexer.registry import Asset
from indexer.sources.base import Ask, Call, Dataset
from indexer.sources.http import Answer
from indexer.sources.records import SupplyObservation
from indexer.sources.rows import dict_in, json_of, list_in, number, stamps_us
from indexer.store.read import read_supplies
from indexer.store.records import SupplyRow
from indexer.store.write import write_supplies
from indexer.times import DAY_US, MINUTE_US, from_us, to_us

SOURCE: Final = "coingecko"
IMPLIED: Final = "coingecko-implied"
NEW_US: Final = 60 * DAY_US  # an asset whose first reading is younger than this has no history yet
EVERY_DAYS: Final = 7  # one implied reading a week: supplies move slowly, reference dates are monthly
LATE_US: Final = 10 * MINUTE_US  # daily points are stamped 00:00 UTC or some minutes past
WIDEST: Final = 1.5  # of neighbouring readings; a wider jump is a broken point, not an issue of tokens


def read_reported(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Write today's supplies as reported, and the past year's implied ones where there are none; the counts.

    Raises SourceUnavailable when the supplies of today could not be had.
    """
    now_us = to_us(live.clock())
    assets = ids_at(live.registry, SOURCE)
    live.asset_ids()
    ask = Ask(Dataset.SUPPLY, tuple(assets), to_us(due) - DAY_US, now_us, now_us)
    replies = ask_all(live, [Question("supply", SOURCE, ask)])
    keep_replies(live, run_id, replies, what="supplies")
    stored = read_supplies(live.store)
    done = {(row.asset, row.kind) for row in stored if row.source == SOURCE and row.observed_at >= due}
    found = [one for reply in replies for _, _, parsed in reply.parsed for one in parsed.supplies]
    rows = [
        _row(assets[one.symbol], one, source=SOURCE) for one in found if (assets[one.symbol].slug, one.kind) not in done
    ]
    written = write_supplies(live.store, run_id, rows).new
    return {"readings": written, "implied": _past(live, run_id, assets, stored, now_us)}


def _past(live: Live, run_id: int, assets: Mapping[str, Asset], stored: Sequence[SupplyRow], now_us: int) -> int:
    """Write the implied supplies of assets that have no reading older than two months; how many."""
    old = {row.asset for row in stored if to_us(row.observed_at) < now_us - NEW_US}
    written = 0
    for coin, asset in assets.items():
        if asset.slug in old:
            continue
        ask = Ask(Dataset.BARS, (coin,), now_us - live.history_days * DAY_US, now_us, now_us, "1d")
        replies = ask_all(live, [Question(asset.slug, SOURCE, ask)])
        if not any(reply.parsed for reply in replies):
            continue
        keep_replies(live, run_id, replies, what="the history of supplies")
        rows = [_row(asset, one, source=IMPLIED) for one in _implied_of(replies)]
        written += write_supplies(live.store, run_id, rows).new
    return written


def _implied_of(replies: Sequence[Reply]) -> list[SupplyObservation]:
    return [one for reply in replies for call, answer, _ in reply.parsed for one in implied_supplies(call, answer)]


def implied_supplies(call: Call, answer: Answer) -> list[SupplyObservation]:
    """Weekly circulating supplies implied by a chart answer: market value / price at the same instants. Pure.

    A point without either, or that jumps by half against the one before and after, is left out. Raises
    SourceCorrupt when the body is not JSON.
    """
    body = dict_in(json_of(answer, SOURCE))
    prices, caps = _by_stamp(body.get("prices")), _by_stamp(body.get("market_caps"))
    stamps = np.array(sorted(stamp for stamp in prices.keys() & caps.keys() if np.isfinite(stamp)))
    if not len(stamps):
        return []
    at = stamps_us(stamps, 1000, name=SOURCE)
    with np.errstate(invalid="ignore", divide="ignore"):
        tokens = np.array([caps[s] for s in stamps]) / np.array([prices[s] for s in stamps])
    late = at % DAY_US
    good = np.isfinite(tokens) & (tokens > 0.0) & (at <= answer.fetched_us) & (late <= LATE_US)
    at, tokens = at[good], tokens[good]
    days, first = np.unique(at // DAY_US, return_index=True)
    at, tokens = at[first], tokens[first]
    kept = np.flatnonzero(_smooth(tokens) & (days % EVERY_DAYS == 0))
    return [SupplyObservation(call.ask.symbol, "circulating", float(tokens[n]), int(at[n])) for n in kept.tolist()]


def _by_stamp(points: Any) -> dict[float, float]:
    """Values of a chart by their stamps in milliseconds."""
    pairs = [pair for pair in list_in(points) if isinstance(pair, list) and len(pair) == 2]
    return {number(stamp): number(value) for stamp, value in pairs}


def _smooth(tokens: np.ndarray) -> np.ndarray:
    """Which points do not stand alone above or below both neighbours by a factor."""
    if len(tokens) < 3:
        return np.ones(len(tokens), dtype=np.bool_)
    step = np.abs(np.log(tokens[1:] / tokens[:-1])) > np.log(WIDEST)
    alone = np.r_[False, step[:-1] & step[1:], False]
    found: np.ndarray = ~alone
    return found


def _row(asset: Asset, one: SupplyObservation, *, source: str) -> SupplyRow:
    """A reading in base units, exact to what was reported."""
    return SupplyRow(
        asset=asset.slug,
        kind=one.kind,
        origin="reported",
        source=source,
        observed_at=from_us(one.observed_us),
        amount=int(Decimal(repr(one.tokens)).scaleb(asset.decimals)),
    )
