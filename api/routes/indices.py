"""The indices: what there is, where each stands, what is in it and why: constituents, rebalancings, the methodology."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.answers import params
from api.answers.answer import CSV, Answer, file_of
from api.answers.encode import as_decimal_text, level_at, rows_to_csv, status_name
from api.answers.problems import declared
from api.answers.schemas import TERMS, OfIndex, list_of, made_of, to_wire, wire_model
from api.answers.services import StoreDep
from indexer.client import models
from indexer.errors import NotEnoughDataError
from indexer.levels.lifecycle import standing_of
from indexer.live.chain.status import block_link
from indexer.store.db import Store
from indexer.store.indices import REVIEWS, read_index, read_indices, read_methodologies, read_notes
from indexer.store.levels import published_span, read_latest_level, read_levels
from indexer.store.rebalancings import (
    SUPPLY_BACK_US,
    read_constituents,
    read_rebalancings,
    read_supply_times,
    weighted_age_days,
)
from indexer.store.rows import ConstituentRow, IndexRow, LevelRows, NoteRow, RebalancingRow, SupplyRow
from indexer.store.seals import chain_of
from indexer.store.supplies import read_supplies
from indexer.times import DAY_US, FIXING_LAG_US, HOUR_US, from_us, to_us

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
def get_index(request: Request, store: StoreDep, index_id: params.IndexId) -> Response:
    """One index, with the addresses of everything about it."""
    row = read_index(store, index_id)
    here = params.public_path(request)
    links = {"self": here, **{noun.replace("/", "_"): f"{here}/{noun}" for noun in NOUNS}}
    return Answer({**_summary(store, row), "links": links})


@router.get("/{index_id}/latest", response_model=Latest, summary="The newest level")
def get_latest(
    store: StoreDep, index_id: params.IndexId, decimals: params.DecimalsParam = params.Decimals.NUMBER
) -> Response:
    """The newest level with its status and changes, flat. 409 while the index has no levels."""
    latest = latest_of(store, index_id)
    return Answer(as_decimal_text(latest) if decimals is params.Decimals.STRING else latest)


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


members = APIRouter(prefix="/v1/indices/{index_id}", tags=["constituents"], responses=declared("not_found"))
Constituent = wire_model(models.Constituent)


class Constituents(OfIndex):
    """The constituents at an instant, heaviest first."""

    at: datetime
    rebalanced_at: datetime | None
    count: int
    effective_number: float | None = Field(description="1 / sum of squared weights")
    supply_age_days: float | None = Field(description=TERMS["supply_age_days"])
    data: list[Constituent]  # type: ignore[valid-type]  # made from the record


Rebalance = wire_model(models.Rebalance)
Note = wire_model(NoteRow, "RebalanceNote")
Rebalances = list_of("Rebalances", Rebalance, base=OfIndex, notes=list[Note])  # type: ignore[valid-type]


MethodologyAnswer = wire_model(models.MethodologyFile, "MethodologyAnswer")
At = Annotated[
    params.InstantUs | None,
    Query(description="Instant; the newest level's when not given", examples=["2025-01-27T21:00:00Z"]),
]


@members.get(
    "/constituents",
    response_model=Constituents,
    responses=declared("not_enough_data"),
    summary="Constituents and weights at an instant",
)
def list_constituents(
    request: Request,
    store: StoreDep,
    index_id: params.IndexId,
    *,
    at: At = None,
    as_of: params.AsOf = None,
    format: params.QuietFormatParam = None,
) -> Response:
    """Who is in the index at `at`, heaviest first, with weights from the prices then, drift and contributions."""
    index = read_index(store, index_id)
    at_us = _newest_us(store, index_id) if at is None else at
    rows = read_constituents(store, index_id, at_us, as_of_us=as_of)
    true_at = read_supply_times(store, index_id, at_us, as_of_us=as_of)
    data = _constituents(store, index_id, rows, true_at=true_at, at_us=at_us, as_of_us=as_of)
    if params.wants_csv(request, format):
        return _csv(data, simulated=index.simulated)
    squares = [row.weight**2 for row in rows if row.weight is not None]
    whole = bool(squares) and len(squares) == len(rows)
    return Answer(
        {
            "index": index.id,
            "simulated": index.simulated,
            "at": from_us(at_us),
            "rebalanced_at": rows[0].effective_at if rows else None,
            "count": len(rows),
            "effective_number": 1.0 / sum(squares) if whole else None,
            "supply_age_days": weighted_age_days(rows, true_at, at_us),
            "data": data,
        }
    )


@members.get(
    "/constituents.csv",
    **file_of("text/csv", "One row for each constituent, heaviest first", "not_enough_data"),
    summary="Constituents as CSV, for sheets",
)
def constituents_csv(
    request: Request, store: StoreDep, index_id: params.IndexId, *, at: At = None, as_of: params.AsOf = None
) -> Response:
    """The same as /constituents under an address that sheets and frames take without more."""
    return list_constituents(request, store, index_id, at=at, as_of=as_of, format=params.TableFormat.CSV)


def _csv(data: list[dict[str, Any]], *, simulated: bool) -> Answer:
    headers = {"X-Count": str(len(data)), "X-Simulated": str(simulated).lower()}
    body = rows_to_csv(data, Constituent.model_fields, text=("symbol", "name"))
    return Answer(body, media_type=CSV, headers=headers)


def _newest_us(store: Store, index_id: str) -> int:
    newest = read_latest_level(store, index_id)
    if newest is None:
        raise NotEnoughDataError(
            f'Index "{index_id}" has no levels yet, so no constituents; `deai import` or `deai update`'
        )
    return int(newest.times_us[-1])


def _constituents(
    store: Store,
    index_id: str,
    rows: list[ConstituentRow],
    *,
    true_at: Mapping[str, datetime | None],
    at_us: int,
    as_of_us: int | None,
) -> list[dict[str, Any]]:
    if not rows:
        return []
    effective_us = to_us(rows[0].effective_at)
    # A suspension decides nothing about supply: the last decision about each asset stands.
    changes = read_rebalancings(
        store, index_id, start_us=effective_us - SUPPLY_BACK_US, end_us=effective_us + 1, as_of_us=as_of_us
    )
    decided = {
        item.asset: (item.supply_source, change.reference_at)
        for change in changes
        for item in change.items
        if item.supply_source
    }
    held = {row.asset: decided[row.asset] for row in rows if row.asset in decided}
    readings = _readings(store, held, as_of_us=as_of_us)
    supplies = {asset: _supply_behind(source, readings.get(asset)) for asset, (source, _) in held.items()}
    unknown = _supply_behind(None, None)
    prices = [row.price_effective for row in rows]
    base = None if None in prices else sum(row.units * (row.price_effective or 0.0) for row in rows)
    data = []
    for row in rows:
        supply = dict(supplies.get(row.asset, unknown))
        seen = supply["supply_observed_at"] = true_at.get(row.asset) or supply["supply_observed_at"]
        supply["supply_age_days"] = None if seen is None else (at_us - to_us(seen)) / DAY_US
        data.append(_constituent(row, base_value=base, supply=supply))
    return sorted(data, key=lambda item: -(item["weight_target"] if item["weight"] is None else item["weight"]))


def _readings(store: Store, decided: dict[str, tuple[str, datetime]], *, as_of_us: int | None) -> dict[str, SupplyRow]:
    """The newest reading of the origin that was decided on, at its reference date, by asset."""
    from indexer.administration.explain import COUNTED

    newest: dict[str, SupplyRow] = {}
    for row in read_supplies(store, as_of_us=as_of_us) if decided else ():
        origin, reference = decided.get(row.asset, (None, None))
        if origin != row.origin or reference is None or row.observed_at > reference or row.kind != COUNTED[origin]:
            continue
        if row.asset not in newest or newest[row.asset].observed_at < row.observed_at:
            newest[row.asset] = row
    return newest


@members.get("/rebalances", response_model=Rebalances, summary="Rebalancings and reconstitutions")
def list_rebalances(
    store: StoreDep,
    index_id: params.IndexId,
    *,
    window: params.WindowParam,
    as_of: params.AsOf = None,
    items: Annotated[bool, Query(description="With each candidate and the evidence for the decision")] = True,
) -> Response:
    """Every change of units in [start, end), oldest first: weights drifted and target, turnover, divisors, reasons.

    `notes` are the reviews in that time that were skipped or whose caps were raised, and the spells in which the index
    was impaired or suspended, each with its reason; `begins_later` says why the index has no level at its base date.
    """
    index = read_index(store, index_id)
    changes = read_rebalancings(store, index_id, start_us=window.start, end_us=window.end, as_of_us=as_of)
    data = [wire_rebalance(change, with_items=items) for change in changes]
    notes = [to_wire(note, Note) for note in read_notes(store, index_id, as_of_us=as_of) if _within(note, window)]
    return Answer({"index": index.id, "simulated": index.simulated, "count": len(data), "notes": notes, "data": data})


def _within(note: NoteRow, window: params.Window) -> bool:
    """Whether a note is about any of the time in [start, end)."""
    start, end = to_us(note.start_at), note.end_at
    last = start if note.kind in REVIEWS else None if end is None else to_us(end)
    after = window.start is None or last is None or last >= window.start
    return after and (window.end is None or start < window.end)


@members.get("/methodology", response_model=MethodologyAnswer, summary="The rules, as file and as data")
def get_methodology(store: StoreDep, index_id: params.IndexId) -> Response:
    """The methodology in force, its content hash (which every level carries), and all versions used so far."""
    index = read_index(store, index_id)
    versions = read_methodologies(store, index_id)
    now = next(version for version in versions if version.id == index.methodology_id)
    rules = tomllib.loads(now.text)
    references = [to_wire(version, MethodologyRef) for version in versions]
    identity = {"index": index.id, "simulated": index.simulated}
    return Answer(to_wire(now, MethodologyAnswer, **identity, rules=rules, versions=references))


def _constituent(row: ConstituentRow, *, base_value: float | None, supply: dict[str, Any]) -> dict[str, Any]:
    """A constituent. `base_value` is the basket's value at the last rebalancing, for contributions.

    `supply` is what `_supply_behind` gives.
    """
    price = row.price_effective
    change = (row.rate - price) / price if row.rate is not None and price else None
    return to_wire(
        row,
        Constituent,
        drift=None if row.weight is None else row.weight - row.weight_target,
        rate_status=None if row.rate_status is None else status_name(row.rate_status),
        change_since_rebalance=change,
        contribution=row.units * price * change / base_value if price and change is not None and base_value else None,
        **supply,
    )


def _supply_behind(source: str | None, reading: SupplyRow | None) -> dict[str, Any]:
    """Where the supply behind a weight came from: the origin decided on, and its reading where one is stored."""
    return {
        "supply_source": source,
        "supply_observed_at": reading and reading.observed_at,
        "supply_block": reading and reading.block_number,
        "supply_link": reading and block_link(reading.chain, reading.block_number, reading.block_hash),
    }


def wire_rebalance(row: RebalancingRow, *, with_items: bool) -> dict[str, Any]:
    """A rebalancing; its items only on request."""
    entered = [item.asset for item in row.items if item.units_after > 0 and not item.units_before > 0]
    left = [item.asset for item in row.items if item.units_before > 0 and not item.units_after > 0]
    items = [asdict(item) for item in row.items] if with_items else []
    return to_wire(row, Rebalance, entered=entered, left=left, items=items)
