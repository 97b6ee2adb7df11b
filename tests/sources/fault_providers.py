"""How each provider writes its answers: the shapes of its documentation, filled from the world's bars."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import orjson
from fault_more_providers import IDS, MoreProviders
from fault_reply import Query, Reply, reply
from fault_world import World

from indexer.times import DAY_US, INTERVAL_US, iso, parse_instant

Change = Callable[[np.ndarray, str, str], np.ndarray]


def plain_symbol(symbol: str) -> str:
    """The asset in a venue's spelling: FETUSDT, FET-USD, FET/USD, FET-USDT, USDTUSD."""
    word = symbol.upper().replace("/", "-")
    if "-" in word:
        return word.split("-")[0]
    for quote in ("USDT", "USD"):
        if word.endswith(quote) and len(word) > len(quote):
            return word.removesuffix(quote)
    return word


class Providers(MoreProviders):
    """All providers by name; `change` lets faults alter the rows of (venue, asset) before they are written."""

    def __init__(self, world: World, now_us: Callable[[], int], change: Change) -> None:
        self.world = world
        self.now_us = now_us
        self.change = change

    def answer(self, provider: str, path: str, query: Query) -> Reply:
        play = getattr(self, f"_{provider.replace('-', '_')}", None)
        return play(path, query) if play else reply({"error": "no such provider"}, 404)

    def rows(self, venue: str, symbol: str, interval: str, first_us: int, last_us: int) -> np.ndarray | None:
        """The bars that open in [first, last], including the open one; None for an unknown symbol."""
        asset = plain_symbol(symbol)
        if (asset, interval) not in self.world.series:
            return None
        table = self.world.bars(venue, asset, interval)
        shown = table[(table[:, 0] >= first_us) & (table[:, 0] <= min(last_us, self.now_us()))]
        return self.change(shown.copy(), venue, asset)

    def listed(self) -> list[str]:
        """The coins that every venue lists: those of the world, and bitcoin as everywhere."""
        return sorted({asset for asset, _ in self.world.series} | {"BTC"})

    def last(self, venue: str, symbol: str) -> str | None:
        """The price that a venue's ticker shows; None for an unknown symbol."""
        rows = self.rows(venue, symbol, "1m", 0, self.now_us())
        return None if rows is None or not len(rows) else _text(rows[-1, 4])

    def _binance(self, path: str, q: Query) -> Reply:
        if path == "/api/v3/ticker/price":
            return self._binance_prices(orjson.loads(q["symbols"]))
        if path == "/api/v3/exchangeInfo":
            coins = [{"baseAsset": c, "quoteAsset": "USDT", "symbol": f"{c}USDT"} for c in self.listed()]
            return reply({"symbols": [coin | {"status": "TRADING"} for coin in coins]})
        if path == "/api/v3/ticker/24hr":
            rows = self.rows("binance", q["symbol"], "1m", 0, self.now_us())
            if rows is None:
                return reply({"code": -1121, "msg": "Invalid symbol."}, 400)
            last = {"symbol": q["symbol"], "lastPrice": _text(rows[-1, 4]), "closeTime": self.now_us() // 1000}
            return reply(last | {"quoteVolume": _text(rows[-1440:, 6].sum())})
        rows = self.rows("binance", q["symbol"], q["interval"], int(q["startTime"]) * 1000, int(q["endTime"]) * 1000)
        if rows is None:
            return reply({"code": -1121, "msg": "Invalid symbol."}, 400)
        step = INTERVAL_US[q["interval"]]
        out = [
            [int(r[0]) // 1000, *map(_text, r[1:6]), (int(r[0]) + step) // 1000 - 1, _text(r[6]), 9, "0", "0", "0"]
            for r in rows[: int(q["limit"])].tolist()
        ]
        return reply(out)

    def _binance_prices(self, symbols: list[str]) -> Reply:
        asked = {symbol: self.last("binance", symbol) for symbol in symbols}
        if None in asked.values():
            return reply({"code": -1121, "msg": "Invalid symbol."}, 400)
        return reply([{"symbol": symbol, "price": price} for symbol, price in asked.items()])

    def _coinbase(self, path: str, q: Query) -> Reply:
        if path == "/products":
            coins = [{"base_currency": c, "quote_currency": "USD", "id": f"{c}-USD"} for c in self.listed()]
            return reply([coin | {"status": "online", "trading_disabled": False} for coin in coins])
        symbol = path.split("/")[2]
        if path.endswith("/ticker"):
            rows = self.rows("coinbase", symbol, "1m", 0, self.now_us())
            if rows is None:
                return reply({"message": "NotFound"}, 404)
            return reply(
                {"price": _text(rows[-1, 4]), "time": iso(self.now_us()), "volume": _text(rows[-1440:, 5].sum())}
            )
        interval = {60: "1m", 3600: "1h", 86400: "1d"}[int(q["granularity"])]
        rows = self.rows("coinbase", symbol, interval, parse_instant(q["start"]), parse_instant(q["end"]))
        if rows is None:
            return reply({"message": "NotFound"}, 404)
        if len(rows) > 300:
            return reply(
                {"message": "granularity too small for the requested time range. Count of aggregations exceeds 300"},
                400,
            )
        return reply([[int(r[0]) // 1_000_000, r[3], r[2], r[1], r[4], r[5]] for r in rows[::-1].tolist()])

    def _kraken(self, path: str, q: Query) -> Reply:
        if path.endswith("AssetPairs"):
            names = ["XBT" if coin == "BTC" else coin for coin in self.listed()]
            pairs = {f"{c}USD": {"altname": f"{c}USD", "wsname": f"{c}/USD", "status": "online"} for c in names}
            return reply({"error": [], "result": pairs})
        if "," in q["pair"]:
            prices = {pair: self.last("kraken", pair) for pair in q["pair"].split(",")}
            if None in prices.values():
                return reply({"error": ["EQuery:Unknown asset pair"]})
            return reply({"error": [], "result": {pair: {"c": [price, "1"]} for pair, price in prices.items()}})
        pair = q["pair"].replace("/", "")
        interval = {"1": "1m", "60": "1h", "1440": "1d"}[q.get("interval", "1")]
        since = self.now_us() - 720 * INTERVAL_US[interval]
        first = max(int(q.get("since", "0")) * 1_000_000 + 1, since)
        rows = self.rows("kraken", q["pair"], interval, first, self.now_us())
        if rows is None:
            return reply({"error": ["EQuery:Unknown asset pair"]})
        if path.endswith("Ticker"):
            return reply({"error": [], "result": {pair: {"c": [_text(rows[-1, 4]), "1"], "v": ["1", "2"]}}})
        out = [
            [int(r[0]) // 1_000_000, *map(_text, r[1:5]), _text(r[6] / r[5] if r[5] else 0.0), _text(r[5]), 7]
            for r in rows
        ]
        return reply({"error": [], "result": {pair: out, "last": int(rows[-1, 0]) // 1_000_000 if len(rows) else 0}})

    def _okx(self, path: str, q: Query) -> Reply:
        if path.endswith("instruments"):
            coins = [{"baseCcy": c, "quoteCcy": "USDT", "instId": f"{c}-USDT"} for c in self.listed()]
            return reply({"code": "0", "msg": "", "data": [coin | {"state": "live"} for coin in coins]})
        if path.endswith("tickers"):
            pairs = [f"{coin}-USDT" for coin in self.listed() if self.last("okx", f"{coin}-USDT")]
            data = [{"instId": pair, "last": self.last("okx", pair)} for pair in pairs]
            return reply({"code": "0", "msg": "", "data": data})
        if path.endswith("ticker"):
            rows = self.rows("okx", q["instId"], "1m", 0, self.now_us())
            if rows is None:
                return reply({"code": "51001", "msg": "Instrument ID does not exist", "data": []})
            data = {
                "instId": q["instId"],
                "last": _text(rows[-1, 4]),
                "ts": str(self.now_us() // 1000),
                "volCcy24h": "5",
            }
            return reply({"code": "0", "msg": "", "data": [data]})
        interval = {"1m": "1m", "1H": "1h", "1Dutc": "1d"}[q["bar"]]
        rows = self.rows("okx", q["instId"], interval, int(q["before"]) * 1000 + 1, int(q["after"]) * 1000 - 1)
        if rows is None:
            return reply({"code": "51001", "msg": "Instrument ID does not exist", "data": []})
        step, now = INTERVAL_US[interval], self.now_us()
        data = [
            [str(int(r[0]) // 1000), *map(_text, r[1:6]), _text(r[6]), _text(r[6]), "1" if r[0] + step <= now else "0"]
            for r in rows[-int(q["limit"]) :][::-1].tolist()
        ]
        return reply({"code": "0", "msg": "", "data": data})

    def _bybit(self, path: str, q: Query) -> Reply:
        made = self.now_us() // 1000
        if path.endswith("instruments-info"):
            coins = [{"baseCoin": c, "quoteCoin": "USDT", "symbol": f"{c}USDT"} for c in self.listed()]
            result = {"category": "spot", "list": [coin | {"status": "Trading"} for coin in coins]}
            return reply({"retCode": 0, "retMsg": "OK", "result": result, "time": made})
        if path.endswith("tickers") and "symbol" not in q:
            pairs = [f"{coin}USDT" for coin in self.listed() if self.last("bybit", f"{coin}USDT")]
            rows = [{"symbol": pair, "lastPrice": self.last("bybit", pair)} for pair in pairs]
            return reply({"retCode": 0, "retMsg": "OK", "result": {"category": "spot", "list": rows}, "time": made})
        if path.endswith("tickers"):
            rows = self.rows("bybit", q["symbol"], "1m", 0, self.now_us())
            found = (
                [] if rows is None else [{"symbol": q["symbol"], "lastPrice": _text(rows[-1, 4]), "turnover24h": "7"}]
            )
            return reply({"retCode": 0, "retMsg": "OK", "result": {"category": "spot", "list": found}, "time": made})
        interval = {"1": "1m", "60": "1h", "D": "1d"}[q["interval"]]
        rows = self.rows("bybit", q["symbol"], interval, int(q["start"]) * 1000, int(q["end"]) * 1000)
        if rows is None:
            return reply({"retCode": 10001, "retMsg": "Not supported symbols", "result": {}, "time": made})
        out = [[str(int(r[0]) // 1000), *map(_text, r[1:7])] for r in rows[-int(q["limit"]) :][::-1].tolist()]
        result = {"category": "spot", "symbol": q["symbol"], "list": out}
        return reply({"retCode": 0, "retMsg": "OK", "result": result, "time": made})

    def _coingecko(self, path: str, q: Query) -> Reply:
        if path == "/coins/markets":
            stamp = iso(self.now_us())
            rows = [
                {
                    "id": coin,
                    "symbol": coin[:3],
                    "circulating_supply": 1e9,
                    "total_supply": 2e9,
                    "max_supply": None,
                    "last_updated": stamp,
                }
                for coin in q["ids"].split(",")
            ]
            twin = {
                "id": f"{rows[0]['id']}-2",
                "symbol": rows[0]["symbol"],
                "circulating_supply": 7.0,
                "last_updated": stamp,
            }
            return reply([*rows, twin])
        first, last = int(q["from"]) * 1_000_000, int(q["to"]) * 1_000_000
        if self.now_us() - first > 365 * DAY_US:
            words = "Your request exceeds the allowed time range. Public API users are limited to the past 365 days."
            return reply({"error": {"status": {"error_code": 10012, "error_message": words}}}, 401)
        asset = IDS.get(path.split("/")[2], path.split("/")[2].upper())
        rows = self.rows("coinbase", f"{asset}-USD", "1h", first - INTERVAL_US["1h"], last - INTERVAL_US["1h"])
        if rows is None:
            return reply({"error": "coin not found"}, 404)
        at = (rows[:, 0] + INTERVAL_US["1h"]) // 1000 + 35_000  # some seconds past the hour
        return reply(
            {
                "prices": [[int(t), p] for t, p in zip(at, rows[:, 4], strict=True)],
                "total_volumes": [[int(t), 1.0] for t in at],
                "market_caps": [[int(t), p * 1e9] for t, p in zip(at, rows[:, 4], strict=True)],
            }
        )


def _text(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:.10f}"
