"""`AsyncClient`: every question one can ask about the index, once. `Client` (blocking.py) is its face without await."""

from __future__ import annotations

from asyncio import gather
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import numpy as np
import orjson

from indexer.client.asking import Asker, Patience, Reply, When, member, query, record, records
from indexer.client.frames import TABLES, Study, units_of
from indexer.client.models import (
    Benchmark,
    Beta,
    Chart,
    Constituent,
    Constituents,
    Index,
    IndexSummary,
    Latest,
    LevelEvent,
    Levels,
    MethodologyFile,
    MetricValue,
    Rebalance,
    Table,
)
from indexer.errors import NotEnoughDataError, SourceCorrupt

LOCAL_SERVER = "http://127.0.0.1:8000"
PAGE = 10_000
Asked = When | float | bool | None
T = TypeVar("T")


class AsyncClient:
    """Reads a server (`http://…`), or what an `Asker` asks.

    `key` is sent as a bearer token to servers that ask for one. Every method raises the errors of
    `indexer.errors`: NotFoundError for an unknown name, InputError, NotEnoughDataError, SourceUnavailable when the
    server cannot be reached after retries. Use it as an async context manager, in one event loop.
    """

    def __init__(
        self, where: str | Asker = LOCAL_SERVER, *, key: str | None = None, patience: Patience = Patience()
    ) -> None:
        self._asker = where if isinstance(where, Asker) else Asker(where, key=key, patience=patience)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the connections."""
        await self._asker.aclose()

    async def get(self, path: str, params: Mapping[str, Asked] | None = None) -> Any:
        """The JSON at any address of the API, e.g. `get("/v1/indices/deai/drawdowns", {"depth": 0.2})`."""
        return (await self._asker.get(path, query(**(params or {})))).json()

    async def indices(self) -> Table[IndexSummary]:
        """All indices with their newest levels."""
        return Table(await self._records(IndexSummary, "/v1/indices"))

    async def index(self, index_id: str = "deai", *, range: str = "1y", theme: str = "light") -> Index:
        """One index with its level chart (`range` 1w, 1m, 3m, 1y or all), which a notebook shows."""
        summary = self._record(IndexSummary, _path(index_id))
        return Index(*await gather(summary, self._chart_if_any(index_id, range=range, theme=theme)))

    async def latest(self, index_id: str = "deai") -> Latest:
        """The newest level, with its changes and until when it is fresh."""
        return await self._record(Latest, _path(index_id, "latest"))

    async def levels(
        self,
        index_id: str = "deai",
        *,
        start: When | None = None,
        end: When | None = None,
        interval: str = "1d",
        at: str | None = None,
        as_of: When | None = None,
        last: int | None = None,
    ) -> Levels:
        """The levels in [start, end), all pages, oldest first; `as_of` as they were known; or the `last` so many.

        at="close" gives those at New York's closes instead of an interval's: NaN for a session without one.
        """
        path = _path(index_id, "levels")
        grid = interval if at is None else None
        asked = query(
            start=start, end=end, interval=grid, at=at, as_of=as_of, last=last, limit=PAGE, shape="columns"
        )  # fmt: skip
        pages: list[Mapping[str, Any]] = []
        while True:
            page = (await self._asker.get(path, asked)).json()
            pages.append(page)
            cursor = member(page, "next", where=path)
            if cursor is None:
                return _levels(pages, where=path)
            asked = {**asked, "cursor": cursor}

    async def constituents(
        self, index_id: str = "deai", *, at: When | None = None, as_of: When | None = None
    ) -> Constituents:
        """Who is in the index at an instant (the newest level's by default), heaviest first; `as_of` as was known."""
        path = _path(index_id, "constituents")
        body = await self.get(path, {"at": at, "as_of": as_of})
        rows = records(Constituent, body, where=path)
        return record(Constituents, {**body, "rows": rows}, where=path)

    async def rebalances(
        self, index_id: str = "deai", *, start: When | None = None, end: When | None = None, items: bool = True
    ) -> Table[Rebalance]:
        """Every change of units in [start, end), oldest first, with its evidence unless `items` is False."""
        path = _path(index_id, "rebalances")
        body = await self.get(path, {"start": start, "end": end, "items": items})
        return Table(records(Rebalance, body, where=path), index=body["index"], simulated=body["simulated"])

    async def methodology(self, index_id: str = "deai") -> MethodologyFile:
        """The rules in force: the file, its content and its hash."""
        return await self._record(MethodologyFile, _path(index_id, "methodology"))

    async def benchmarks(self) -> Table[Benchmark]:
        """What the index may be held against, with how much history each has."""
        return Table(await self._records(Benchmark, "/v1/benchmarks"))

    async def metrics(
        self,
        symbol: str,
        *,
        metric: str | None = None,
        source: str | None = None,
        start: When | None = None,
        end: When | None = None,
        last: int | None = None,
    ) -> Table[MetricValue]:
        """What is measured of an asset's network and market: usage, activity, funding; the newest 366 values of each
        metric unless a range or `last` is given."""
        path = _path(symbol, "metrics", of="assets")
        asked = {"metric": metric, "source": source, "start": start, "end": end, "last": last}
        return Table(await self._records(MetricValue, path, **asked))

    async def fundamentals(self, index_id: str = "deai", *, at: When | None = None, days: int = 1) -> dict[str, Any]:
        """What the networks of an index earn, issue and stake: its `aggregates`, their `history` and its `tokens`.

        The object of `/v1/indices/{id}/fundamentals`; rows are dicts, so `pandas.DataFrame(…["tokens"])` is a table.
        """
        return await self._object(_path(index_id, "fundamentals"), at=at, days=days)

    async def beta(
        self,
        index_id: str = "deai",
        benchmark: str = "QQQ",
        *,
        sessions: int = 90,
        end: When | None = None,
        method: str = "ols",
        clock: str = "at_close",
        confidence: float = 0.95,
        bootstrap: bool = False,
        as_of: When | None = None,
    ) -> Beta:
        """Beta over the last `sessions` returns between closes, with its errors and how the series were aligned.

        `method` and `clock` are those of the API (docs/analytics.md); several benchmarks, comma separated, need
        method="multi". `as_of`: by what was known then, in this and other statistics.
        """
        return await self._record(
            Beta, _path(index_id, "beta"), benchmark=benchmark, sessions=sessions, end=end, method=method, clock=clock,
            confidence=confidence, bootstrap=bootstrap, as_of=as_of,
        )  # fmt: skip

    async def beta_history(
        self,
        index_id: str = "deai",
        benchmark: str = "QQQ",
        *,
        sessions: int = 90,
        start: When | None = None,
        end: When | None = None,
        kind: str = "rolling",
        tau: float = 0.5,
        as_of: When | None = None,
    ) -> Study:
        """Beta over the window that ends at each close in [start, end).

        `kind`: rolling, ewma, kalman, kalman_smoothed, upside, downside or quantile (of `tau`).
        """
        path = _path(index_id, "beta", "history")
        asked = {"benchmark": benchmark, "start": start, "end": end, "as_of": as_of}
        return await self._study("beta_history", path, **asked, sessions=sessions, kind=kind, tau=tau)

    async def event(
        self,
        event: str = "deepseek",
        index_id: str = "deai",
        *,
        at: When | None = None,
        until: When | None = None,
        factors: str = "QQQ;QQQ,btc",
        clock: str = "at_close",
        as_of: When | None = None,
    ) -> dict[str, Any]:
        """The event study of an event of the catalogue, or of any date `at`: by the hour, at closes, with its tests.

        The object of `/v1/indices/{id}/events/{event}`; its returns are logs, those of `path` simple.
        """
        path = _path(index_id, "events", _segment(event))
        return await self._object(path, at=at, until=until, factors=factors, clock=clock, as_of=as_of)

    async def breaks(
        self,
        benchmark: str = "QQQ",
        index_id: str = "deai",
        *,
        event: str = "deepseek",
        at: When | None = None,
        sessions: int = 250,
        as_of: When | None = None,
    ) -> Study:
        """Whether the relation to a benchmark changed at an event, or at any instant `at`: a row for each side.

        The facts are the `verdict` in words, the tests (`chow`, `unknown`, `cusum_p`) and the `shift` of correlation.
        """
        path = _path(index_id, "breaks")
        asked = {"benchmark": benchmark, "event": event, "at": at, "as_of": as_of}
        return await self._study("breaks", path, **asked, sessions=sessions)

    async def drawdowns(
        self,
        index_id: str = "deai",
        *,
        min_depth: float = 0.10,
        start: When | None = None,
        end: When | None = None,
        bar: str = "daily",
        as_of: When | None = None,
    ) -> Study:
        """Pullbacks at least so deep, by their peaks, oldest first; NaT and NaN for what is not recovered yet.

        The facts are the drawdown `now`, what `recovery` took by depth, and what followed falls (`after_falls`).
        """
        path = _path(index_id, "drawdowns")
        return await self._study("drawdowns", path, min_depth=min_depth, start=start, end=end, bar=bar, as_of=as_of)

    async def attribution(self, start: When, end: When, index_id: str = "deai", *, as_of: When | None = None) -> Study:
        """Who moved the index between two instants: a row for each constituent; contributions sum to `total`."""
        return await self._study("attribution", _path(index_id, "attribution"), start=start, end=end, as_of=as_of)

    async def explain(
        self, index_id: str = "deai", *, at: When | None = None, as_of: When | None = None
    ) -> dict[str, Any]:
        """The last level at or before `at`, as it was published by `as_of`, with all that it was computed from."""
        return await self._object(_path(index_id, "explain"), at=at, as_of=as_of)

    async def candles(
        self, index_id: str = "deai", *, interval: str = "1d", start: When | None = None, end: When | None = None
    ) -> Study:
        """Open, high, low and close of the levels that begin in [start, end), each 1h, 4h, 1d or 1w long."""
        return await self._study("candles", _path(index_id, "candles"), interval=interval, start=start, end=end)

    async def closes(self, benchmark: str, *, start: When | None = None, end: When | None = None) -> Study:
        """Closes of a benchmark fit for returns, at its exchange's closes in [start, end); the facts name the basis."""
        return await self._study("closes", _path(benchmark, "closes", of="benchmarks"), start=start, end=end)

    async def prices(
        self,
        symbol: str,
        *,
        start: When | None = None,
        end: When | None = None,
        interval: str = "1d",
        last: int | None = None,
    ) -> Study:
        """Reference rates of a token in [start, end), or the `last` so many; the newest 1,000 unless you say."""
        path = _path(symbol, "prices", of="assets")
        return await self._study("prices", path, start=start, end=end, interval=interval, last=last)

    async def portfolio(
        self,
        holdings: Mapping[str, float] | str,
        index_id: str = "deai",
        *,
        benchmarks: str = "QQQ,NVDA",
        sessions: int | None = None,
        since: When | None = None,
        end: When | None = None,
    ) -> Study:
        """Your own holdings, `{"TAO": 12.5}` or text as pasted, beside an index; nothing of them is kept.

        A row for each token; the facts are `value`, `overlap`, `betas`, `total`, `unpriced` and the `path` at closes.
        """
        asked = query(index=index_id, benchmarks=benchmarks, sessions=sessions, since=since, end=end)
        body = holdings.encode() if isinstance(holdings, str) else orjson.dumps({"holdings": dict(holdings)})
        return _study(await self._asker.get("/v1/portfolio", asked, body=body), "portfolio")

    async def scenario(
        self, benchmark: str, move: float, index_id: str = "deai", *, sessions: int = 250, end: When | None = None
    ) -> dict[str, Any]:
        """What a move of a benchmark (-0.17 is -17 %) may do to the index, and how such intervals did out of sample."""
        path = _path(index_id, "scenario")
        return await self._object(path, benchmark=benchmark, move=move, sessions=sessions, end=end)

    async def scenario_record(
        self, benchmark: str = "QQQ", index_id: str = "deai", *, sessions: int = 250, end: When | None = None
    ) -> Study:
        """Every prediction of that kind as it was and as it came; the facts have the realised coverage."""
        path = _path(index_id, "scenario", "record")
        return await self._study("scenario_record", path, benchmark=benchmark, sessions=sessions, end=end)

    async def hedge(
        self,
        notional: float,
        instrument: str = "QQQ",
        index_id: str = "deai",
        *,
        sessions: int = 250,
        end: When | None = None,
    ) -> dict[str, Any]:
        """Units of a benchmark, NQ or MNQ against so many USD of the index, and what such a hedge removed."""
        path = _path(index_id, "hedge")
        return await self._object(path, notional=notional, instrument=instrument, sessions=sessions, end=end)

    async def chart(
        self,
        index_id: str = "deai",
        *,
        kind: str = "level",
        range: str = "1y",
        theme: str = "light",
        benchmark: str = "QQQ",
        sessions: int = 90,
        width: int = 720,
        height: int = 360,
    ) -> Chart:
        """A chart as SVG: `kind` level, drawdown or beta; `range` 1w, 1m, 3m, 1y or all; `theme` light or dark."""
        asked = query(
            kind=kind, range=range, theme=theme, benchmark=benchmark, sessions=sessions, width=width, height=height
        )
        reply = await self._asker.get(f"/charts/{_segment(index_id)}.svg", asked)
        return Chart(reply.body.decode())

    def stream(self, index_id: str = "deai", *, after: str | None = None) -> AsyncGenerator[LevelEvent]:
        """The newest level, then each new one as it is published; reconnects by itself and misses none.

        `after` is the `id` of the last event seen: what came since is given first (the newest 1,000).
        """
        return self._asker.levels(_path(index_id, "stream"), after)

    async def _record(self, kind: type[T], path: str, /, **asked: Asked) -> T:
        return record(kind, await self.get(path, asked), where=path)

    async def _records(self, kind: type[T], path: str, /, **asked: Asked) -> tuple[T, ...]:
        return records(kind, await self.get(path, asked), where=path)

    async def _object(self, path: str, /, **asked: Asked) -> dict[str, Any]:
        return await self._record(dict[str, Any], path, **asked)

    async def _study(self, kind: str, path: str, /, **asked: Asked) -> Study:
        return _study(await self._asker.get(path, query(**asked)), kind)

    async def _chart_if_any(self, index_id: str, *, range: str, theme: str) -> Chart | None:
        try:
            return await self.chart(index_id, range=range, theme=theme)
        except NotEnoughDataError:
            return None


def _path(name: str, *parts: str, of: str = "indices") -> str:
    return "/".join(("/v1", of, _segment(name), *parts))


def _segment(name: str) -> str:
    return quote(name, safe="")


LATER = ("constituents", "perpetual_weight")


def _levels(pages: list[Mapping[str, Any]], *, where: str) -> Levels:
    """The levels of pages in the shape of columns; 0 in a column that an older service does not give."""
    columns = [member(page, "data", where=where) for page in pages]

    def whole(name: str, kind: Any, absent: Any = None) -> Any:
        pages = (page.get(name, [0] * len(page["time"])) if name in LATER else page[name] for page in columns)
        return np.concatenate([np.array([absent if cell is None else cell for cell in page], kind) for page in pages])

    try:
        instants = [time.removesuffix("Z") for page in columns for time in page["time"]]
        return Levels(
            index=str(pages[0]["index"]),
            simulated=bool(pages[0]["simulated"]),
            interval=str(pages[0]["interval"]),
            times_us=np.array(instants, "datetime64[us]").astype(np.int64),
            levels=whole("level", np.float64),
            status=whole("status", np.str_, ""),
            carried_weight=whole("carried_weight", np.float64),
            perpetual_weight=whole("perpetual_weight", np.float64),
            constituents=whole("constituents", np.int64, 0),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SourceCorrupt(f"{where} is not what this program reads: {error}") from None


def _study(reply: Reply, kind: str) -> Study:
    """The answer of a study: the rows of its table, and all the rest."""
    body = reply.json()
    table = TABLES[kind]["rows"]
    where = reply.url.partition("?")[0]
    rows = record(list[dict[str, Any]], member(body, table, where=where), where=where)
    return Study({name: value for name, value in body.items() if name != table}, rows, units_of(kind))
