"""What an index would have been by other rules: a form over its methodology, and the backtest of the file it becomes.

The owner, or who has a key that reads, asks for one at a time; a process beside the server computes it as
`deai backtest` does. Nothing is stored.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import tomlkit
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.answers.answer import NEVER, Answer
from api.answers.encode import iso_times
from api.answers.params import to_instant
from api.answers.services import ServicesDep
from api.middleware.access import Reader
from api.web.pages import filled, page_answer
from api.web.routes import FLAGSHIP, in_order, tabs
from indexer.arrays import to_json
from indexer.config import Settings
from indexer.levels.published import methodology_of, registry_for
from indexer.methodology.spec import Methodology, Scheme, rebalance_dates, universe_lines
from indexer.times import from_us, to_us

ID = "what-if"
# Those that need no more than their name; an index keeps its own beside them.
SCHEMES = (Scheme.FREE_FLOAT_CAP, Scheme.SQRT_CAP, Scheme.EQUAL, Scheme.LIQUIDITY)
WITH_SCHEME = ("floor", "metric", "weights")
router = APIRouter(include_in_schema=False)


class Changes(BaseModel):
    """What is to be other than in the rules of `index`. Caps are shares, None for no bound; `end` is None for all."""

    model_config = ConfigDict(extra="forbid")
    index: Annotated[str, Field(max_length=64)] = FLAGSHIP
    without: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=500)] = []
    scheme: Scheme = Scheme.FREE_FLOAT_CAP
    target: Annotated[int, Field(ge=1, le=500)] = 20
    single: float | None = None
    group: float | None = None
    start: datetime | None = None
    end: Annotated[str, Field(max_length=64)] | None = None


@router.get("/what-if")
def what_if_page(
    request: Request, services: ServicesDep, index: Annotated[str, Query(max_length=64)] = FLAGSHIP
) -> Response:
    """The form, filled with the rules of an index."""
    store, now, indices = services.store, services.clock(), in_order(services.store)
    rules = methodology_of(store, services.settings, index_id=index)
    registry = registry_for(store, services.settings)
    dates = rebalance_dates(rules.schedule, to_us(rules.base_date), to_us(now))
    body = filled(
        "what_if.html",
        request,
        rules=rules,
        indices=[row.id for row in indices],
        simulated=any(row.simulated for row in indices if row.id == index),
        members=[(line, registry.by_slug[line].symbol) for line in universe_lines(rules.universe, registry)],
        schemes=dict.fromkeys([rules.weighting.scheme, *SCHEMES]),
        starts=[from_us(date.effective_us) for date in dates if date.reconstitution],
        today=f"{now:%Y-%m-%d}",
        tabs=tabs(store, ""),
    )
    return page_answer(body)


@router.post("/what-if")
def what_if(services: ServicesDep, reader: Reader, changes: Changes) -> Response:
    """The methodology file with the changes, and what `deai backtest` says of it: figures, instants and levels."""
    rules = methodology_of(services.store, services.settings, index_id=changes.index)
    text = changed(rules, changes)
    answer = services.backtests.run(tried, services.store.url, services.settings, text, to_instant(changes.end))
    return Answer({"toml": text, **answer}, cache_control=NEVER)


def changed(rules: Methodology, changes: Changes) -> str:
    """The file of an index with the changes in their places, its comments kept.

    With another target the ranks at which members enter and leave lie 15 % before and after it.
    """
    document: Any = tomlkit.parse(rules.text)
    document |= {"id": ID, "name": f"{rules.name}, by other rules", "reason": "Tried on the page what-if."}
    document["base_date"] = changes.start or rules.base_date
    put(document, "universe", {"exclude": sorted({*rules.universe.exclude, *changes.without}) or None})
    if changes.target != rules.selection.target:
        ranks = {"entry_rank": max(1, int(changes.target * 0.85)), "exit_rank": -(-changes.target * 23 // 20)}
        fewest = min(rules.selection.min_constituents, changes.target)
        put(document, "selection", {"target": changes.target, **ranks, "min_constituents": fewest})
    if changes.scheme != rules.weighting.scheme:
        put(document, "weighting", {"scheme": changes.scheme.value, **dict.fromkeys(WITH_SCHEME)})
    put(document, "caps", {"single": changes.single, "group": changes.group})
    return tomlkit.dumps(document)


def put(document: Any, table: str, values: dict[str, Any]) -> None:
    """Puts values into a table of a file; what is None is taken out of it."""
    place = document.setdefault(table, tomlkit.table())
    for name, value in values.items():
        if value is not None:
            place[name] = value
        elif name in place:
            del place[name]


def tried(url: str, settings: Settings, text: str, end_us: int | None) -> dict[str, Any]:
    """The backtest of a methodology's text over the store at an address, in the process beside the server."""
    from indexer.backtest.design import bench_of
    from indexer.methodology.load import load_methodology
    from indexer.store.db import open_store

    store = open_store(url)
    try:
        bench = bench_of(store, settings, end_us=end_us)
    finally:
        store.close()
    outcome = bench(load_methodology(text, source="these rules", registry=bench.registry))
    columns = {"time": iso_times(outcome.times_us).tolist(), "level": outcome.levels.tolist()}
    return {"result": to_json(outcome.result), **columns}
