"""The other providers of the played world: aggregators, equities, macro, sentiment and derivatives."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from fault_reply import Query, Reply, reply
from fault_world import DATA, World

from indexer.times import DAY_US, HOUR_US, INTERVAL_US, from_us, iso, parse_instant, to_us

IDS = {
    "bittensor": "TAO",
    "tao_bittensor": "TAO",
    "near": "NEAR",
    "fetch-ai": "FET",
    "the-graph": "GRT",
    "tether": "USDT",
}
Rows = Callable[[str, str, str, int, int], "np.ndarray | None"]


@lru_cache(maxsize=1)
def equities() -> dict[str, list[tuple[int, float, float, float]]]:
    """By symbol: (session open in seconds, close, adjusted close, volume) of real daily bars."""
    found: dict[str, list[tuple[int, float, float, float]]] = {}
    with gzip.open(DATA / "equities_daily.csv.gz", "rt", newline="") as file:
        for row in csv.DictReader(file):
            day = date.fromisoformat(row["date"])
            opened = datetime(day.year, day.month, day.day, 9, 30, tzinfo=ZoneInfo("America/New_York"))
            close, volume = float(row["close"]), float(row["volume"] or 0)
            found.setdefault(row["symbol"], []).append(
                (to_us(opened) // 1_000_000, close, float(row["adj_close"] or close), volume)
            )
    return found


class MoreProviders:
    """Mixed into `Providers`, which gives `rows` and `now_us`."""

    now_us: Callable[[], int]
    rows: Rows
    world: World

    def _defillama(self, path: str, q: Query) -> Reply:
        coins = path.rsplit("/", maxsplit=1)[-1].split(",")
        if path.startswith("/prices/current/"):
            stamp = self.now_us() // 1_000_000 - 60
            price = {coin: {"price": 2.0, "symbol": "X", "timestamp": stamp, "confidence": 0.99} for coin in coins}
            return reply({"coins": price})
        step = INTERVAL_US[q["period"]]
        first = int(q["start"]) * 1_000_000
        asset = IDS.get(coins[0].split(":")[-1], coins[0].split(":")[-1].upper())
        rows = self.rows("coinbase", f"{asset}-USD", q["period"], first - step, first + step * (int(q["span"]) - 2))
        if rows is None:
            return reply({"coins": {}})
        points = [{"timestamp": int(r[0] + step) // 1_000_000 + 12, "price": r[4]} for r in rows.tolist()]
        return reply({"coins": {coins[0]: {"symbol": asset, "confidence": 0.99, "prices": points}}})

    def _coinmetrics(self, path: str, q: Query) -> Reply:
        step = INTERVAL_US[q["frequency"]]
        first, last = parse_instant(q["start_time"]) - step, parse_instant(q["end_time"]) - step
        asset = IDS.get(q["assets"], q["assets"].upper())
        rows = self.rows("coinbase", f"{asset}-USD", q["frequency"], first, last)
        if rows is None:
            return reply({"error": {"type": "bad_parameter", "message": f"Bad parameter 'assets'. {q['assets']}"}}, 400)
        data = [
            {"asset": q["assets"], "time": iso(int(r[0] + step)), "ReferenceRateUSD": str(r[4])} for r in rows.tolist()
        ]
        return reply({"data": data})

    def _yahoo(self, path: str, q: Query) -> Reply:
        symbol = path.rsplit("/", maxsplit=1)[-1]
        known = equities().get(symbol)
        if known is None or q["interval"] != "1d":
            return reply(
                {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}}, 404
            )
        first, last, now = int(q["period1"]), int(q["period2"]), self.now_us() // 1_000_000
        bars = [bar for bar in known if first <= bar[0] < last and bar[0] <= now]
        meta = {
            "symbol": symbol,
            "instrumentType": "INDEX" if symbol[0] == "^" else "EQUITY",
            "exchangeTimezoneName": "America/New_York",
        }
        stamps, closes, adjusted, volumes = (list(column) for column in zip(*bars, strict=True)) if bars else ([],) * 4
        indicators = {"quote": [{"close": closes, "volume": volumes}], "adjclose": [{"adjclose": adjusted}]}
        return reply(
            {"chart": {"result": [{"meta": meta, "timestamp": stamps, "indicators": indicators}], "error": None}}
        )

    def _sessions(self, symbol: str) -> list[tuple[date, float, float]]:
        """Date, close and volume of the sessions that have begun; none for a symbol that is not known."""
        now = self.now_us() // 1_000_000
        return [(from_us(at * 1_000_000).date(), c, v) for at, c, _, v in equities().get(symbol, []) if at <= now]

    def _cboe(self, path: str, q: Query) -> Reply:
        symbol = path.rsplit("/", maxsplit=1)[-1].removesuffix(".json").replace("_", "^")
        rows = [{"date": f"{day}", "close": f"{c:.4f}", "volume": f"{v:.1f}"} for day, c, v in self._sessions(symbol)]
        return reply({"symbol": symbol, "data": rows}) if rows else Reply(403, b"<Error/>", "application/xml")

    def _nasdaq(self, path: str, q: Query) -> Reply:
        sessions = self._sessions(path.split("/")[-2])
        rows = [
            {"date": f"{day:%m/%d/%Y}", "close": f"${c:.2f}", "volume": f"{v:,.0f}"}
            for day, c, v in reversed(sessions)
            if q["fromdate"] <= f"{day}" <= q["todate"]
        ]
        return reply({"data": {"tradesTable": {"rows": rows or None}}, "status": {"rCode": 200}})

    def _fred(self, path: str, q: Query) -> Reply:
        days = np.arange(parse_instant(q["cosd"]), parse_instant(q["coed"]) + 1, DAY_US)
        lines = [
            f"{from_us(int(d)).date()},{'.' if from_us(int(d)).weekday() > 4 else 5000 + n}" for n, d in enumerate(days)
        ]
        return Reply(200, "\n".join([f"observation_date,{q['id']}", *lines, ""]).encode(), "text/csv")

    def _feargreed(self, path: str, q: Query) -> Reply:
        today = self.now_us() // DAY_US * DAY_US
        days = [today - n * DAY_US for n in range(int(q["limit"]))]
        data = [{"value": str(20 + d // DAY_US % 60), "timestamp": str(d // 1_000_000)} for d in days]
        return reply({"name": "Fear and Greed Index", "data": data, "metadata": {"error": None}})

    def _defillama_usage(self, path: str, q: Query) -> Reply:
        today = self.now_us() // DAY_US * DAY_US // 1_000_000
        days = [today - n * 86_400 for n in range(30)]
        if "Tvl" in path:
            return reply([{"date": day, "tvl": 1e6} for day in days[::-1]])
        return reply(
            {"name": path.rsplit("/", maxsplit=1)[-1], "totalDataChart": [[day, 5000.0] for day in days[::-1]]}
        )

    def _daily(self) -> list[str]:
        return [from_us(self.now_us() // DAY_US * DAY_US - n * DAY_US).date().isoformat() for n in range(30)]

    def _akash_console(self, path: str, q: Query) -> Reply:
        days = [{"date": f"{day}T00:00:00.000Z", "value": 2_000_000} for day in self._daily()[::-1]]
        return reply({"currentValue": 1, "compareValue": 1, "snapshots": days})

    def _nearblocks(self, path: str, q: Query) -> Reply:
        row = {"txns": "7000000", "txn_fee": "42" + "0" * 26, "txn_fee_usd": "21000", "active_accounts": "3000000"}
        return reply({"charts": [{"date": day, **row} for day in self._daily()]})

    def _ic_dashboard(self, path: str, q: Query) -> Reply:
        row = {
            "governance_total_locked_e8s": "1",
            "average_transactions_per_second": "5",
            "unique_accounts_per_day": "9",
        }
        totals = ({"total_cycle_burn_till_date": str(9e15 - n), "icp_burned_total": str(10**12 - n)} for n in range(30))
        rows = zip(self._daily(), totals, strict=True)
        return reply({"daily_stats": [{"day": day, **row, **total} for day, total in rows]})

    def _times(self, first_us: int, last_us: int, step: int) -> list[int]:
        """The whole steps in [first, last] up to now, in milliseconds."""
        last = min(last_us, self.now_us())
        return [t // 1000 for t in range(-(-first_us // step) * step, last + 1, step)]

    def _okx_derivatives(self, path: str, q: Query) -> Reply:
        if path.endswith("instruments"):
            swaps = [f"{asset}-USDT-SWAP" for asset in self.world.assets()]
            data = [{"instId": swap, "ctVal": "0.1", "ctType": "linear"} for swap in swaps]
            return reply({"code": "0", "msg": "", "data": data})
        if path.endswith("funding-rate-history"):
            times = self._times(int(q["before"]) * 1000 + 1, int(q["after"]) * 1000 - 1, 8 * HOUR_US)
            data = [{"instId": q["instId"], "fundingRate": "0.0001", "fundingTime": str(t)} for t in times[::-1]]
        elif path.endswith("open-interest-history"):
            times = self._times(int(q["begin"]) * 1000, int(q["end"]) * 1000, HOUR_US)
            return reply({"code": "0", "msg": "", "data": [[str(t), "100", "10", "4000.5"] for t in times[::-1]]})
        else:
            times = self._times(self.now_us() - DAY_US, int(q["after"]) * 1000 - 1, HOUR_US // 4)
            orders = [{"bkPx": "400", "posSide": "long", "side": "sell", "sz": "3", "ts": str(t)} for t in times[::-1]]
            data = [{"instId": f"{q['instFamily']}-SWAP", "instType": "SWAP", "details": orders[:100]}]
        return reply({"code": "0", "msg": "", "data": data})

    def _bybit_derivatives(self, path: str, q: Query) -> Reply:
        funding = "funding" in path
        times = self._times(int(q["startTime"]) * 1000, int(q["endTime"]) * 1000, (8 if funding else 1) * HOUR_US)
        if funding:
            rows = [{"symbol": q["symbol"], "fundingRate": "0.0001", "fundingRateTimestamp": str(t)} for t in times]
        else:
            rows = [{"openInterest": "461.5", "timestamp": str(t)} for t in times]
        result = {"category": "linear", "symbol": q["symbol"], "list": rows[::-1]}
        return reply({"retCode": 0, "retMsg": "OK", "result": result, "time": self.now_us() // 1000})

    def _binance_derivatives(self, path: str, q: Query) -> Reply:
        funding = "fundingRate" in path
        times = self._times(int(q["startTime"]) * 1000, int(q["endTime"]) * 1000, (8 if funding else 1) * HOUR_US)
        if funding:
            return reply([{"symbol": q["symbol"], "fundingTime": t, "fundingRate": "0.0001"} for t in times])
        return reply([{"symbol": q["symbol"], "sumOpenInterestValue": "8.5", "timestamp": t} for t in times])
