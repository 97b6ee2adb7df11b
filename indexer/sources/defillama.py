"""DefiLlama coins: prices by contract with a confidence, as a cross-check. No key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from indexer.errors import SourceCorrupt, SourceRefused
from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, known, same_contract
from indexer.sources.http import Answer
from indexer.sources.records import Quote, Reject
from indexer.sources.rows import bars_of_points, dict_in, json_of, number

MIN_CONFIDENCE: Final = 0.9  # below, the price is suspect


@dataclass(frozen=True)
class DefiLlama(RestSource):
    """`/chart` and `/prices/current` by `chain:address` (or `coingecko:id`). The stamp is an instant in seconds."""

    about: ClassVar[Capabilities] = known("defillama")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        if ask.dataset is Dataset.QUOTES:
            path = f"/prices/current/{','.join(ask.symbols)}"
            return (Call("defillama", path, {"searchWidth": "4h"}, ask, rows=len(ask.symbols)),)
        return self.paged(ask, self._chart) if ask.dataset is Dataset.BARS else ()

    @staticmethod
    def _chart(ask: Ask) -> Call:
        rows = ask.rows
        params = {
            "start": str(ask.start_us // 1_000_000),
            "span": str(rows + 1),
            "period": ask.interval,
            "searchWidth": "600",
        }
        return Call("defillama", f"/chart/{ask.symbol}", params, ask, rows=rows)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "defillama")
        coins = body.get("coins") if isinstance(body, dict) else None
        if not isinstance(coins, dict):
            message = body.get("message") if isinstance(body, dict) else None
            if message:
                raise SourceRefused(f"defillama answers: {message}")
            raise SourceCorrupt("defillama answered without `coins`")
        if call.ask.dataset is Dataset.QUOTES:
            return _quotes(coins, call, answer.fetched_us)
        strangers = [key for key in coins if not same_contract(key, call.ask.symbol)]
        if strangers:
            raise SourceCorrupt(f"defillama answered for {strangers[0]} when asked {call.ask.symbol}")
        return _chart_bars(next(iter(coins.values()), {}), call, answer.fetched_us)


def _chart_bars(coin: Any, call: Call, fetched_us: int) -> Parsed:
    confidence = number(coin.get("confidence", 1.0)) if isinstance(coin, dict) else float("nan")
    points = coin.get("prices", []) if isinstance(coin, dict) else None
    if not isinstance(points, list) or any(not isinstance(point, dict) for point in points):
        raise SourceCorrupt("defillama answered a chart without `prices`")
    if confidence < MIN_CONFIDENCE:
        return Parsed(rejects=(Reject("confidence below 0.9", f"{call.ask.symbol} {confidence}"),))
    pairs = [[point.get("timestamp"), point.get("price")] for point in points]
    return bars_of_points(pairs, call, fetched_us=fetched_us, unit_us=1_000_000)


def _quotes(coins: dict[str, Any], call: Call, fetched_us: int) -> Parsed:
    """Quotes under the keys that were asked; others, doubtful and price-less ones are refused."""
    found: list[Quote] = []
    rejects: list[Reject] = []
    for key, coin in coins.items():
        asked = next((symbol for symbol in call.ask.symbols if same_contract(key, symbol)), None)
        price, confidence, stamp = (number(dict_in(coin).get(name)) for name in ("price", "confidence", "timestamp"))
        observed = int(stamp) * 1_000_000 if 0 < stamp < 4e9 else None
        if asked is None:
            rejects.append(Reject("not an asked contract", f"{key} {coin}"[:300]))
        elif not (np.isfinite(price) and price > 0.0):
            rejects.append(Reject("price is not a finite positive number", f"{key} {coin}"[:300]))
        elif confidence < MIN_CONFIDENCE:
            rejects.append(Reject("confidence below 0.9", f"{key} {coin}"[:300]))
        elif observed is not None and observed > fetched_us:
            rejects.append(Reject("stamp lies in the future", f"{key} {coin}"[:300]))
        else:
            found.append(Quote(asked, price, "USD", observed, confidence=confidence))
    return Parsed(quotes=tuple(found), rejects=tuple(rejects))
