"""CoinGecko's API v3 with each index as a coin, for tools that take a coin as an asset or a benchmark.

A price is the level, in points for USD. An index has no market capitalisation and no volume of its own: both are null.
Times are milliseconds since 1970; a candle is stamped with its end, as CoinGecko's are.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query
from pydantic import BeforeValidator
from starlette.responses import JSONResponse, Response

from api.answers.answer import NEVER, Answer
from api.answers.params import InstantUs, Interval, Window
from api.answers.services import Services, ServicesDep, StoreDep
from api.compat import refusing_by, title_of
from api.routes.indices import latest_of, latest_or_none
from api.routes.levels import PIECE, CandleSpan, LevelQuery, read_candles, read_page
from indexer.analytics.candles import SPANS_US
from indexer.arrays import F64
from indexer.errors import InputError
from indexer.store.db import Store
from indexer.store.indices import read_index, read_indices
from indexer.store.rows import IndexRow
from indexer.times import DAY_US, to_us

USD = "usd"
PERCENT = {"24h": "d1", "7d": "d7", "30d": "d30", "1y": "d365"}
HOURLY_DAYS = 90  # CoinGecko's own granularity: hourly up to here, daily beyond
INTERVALS = {"1m": Interval.MINUTE, "5m": Interval.FIVE_MINUTES, "hourly": Interval.HOUR, "daily": Interval.DAY}
AUTO = ((2, CandleSpan.HOUR), (30, CandleSpan.FOUR_HOURS))
SPANS = {"hourly": CandleSpan.HOUR, "daily": CandleSpan.DAY}


def _refusal(status: int, reason: str) -> Response:
    usual = 404 if status == 409 else status  # the SDK would ask again and again on 409
    return JSONResponse({"error": reason}, usual, headers={"Cache-Control": NEVER})


def _in_dollars(currency: object) -> object:
    if str(currency).lower() != USD:
        raise InputError(f'"{currency}" is not a currency of an index: its levels are points, given for usd only')
    return USD


router = APIRouter(prefix="/api/v3", include_in_schema=False, route_class=refusing_by(_refusal))
Coin = Annotated[str, Path(max_length=64)]
Currency = Annotated[str, BeforeValidator(_in_dollars)]
Days = Annotated[str, Query(pattern=r"^(max|[1-9]\d{0,4})$")]
Spacing = Annotated[str | None, Query(pattern="^(1m|5m|hourly|daily)$")]
Precision = Annotated[str, Query(pattern=r"^(full|1?\d)$")]


@router.get("/ping")
def ping() -> Response:
    """That the server answers."""
    return Answer({"gecko_says": "(V3) To the Moon!"})


@router.get("/coins/list")
def list_coins(store: StoreDep) -> Response:
    """Every index."""
    return Answer([{**_identity(row), "platforms": {}} for row in read_indices(store)])


@router.get("/simple/price")
def get_prices(store: StoreDep, ids: str, vs_currencies: str, *, precision: Precision = "full") -> Response:
    """The newest level of each index that is known and has one, with its change of a day in per cent and its time."""
    asked = ids.split(",") if USD in vs_currencies.lower().split(",") else []
    prices: dict[str, dict[str, Any]] = {}
    for row in read_indices(store):
        latest = latest_or_none(store, row.id) if row.id in asked else None
        if latest is not None:
            prices[row.id] = {
                USD: _rounded(latest["level"], precision),
                "usd_market_cap": None,
                "usd_24h_vol": None,
                "usd_24h_change": _percent(latest["change"]["d1"]),
                "last_updated_at": int(latest["time"].timestamp()),
            }
    return Answer(prices)


@router.get("/coins/{coin}")
def get_coin(store: StoreDep, coin: Coin) -> Response:
    """An index with its newest level and its changes in per cent."""
    row, latest = read_index(store, coin), latest_of(store, coin)
    changes = {f"price_change_percentage_{span}": _percent(latest["change"][name]) for span, name in PERCENT.items()}
    market = {"current_price": {USD: latest["level"]}, "market_cap": {}, "total_volume": {}, **changes}
    about = {
        "description": {"en": f"{row.description} {latest['reason']}".strip()},
        "categories": ["Index"],
        "platforms": {},
        "last_updated": latest["time"],
    }
    return Answer({**_identity(row), **about, "market_data": {**market, "last_updated": latest["time"]}})


@router.get("/coins/{coin}/market_chart")
def get_chart(
    services: ServicesDep,
    coin: Coin,
    *,
    vs_currency: Currency,
    days: Days,
    interval: Spacing = None,
    precision: Precision = "full",
) -> Response:
    """Levels of the days to the newest one: hourly up to 90 days, daily beyond, unless `interval` says otherwise."""
    return _chart(services, coin, _last(services.store, coin, days), interval, precision)


@router.get("/coins/{coin}/market_chart/range")
def get_range(
    services: ServicesDep,
    coin: Coin,
    *,
    vs_currency: Currency,
    start: Annotated[InstantUs, Query(alias="from")],
    end: Annotated[InstantUs, Query(alias="to")],
    interval: Spacing = None,
    precision: Precision = "full",
) -> Response:
    """Levels from one instant to another, both included, ISO 8601 or Unix seconds."""
    return _chart(services, coin, Window(start, end + 1), interval, precision)


@router.get("/coins/{coin}/ohlc")
def get_ohlc(
    store: StoreDep,
    coin: Coin,
    *,
    vs_currency: Currency,
    days: Days,
    interval: Annotated[str | None, Query(pattern="^(hourly|daily)$")] = None,
    precision: Precision = "full",
) -> Response:
    """Candles of the days to the newest level, an hour, four hours or a day long."""
    window, far = _last(store, coin, days), np.inf if days == "max" else int(days)
    span = SPANS[interval] if interval else next((span for most, span in AUTO if far <= most), CandleSpan.DAY)
    bars = read_candles(store, coin, span, window)
    ends = (bars.time_us + SPANS_US[span]) // 1000
    prices = [_rounded(values, precision).tolist() for values in (bars.open, bars.high, bars.low, bars.close)]
    return Answer(list(zip(ends.tolist(), *prices, strict=True)))


def _identity(row: IndexRow) -> dict[str, Any]:
    return {"id": row.id, "symbol": row.id, "name": title_of(row)}


def _last(store: Store, coin: str, days: str) -> Window:
    """The window of so many days to the newest level, that one included; all for `max`."""
    newest_us = to_us(latest_of(store, coin)["time"])
    return Window(None if days == "max" else newest_us - int(days) * DAY_US, newest_us + 1)


def _chart(services: Services, coin: str, window: Window, interval: str | None, precision: str) -> Response:
    start, end = window.start, window.end
    hourly = start is not None and end is not None and end - start <= HOURLY_DAYS * DAY_US + 1
    spacing = INTERVALS[interval or ("hourly" if hourly else "daily")]
    page = read_page(services, coin, LevelQuery(start=start, end=end, interval=spacing), limit=PIECE)
    if page.next_us is not None:
        raise InputError(f"more than {PIECE:,} levels; ask for fewer days or a wider interval")
    times = (page.times_us // 1000).tolist()
    prices = _rounded(page.levels, precision).tolist()
    missing = [(time, None) for time in times]
    prices = list(zip(times, prices, strict=True))
    return Answer({"prices": prices, "market_caps": missing, "total_volumes": missing})


def _rounded(values: F64 | float, precision: str) -> Any:
    """The values with so many digits after the point; as they are for `full`."""
    return values if precision == "full" else np.round(values, int(precision))


def _percent(change: float | None) -> float | None:
    return None if change is None else 100.0 * change
