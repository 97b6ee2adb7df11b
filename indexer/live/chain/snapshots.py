"""One snapshot of supplies into the store: rows with their block, the proof in the archive, findings as entries.

A chain or a token that fails costs its own numbers only: the reason is an open quality entry until it is read again,
and the index goes on with the next best source.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.errors import NotFoundError, VerificationError
from indexer.live.audit import keep_bytes
from indexer.live.chain.supply_rows import SOURCE, float_changes, supply_rows
from indexer.live.context import Live
from indexer.live.quality_log import settle
from indexer.registry import Asset
from indexer.store.archive import read_payloads
from indexer.store.bars import write_metrics
from indexer.store.quality import write_quality
from indexer.store.rows import MetricSeries, SupplyRow, Written
from indexer.store.supplies import read_all_latest_supplies, read_supplies, write_supplies
from indexer.times import iso, to_us
from onchain.errors import OnchainError

if TYPE_CHECKING:
    from onchain.snapshots import Snapshot
    from onchain.supply import Supply
    from onchain.tokens import Token


def keep_proof(live: Live, run_id: int, proof: Mapping[str, object], *, what: str) -> str:
    """Archive what was read of chains as JSON and link it to the run; gives the hash of its bytes.

    `what` begins with `snapshot` for supplies (`replayed` derives them again) and `activity` for a day's transfers.
    """
    text = json.dumps(proof, sort_keys=True, separators=(",", ":"), ensure_ascii=False)  # amounts exceed 64 bits
    return keep_bytes(live, run_id, text.encode(), source=SOURCE, what=what)


def proofs_of(live: Live, run_id: int) -> list[dict[str, Any]]:
    """The snapshot proofs of a run, in the order they were kept; those whose retention is over are left out."""
    found = []
    for payload in read_payloads(live.store, run_id):
        if payload.source != SOURCE or not payload.url.startswith("snapshot"):
            continue
        try:
            found.append(json.loads(live.archive.get(payload.sha256)))
        except NotFoundError:
            continue
    return found


def rules_mark(tokens: Mapping[str, Token], symbols: Iterable[str]) -> str:
    """A short text that changes whenever a supply rule of these symbols does."""
    return sha256(repr([tokens.get(symbol) for symbol in sorted(symbols)]).encode()).hexdigest()[:16]


def replayed(tokens: Mapping[str, Token], proof: Mapping[str, object]) -> Snapshot:
    """The snapshot that a kept proof gives by these rules, offline. Raises VerificationError if it was altered."""
    from onchain.snapshots import replay_snapshot

    try:
        return replay_snapshot(proof, tokens=tokens)
    except OnchainError as error:
        raise VerificationError(str(error)) from None
    except KeyError as missing:
        raise VerificationError(f"the supply rule of {missing} is gone, so its proof cannot be replayed") from None


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
    live: Live,
    run_id: int,
    *,
    symbols: Iterable[str] = (),
    at: datetime | None = None,
    progress: Progress | None = None,
) -> SnapshotReport:
    """Read and store the supplies of these symbols (all rules by default) at an instant, or now.

    Raises InputError for an unknown symbol, SourceUnavailable when reading took too long; what single chains lack
    is in the report and in the quality log, never raised.
    """
    assets = live.chosen(tuple(symbols))
    live.asset_ids()
    shot = read(live, [live.tokens[symbol] for symbol in assets], at=at, assets=assets, progress=progress)
    proof = keep_proof(live, run_id, shot.proof(), what=snapshot_note(live.tokens, assets, at=iso(shot.at * 1_000_000)))
    rows = {symbol: supply_rows(shot.supplies[symbol], asset) for symbol, asset in assets.items()}
    every = [row for found in rows.values() for row in found]
    before = [row for known in read_all_latest_supplies(live.store).values() for row in known]
    written = write_supplies(live.store, run_id, every)
    write_metrics(live.store, run_id, list(usage_series(shot, assets)))
    if jumps := float_changes(before, every):
        write_quality(live.store, run_id, jumps)
    _note(live, run_id, {assets[symbol].slug: supply for symbol, supply in shot.supplies.items()})
    readings = [_reading(supply, assets[symbol], len(rows[symbol])) for symbol, supply in shot.supplies.items()]
    return SnapshotReport(tuple(readings), written, proof)


def usage_series(shot: Snapshot, assets: Mapping[str, Asset]) -> Iterator[MetricSeries]:
    """What networks stated of their use, at the instant of its block; the source of one part of a figure ends in it."""
    for symbol, asset in assets.items():
        for usage, reading in shot.usage.get(symbol, ()):
            if reading.amount is None or reading.pin is None:
                continue
            part = "" if usage.holder else reading.read.holder
            source = ":".join(filter(None, (SOURCE, usage.chain, part)))
            at, value = np.array([reading.pin.timestamp * 1_000_000]), np.array([reading.amount / 10**usage.decimals])
            yield MetricSeries(asset.slug, usage.metric, source, at, value)


def snapshot_note(tokens: Mapping[str, Token], symbols: Iterable[str], *, at: str, again: bool = False) -> str:
    """How the proof of a snapshot is named among a run's payloads; `verify` reads its instant and rules from there."""
    return f"snapshot{' again' if again else ''} at {at}, rules {rules_mark(tokens, symbols)}"


def read(
    live: Live,
    tokens: list[Token],
    *,
    at: datetime | None,
    assets: Mapping[str, Asset],
    progress: Progress | None = None,
) -> Snapshot:
    """A snapshot of these tokens from the chains, with what the store has as reported; nothing is written."""
    from onchain.snapshots import read_snapshot

    at_s = None if at is None else to_us(at) // 1_000_000
    reported = _reported(live, assets)
    return live.read_chains(
        lambda: read_snapshot(
            tokens,
            chains=live.chains,
            at=at_s,
            reported=reported,
            confirm=live.confirm,
            progress=progress,
            chain_s=CHAIN_SHARE * live.deadline_s,
        ),
        within_s=live.deadline_s,
        what=f"reading the supplies of {len(tokens)} tokens",
    )


def _reported(live: Live, assets: Mapping[str, Asset]) -> dict[str, float]:
    """The newest circulating supplies that providers reported, in tokens, by symbol."""
    newest: dict[str, SupplyRow] = {}
    for row in read_supplies(live.store):
        if row.kind == "circulating" and row.origin == "reported":
            known = newest.get(row.asset)
            newest[row.asset] = row if known is None or known.observed_at < row.observed_at else known
    return {
        symbol: newest[asset.slug].amount / 10**asset.decimals
        for symbol, asset in assets.items()
        if asset.slug in newest
    }


def _note(live: Live, run_id: int, supplies: Mapping[str, Supply]) -> None:
    """Open or close what the quality log says of these assets: no number, part of a number, or a finding."""
    lacking = {
        slug: supply.reason or "the chain gave no number"
        for slug, supply in supplies.items()
        if supply.status == "missing" or (supply.status == "on_chain" and supply.free_float is None)
    }
    found = {slug: "; ".join(supply.alerts) for slug, supply in supplies.items() if supply.alerts}
    for kind, now in ((MISSING, lacking), (ALERT, found)):
        settle(live, run_id, kind, now, concerns=supplies.__contains__)


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
