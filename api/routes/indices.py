"""The indices: what there is, where each stands, and its newest level."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import schemas
from api.answers import wire
from api.answers.answer import Answer
from api.answers.encode import as_decimal_text
from api.answers.paging import public_path
from api.answers.params import Decimals, DecimalsParam, IndexId
from api.answers.problems import declared
from api.answers.services import StoreDep
from indexer.errors import NotEnoughDataError
from indexer.store.db import Store
from indexer.store.read import IndexRow, read_index, read_indices, read_latest_level, read_levels
from indexer.store.read_serving import read_first_level_us
from indexer.store.records import LevelRows
from indexer.times import HOUR_US, from_us

router = APIRouter(prefix="/v1/indices", tags=["indices"])
NOUNS = ("latest", "levels", "constituents", "rebalances", "methodology", "beta", "beta/history", "stream")


@router.get("", response_model=schemas.IndexList, responses=declared(), summary="All indices")
def list_indices(store: StoreDep) -> Response:
    """Every index with its state, methodology and newest level (null while it has none)."""
    data = [_summary(store, row) for row in read_indices(store)]
    return Answer({"count": len(data), "data": data})


@router.get(
    "/{index_id}",
    response_model=schemas.IndexDetail,
    responses=declared("not_found", "invalid_request"),
    summary="One index",
)
def get_index(request: Request, store: StoreDep, index_id: IndexId) -> Response:
    """One index, with the addresses of everything about it."""
    row = read_index(store, index_id)
    here = public_path(request)
    links = {"self": here, **{noun.replace("/", "_"): f"{here}/{noun}" for noun in NOUNS}}
    return Answer({**_summary(store, row), "links": links})


@router.get(
    "/{index_id}/latest",
    response_model=schemas.Latest,
    responses=declared("not_found", "not_enough_data", "invalid_request"),
    summary="The newest level",
)
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
        **(wire.latest_point(newest) or {}),
        "revision": int(newest.revision[-1]),
        "published_at": from_us(int(newest.published_at_us[-1])),
        "fresh_until": from_us(time + 2 * _spacing(newest)),
        "methodology": {"version": row.version, "hash": row.hash},
        "change": {
            name: wire.change_over(level, read_levels(store, index_id, start_us=time - span, end_us=time - span + 1))
            for name, span in wire.CHANGE_SPANS.items()
        },
    }


def _spacing(rows: LevelRows) -> int:
    return int(rows.times_us[-1] - rows.times_us[-2]) if len(rows) > 1 else HOUR_US


def _summary(store: Store, row: IndexRow) -> dict[str, Any]:
    return wire.index_summary(row, first_us=read_first_level_us(store, row.id), latest=read_latest_level(store, row.id))
