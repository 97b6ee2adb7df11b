"""Tokens as people know them: what the market did to each member of an index, and a page for each token."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers.answer import Answer
from api.answers.params import AskedId
from api.answers.services import Services, ServicesDep, StoreDep
from api.web.first_view import Part, drawn_levels, hours_of, together
from api.web.pages import filled, page_answer
from api.web.routes import in_order, short_name, tabs
from indexer.arrays import F64, I64
from indexer.errors import DeaiError
from indexer.live.chain.configured import tokens_of
from indexer.store.assets import read_asset, read_assets
from indexer.store.levels import read_latest_level
from indexer.store.rates import read_asset_rates, read_quotes, read_rates
from indexer.store.rebalancings import read_constituents, read_rebalancings
from indexer.store.rows import StoredAsset
from indexer.times import DAY_US, HOUR_US, to_us

SPANS = {"h24": 1, "d7": 7, "d30": 30, "y1": 365}
DIGITS = 6
router = APIRouter(include_in_schema=False)


@router.get("/assets/{symbol}")
def token_page(request: Request, services: ServicesDep, store: StoreDep, symbol: str) -> Response:
    """The page of a token."""
    asset = read_asset(store, symbol)
    names = {"symbol": asset.symbol, "name": asset.name, "slug": asset.slug}
    return page_answer(filled("token.html", request, **names, tabs=tabs(store, "")))


@router.get("/page-data/token")
async def token_view(request: Request, services: ServicesDep, symbol: Annotated[str, Query(max_length=64)]) -> Response:
    """Everything the page of a token draws: answers of /v1, its daily rates, and its weight in each index."""
    asset = await run_sync(read_asset, services.store, symbol)
    member = [index for index in await run_sync(memberships, services, asset) if index["weights"]]
    here = f"assets/{asset.slug}"
    addresses = {"asset": here, "onchain": f"{here}/onchain", "metrics": f"{here}/metrics", "actions": "actions"}
    parts: dict[str, Part] = {"rates": partial(daily_rates, services, asset), "indices": lambda: {"data": member}}
    if member:
        parts["levels"] = partial(drawn_levels, services, member[0]["id"])
    return await together(request, addresses, parts)


@router.get("/page-data/more")
async def more_of_index(request: Request, services: ServicesDep, index: AskedId) -> Response:
    """What is below the fold of an index's page: its members' markets, its performance, what its networks earn."""
    here = f"indices/{index}"
    addresses = {"performance": f"{here}/performance?beside=BTC,QQQ", "fundamentals": f"{here}/fundamentals"}
    return await together(request, addresses, {"markets": partial(markets_of, services, index)})


def markets_of(services: Services, index: str) -> dict[str, Any]:
    """Of each member at the newest level: changes, 30 days of prices, venues and the spread of their quotes."""
    store = services.store
    newest = read_latest_level(store, index)
    if newest is None:
        return {}
    at_us = int(newest.times_us[-1])
    assets = {asset.slug: asset for asset in read_assets(store)}
    grades = {rule.symbol: rule.grade for rule in tokens_of(services.settings).values()}
    rates = read_rates(store, since_us=at_us - 31 * DAY_US, until_us=at_us + 1)
    markets = {}
    for member in read_constituents(store, index, at_us):
        asset = assets[member.asset]
        own = rates.asset_id == asset.id
        seen_us = at_us if member.rate_at is None else to_us(member.rate_at)
        market = market_of(rates.time_us[own], rates.rate[own], at_us=at_us)
        spread = venues_of(services, asset, time_us=seen_us)
        markets[member.asset] = {**market, **spread, "grade": grades.get(asset.symbol, "")}
    return markets


def market_of(times_us: I64, rates: F64, *, at_us: int) -> dict[str, Any]:
    """Changes to an instant over each span, null without a rate of either hour, and the daily rates before it."""
    days = times_us % DAY_US == 0
    return {
        **changes_of(times_us, rates, at_us=at_us),
        "spark": [float(f"{rate:.4g}") for rate in rates[days].tolist()],
    }


def changes_of(times_us: I64, rates: F64, *, at_us: int) -> dict[str, float | None]:
    """Changes to an instant over each span as simple returns, null without a rate of either hour."""
    priced = len(times_us) > 0 and times_us[-1] > at_us - HOUR_US
    changes = {}
    for name, span in SPANS.items():
        then_us = at_us - span * DAY_US
        place = int(np.searchsorted(times_us, then_us, side="right")) - 1
        known = priced and place >= 0 and times_us[place] > then_us - HOUR_US
        changes[name] = round(float(rates[-1] / rates[place]) - 1.0, DIGITS) if known else None
    return changes


def venues_of(services: Services, asset: StoredAsset, *, time_us: int) -> dict[str, Any]:
    """The venues that quoted the token in dollars at an instant, and how far apart they were."""
    with services.store.session() as session:
        quotes = read_quotes(session, asset.id, time_us=time_us)
    quotes = [(listing, bar) for listing, bar in quotes if "USD" in listing.quote.upper()]
    closes = [bar.close for _, bar in quotes]
    spread = round(max(closes) / min(closes) - 1.0, DIGITS) if len(closes) > 1 else None
    return {"venues": [listing.venue for listing, _ in quotes], "spread": spread}


@router.get("/page-data/rates")
def token_rates(services: ServicesDep, symbol: Annotated[str, Query(max_length=64)]) -> Response:
    """The daily rates of a token, to hold an index against."""
    return Answer(daily_rates(services, read_asset(services.store, symbol)), cache_control="no-cache")


def daily_rates(services: Services, asset: StoredAsset) -> dict[str, Any]:
    """The rates at 00:00 UTC as columns, oldest first, and the changes to the newest of all rates."""
    times, rates = read_asset_rates(services.store, [asset.id])[asset.id]
    days, newest_us = times % DAY_US == 0, int(times[-1]) if len(times) else 0
    changes = changes_of(times, rates, at_us=newest_us)
    return {**hours_of(times[days]), "rate": rates[days], "changes": changes}


def memberships(services: Services, asset: StoredAsset) -> list[dict[str, Any]]:
    """Each index with the weight it gave the token at every review, zero where it held none after holding some."""
    indices = []
    for index in in_order(services.store):
        try:
            reviews = read_rebalancings(services.store, index.id)
        except DeaiError:
            continue
        weights = [
            {"time": review.effective_at, "weight": round(item.weight_target, DIGITS)}
            for review in reviews
            for item in review.items
            if item.asset == asset.slug and (item.units_before > 0 or item.units_after > 0)
        ]
        indices.append({"id": index.id, "name": index.name, "short": short_name(index), "weights": weights})
    return indices
