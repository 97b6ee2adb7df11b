"""What the first view of a page draws, in one answer: the answers of /v1 under their own addresses, and the betas.

Scripts look here before they ask; what is not here (a finer range, another benchmark's path) they ask /v1 for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, FastAPI, Query, Request
from starlette.responses import Response

from api.answers.answer import Answer
from api.answers.encode import json_bytes
from api.answers.params import MAX_LIMIT, AskedId, Interval
from api.answers.problems import code_of
from api.answers.services import Services, ServicesDep
from api.middleware.cache import Key, ask
from api.routes.levels import LevelQuery, level_columns, read_page
from indexer.analytics.align import Clock
from indexer.arrays import I64
from indexer.errors import DeaiError
from indexer.store.bars import read_coverage
from indexer.store.db import Store
from indexer.store.indices import read_index
from indexer.store.rates import read_newest_rate
from indexer.studies.catalogue import Event, find_event, load_events
from indexer.times import DAY_US, HOUR_US, from_us, iso

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
Part = Callable[[], dict[str, Any]]


@router.get("")
async def first_view(request: Request, services: ServicesDep, index: AskedId) -> Response:
    """Everything above and below the fold but the betas: a JSON object of answers by their address under /v1."""
    here, simulated = f"indices/{index}", (await run_sync(read_index, services.store, index)).simulated
    names = (f"{here}/{noun}" for noun in ("latest", "rebalances?items=false", "constituents", "status"))
    addresses = (*names, here, "indices", "benchmarks", "quality?limit=8")
    parts: dict[str, Part] = {
        f"{here}/levels?shape=columns&interval=1d": partial(drawn_levels, services, index),
        "coins": partial(known_coins, services.store),
        **({} if simulated else {"events": partial(marked_events, services)}),
    }
    return await together(request, dict.fromkeys(addresses), parts)


@router.get("/event")
async def event_view(request: Request, services: ServicesDep, index: AskedId, slug: AskedId) -> Response:
    """What the chart of an event's page is drawn from."""
    here, event = f"indices/{index}", await run_sync(_event, services, slug)
    start_us, end_us = event.at_us - 10 * DAY_US, event.at_us + 95 * DAY_US
    hourly = LevelQuery(start=start_us, end=end_us, interval=Interval.HOUR)
    range_asked = urlencode({"start": as_script(start_us), "end": as_script(end_us)})
    item = {"slug": event.id, "kind": event.kind, "time": from_us(event.at_us), "precision": event.precision}
    parts: dict[str, Part] = {
        "events": lambda: {"data": [item]},
        f"{here}/levels?shape=columns&interval=1h&{range_asked}": partial(drawn_levels, services, index, hourly),
        f"{here}/levels?shape=columns&interval=1d": partial(drawn_levels, services, index),
    }
    closes = (f"benchmarks/{symbol}/closes?shape=columns" for symbol in EVENT_AGAINST)
    return await together(request, dict.fromkeys((here, *closes)), parts)


@router.get("/event/study")
async def event_study(request: Request, services: ServicesDep, index: AskedId, slug: AskedId) -> Response:
    """What is below the chart of an event's page: the study, betas before and after, the members' prices."""
    here, at_us = f"indices/{index}", (await run_sync(_event, services, slug)).at_us
    betas = (
        {"benchmark": symbol, "sessions": EVENT_SESSIONS, "end": as_script(end_us)}
        for symbol in EVENT_AGAINST
        for end_us in (at_us, at_us + 91 * DAY_US)
    )
    addresses = [f"{here}/events/{slug}", *(f"{here}/beta?{urlencode(asked)}" for asked in betas)]
    addresses += [f"{here}/constituents?{urlencode({'at': as_script(us)})}" for us in (at_us, at_us + DAY_US)]
    return await together(request, dict.fromkeys(addresses), {})


def _event(services: Services, slug: str) -> Event:
    return find_event(load_events(services.store, services.settings.data_dir), slug)


def as_script(time_us: int) -> str:
    """An instant as scripts write it into an address."""
    return from_us(time_us).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def renew(app: FastAPI, dropped: dict[Key, int]) -> None:
    """Makes anew what was asked for, after new data: the first visitor then waits no longer than the others do.

    That is what was asked for most often, the views of pages once more than all else. Where nobody has looked yet it
    is the flagship's view, its betas excepted: their libraries are slow to load.
    """
    cache, root = app.state.services.cache, app.state.services.settings.root_path.rstrip("/")
    version, own = cache.version, router.prefix.encode()

    def seen(key: Key) -> bool:  # below the root or not, as the proxy passes it on
        return key[0].removeprefix(root.encode()).startswith(own)

    asked = {key: 1 + count if seen(key) else count for key, count in dropped.items()}
    first = [] if any(map(seen, dropped)) else [(own, FLAGSHIP_QUERY, b"")]
    often = sorted((key for key in asked if asked[key]), key=lambda key: -asked[key])
    for path, query, word in [*first, *often][:MOST_RENEWED]:
        await ask(app, f"{path.decode()}?{query.decode()}" if query else path.decode(), root=root, word=word)
        if cache.version != version:
            return


def drawn_levels(services: Services, index: str, asked: LevelQuery = LevelQuery()) -> dict[str, Any]:
    """Levels on whole hours as columns, to what a chart draws of them; the daily ones if not asked otherwise."""
    whole = read_page(services, index, asked, limit=MAX_LIMIT)
    columns = level_columns(whole)
    values = {"level": np.round(whole.levels, DIGITS), "status": columns["status"]}
    return {"data": {**hours_of(whole.times_us), **values}, "next": None}


def known_coins(store: Store) -> dict[str, Any]:
    """The coins that have a rate, to hold an index against."""
    slugs = [coin.lower() for coin in COINS]
    return {"data": [slug for slug in slugs if read_newest_rate(store, slug) is not None]}


def hours_of(times_us: I64) -> dict[str, Any]:
    """Instants as the first and the hours from each to the next: a tenth of the bytes of their texts."""
    first = iso(int(times_us[0])) if len(times_us) else ""
    return {"from": first, "hours": np.diff(times_us, prepend=times_us[:1]) // HOUR_US}


def marked_events(services: Services) -> dict[str, Any]:
    """The events that charts mark. FOMC decisions come every six weeks: as marks they would hide the rest."""
    events = load_events(services.store, services.settings.data_dir).values()
    marked = (event for event in events if event.kind != "fomc")
    return {"data": [{"slug": event.id, "time": from_us(event.at_us), "title": event.name} for event in marked]}


async def together(request: Request, addresses: Mapping[str, str | None], parts: Mapping[str, Part]) -> Answer:
    """One JSON object of answers under /v1, by their address or under another name, and of what is only drawn.

    Where a part refuses it is {"problem": …}. Asked again by ETag.
    """
    root, bodies = request.scope.get("root_path", ""), []
    for name, address in addresses.items():
        status, body = await ask(request.app, f"{root}/v1/{address or name}", root=root)
        bodies.append((name, body if status == 200 else b'{"problem":%b}' % body))
    bodies += [(name, await run_sync(_computed, part)) for name, part in parts.items()]
    pairs = (json_bytes(name) + b":" + body for name, body in bodies)
    return Answer(b"{" + b",".join(pairs) + b"}", cache_control="no-cache")


def _computed(part: Part) -> bytes:
    try:
        return json_bytes(part())
    except DeaiError as error:
        return json_bytes({"problem": {"code": code_of(error), "detail": str(error)}})


@router.get("/betas")
def betas(
    services: ServicesDep,
    index: AskedId,
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
