"""One snapshot of supplies into the store: rows with their block, the proof in the archive, findings in the ledger.

A chain or a token that fails costs its own numbers only: the reason is an open quality entry until it is read again,
and the index goes on with the next best source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from indexer.live.chain.context import ChainWork
from indexer.live.chain.float_change import float_changes
from indexer.live.chain.proofs import keep
from indexer.live.chain.supply_rows import supply_rows
from indexer.live.quality_log import settle
from indexer.registry import Asset
from indexer.store.read import read_supplies
from indexer.store.read_onchain import read_all_latest_supplies
from indexer.store.records import SupplyRow, Written
from indexer.store.write import write_quality, write_supplies
from indexer.times import iso, to_us

if TYPE_CHECKING:
    from onchain.snapshots import Snapshot
    from onchain.supply import Supply
    from onchain.tokens import Token

Progress = Callable[[str, str], None]  # chain, and "reading", "done" or why it failed
MISSING, ALERT = "onchain_missing", "onchain_alert"
CHAIN_SHARE = 0.6  # of the time for all; with half as much for the common instant, one hanging chain costs no other


@dataclass(frozen=True, slots=True)
class SupplyReading:
    """What a snapshot gave for one token. `status`: on_chain, reported or missing, with the reason.

    Amounts are in tokens, None where not known; `rows` is how many figures were stored.
    """

    symbol: str
    asset: str
    status: str
    reason: str
    free_float: float | None
    total: float | None
    alerts: tuple[str, ...]
    gaps: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """A stored snapshot: its readings, what was new among its rows, and the hash of its proof in the archive."""

    readings: tuple[SupplyReading, ...]
    written: Written
    proof: str

    @property
    def on_chain(self) -> int:
        """How many tokens have a number of a chain's own."""
        return sum(one.status == "on_chain" for one in self.readings)

    @property
    def first_reason(self) -> str:
        """Why the first token without a number has none, for a message; empty when every one has."""
        return next((f"{one.symbol}: {one.reason}" for one in self.readings if one.status == "missing"), "")


def take_snapshot(
    work: ChainWork,
    run_id: int,
    *,
    symbols: Iterable[str] = (),
    at: datetime | None = None,
    progress: Progress | None = None,
) -> SnapshotReport:
    """Read and store the supplies of these symbols (all rules by default) at an instant, or now.

    Raises InputError for an unknown symbol, SourceUnavailable when reading took too long; what single chains lack
    is in the report and in the ledger, never raised.
    """
    assets = work.chosen(tuple(symbols))
    work.register()
    shot = read(work, [work.tokens[symbol] for symbol in assets], at=at, assets=assets, progress=progress)
    proof = keep(work, run_id, shot.proof(), what=f"snapshot at {iso(shot.at * 1_000_000)}")
    rows = {symbol: supply_rows(shot.supplies[symbol], asset) for symbol, asset in assets.items()}
    every = [row for found in rows.values() for row in found]
    before = [row for known in read_all_latest_supplies(work.store).values() for row in known]
    written = write_supplies(work.store, run_id, every)
    if jumps := float_changes(before, every):
        write_quality(work.store, run_id, jumps)
    _note(work, run_id, {assets[symbol].slug: supply for symbol, supply in shot.supplies.items()})
    readings = [_reading(supply, assets[symbol], len(rows[symbol])) for symbol, supply in shot.supplies.items()]
    return SnapshotReport(tuple(readings), written, proof)


def read(
    work: ChainWork,
    tokens: list[Token],
    *,
    at: datetime | None,
    assets: Mapping[str, Asset],
    progress: Progress | None = None,
) -> Snapshot:
    """A snapshot of these tokens from the chains, with what the store has as reported; nothing is written."""
    from onchain.snapshots import read_snapshot

    at_s = None if at is None else to_us(at) // 1_000_000
    reported = _reported(work, assets)
    return work.waiting.run(
        lambda: read_snapshot(
            tokens,
            chains=work.chains,
            at=at_s,
            reported=reported,
            confirm=work.confirm,
            progress=progress,
            chain_s=CHAIN_SHARE * work.deadline_s,
        ),
        within_s=work.deadline_s,
        what=f"reading the supplies of {len(tokens)} tokens",
    )


def _reported(work: ChainWork, assets: Mapping[str, Asset]) -> dict[str, float]:
    """The newest circulating supplies that providers reported, in tokens, by symbol."""
    newest: dict[str, SupplyRow] = {}
    for row in read_supplies(work.store):
        if row.kind == "circulating" and row.origin == "reported":
            known = newest.get(row.asset)
            newest[row.asset] = row if known is None or known.observed_at < row.observed_at else known
    return {
        symbol: newest[asset.slug].amount / 10**asset.decimals
        for symbol, asset in assets.items()
        if asset.slug in newest
    }


def _note(work: ChainWork, run_id: int, supplies: Mapping[str, Supply]) -> None:
    """Open or close what the ledger says of these assets: no number, part of a number, or a finding."""
    lacking = {
        slug: supply.reason or "the chain gave no number"
        for slug, supply in supplies.items()
        if supply.status == "missing" or (supply.status == "on_chain" and supply.free_float is None)
    }
    found = {slug: "; ".join(supply.alerts) for slug, supply in supplies.items() if supply.alerts}
    for kind, now in ((MISSING, lacking), (ALERT, found)):
        settle(work.store, run_id, kind=kind, now=now, at=work.clock(), concerns=supplies.__contains__)


def _reading(supply: Supply, asset: Asset, rows: int) -> SupplyReading:
    return SupplyReading(
        symbol=supply.symbol,
        asset=asset.slug,
        status=supply.status,
        reason=supply.reason,
        free_float=supply.tokens("free_float"),
        total=supply.tokens("total"),
        alerts=supply.alerts,
        gaps=supply.warnings,
        rows=rows,
    )
