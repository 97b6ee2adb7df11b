"""What the first view of a page draws, in one answer: the answers of /v1 under their own addresses, and the betas.

Scripts look here before they ask; what is not here (a finer range, another benchmark's path) they ask /v1 for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any
from urllib.parse import unquote, urlencode

import numpy as np
from fastapi import APIRouter, FastAPI, Query, Request
from starlette.responses import Response
from starlette.types import Message, Scope

from api.answers.answer import CLOSED, Answer, lasting
from api.answers.encode import json_bytes
from api.answers.params import MAX_LIMIT, Interval, Shape, TableFormat
from api.answers.problems import code_of
from api.answers.services import Services, ServicesDep
from api.middleware.cache import Key, behind_cache
from api.routes.administration import index_status
from api.routes.benchmarks import list_benchmarks, list_closes
from api.routes.indices import get_index, get_latest, list_indices
from api.routes.levels import LevelQuery, level_columns, read_page
from api.routes.members import list_constituents, list_rebalances
from api.routes.operation import list_quality
from api.routes.statistics import BetaQuery, get_beta
from api.routes.studies import EventQuery, get_event_study
from indexer.analytics.align import Clock
from indexer.arrays import I64
from indexer.errors import DeaiError
from indexer.store.bars import read_coverage
from indexer.store.db import Store
from indexer.store.indices import read_index
from indexer.store.rates import read_newest_rate
from indexer.studies.catalogue import find_event, load_events
from indexer.times import DAY_US, HOUR_US, from_us, iso, to_us

SHOWN = ("QQQ", "^NDX", "NVDA", "SMH", "MSFT", "GOOGL", "META", "AMZN", "AMD", "AVGO", "TSM")
QQQ, STAND_IN = "QQQ", "^NDX"  # the index that QQQ follows
COINS = ("BTC", "ETH")
MOST = 7
LATE_DAYS = 7
SESSIONS = 90
DIGITS = 3
MOST_RENEWED = 32
FLAGSHIP_QUERY = b"index=deai"
EVENT_AGAINST, EVENT_SESSIONS = ("QQQ", "NVDA"), 60  # as event.js asks
READ = (
    "missing", "beta", "reason", "se", "ci_low", "ci_high", "n", "r2", "correlation", "alpha_annualised", "se_alpha",
    "periods_per_year", "confidence", "first_session", "last_session", "stale_days", "warnings",
)  # fmt: skip
router = APIRouter(prefix="/page-data", include_in_schema=False)
Index = Annotated[str, Query(max_length=64)]


@router.get("")
def first_view(request: Request, services: ServicesDep, index: Index) -> Response:
    """Everything above and below the fold but the betas: a JSON object of answers by their address under /v1."""
    store, here = services.store, f"indices/{index}"
    simulated = read_index(store, index).simulated
    answers: dict[str, Callable[[], Response]] = {
        f"{here}/latest": partial(get_latest, store, index),
        f"{here}/levels?shape=columns&interval=1d": partial(daily_levels, services, index),
        f"{here}/rebalances?items=false": partial(list_rebalances, store, index, items=False),
        f"{here}/constituents": partial(list_constituents, request, store, index, format=TableFormat.JSON),
        f"{here}/status": partial(index_status, services, index),
        here: partial(get_index, request, store, index),
        "indices": partial(list_indices, store),
        "benchmarks": partial(list_benchmarks, store),
        "quality?limit=8": partial(list_quality, store, limit=8),
        "coins": partial(known_coins, store),
        **({} if simulated else {"events": partial(marked_events, services)}),
    }
    return together({address: answered(answer) for address, answer in answers.items()})


@router.get("/event")
def event_view(request: Request, services: ServicesDep, index: Index, slug: Index) -> Response:
    """What the chart of an event's page is drawn from."""
    store, here = services.store, f"indices/{index}"
    event = find_event(load_events(store, services.settings.data_dir), slug)
    start_us, end_us = event.at_us - 10 * DAY_US, event.at_us + 95 * DAY_US
    hourly = LevelQuery(start=start_us, end=end_us, interval=Interval.HOUR)
    range_asked = urlencode({"start": as_script(start_us), "end": as_script(end_us)})
    item = {"slug": event.id, "kind": event.kind, "time": from_us(event.at_us), "precision": event.precision}
    answers: dict[str, Callable[[], Response]] = {
        "events": lambda: Answer({"data": [item]}),
        here: partial(get_index, request, store, index),
        f"{here}/levels?shape=columns&interval=1h&{range_asked}": partial(drawn_levels, services, index, hourly),
        f"{here}/levels?shape=columns&interval=1d": partial(daily_levels, services, index),
        **{
            f"benchmarks/{symbol}/closes?shape=columns": partial(
                list_closes, request, store, symbol, shape=Shape.COLUMNS, format=TableFormat.JSON
            )
            for symbol in EVENT_AGAINST
        },
    }
    return together({address: answered(answer) for address, answer in answers.items()})


