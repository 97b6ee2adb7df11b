"""The facts behind the levels as CSV, whole: what a third calculator needs beside the methodology file.

Tokens with their lines, official rates, supplies as they count, traded value by day, corporate actions. docs/reproduce
has one that reads nothing else.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from fastapi import APIRouter
from starlette.responses import Response

from api.answers.answer import CSV, Answer, csv_answer, file_of
from api.answers.encode import iso_times, rows_to_csv, status_name
from api.answers.params import IndexId, WindowParam
from api.answers.problems import declared
from api.answers.services import ServicesDep, StoreDep
from api.routes.assets import Symbol
from indexer.engine.market import VENUES
from indexer.levels.assemble import VOLUME
from indexer.levels.markets import PERPETUAL_VENUES, judged_supplies, line_facts, traded_days
from indexer.levels.published import registry_for
from indexer.levels.rules import load_rules
from indexer.methodology.actions import CorporateAction, load_event_log
from indexer.reference.rules import RateFlag
from indexer.store.assets import read_asset, read_assets
from indexer.store.indices import read_index, read_methodologies
from indexer.store.rates import read_rates
from indexer.store.supplies import read_supplies
from indexer.times import from_us, to_us

router = APIRouter(prefix="/v1", tags=["facts"], responses=declared("not_found"))
ASSET = ("asset", "symbol", "sub_sector", "status", "line", "line_ratio", "line_from", "line_until", "candidate_from")
SUPPLY = ("observed_at", "kind", "origin", "source", "tokens", "counts")


@router.get("/assets.csv", **file_of("text/csv", ",".join(ASSET)), summary="All assets with their price lines, as CSV")
def assets_csv(services: ServicesDep) -> Response:
    """Each token: when it stands for its line (`line_until` not included), at how many units of the line's token.

    `candidate_from` is the first reference date at which an index may choose the line without naming it.
    """
    store = services.store
    registry = registry_for(store, services.settings)
    lines = line_facts(registry, ids={asset.slug: asset.id for asset in read_assets(store)}, listings=[])
    rows = [
        {
            "asset": part.slug,
            "symbol": registry.by_slug[part.slug].symbol,
            "sub_sector": line.sub_sector,
            "status": registry.by_slug[part.slug].status,
            "line": line.slug,
            "line_ratio": part.ratio,
            "line_from": part.from_us and from_us(part.from_us),
            "line_until": part.until_us and from_us(part.until_us),
            "candidate_from": from_us(line.candidate_from_us) if line.candidate_from_us else None,
        }
        for line in lines
        for part in line.parts
    ]
    return _table(rows, ASSET)


@router.get(
    "/assets/{symbol}/rates.csv",
    **file_of("text/csv", "time,rate,status,perpetual,at_par"),
    summary="Official reference rates of an asset, as CSV",
)
def rates_csv(store: StoreDep, symbol: Symbol, window: WindowParam) -> Response:
    """Every official rate in [start, end) in USD for one token, oldest first, the latest revision of each.

    `perpetual` is true for one of perpetual futures, which an index takes only where its rules let it stand in,
    `at_par` where a quote in USDT or USDC was taken as a dollar for want of a rate.
    """
    number = read_asset(store, symbol).id
    rates = read_rates(store, since_us=window.start, until_us=window.end, asset_id=number)
    columns = {
        "time": iso_times(rates.time_us),
        "rate": rates.rate,
        "status": [status_name(code) for code in rates.status.tolist()],
        "perpetual": (rates.flags & RateFlag.PERPETUAL).astype(bool),
        "at_par": (rates.flags & RateFlag.AT_PAR).astype(bool),
    }
    return csv_answer(columns)


@router.get(
    "/assets/{symbol}/supplies.csv",
    **file_of("text/csv", ",".join(SUPPLY)),
    summary="Supply readings of an asset, as CSV",
)
def supplies_csv(services: ServicesDep, symbol: Symbol) -> Response:
    """Every supply reading in tokens, oldest first, the latest revision of each.

    `counts` is false for what indices do not look at: a shipped fact of a time for which a provider answers, a step
    that nothing acknowledges yet, and kinds that no index weighs by.
    """
    store, asset = services.store, read_asset(services.store, symbol)
    registry = registry_for(store, services.settings)
    effects = load_rules(registry, folder=services.settings.methodology_dir).supplies
    line = registry.by_slug[asset.slug].line if asset.slug in registry.by_slug else ""
    acting, _ = judged_supplies(store, registry, effects=effects).get(line, ([], []))
    counted = {(row.observed_us, row.kind, row.origin, row.source) for row in acting if row.asset_id == asset.id}
    readings = [row for row in read_supplies(store) if row.asset == asset.slug]
    rows = [
        {
            **{name: getattr(row, name) for name in SUPPLY[:4]},
            "tokens": row.amount / 10**asset.decimals,
            "counts": (to_us(row.observed_at), row.kind, row.origin, row.source) in counted,
        }
        for row in sorted(readings, key=lambda row: (row.observed_at, row.origin, row.kind, row.source))
    ]
    return _table(rows, SUPPLY)


@router.get(
    "/assets/{symbol}/traded-value.csv",
    **file_of("text/csv", "date,end,traded_value_usd,venues,perpetual_venues"),
    summary="Traded value of an asset by day, as CSV",
)
def traded_value_csv(services: ServicesDep, symbol: Symbol) -> Response:
    """USD traded at spot venues on each day, and how many venues had a bar in it, those of perpetual futures apart.

    A day's value is the sum over spot venues of the venue's daily bar where it states a volume, else of its 24 hours
    where all are known; empty where no venue's is known. `end` is the 00:00 UTC that ends the day.
    """
    asset = read_asset(services.store, symbol)
    days, traded = traded_days(services.store, registry_for(services.store, services.settings), asset.slug)
    venues, perpetual = (np.nan_to_num(traded[name]).astype(np.int64) for name in (VENUES, PERPETUAL_VENUES))
    columns = {
        "date": np.datetime_as_string((days - 1).astype("datetime64[us]"), unit="D"),
        "end": iso_times(days),
        "traded_value_usd": traded[VOLUME],
        "venues": venues,
        "perpetual_venues": perpetual,
    }
    return csv_answer(columns)


@router.get(
    "/actions.csv",
    **file_of("text/csv", "One row for each corporate action"),
    summary="Corporate actions of tokens, as CSV",
)
def actions_csv(services: ServicesDep) -> Response:
    """The dated log of corporate actions, oldest first: what /v1/actions has, without the treatments in words."""
    registry = registry_for(services.store, services.settings)
    log = load_event_log(registry, folder=services.settings.methodology_dir)
    names = [field.name for field in fields(CorporateAction)]
    rows = [{name: getattr(event, name) for name in names} for event in log.events]
    return _table(rows, names)


def _table(rows: list[dict[str, Any]], names: tuple[str, ...] | list[str]) -> Answer:
    body = rows_to_csv(rows, names, text=("symbol", "source", "note"))
    return Answer(body, media_type=CSV, headers={"X-Count": str(len(rows))})


@router.get(
    "/indices/{index_id}/methodology.toml",
    **file_of("application/toml", "The methodology file"),
    summary="The rules in force, as the file itself",
)
def methodology_toml(store: StoreDep, index_id: IndexId) -> Response:
    """The methodology file (TOML) that the index is computed by now, byte for byte."""
    index = read_index(store, index_id)
    rules = next(version for version in read_methodologies(store, index_id) if version.id == index.methodology_id)
    return Answer(rules.text.encode(), media_type="application/toml")
