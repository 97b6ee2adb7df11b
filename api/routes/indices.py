"""The indices: what there is, where each stands, and its newest level."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from api.answers.answer import Answer
from api.answers.encode import as_decimal_text, level_at
from api.answers.params import Decimals, DecimalsParam, IndexId, public_path
from api.answers.problems import declared
from api.answers.schemas import TERMS, LevelStatus, OfIndex, Wire, list_of, to_wire
from api.answers.services import StoreDep
from indexer.errors import NotEnoughDataError
from indexer.levels.reasons import standing_of
from indexer.store.db import Store
from indexer.store.heads import chain_of
from indexer.store.levels import read_first_level_us
from indexer.store.read import IndexRow, read_index, read_indices, read_latest_level, read_levels
from indexer.store.rows import LevelRows
from indexer.times import DAY_US, FIXING_LAG_US, HOUR_US, from_us

router = APIRouter(prefix="/v1/indices", tags=["indices"])


class LevelPoint(Wire):
    """A level at an instant."""

    time: datetime
    level: float = Field(description="Index points")
    status: LevelStatus
    carried_weight: float = Field(description=TERMS["carried_weight"])
    perpetual_weight: float = Field(description=TERMS["perpetual_weight"])
    constituents: int | None = Field(description="How many are held; null for levels of older programs")


class MethodologyRef(Wire):
    """Which rules: version and content hash."""

    version: str
    hash: str = Field(description="SHA-256 of the methodology's content")


class IndexSummary(Wire):
    """An index and where it stands."""

    id: str
    name: str
    description: str
    state: str = Field(description="proposed, active, suspended or terminated")
    simulated: bool = Field(description=TERMS["simulated"])
    methodology: MethodologyRef
    first_time: datetime | None = Field(description="Instant of the first level; null while there is none")
    latest: LevelPoint | None = Field(description="The newest level; null while there is none")


IndexList = list_of("IndexList", IndexSummary)


class IndexDetail(IndexSummary):
    """An index with the addresses of everything about it."""

    links: dict[str, str]


class Changes(Wire):
    """Relative change against the level exactly that long before; null when there is none at that instant."""

    h1: float | None
    d1: float | None
    d7: float | None
    d30: float | None
    d365: float | None


class ChainHeads(Wire):
    """The heads of the hash chains: kept by somebody else, they hold us to all that was published and sealed."""

    levels: int = Field(description="Rows of the chain of published levels, revisions included")
    hash: str = Field(description="Hash of the last of them, hex")
    seals: int = Field(description="Seals of what runs wrote, of all indices")
    seal: str = Field(description="Hash of the last of them, hex; empty before the first")


class Latest(OfIndex):
    """The newest level, flat, for widgets and sensors."""

    name: str
    level: float = Field(description="Index points")
    time: datetime = Field(description="Instant the level holds for")
    status: LevelStatus
    reason: str = Field(description="Why the status is not final; empty when it is")
    carried_weight: float
    perpetual_weight: float = Field(description=TERMS["perpetual_weight"])
    constituents: int | None = Field(description="How many are held; null for levels of older programs")
    revision: int
    published_at: datetime
    fresh_until: datetime = Field(
        description="Past this instant treat the level as stale: two spacings of levels and three minutes"
    )
    methodology: MethodologyRef
    change: Changes
    chain: ChainHeads


CHANGE_SPANS = {"h1": HOUR_US, "d1": DAY_US, "d7": 7 * DAY_US, "d30": 30 * DAY_US, "d365": 365 * DAY_US}
NOUNS = ("latest", "levels", "constituents", "rebalances", "methodology", "beta", "beta/history", "stream")


@router.get("", response_model=IndexList, summary="All indices")
def list_indices(store: StoreDep) -> Response:
    """Every index with its state, methodology and newest level (null while it has none)."""
    data = [_summary(store, row) for row in read_indices(store)]
    return Answer({"count": len(data), "data": data})


@router.get("/{index_id}", response_model=IndexDetail, responses=declared("not_found"), summary="One index")
def get_index(request: Request, store: StoreDep, index_id: IndexId) -> Response:
    """One index, with the addresses of everything about it."""
    row = read_index(store, index_id)
    here = public_path(request)
    links = {"self": here, **{noun.replace("/", "_"): f"{here}/{noun}" for noun in NOUNS}}
    return Answer({**_summary(store, row), "links": links})


@router.get(
    "/{index_id}/latest",
    response_model=Latest,
    responses=declared("not_found", "not_enough_data"),
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
        **level_at(newest, -1),
        **asdict(standing_of(store, index_id, newest=newest)),
        "fresh_until": from_us(time + 2 * _spacing(newest) + FIXING_LAG_US),
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


def _spacing(rows: LevelRows) -> int:
    return int(rows.times_us[-1] - rows.times_us[-2]) if len(rows) > 1 else HOUR_US


def _summary(store: Store, row: IndexRow) -> dict[str, Any]:
    first_us = read_first_level_us(store, row.id)
    newest = read_latest_level(store, row.id)
    return to_wire(
        row,
        IndexSummary,
        methodology=to_wire(row, MethodologyRef),
        first_time=None if first_us is None else from_us(first_us),
        latest=None if newest is None else {name: level_at(newest, -1)[name] for name in LevelPoint.model_fields},
    )


def change_over(level: float, before: LevelRows) -> float | None:
    """level / level before - 1, or None when there is none."""
    return float(level / before.levels[-1] - 1.0) if len(before) else None