@router.get("/event/study")
def event_study(request: Request, services: ServicesDep, index: Index, slug: Index) -> Response:
    """What is below the chart of an event's page: the study, betas before and after, the members' prices."""
    store, here = services.store, f"indices/{index}"
    at_us = find_event(load_events(store, services.settings.data_dir), slug).at_us
    answers: dict[str, Callable[[], Response]] = {
        f"{here}/events/{slug}": partial(get_event_study, services, store, index, EventQuery(event=slug))
    }
    for symbol in EVENT_AGAINST:
        for end_us in (at_us, at_us + 91 * DAY_US):
            asked = {"benchmark": symbol, "sessions": EVENT_SESSIONS, "end": as_script(end_us)}
            beta = partial(get_beta, store, index, BetaQuery(benchmark=symbol, sessions=EVENT_SESSIONS, end=end_us))
            answers[f"{here}/beta?{urlencode(asked)}"] = beta
    for when_us in (at_us, at_us + DAY_US):
        members = partial(list_constituents, request, store, index, at=when_us, format=TableFormat.JSON)
        answers[f"{here}/constituents?{urlencode({'at': as_script(when_us)})}"] = members
    answer = together({address: answered(answer) for address, answer in answers.items()})
    answer.closed = lasting(at_us + 91 * DAY_US, now_us=to_us(services.clock())) == CLOSED
    return answer


def as_script(time_us: int) -> str:
    """An instant as scripts write it into an address."""
    return from_us(time_us).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def renew(app: FastAPI, dropped: dict[Key, int]) -> None:
    """Makes anew what was asked for, after new data: the first visitor then waits no longer than the others do.

    That are the views of pages that somebody saw, and of all else what was asked for again, most often first. Where
    nobody has looked yet it is the flagship's view, its betas excepted: their libraries are slow to load.
    """
    inside, cache, own = behind_cache(app), app.state.services.cache, router.prefix.encode()
    views = [key for key in dropped if key[0].startswith(own)] or [(own, FLAGSHIP_QUERY, b"")]
    others = sorted((key for key in dropped.keys() - set(views) if dropped[key]), key=lambda key: -dropped[key])
    version = cache.version
    for path, query, word in [*views, *others][:MOST_RENEWED]:
        scope: Scope = {
            "type": "http", "method": "GET", "path": unquote(path.decode()), "raw_path": path, "query_string": query,
            "headers": [(b"accept", word)], "scheme": "http", "server": ("", 80), "http_version": "1.1",
        }  # fmt: skip
        await inside(scope, nothing_comes, nobody_reads)
        if cache.version != version:
            return


