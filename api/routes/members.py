"""What is in an index and why: constituents at an instant, rebalancings, the methodology itself."""

from __future__ import annotations

import tomllib
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import schemas
from api.answers import wire
from api.answers.answer import AS_CSV, CSV, Answer
from api.answers.formats import rows_to_csv
from api.answers.params import AsOf, End, IndexId, InstantUs, QuietFormatParam, Start, TableFormat, wants_csv, window_of
from api.answers.problems import declared
from api.answers.services import StoreDep
from indexer.errors import NotEnoughDataError
from indexer.store.db import Store
from indexer.store.read import (
    read_constituents,
    read_index,
    read_latest_level,
    read_methodologies,
    read_rebalancings,
    read_supplies,
)
from indexer.store.records import ConstituentRow, SupplyRow
from indexer.times import DAY_US, from_us, to_us

router = APIRouter(prefix="/v1/indices/{index_id}", tags=["constituents"])
EVIDENCE_US = 200 * DAY_US
At = Annotated[
    InstantUs | None, Query(description="Instant; the newest level's when not given", examples=["2025-01-27T21:00:00Z"])
]


@router.get(
    "/constituents",
    response_model=schemas.Constituents,
    responses=declared("not_found", "not_enough_data", "invalid_request"),
    summary="Constituents and weights at an instant",
)
def list_constituents(
    request: Request,
    store: StoreDep,
    index_id: IndexId,
    *,
    at: At = None,
    as_of: AsOf = None,
    format: QuietFormatParam = None,
) -> Response:
    """Who is in the index at `at`, heaviest first, with weights from the prices then, drift and contributions."""
    index = read_index(store, index_id)
    at_us = _newest_us(store, index_id) if at is None else at
    rows = read_constituents(store, index_id, at_us, as_of_us=as_of)
    data = _constituents(store, index_id, rows, as_of_us=as_of)
    if wants_csv(request, format):
        return _csv(data, simulated=index.simulated)
    weights = [row.weight for row in rows if row.weight is not None]
    whole = bool(weights) and len(weights) == len(rows)
    return Answer(
        {
            "index": index.id,
            "simulated": index.simulated,
            "at": from_us(at_us),
            "rebalanced_at": rows[0].effective_at if rows else None,
            "count": len(rows),
            "effective_number": 1.0 / sum(weight * weight for weight in weights) if whole else None,
            "data": data,
        }
    )


@router.get(
    "/constituents.csv",
    response_class=Response,
    responses={
        200: {**AS_CSV, "description": "One row for each constituent, heaviest first"},
        **declared("not_found", "not_enough_data", "invalid_request"),
    },
    summary="Constituents as CSV, for sheets",
)
def constituents_csv(
    request: Request, store: StoreDep, index_id: IndexId, *, at: At = None, as_of: AsOf = None
) -> Response:
    """The same as /constituents under an address that sheets and frames take without more."""
    return list_constituents(request, store, index_id, at=at, as_of=as_of, format=TableFormat.CSV)


def _csv(data: list[dict[str, Any]], *, simulated: bool) -> Answer:
    headers = {"X-Count": str(len(data)), "X-Simulated": str(simulated).lower()}
    body = rows_to_csv(data, schemas.Constituent.model_fields, text=("symbol", "name"))
    return Answer(body, media_type=CSV, headers=headers)


def _newest_us(store: Store, index_id: str) -> int:
    newest = read_latest_level(store, index_id)
    if newest is None:
        raise NotEnoughDataError(
            f'Index "{index_id}" has no levels yet, so no constituents; `deai import` or `deai update`'
        )
    return int(newest.times_us[-1])


def _constituents(
    store: Store, index_id: str, rows: list[ConstituentRow], *, as_of_us: int | None
) -> list[dict[str, Any]]:
    if not rows:
        return []
    effective_us = to_us(rows[0].effective_at)
    # A suspension decides nothing about supply: the last decision about each asset stands.
    changes = read_rebalancings(
        store, index_id, start_us=effective_us - EVIDENCE_US, end_us=effective_us + 1, as_of_us=as_of_us
    )
    decided = {
        item.asset: (item.supply_source, change.reference_at)
        for change in changes
        for item in change.items
        if item.supply_source
    }
    held = {row.asset: decided[row.asset] for row in rows if row.asset in decided}
    readings = _readings(store, held, as_of_us=as_of_us)
    supplies = {asset: wire.supply_behind(source, readings.get(asset)) for asset, (source, _) in held.items()}
    unknown = wire.supply_behind(None, None)
    prices = [row.price_effective for row in rows]
    base = None if None in prices else sum(row.units * (row.price_effective or 0.0) for row in rows)
    data = [wire.constituent(row, base_value=base, supply=supplies.get(row.asset, unknown)) for row in rows]
    return sorted(data, key=lambda one: -(one["weight"] if one["weight"] is not None else one["weight_target"]))


def _readings(store: Store, decided: dict[str, tuple[str, datetime]], *, as_of_us: int | None) -> dict[str, SupplyRow]:
    """The newest reading of the origin that was decided on, at its reference date, by asset."""
    from indexer.administration.explained_supply import COUNTED

    found: dict[str, SupplyRow] = {}
    for one in read_supplies(store, as_of_us=as_of_us) if decided else ():
        origin, reference = decided.get(one.asset, (None, None))
        if origin != one.origin or reference is None or one.observed_at > reference or one.kind != COUNTED[origin]:
            continue
        if one.asset not in found or found[one.asset].observed_at < one.observed_at:
            found[one.asset] = one
    return found


@router.get(
    "/rebalances",
    response_model=schemas.Rebalances,
    responses=declared("not_found", "invalid_request"),
    summary="Rebalancings and reconstitutions",
)
def list_rebalances(
    store: StoreDep,
    index_id: IndexId,
    *,
    start: Start = None,
    end: End = None,
    as_of: AsOf = None,
    items: Annotated[bool, Query(description="With each candidate and the evidence for the decision")] = True,
) -> Response:
    """Every change of units in [start, end), oldest first: weights drifted and target, turnover, divisors, reasons."""
    window = window_of(start, end)
    index = read_index(store, index_id)
    changes = read_rebalancings(store, index_id, start_us=window.start_us, end_us=window.end_us, as_of_us=as_of)
    data = [wire.rebalance(change, with_items=items) for change in changes]
    return Answer({"index": index.id, "simulated": index.simulated, "count": len(data), "data": data})


@router.get(
    "/methodology",
    response_model=schemas.MethodologyAnswer,
    responses=declared("not_found", "invalid_request"),
    summary="The rules, as file and as data",
)
def get_methodology(store: StoreDep, index_id: IndexId) -> Response:
    """The methodology in force, its content hash (which every level carries), and all versions used so far."""
    index = read_index(store, index_id)
    versions = read_methodologies(store, index_id)
    now = next(version for version in versions if version.id == index.methodology_id)
    return Answer(
        {
            "index": index.id,
            "simulated": index.simulated,
            "version": now.version,
            "hash": now.hash,
            "loaded_at": now.loaded_at,
            "text": now.text,
            "rules": tomllib.loads(now.text),
            "versions": [{"version": version.version, "hash": version.hash} for version in versions],
        }
    )
