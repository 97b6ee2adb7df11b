"""Assets: who they are, where their supply comes from, what chains say and networks measure of them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from api.answers.answer import Answer
from api.answers.encode import status_name
from api.answers.params import Limit, Window, WindowParam
from api.answers.problems import declared
from api.answers.schemas import Wire, list_of, made_of, to_wire
from api.answers.services import Services, ServicesDep, StoreDep
from indexer.client.models import LevelStatus
from indexer.live.chain.status import block_link, disagreements, float_status
from indexer.registry import Asset, load_registry
from indexer.store.assets import read_asset, read_assets, read_listings
from indexer.store.bars import read_metrics, read_newest_metrics
from indexer.store.db import Store
from indexer.store.quality import read_open_quality
from indexer.store.rates import read_newest_rate
from indexer.store.rows import MetricSeries, QualityRow, StoredAsset, SupplyRow
from indexer.store.supplies import read_all_latest_supplies, read_latest_supplies
from indexer.times import from_us
from onchain.supply import FLOAT_DIFFERS

if TYPE_CHECKING:
    from onchain.tokens import Token

STATUS = "on_chain, reported, imported or missing: where the supply in use comes from, best first"


class BlockRef(Wire):
    """The block a number was read at."""

    chain: str
    number: int | None
    hash: str | None
    finality: str | None = Field(description="finalized, final, query, safe or latest; safe and latest are provisional")
    link: str | None = Field(description="The block at a public explorer")


class SupplyItem(Wire):
    """The newest reading of one kind from one source."""

    kind: str = Field(description="free_float, estimated_float, circulating, total, burnt, treasury, staked, …")
    tokens: float
    amount: str = Field(description="The exact amount in base units")
    origin: str = Field(description="on_chain, reported or imported")
    source: str
    observed_at: datetime = Field(description="When it was true")
    revision: int = Field(description="Above 1 when the reading was corrected")
    block: BlockRef | None = Field(description="The home ledger's block; null for what no chain gave")


class FloatInUse(Wire):
    """The supply an index would weigh by now."""

    status: str = Field(description=STATUS)
    tokens: float | None
    kind: str | None
    source: str | None
    observed_at: datetime | None
    block: BlockRef | None
    passed_over: str = Field(description="Why no better source is used; empty when the best one is")


class AssetIdentity(Wire):
    """Who an asset is."""

    asset: str = Field(description="Our stable name for it")
    symbol: str = Field(description="Its label now")
    name: str
    chain: str
    contract: str
    sub_sector: str
    status: str = Field(description="core, watch, special, legacy, universe or reference")


class AssetItem(AssetIdentity):
    """An asset and where its supply comes from."""

    supply_status: str = Field(description=STATUS)
    free_float: float | None = Field(description="The supply in use, in tokens")


AssetList = list_of("AssetList", AssetItem)


LabelItem = made_of(
    "LabelItem",
    {"symbol": str, "valid_from": datetime | None, "valid_to": datetime | None},
    doc="A symbol the asset goes or went by.",
)


class VenueItem(Wire):
    """Where the asset trades or its price is seen."""

    venue: str
    symbol: str
    source: str | None = Field(description="The source whose bars are stored; null when none are")
    status: str | None = Field(description="verified, seen or unverified; null when the registry does not have it")


class ContractItem(Wire):
    """A ledger of the asset."""

    chain: str
    contract: str
    decimals: int
    role: str | None = Field(description="How the supply rule counts it; null where there is no rule")


RateItem = made_of(
    "RateItem", {"usd": float, "time": datetime, "status": LevelStatus}, doc="The newest reference rate."
)


class AssetDetail(AssetIdentity):
    """An asset: who it is, what it was called, where it trades, what its supply is."""

    decimals: int
    line: str = Field(description="The asset its price line continues in; itself when in none")
    line_ratio: float = Field(description="Units of the line's token per unit of this one")
    labels: list[LabelItem]  # type: ignore[valid-type]  # made above
    ledgers: list[ContractItem]
    venues: list[VenueItem]
    rate: RateItem | None  # type: ignore[valid-type]  # made above
    free_float: FloatInUse
    supplies: list[SupplyItem]


class MetricItem(Wire):
    """The newest value of a metric from one source."""

    metric: str = Field(description="The quantity with its unit, e.g. transfer_volume_usd")
    source: str = Field(
        description="onchain: the whole token; onchain:<chain>: one ledger; …:<address>: a pool or feed"
    )
    time: datetime = Field(description="End of the day, or instant, it describes")
    value: float


class FindingItem(Wire):
    """Something open in the data-quality log about the asset on chain."""

    kind: str = Field(description="onchain_missing, onchain_alert, supply_disagreement, onchain_divergence, …")
    subject: str
    opened_at: datetime
    text: str


MetricPoint = made_of("MetricPoint", {"time": datetime, "value": float}, doc="A value of the metric asked for.")


class AssetOnchain(Wire):
    """What chains say of an asset: its float with the fallback's status, components, metrics, open findings."""

    asset: str
    symbol: str
    free_float: FloatInUse
    free_float_ratio: float | None = Field(description="free_float / (total - burnt), both on chain")
    supplies: list[SupplyItem] = Field(description="On-chain components only")
    grade: str | None = Field(description="How far the rule's float can be trusted; null where there is no rule")
    metrics_url: str = Field(description="Every metric through time")
    gaps: list[str] = Field(description="What the supply rule knowingly does not cover")
    metrics: list[MetricItem]
    findings: list[FindingItem]
    metric: str | None = Field(description="The metric whose history is given; null without one")
    history: list[MetricPoint] = Field(  # type: ignore[valid-type]  # made above
        description="Its values over the whole token, oldest first"
    )


