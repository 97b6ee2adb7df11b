"""The indices: what there is, where each stands, and its newest level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers.answer import Answer
from api.answers.encode import as_decimal_text, level_at
from api.answers.params import Decimals, DecimalsParam, IndexId, public_path
from api.answers.problems import declared
from api.answers.schemas import list_of, made_of, to_wire, wire_model
from api.answers.services import StoreDep
from indexer.client import models
from indexer.errors import NotEnoughDataError
from indexer.levels.lifecycle import standing_of
from indexer.store.db import Store
from indexer.store.indices import read_index, read_indices
from indexer.store.levels import published_span, read_latest_level, read_levels
from indexer.store.rows import IndexRow, LevelRows
from indexer.store.seals import chain_of
from indexer.times import DAY_US, FIXING_LAG_US, HOUR_US, from_us

router = APIRouter(prefix="/v1/indices", tags=["indices"], responses=declared("not_found", "not_enough_data"))


LevelPoint = wire_model(models.LevelPoint)
MethodologyRef = wire_model(models.MethodologyRef)
IndexSummary = wire_model(models.IndexSummary)
IndexList = list_of("IndexList", IndexSummary)


IndexDetail = made_of(
    "IndexDetail",
    {"links": dict[str, str]},
    base=IndexSummary,
    doc="An index with the addresses of everything about it.",
)
Latest = wire_model(models.Latest)
CHANGE_SPANS = {"h1": HOUR_US, "d1": DAY_US, "d7": 7 * DAY_US, "d30": 30 * DAY_US, "d365": 365 * DAY_US}
NOUNS = ("latest", "levels", "constituents", "rebalances", "methodology", "beta", "beta/history", "stream")


@router.get("", response_model=IndexList, summary="All indices")
def list_indices(store: StoreDep) -> Response:
    """Every index with its state, methodology and newest level (null while it has none)."""
    data = [_summary(store, row) for row in read_indices(store)]
    return Answer({"count": len(data), "data": data})


@router.get("/{index_id}", response_model=IndexDetail, summary="One index")
def get_index(request: Request, store: StoreDep, index_id: IndexId) -> Response:
    """One index, with the addresses of everything about it."""
    row = read_index(store, index_id)
    here = public_path(request)
    links = {"self": here, **{noun.replace("/", "_"): f"{here}/{noun}" for noun in NOUNS}}
    return Answer({**_summary(store, row), "links": links})


@router.get("/{index_id}/latest", response_model=Latest, summary="The newest level")
def get_latest(store: StoreDep, index_id: IndexId, decimals: DecimalsParam = Decimals.NUMBER) -> Response:
    """The newest level with its status and changes, flat. 409 while the index has no levels."""
    latest = latest_of(store, index_id)
    return Answer(as_decimal_text(latest) if decimals is Decimals.STRING else latest)


def latest_of(store: Store, index_id: str) -> dict[str, Any]:
    """The newest level of an index as it goes over the wire. Raises NotEnoughDataError while there is none."""
    row = read_index(store, index_id)
    newest = read_levels(store, index_id, limit=2)
    if not len(newest):
        raise NotEnoughDataError(
            f'Index "{index_id}" has no levels yet: bring prices with `deai import FILE` or `deai update`, '
            "or look at a simulated market with `deai demo`"
        )
    time, level = int(newest.times_us[-1]), float(newest.levels[-1])
    return {
        "index": row.id,
        "name": row.name,
        "simulated": row.simulated,
        **level_at(newest, -1),
        **asdict(standing_of(store, index_id, newest=newest)),
        "fresh_until": fresh_until(newest.times_us.tolist()),
        "methodology": to_wire(row, MethodologyRef),
        "change": {
            name: change_over(level, read_levels(store, index_id, start_us=time - span, end_us=time - span + 1))
            for name, span in CHANGE_SPANS.items()
        },
        "chain": chain_of(store, index_id),
    }


def latest_or_none(store: Store, index_id: str) -> dict[str, Any] | None:
    """The newest level, or None while the index has none. Raises NotFoundError for an unknown index."""
    try:
        return latest_of(store, index_id)
    except NotEnoughDataError:
        return None


def fresh_until(newest_us: Sequence[int]) -> datetime:
    """Until when the newest level counts as fresh, by the last two instants with a level (one where there is one)."""
    spacing = newest_us[-1] - newest_us[-2] if len(newest_us) > 1 else HOUR_US
    return from_us(newest_us[-1] + 2 * spacing + FIXING_LAG_US)


def _summary(store: Store, row: IndexRow) -> dict[str, Any]:
    span = published_span(store, row.id)
    newest = read_latest_level(store, row.id)
    return to_wire(
        row,
        IndexSummary,
        methodology=to_wire(row, MethodologyRef),
        first_time=None if span is None else from_us(span[0]),
        latest=None if newest is None else {name: level_at(newest, -1)[name] for name in LevelPoint.model_fields},
    )


def change_over(level: float, before: LevelRows) -> float | None:
    """level / level before - 1, or None when there is none."""
    return float(level / before.levels[-1] - 1.0) if len(before) else None
