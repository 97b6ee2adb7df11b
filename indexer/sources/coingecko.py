"""CoinGecko: market charts as a cross-check and fill, and supply as reported. Keyless or with a demo key.

It mixes all venues, so it never enters a rate beside them. Without a paid plan it serves the last 365 days.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from indexer.arrays import F64, Bools
from indexer.errors import InputError, SourceCorrupt, SourceLimited, SourceRefused, SourceUnavailable
from indexer.sources.base import Call, Dataset, Parsed, RestSource
from indexer.sources.http import Answer
from indexer.sources.records import Quote, Reject, SupplyObservation
from indexer.sources.rows import bars_of_points, dict_in, json_of, list_in, number, stamps_us
from indexer.times import DAY_US, MINUTE_US, parse_instant

_IMPLIED_EVERY_DAYS: Final = 7  # one implied reading a week: supplies move slowly, reference dates are monthly
_LATE_US: Final = 10 * MINUTE_US  # daily points are stamped 00:00 UTC or some minutes past
_WIDEST: Final = 1.5  # of neighbouring readings; a wider jump is a broken point, not an issue of tokens
_SUPPLIES: Final = (("circulating_supply", "circulating"), ("total_supply", "total"), ("max_supply", "max"))


class CoinGecko(RestSource, name="coingecko"):
    """`market_chart/range` by coin id: instants, hourly up to 90 days a call, daily (00:00 UTC) beyond."""

    @property
    def limit(self) -> str:
        return "coingecko-demo" if self.key else "coingecko"

    def headers(self) -> dict[str, str]:
        return {"x-cg-demo-api-key": self.key} if self.key else {}

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "coingecko")
        if isinstance(body, dict) and ("error" in body or "status" in body):
            raise _error(body)
        if call.ask.dataset is Dataset.SUPPLY:
            return _markets_of(body, call, answer.fetched_us)
        prices, volumes = _points(body, "prices"), _points(body, "total_volumes")
        daily = call.ask.interval == "1d"  # the volume is that of the 24 hours before: a day's own on the 00:00 stamp
        return bars_of_points(prices, call, answer, volumes=volumes if daily else None)


def _points(body: Any, name: str) -> list[Any]:
    points = body.get(name) if isinstance(body, dict) else None
    if not isinstance(points, list) or any(not isinstance(p, list) or len(p) != 2 for p in points):
        raise SourceCorrupt(f"coingecko answered without `{name}` as pairs")
    return points


def _error(body: dict[str, Any]) -> SourceRefused | SourceUnavailable:
    error = body.get("error", body)
    status = error.get("status", error) if isinstance(error, dict) else {}
    code = status.get("error_code") if isinstance(status, dict) else None
    words = status.get("error_message", error) if isinstance(status, dict) else error
    if code == 10012:
        return SourceRefused(
            "coingecko serves the last 365 days without a paid plan; older bars come from a venue "
            "or a file import (code 10012)"
        )
    text = f"coingecko answers: {words}"
    if code == 429:
        return SourceLimited(text)
    return SourceUnavailable(text) if "Internal" in str(words) else SourceRefused(text)


def _markets_of(body: Any, call: Call, fetched_us: int) -> Parsed:
    """Supplies and prices of the asked ids only; a coin with the same ticker but another id is refused."""
    if not isinstance(body, list):
        raise SourceCorrupt("coingecko answered markets that are not a list")
    supplies: list[SupplyObservation] = []
    quotes: list[Quote] = []
    rejects: list[Reject] = []
    for at, row in enumerate(body):
        coin = row.get("id") if isinstance(row, dict) else None
        if coin not in call.ask.symbols:
            rejects.append(Reject("not an asked id", str(row)[:300], at))
            continue
        try:
            observed = min(parse_instant(str(row.get("last_updated"))), fetched_us)
        except InputError:
            observed = fetched_us
        for field, kind in _SUPPLIES:
            tokens = number(row.get(field))
            if np.isfinite(tokens) and tokens > 0.0:
                supplies.append(SupplyObservation(str(coin), kind, tokens, observed))
        price = number(row.get("current_price"))
        if np.isfinite(price) and price > 0.0:
            quotes.append(Quote(str(coin), price, "USD"))
    return Parsed(quotes=tuple(quotes), supplies=tuple(supplies), rejects=tuple(rejects))


def implied_supplies(call: Call, answer: Answer) -> list[SupplyObservation]:
    """Weekly circulating supplies implied by a chart answer: market value / price at the same instants. Pure.

    A point without either, or that jumps by half against the one before and after, is left out. Raises
    SourceCorrupt when the body is not JSON.
    """
    body = dict_in(json_of(answer, "coingecko"))
    prices, caps = _by_stamp(body.get("prices")), _by_stamp(body.get("market_caps"))
    stamps = np.array(sorted(stamp for stamp in prices.keys() & caps.keys() if np.isfinite(stamp)))
    if not len(stamps):
        return []
    at = stamps_us(stamps, 1000, name="coingecko")
    with np.errstate(invalid="ignore", divide="ignore"):
        tokens = np.array([caps[s] for s in stamps]) / np.array([prices[s] for s in stamps])
    late = at % DAY_US
    good = np.isfinite(tokens) & (tokens > 0.0) & (at <= answer.fetched_us) & (late <= _LATE_US)
    at, tokens = at[good], tokens[good]
    days, first = np.unique(at // DAY_US, return_index=True)
    at, tokens = at[first], tokens[first]
    weekly = np.flatnonzero(_smooth(tokens) & (days % _IMPLIED_EVERY_DAYS == 0))
    return [SupplyObservation(call.ask.symbol, "circulating", float(tokens[n]), int(at[n])) for n in weekly.tolist()]


def _by_stamp(points: Any) -> dict[float, float]:
    """Values of a chart by their stamps in milliseconds."""
    pairs = [pair for pair in list_in(points) if isinstance(pair, list) and len(pair) == 2]
    return {number(stamp): number(value) for stamp, value in pairs}


def _smooth(tokens: F64) -> Bools:
    """Which points do not stand alone above or below both neighbours by a factor."""
    if len(tokens) < 3:
        return np.ones(len(tokens), dtype=np.bool_)
    step = np.abs(np.log(tokens[1:] / tokens[:-1])) > np.log(_WIDEST)
    alone = np.r_[False, step[:-1] & step[1:], False]
    smooth: Bools = ~alone
    return smooth