router = APIRouter(prefix="/v1/assets", tags=["assets"], responses=declared("not_found"))
FINDINGS = (
    "onchain_missing", "onchain_alert", "onchain_orphaned", "onchain_activity", "onchain_events", "onchain_identity",
    "onchain_divergence", "onchain_price",
)  # fmt: skip
Symbol = Annotated[
    str, Path(max_length=64, description="Symbol or name of an asset, e.g. GRT; case ignored", examples=["GRT"])
]


@router.get("", response_model=AssetList, summary="All assets")
def list_assets(store: StoreDep) -> Response:
    """Every asset known and where the supply in use comes from: on-chain, else reported, else imported."""
    supplies = read_all_latest_supplies(store)
    reasons = _reasons(read_open_quality(store, ("onchain_missing",)))
    data = []
    for asset in read_assets(store):
        chosen = float_status(supplies.get(asset.slug, []), reason=reasons.get(asset.slug, ""))
        supply = {"supply_status": chosen.status, "free_float": _tokens(chosen.row, asset)}
        data.append(to_wire(asset, AssetItem, asset=asset.slug, **supply))
    return Answer({"count": len(data), "data": data})


@router.get("/{symbol}", response_model=AssetDetail, summary="One asset")
def get_asset(services: ServicesDep, store: StoreDep, symbol: Symbol) -> Response:
    """Identity by chain and contract, labels through time, venues, newest rate, and every kind of supply."""
    asset = read_asset(store, symbol)
    known = load_registry(services.settings.registry).by_slug.get(asset.slug)
    rows = read_latest_supplies(store, asset.slug)
    rate = read_newest_rate(store, asset.slug)
    return Answer(
        to_wire(
            asset,
            AssetDetail,
            asset=asset.slug,
            labels=_labels(asset, known),
            ledgers=_ledgers(services, asset, known),
            venues=_venues(store, asset, known),
            rate=rate and {"usd": rate[0], "time": from_us(rate[1]), "status": status_name(rate[2])},
            free_float=_in_use(store, asset, rows),
            supplies=[_supply(row, asset) for row in rows],
        )
    )


@router.get("/{symbol}/onchain", response_model=AssetOnchain, summary="What chains say of an asset")
def get_onchain(
    services: ServicesDep,
    store: StoreDep,
    symbol: Symbol,
    *,
    metric: Annotated[
        str | None, Query(max_length=64, description="Give this metric's history", examples=["active_addresses"])
    ] = None,
    window: WindowParam,
    limit: Limit = 366,
) -> Response:
    """The free float with its block, its components, activity, pool and oracle prices, and what is open about them.

    With `metric` its history over the whole token in [start, end), the newest `limit` values of it.
    """
    asset = read_asset(store, symbol)
    supplies = read_latest_supplies(store, asset.slug)
    rows = [row for row in supplies if row.origin == "on_chain"]
    rule = _rule_of(services, asset)
    return Answer(
        {
            "asset": asset.slug,
            "symbol": asset.symbol,
            "free_float": _in_use(store, asset, supplies),
            "free_float_ratio": _ratio(rows),
            "supplies": [_supply(row, asset) for row in rows],
            "grade": rule.grade if rule else None,
            "gaps": list(rule.gaps) if rule else [],
            "metrics_url": f"/v1/assets/{asset.slug}/metrics",
            "metrics": [
                {"metric": newest.name, "source": newest.source, **_points(newest)[0]}
                for newest in read_newest_metrics(store, asset.slug, source_prefix="onchain")
            ],
            "findings": _findings(store, asset, supplies),
            "metric": metric,
            "history": [] if metric is None else _history(store, asset, metric, window=window, limit=limit),
        }
    )


def _history(store: Store, asset: StoredAsset, metric: str, *, window: Window, limit: int) -> list[dict[str, Any]]:
    """A metric of the whole token (no single ledger's), the chains' own before other sources'."""
    every = read_metrics(store, subject=asset.slug, name=metric, since_us=window.start, until_us=window.end)
    whole = [series for series in every if ":" not in series.source]
    whole.sort(key=lambda series: (series.source != "onchain", series.source))
    return _points(whole[0])[-limit:] if whole else []


