"""Prices of aggregators and administrators, as a cross-check: DefiLlama coins and Coin Metrics; and market sentiment.

No key. Coin Metrics has a non-commercial licence, so it is asked only when opted in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from indexer.errors import InputError, SourceCorrupt, SourceRefused
from indexer.sources.base import Ask, Call, Dataset, Parsed, RestSource, same_contract
from indexer.sources.http import Answer
from indexer.sources.records import Quote, Reject
from indexer.sources.rows import bars_of_points, dict_in, json_of, number, series_of
from indexer.times import DAY_US, parse_instant

MIN_CONFIDENCE: Final = 0.9  # below, the price is suspect


class DefiLlama(RestSource, name="defillama"):
    """`/chart` and `/prices/current` by `chain:address` (or `coingecko:id`). The stamp is an instant in seconds."""

    def place(self, name: str, ask: Ask) -> object:
        return ask.rows + 1 if name == "points" else super().place(name, ask)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "defillama")
        coins = body.get("coins") if isinstance(body, dict) else None
        if not isinstance(coins, dict):
            message = body.get("message") if isinstance(body, dict) else None
            if message:
                raise SourceRefused(f"defillama answers: {message}")
            raise SourceCorrupt("defillama answered without `coins`")
        if call.ask.dataset is Dataset.QUOTES:
            return _quotes(coins, call, answer)
        strangers = [key for key in coins if not same_contract(key, call.ask.symbol)]
        if strangers:
            raise SourceCorrupt(f"defillama answered for {strangers[0]} when asked {call.ask.symbol}")
        return _chart_bars(next(iter(coins.values()), {}), call, answer)


def _chart_bars(coin: Any, call: Call, answer: Answer) -> Parsed:
    confidence = number(coin.get("confidence", 1.0)) if isinstance(coin, dict) else float("nan")
    points = coin.get("prices", []) if isinstance(coin, dict) else None
    if not isinstance(points, list) or any(not isinstance(point, dict) for point in points):
        raise SourceCorrupt("defillama answered a chart without `prices`")
    if confidence < MIN_CONFIDENCE:
        return Parsed(rejects=(Reject("confidence below 0.9", f"{call.ask.symbol} {confidence}"),))
    pairs = [[point.get("timestamp"), point.get("price")] for point in points]
    return bars_of_points(pairs, call, answer, unit_us=1_000_000)


def _quotes(coins: dict[str, Any], call: Call, answer: Answer) -> Parsed:
    """Quotes under the keys that were asked; others, doubtful and price-less ones are refused."""
    quotes: list[Quote] = []
    rejects: list[Reject] = []
    for key, coin in coins.items():
        asked = next((symbol for symbol in call.ask.symbols if same_contract(key, symbol)), None)
        price, confidence, stamp = (number(dict_in(coin).get(name)) for name in ("price", "confidence", "timestamp"))
        observed = int(stamp) * 1_000_000 if 0 < stamp < 4e9 else None
        faults = {
            "not an asked contract": asked is None,
            "price is not a finite positive number": not price > 0.0,
            "confidence below 0.9": confidence < MIN_CONFIDENCE,
            "stamp lies in the future": (observed or 0) > answer.fetched_us,
        }
        if asked and not any(faults.values()):
            quotes.append(Quote(asked, price, "USD", observed))
        else:
            rejects.append(Reject(next(why for why, wrong in faults.items() if wrong), f"{key} {coin}"[:300]))
    return Parsed(quotes=tuple(quotes), rejects=tuple(rejects))


class CoinMetrics(RestSource, name="coinmetrics"):
    """`timeseries/asset-metrics`: ReferenceRateUSD, true at its stamp (a daily one is the 00:00 fixing).

    Ids are its own: TAO is `tao_bittensor`, never `tao`.
    """

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "coinmetrics")
        if isinstance(body, dict) and isinstance(body.get("error"), dict):
            error = body["error"]
            raise SourceRefused(f"coinmetrics answers {error.get('type')}: {error.get('message')}")
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(data, list):
            raise SourceCorrupt("coinmetrics answered without `data`")
        if isinstance(body, dict) and body.get("next_page_token"):
            raise SourceCorrupt(f"coinmetrics split {call.ask.symbol} into pages although one was asked")
        points: list[list[object]] = []
        rejects: list[Reject] = []
        for at, row in enumerate(data):
            if not isinstance(row, dict) or row.get("asset") != call.ask.symbol:
                rejects.append(Reject("not an asked id", str(row)[:300], at))
                continue
            try:
                points.append([parse_instant(str(row.get("time"))) / 1000, row.get("ReferenceRateUSD")])
            except InputError:
                rejects.append(Reject("stamp is not an instant", str(row)[:300], at))
        parsed = bars_of_points(points, call, answer)
        return replace(parsed, rejects=(*rejects, *parsed.rejects))


class FearGreed(RestSource, name="feargreed"):
    """The index of alternative.me, one number a day, 0 (fear) to 100 (greed). `/fng/`: {data: [{value,
    value_classification, timestamp s}, …]}, newest first; stamps are 00:00 UTC."""

    def place(self, name: str, ask: Ask) -> object:
        """It counts `days` back from today only."""
        days = max(1, -(-(ask.now_us - ask.start_us) // DAY_US) + 1)
        return days if name == "days" else super().place(name, ask)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = dict_in(json_of(answer, "feargreed"))
        if error := dict_in(body.get("metadata")).get("error"):
            raise SourceRefused(f"feargreed answers: {error}")
        rows = body.get("data")
        if not isinstance(rows, list) or any(not isinstance(row, dict) for row in rows):
            raise SourceCorrupt("feargreed answered without `data`")
        pairs = [[row.get("timestamp"), number(row.get("value"))] for row in rows]
        known = [[at, value if 0.0 <= value <= 100.0 else None] for at, value in pairs]
        return series_of("fear_greed_0_100", known, call, answer, unit_us=1_000_000)
