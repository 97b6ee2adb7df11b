"""Assets on the wire: identity, labels, venues, supplies with their block, on-chain metrics."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from api.schemas.base import LevelStatus, Wire

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

    kind: str = Field(description="free_float, circulating, total, burnt, treasury, vesting, staked, bridge_escrow, …")
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


class AssetItem(Wire):
    """An asset and where its supply comes from."""

    asset: str = Field(description="Our stable name for it")
    symbol: str = Field(description="Its label now")
    name: str
    chain: str
    contract: str
    sub_sector: str
    status: str = Field(description="core, watch, special, legacy, universe or reference")
    supply_status: str = Field(description=STATUS)
    free_float: float | None = Field(description="The supply in use, in tokens")


class AssetList(Wire):
    """Every asset known, by name."""

    count: int
    data: list[AssetItem]


class LabelItem(Wire):
    """A symbol the asset goes or went by."""

    symbol: str
    valid_from: datetime | None
    valid_to: datetime | None


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


class RateItem(Wire):
    """The newest reference rate."""

    usd: float
    time: datetime
    status: LevelStatus


class AssetDetail(Wire):
    """An asset: who it is, what it was called, where it trades, what its supply is."""

    asset: str
    symbol: str
    name: str
    chain: str
    contract: str
    decimals: int
    sub_sector: str
    status: str
    line: str = Field(description="The asset its price line continues in; itself when in none")
    line_ratio: float = Field(description="Units of the line's token per unit of this one")
    labels: list[LabelItem]
    ledgers: list[ContractItem]
    venues: list[VenueItem]
    rate: RateItem | None
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
    """Something open in the quality ledger about the asset on chain."""

    kind: str = Field(description="onchain_missing, onchain_alert, onchain_orphaned, onchain_divergence, …")
    subject: str
    opened_at: datetime
    text: str


class MetricPoint(Wire):
    """A value of the metric asked for."""

    time: datetime
    value: float


class AssetOnchain(Wire):
    """What chains say of an asset: its float with the fallback's status, components, metrics, open findings."""

    asset: str
    symbol: str
    free_float: FloatInUse
    free_float_ratio: float | None = Field(description="free_float / (total - burnt), both on chain")
    supplies: list[SupplyItem] = Field(description="On-chain components only")
    gaps: list[str] = Field(description="What the supply rule knowingly does not cover")
    metrics: list[MetricItem]
    findings: list[FindingItem]
    metric: str | None = Field(description="The metric whose history is given; null without one")
    history: list[MetricPoint] = Field(description="Its values over the whole token, oldest first")
