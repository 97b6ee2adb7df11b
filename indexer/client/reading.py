"""`AsyncClient`: every question one can ask about the index, once. `Client` (blocking.py) is its face without await."""

from __future__ import annotations

from asyncio import gather
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from indexer.client import decode
from indexer.client.asking import Listening, Patience, asker_at, asker_of
from indexer.client.decode import When, member, query, record, records
from indexer.client.local import open_local
from indexer.client.models import (
    Benchmark,
    Beta,
    BetaSeries,
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
    Study,
    Table,
)
from indexer.errors import ConfigError, NotEnoughDataError
from indexer.store.db import Store

LOCAL_SERVER = "http://127.0.0.1:8000"
PAGE = 10_000


class AsyncClient:
    """Reads a server (`http://…`) or a local store (a file, a folder, `sqlite:///…`, `postgresql://…`, a `Store`).

    `key` is sent as a bearer token to servers that ask for one. Every method raises the errors of
    `indexer.errors`: NotFoundError for an unknown name, InputError, NotEnoughDataError, SourceUnavailable when the
    server cannot be reached after retries. Use it as an async context manager, in one event loop.
    """

    def __init__(
        self, where: str | Path | Store = LOCAL_SERVER, *, key: str | None = None, patience: Patience = Patience()
    ) -> None:
        if isinstance(where, str) and where.startswith(("http://", "https://")):
            self._asker = asker_at(where, key=key, patience=patience)
            return
        if key is not None:
            raise ConfigError("A key is for a server; a local store is read by whoever may read its file")
        self._asker = asker_of(open_local(where), patience=patience)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the connections, or closes the store if this opened it."""
        await self._asker.aclose()

    async def get(self, path: str, params: Mapping[str, When | float | bool | None] | None = None) -> Any:
        """The JSON at any address of the API, e.g. `get("/v1/indices/deai/drawdowns", {"depth": 0.2})`."""
        return (await self._asker.get(path, query(**(params or {})))).json()

    async def indices(self) -> Table[IndexSummary]:
        """All indices with their newest levels."""
        body = await self.get("/v1/indices")
        return Table(records(IndexSummary, body, where="/v1/indices"))

    async def index(self, index_id: str = "deai", *, range: str = "1y", theme: str = "light") -> Index:
        """One index with its level chart (`range` 1w, 1m, 3m, 1y or all), which a notebook shows."""
        path = _path(index_id)
        body, chart = await gather(self.get(path), self._chart_if_any(index_id, range=range, theme=theme))
        return Index(record(IndexSummary, body, where=path), chart)

    async def latest(self, index_id: str = "deai") -> Latest:
        """The newest level, with its changes and until when it is fresh."""
        path = _path(index_id, "latest")
        return record(Latest, await self.get(path), where=path)

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
                return decode.levels(pages, where=path)
            asked = {**asked, "cursor": cursor}

    async def constituents(self, index_id: str = "deai", *, at: When | None = None) -> Constituents:
        """Who is in the index at an instant (the newest level's by default), heaviest first."""
        path = _path(index_id, "constituents")
        body = await self.get(path, {"at": at})
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
        path = _path(index_id, "methodology")
        return record(MethodologyFile, await self.get(path), where=path)

    async def benchmarks(self) -> Table[Benchmark]:
        """What the index may be held against, with how much history each has."""
        body = await self.get("/v1/benchmarks")
        return Table(records(Benchmark, body, where="/v1/benchmarks"))

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
        path = f"/v1/assets/{_segment(symbol)}/metrics"
        asked = {"metric": metric, "source": source, "start": start, "end": end, "last": last}
        return Table(records(MetricValue, await self.get(path, asked), where=path))

    async def fundamentals(self, index_id: str = "deai", *, at: When | None = None, days: int = 1) -> dict[str, Any]:
        """What the networks of an index earn, issue and stake: its `aggregates`, their `history` and its `tokens`.

        The object of `/v1/indices/{id}/fundamentals`; rows are dicts, so `pandas.DataFrame(…["tokens"])` is a table.
        """
        path = _path(index_id, "fundamentals")
        body: dict[str, Any] = await self.get(path, {"at": at, "days": days})
        return body

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
    ) -> Beta:
        """Beta over the last `sessions` returns between closes, with its errors and how the series were aligned.

        `method` and `clock` are those of the API (docs/analytics.md); several benchmarks, comma separated, need
        method="multi".
        """
        path = _path(index_id, "beta")
        asked = query(
            benchmark=benchmark, sessions=sessions, end=end, method=method, clock=clock, confidence=confidence,
            bootstrap=bootstrap,
        )  # fmt: skip
        return record(Beta, (await self._asker.get(path, asked)).json(), where=path)

    async def beta_history(
        self,
        index_id: str = "deai",
        benchmark: str = "QQQ",
        *,
        sessions: int = 90,
        start: When | None = None,
        end: When | None = None,
        kind: str = "rolling",
    ) -> BetaSeries:
        """Beta over the window that ends at each close in [start, end): rolling, ewma, kalman or kalman_smoothed."""
        path = _path(index_id, "beta", "history")
        asked = query(benchmark=benchmark, sessions=sessions, kind=kind, start=start, end=end, shape="columns")
        return decode.beta_series((await self._asker.get(path, asked)).json(), where=path)

    async def event(
        self,
        event: str = "deepseek",
        index_id: str = "deai",
        *,
        at: When | None = None,
        until: When | None = None,
        factors: str = "QQQ;QQQ,btc",
        clock: str = "at_close",
    ) -> dict[str, Any]:
        """The event study of an event of the catalogue, or of any date `at`: by the hour, at closes, with its tests.

        The object of `/v1/indices/{id}/events/{event}`; its returns are logs, those of `path` simple.
        """
        path = _path(index_id, "events", _segment(event))
        body: dict[str, Any] = await self.get(path, {"at": at, "until": until, "factors": factors, "clock": clock})
        return body

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
        return decode.study(await self._asker.get("/v1/portfolio", asked, body=body), "holdings")

    async def scenario(
        self, benchmark: str, move: float, index_id: str = "deai", *, sessions: int = 250, end: When | None = None
    ) -> dict[str, Any]:
        """What a move of a benchmark (-0.17 is -17 %) may do to the index, and how such intervals did out of sample."""
        asked: dict[str, Any] = {"benchmark": benchmark, "move": move, "sessions": sessions, "end": end}
        body: dict[str, Any] = await self.get(_path(index_id, "scenario"), asked)
        return body

    async def scenario_record(
        self, benchmark: str = "QQQ", index_id: str = "deai", *, sessions: int = 250, end: When | None = None
    ) -> Study:
        """Every prediction of that kind as it was and as it came; the facts have the realised coverage."""
        asked = query(benchmark=benchmark, sessions=sessions, end=end)
        return decode.study(await self._asker.get(_path(index_id, "scenario", "record"), asked), "rows")

    async def hedge(
        self, notional: float, instrument: str = "QQQ", index_id: str = "deai", *, sessions: int = 250
    ) -> dict[str, Any]:
        """Units of a benchmark, NQ or MNQ against so many USD of the index, and what such a hedge removed."""
        asked: dict[str, Any] = {"notional": notional, "instrument": instrument, "sessions": sessions}
        body: dict[str, Any] = await self.get(_path(index_id, "hedge"), asked)
        return body

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

    def stream(self, index_id: str = "deai", *, after: str | None = None) -> AsyncIterator[LevelEvent]:
        """The newest level, then each new one as it is published; reconnects by itself and misses none.

        `after` is the `id` of the last event seen: what came since is given first (the newest 1,000).
        """
        return Listening(self._asker, f"{_path(index_id)}/stream").events(after)

    async def _chart_if_any(self, index_id: str, *, range: str, theme: str) -> Chart | None:
        try:
            return await self.chart(index_id, range=range, theme=theme)
        except NotEnoughDataError:
            return None


def _path(index_id: str, *parts: str) -> str:
    return "/".join(("/v1/indices", _segment(index_id), *parts))


def _segment(index_id: str) -> str:
    from urllib.parse import quote

    return quote(index_id, safe="")