def _points(series: MetricSeries) -> list[dict[str, Any]]:
    pairs = zip(series.time_us.tolist(), series.value.tolist(), strict=True)
    return [{"time": from_us(at_us), "value": value} for at_us, value in pairs]


def _labels(asset: StoredAsset, known: Asset | None) -> list[dict[str, Any]]:
    if known is None:
        return [{"symbol": asset.symbol, "valid_from": None, "valid_to": None}]
    return [to_wire(label, LabelItem) for label in known.symbols]


def _ledgers(services: Services, asset: StoredAsset, known: Asset | None) -> list[dict[str, Any]]:
    """The asset's contracts in the registry and in its supply rule, each once, with the role it is counted by."""
    rule = _rule_of(services, asset)
    legs = [leg for leg in rule.legs if leg.role != "check"] if rule else []
    roles = {(leg.chain, leg.asset.casefold()): leg.role for leg in legs}
    places = [(asset.chain, asset.contract, asset.decimals), *((leg.chain, leg.asset, leg.decimals) for leg in legs)]
    places[1:1] = [(other.chain, other.contract, other.decimals) for other in (known.other_contracts if known else ())]
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for chain, contract, decimals in places:
        key = (chain, contract.casefold())
        rows.setdefault(key, {"chain": chain, "contract": contract, "decimals": decimals, "role": roles.get(key)})
    return list(rows.values())


def _rule_of(services: Services, asset: StoredAsset) -> Token | None:
    """The supply rule of an asset, by one of its networks; by its symbol where the rule has none."""
    from indexer.live.chain.configured import tokens_of

    for token in tokens_of(services.settings).values():
        mine = any((leg.chain, leg.asset.casefold()) == (asset.chain, asset.contract.casefold()) for leg in token.legs)
        if mine or (not token.legs and token.symbol == asset.symbol):
            return token
    return None


def _venues(store: Store, asset: StoredAsset, known: Asset | None) -> list[dict[str, Any]]:
    """Venues whose bars are stored, then those the registry names besides."""
    known_venues = {listing.venue: listing for listing in (known.venues if known else ())}
    status = {venue: listing.status for venue, listing in known_venues.items()}
    stored = {row.venue: row for row in read_listings(store) if row.asset == asset.slug}
    rows = [to_wire(row, VenueItem, status=status.get(venue)) for venue, row in stored.items()]
    unseen = [listing for venue, listing in known_venues.items() if venue not in stored]
    return rows + [to_wire(listing, VenueItem, source=None) for listing in unseen]


def _supply(row: SupplyRow, asset: StoredAsset) -> dict[str, Any]:
    return to_wire(row, SupplyItem, tokens=_tokens(row, asset), amount=str(row.amount), block=_block(row))


def _block(row: SupplyRow | None) -> dict[str, Any] | None:
    if row is None or row.chain is None:
        return None
    link = block_link(row.chain, row.block_number, row.block_hash)
    return to_wire(row, BlockRef, number=row.block_number, hash=row.block_hash, link=link)


def _in_use(store: Store, asset: StoredAsset, supplies: list[SupplyRow]) -> dict[str, Any]:
    reasons = _reasons(read_open_quality(store, ("onchain_missing",)))
    chosen = float_status(supplies, reason=reasons.get(asset.slug, ""))
    row = chosen.row
    return {
        "status": chosen.status,
        "tokens": _tokens(row, asset),
        "kind": row and row.kind,
        "source": row and row.source,
        "observed_at": row and row.observed_at,
        "block": _block(row),
        "passed_over": chosen.passed_over,
    }


def _tokens(row: SupplyRow | None, asset: StoredAsset) -> float | None:
    return None if row is None else row.amount / 10**asset.decimals


def _ratio(rows: list[SupplyRow]) -> float | None:
    amounts = {row.kind: row.amount for row in rows}
    existing = amounts.get("total", 0) - amounts.get("burnt", 0)
    return amounts["free_float"] / existing if "free_float" in amounts and existing > 0 else None


def _findings(store: Store, asset: StoredAsset, supplies: list[SupplyRow]) -> list[dict[str, Any]]:
    """What is open about the asset on chain, then sources of its float that differ by more than a tenth."""
    found = [
        to_wire(row, FindingItem, text=_text(row))
        for row in read_open_quality(store, FINDINGS)
        if row.subject.split(" ")[0] == asset.slug
    ]
    told = any(one["kind"] == "onchain_alert" and FLOAT_DIFFERS in one["text"] for one in found)
    return found + [
        {
            "kind": "supply_disagreement",
            "subject": asset.slug,
            "opened_at": max(pair.used.observed_at, pair.other.observed_at),
            "text": pair.text(asset.decimals),
        }
        for pair in disagreements(supplies)
        if not told or {pair.used.origin, pair.other.origin} != {"on_chain", "reported"}
    ]


def _reasons(entries: list[QualityRow]) -> dict[str, str]:
    return {row.subject: _text(row) for row in entries}


def _text(row: QualityRow) -> str:
    return str(json.loads(row.detail).get("text", ""))
