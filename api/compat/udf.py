"""TradingView's Universal Data Feed over the indices: symbols, candles, rebalances and events as marks.

Its datafeed client and OpenBB's advanced chart read it. Times are seconds since 1970, a bar is stamped with its begin.
A refusal is a 200 with `s` in it, and nothing else may have an `s`: by that key the client tells one from the other.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator
from starlette.responses import Response

from api.answers.answer import NEVER, Answer
from api.answers.params import LATEST_US, Window
from api.answers.services import ServicesDep, StoreDep
from api.compat import refusing_by, title_of
from api.routes.indices import wire_rebalance
from api.routes.levels import CandleSpan, read_candles
from indexer.analytics.candles import SPANS_US, whole_from
from indexer.errors import InputError
from indexer.store.db import Store
from indexer.store.indices import read_index, read_indices
from indexer.store.levels import read_levels
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import IndexRow
from indexer.studies.catalogue import Event, load_events

EXCHANGE = "DEAI"
KIND = "index"
# The chart builds weeks and months from days; OpenBB asks for weeks as they are.
SHIPPED = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
RESOLUTIONS = {"supported_resolutions": SHIPPED["resolutions"]}
SPANS = {"60": CandleSpan.HOUR, "240": CandleSpan.FOUR_HOURS, "1D": CandleSpan.DAY, "1W": CandleSpan.WEEK}


def _refusal(status: int, reason: str) -> Response:
    return Answer({"s": "error", "errmsg": reason}, cache_control=NEVER)


def _instant(seconds: int) -> int:
    """Microseconds; charts ask for years before any data, negative seconds too."""
    return max(0, min(seconds * 1_000_000, LATEST_US))


router = APIRouter(prefix="/udf", include_in_schema=False, route_class=refusing_by(_refusal))
Symbol = Annotated[str, Query(max_length=80, description="deai, DEAI or DEAI:deai")]
From = Annotated[int, AfterValidator(_instant), Query(alias="from")]
To = Annotated[int, AfterValidator(_instant), Query(alias="to")]


@router.get("/config")
def get_config() -> Response:
    """What the datafeed can."""
    return Answer({**RESOLUTIONS, **SHIPPED["config"]})


@router.get("/time")
def get_time(services: ServicesDep) -> Response:
    """The server's clock in seconds."""
    return Answer(int(services.clock().timestamp()), cache_control=NEVER)


@router.get("/symbols")
def get_symbol(store: StoreDep, symbol: Symbol) -> Response:
    """What a chart needs to know of an index."""
    row = _index(store, symbol)
    names = {"ticker": row.id, "name": row.id.upper(), "description": title_of(row)}
    return Answer({**names, **RESOLUTIONS, **SHIPPED["traits"]})


@router.get("/search")
def search(
    store: StoreDep,
    *,
    query: Annotated[str, Query(max_length=100)] = "",
    type: str = "",
    exchange: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 30,
) -> Response:
    """The indices with a text in their id or name, whatever its case."""
    asked = type in ("", KIND) and exchange in ("", EXCHANGE)
    symbols = [
        {
            "symbol": row.id.upper(),
            "full_name": f"{EXCHANGE}:{row.id.upper()}",
            "description": title_of(row),
            "exchange": EXCHANGE,
            "ticker": row.id,
            "type": KIND,
        }
        for row in read_indices(store)
        if asked and query.lower() in f"{row.id} {row.name}".lower()
    ]
    return Answer(symbols[:limit])


@router.get("/history")
def get_history(
    store: StoreDep,
    *,
    symbol: Symbol,
    resolution: str,
    end: To,
    start: From = 0,
    countback: Annotated[int | None, Query(ge=1, le=100_000)] = None,
) -> Response:
    """The bars that begin in [from, to), or the newest `countback` of them before `to`, which outranks `from`.

    `no_data` where there is none, with the begin of the nearest earlier bar if there is one.
    """
    row = _index(store, symbol)
    interval = SPANS.get(resolution) or SPANS.get(f"1{resolution}")  # D is 1D
    if interval is None:
        raise InputError(f'no resolution "{resolution}"; there are {", ".join(SPANS)}')
    span = SPANS_US[interval]
    newest = read_levels(store, row.id, end_us=whole_from(end, interval=interval) + 1, limit=1)
    if not len(newest):
        return Answer({"s": "no_data"})
    end = min(end, int(newest.times_us[-1]))  # the bar that the newest level closes, or lies in, begins before it
    if countback is not None:
        start = whole_from(end, interval=interval) - countback * span
    bars = read_candles(store, row.id, interval, Window(min(start, end), end))
    if not len(bars.time_us):
        nearest = read_candles(store, row.id, interval, Window(end - span, end)).time_us
        return Answer({"s": "no_data", **({"nextTime": int(nearest[-1]) // 1_000_000} if len(nearest) else {})})
    columns = {"t": bars.time_us // 1_000_000, "o": bars.open, "h": bars.high, "l": bars.low, "c": bars.close}
    return Answer({"s": "ok", **columns})


@router.get("/marks")
def list_marks(store: StoreDep, symbol: Symbol, start: From, end: To) -> Response:
    """Changes of units as marks on bars."""
    changes = read_rebalancings(store, _index(store, symbol).id, start_us=start, end_us=end + 1)
    return Answer([_mark(wire_rebalance(change, with_items=False)) for change in changes])


@router.get("/timescale_marks")
def list_timescale_marks(services: ServicesDep, symbol: Symbol, start: From, end: To) -> Response:
    """Dated events as marks on the time scale."""
    _index(services.store, symbol)
    events = load_events(services.store, services.settings.data_dir).values()
    return Answer([_time_mark(event) for event in events if start <= event.at_us <= end])


def _time_mark(event: Event) -> dict[str, Any]:
    texts = {"label": event.kind[:1].upper(), "tooltip": [event.name, *event.sources]}
    return {"id": event.id, "time": event.at_us // 1_000_000, "color": "blue", **texts}


def _mark(change: dict[str, Any]) -> dict[str, Any]:
    texts = [change["kind"], f"turnover {change['turnover']:.1%}"]
    texts += [
        f"{word}: {', '.join(change[name])}" for word, name in (("in", "entered"), ("out", "left")) if change[name]
    ]
    time = int(change["effective_at"].timestamp())
    return {
        "id": f"{change['kind']}-{time}",
        "time": time,
        "color": "green" if change["kind"] == "reconstitution" else "blue",
        "text": "; ".join(texts),
        "label": change["kind"][:1].upper(),
        "labelFontColor": "white",
        "minSize": 14,
    }


def _index(store: Store, symbol: str) -> IndexRow:
    return read_index(store, symbol.rpartition(":")[2].lower())