async def nothing_comes() -> Message:
    """The end of a request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def nobody_reads(message: Message) -> None:
    """Takes what is sent, for it is the answer itself that is kept."""


def daily_levels(services: Services, index: str) -> Answer:
    """The daily levels as columns, to what a chart draws of them."""
    return drawn_levels(services, index, LevelQuery())


def drawn_levels(services: Services, index: str, asked: LevelQuery) -> Answer:
    """Levels on whole hours as columns, to what a chart draws of them."""
    whole = read_page(services, index, asked, limit=MAX_LIMIT)
    columns = level_columns(whole)
    values = {"level": np.round(whole.levels, DIGITS), "status": columns["status"]}
    return Answer({"data": {**hours_of(whole.times_us), **values}, "next": None})


def known_coins(store: Store) -> Answer:
    """The coins that have a rate, to hold an index against."""
    slugs = [coin.lower() for coin in COINS]
    return Answer({"data": [slug for slug in slugs if read_newest_rate(store, slug) is not None]})


def hours_of(times_us: I64) -> dict[str, Any]:
    """Instants as the first and the hours from each to the next: a tenth of the bytes of their texts."""
    first = iso(int(times_us[0])) if len(times_us) else ""
    return {"from": first, "hours": np.diff(times_us, prepend=times_us[:1]) // HOUR_US}


def marked_events(services: Services) -> Answer:
    """The events that charts mark. FOMC decisions come every six weeks: as marks they would hide the rest."""
    events = [
        event for event in load_events(services.store, services.settings.data_dir).values() if event.kind != "fomc"
    ]
    return Answer({"data": [{"slug": event.id, "time": from_us(event.at_us), "title": event.name} for event in events]})


def answered(answer: Callable[[], Response]) -> bytes:
    """The body of an answer of a route; {"problem": …} where it refuses."""
    try:
        return bytes(answer().body)
    except DeaiError as error:
        return json_bytes({"problem": {"code": code_of(error), "detail": str(error)}})


def together(bodies: dict[str, bytes]) -> Answer:
    """JSON bodies under their names as one answer, asked again by ETag."""
    pairs = (json_bytes(name) + b":" + body for name, body in bodies.items())
    return Answer(b"{" + b",".join(pairs) + b"}", cache_control="no-cache")


@router.get("/betas")
def betas(
    services: ServicesDep,
    index: Index,
    *,
    sessions: Annotated[int, Query(ge=20, le=2500)] = SESSIONS,
    benchmark: Annotated[str, Query(max_length=64)] = "QQQ",
    clock: Clock | None = None,
) -> Response:
    """The index's betas to the benchmarks shown, and the path of one of them.

    Without a clock they are those at exchange closes, or, where the last of these is late, those of UTC days, which
    then says `fallback`: levels of the closes' own instants may be missing when only daily prices are there.
    """
    coverage = read_coverage(services.store)
    known = [symbol for symbol, (_, _, count) in coverage.items() if count > 0]
    symbols = shown_of(known)
    picked = benchmark if benchmark in (*symbols, *known) else next(iter(symbols), "")
    ask = partial(rows_of, services, index, sessions=sessions)
    at = clock or usual_clock(services, index, symbols[:1], sessions=sessions)
    return Answer(
        {
            "sessions": sessions,
            "clock": at,
            "fallback": clock is None and at is Clock.DAILY_UTC,
            "stand_in": STAND_IN if "QQQ" not in known and STAND_IN in known else "",
            "picked": picked,
            "rows": [row for row in ask(symbols, clock=at) if row["symbol"] not in COINS or "missing" not in row],
            "path": path_of(services, index, picked, sessions=sessions) if picked else {},
        },
        cache_control="no-cache",
    )


def usual_clock(services: Services, index: str, symbols: list[str], *, sessions: int = SESSIONS) -> Clock:
    """At closes, or by UTC days where the last close is late and days reach further."""
    lag = partial(lag_days, services, index, symbols, sessions=sessions)
    late = lag(Clock.AT_CLOSE)
    return Clock.DAILY_UTC if late > LATE_DAYS and lag(Clock.DAILY_UTC) < late else Clock.AT_CLOSE


def lag_days(services: Services, index: str, symbols: list[str], clock: Clock, *, sessions: int = SESSIONS) -> float:
    """How long before the newest level the last return of the betas ended; infinite where there is none."""
    rows = rows_of(services, index, symbols, sessions=sessions, clock=clock)
    return min((float(row["stale_days"]) for row in rows if "stale_days" in row), default=math.inf)


def shown_of(known: list[str]) -> list[str]:
    """The symbols of benchmarks with closes, the best known first, then the coins that move all others."""
    order = {symbol: place for place, symbol in enumerate(SHOWN)}
    equities = sorted(known, key=lambda symbol: (order.get(symbol, len(order)), symbol))
    if "QQQ" in known and STAND_IN in known:
        equities.remove(STAND_IN)
    return [*equities[:MOST], *COINS] if known else []


def rows_of(services: Services, index: str, symbols: list[str], *, sessions: int, clock: Clock) -> list[dict[str, Any]]:
    """Betas with their errors, or what is missing for them."""
    from indexer.studies.beta import flat_beta, index_beta
    from indexer.studies.series import subject_series

    read = partial(subject_series, services.store, index)
    rows: list[dict[str, Any]] = []
    for symbol in symbols:
        try:
            own = services.cache.read_once(("series", index), read)
            beta = flat_beta(index_beta(services.store, index, symbol, clock=clock, sessions=sessions, own=own))
        except DeaiError as error:
            beta = {"missing": str(error)}
        rows.append({"symbol": symbol, **{name: beta[name] for name in READ if name in beta}})
    return rows


def path_of(services: Services, index: str, symbol: str, *, sessions: int) -> dict[str, Any]:
    """Beta at exchange closes over time with its 95 % interval, to what a chart shows of it."""
    from indexer.studies.beta import beta_history

    try:
        history = beta_history(services.store, index, symbol, sessions=sessions)
    except DeaiError as error:
        return {"missing": str(error)}
    low, high = history.interval()
    columns = {"beta": np.asarray(history.rolling.beta), "low": low, "high": high}
    rounded = {name: np.round(column, DIGITS) for name, column in columns.items()}
    first = int(np.argmax(np.isfinite(rounded["beta"]))) if np.isfinite(rounded["beta"]).any() else 0
    data = {name: column[first:] for name, column in rounded.items()}
    return {**hours_of(history.times_us[first:]), **data}
