"""Provisional supplies looked at again: confirmed once their blocks are final, replaced when one left its chain.

Roll-ups are read at `safe` blocks. Their rows stay provisional until the recheck; a block that is gone makes the row
an orphaned revision at once, which no index uses, and the same instant is read again for the revision after it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from indexer.errors import DeaiError, SourceError
from indexer.live.chain.snapshots import keep_proof, proofs_of, read, snapshot_note
from indexer.live.chain.supply_rows import FINALIZED, ORPHANED, supply_rows
from indexer.live.context import Live
from indexer.live.quality_log import detail
from indexer.registry import Asset
from indexer.store.quality import write_quality
from indexer.store.rows import QualityRow, SupplyRow
from indexer.store.supplies import read_supplies_by_finality, write_supplies
from indexer.times import iso, to_us

if TYPE_CHECKING:
    from onchain.rpc.pin import Pin

KIND = "onchain_orphaned"
PROVISIONAL = ("safe", "latest", *(f"latest-{n}" for n in range(1, 257)))


@dataclass(frozen=True, slots=True)
class RecheckReport:
    """Snapshots of single tokens by what became of them; `replaced` are those orphaned that were read again."""

    confirmed: int = 0
    orphaned: int = 0
    replaced: int = 0
    open: int = 0


@dataclass(frozen=True, slots=True)
class _Open:
    """The provisional rows of one token at one instant, and the blocks they stand on."""

    symbol: str
    asset: Asset
    observed_at: datetime
    rows: list[SupplyRow]
    pins: list[Pin]


def recheck_supplies(live: Live, run_id: int) -> RecheckReport:
    """Look at every provisional supply again; what cannot be told yet stays as it is. Nothing to do asks nobody."""
    waiting = _waiting(live)
    if not waiting:
        return RecheckReport()
    verdicts = _verdicts(live, list(dict.fromkeys(pin for one in waiting for pin in one.pins)))
    confirmed = orphaned = replaced = 0
    for one in waiting:
        said_of = [verdicts[pin] for pin in one.pins if pin in verdicts]
        gone = [pin for pin in one.pins if verdicts.get(pin) == ORPHANED]
        if gone:
            orphaned += 1
            replaced += _replace(live, run_id, one, gone)
        elif said_of and all(verdict == "final" for verdict in said_of):
            confirmed += 1
            write_supplies(live.store, run_id, [replace(row, finality=FINALIZED) for row in one.rows])
    return RecheckReport(confirmed, orphaned, replaced, len(waiting) - confirmed - orphaned)


def recheck_first(live: Live, run_id: int) -> dict[str, Any]:
    """`recheck_supplies` before a new snapshot, which does not depend on it: its counts, or why it failed."""
    try:
        return asdict(recheck_supplies(live, run_id))
    except SourceError as error:
        return {"recheck": str(error)}


def _waiting(live: Live) -> list[_Open]:
    """Provisional rows by token and instant, with the blocks their proof names."""
    symbols = {asset.slug: symbol for symbol, asset in live.assets().items()}
    rows = read_supplies_by_finality(live.store, PROVISIONAL)
    rows.sort(key=lambda found: (found[0], found[1].asset, found[1].observed_at))
    made = []
    proofs: dict[int, list[dict[str, Any]]] = {}
    for (run, slug, observed_at), group in groupby(rows, key=lambda r: (r[0], r[1].asset, r[1].observed_at)):
        if slug not in symbols:
            continue
        if run not in proofs:
            proofs[run] = proofs_of(live, run)
        found = [row for _, row in group]
        pins = _pins(live, symbols[slug], proofs[run]) or _own_pins(found, to_us(observed_at) // 1_000_000)
        made.append(_Open(symbols[slug], live.registry.by_slug[slug], observed_at, found, pins))
    return made


def _pins(live: Live, symbol: str, proofs: list[dict[str, Any]]) -> list[Pin]:
    """The blocks that a token's reads were made at, by the proofs of its run."""
    from onchain.rpc.pin import Pin
    from onchain.supply import reads_of
    from onchain.tokens import Read

    pins: dict[Pin, None] = {}
    for proof in proofs:
        wanted = set(reads_of(live.tokens[symbol], proof["at"])) if symbol in proof["symbols"] else set()
        for reading in proof["readings"]:
            pin = reading["pin"]
            if pin is not None and Read(**reading["read"]) in wanted:
                pins[Pin(**{**pin, "agreed": tuple(pin["agreed"])})] = None
    return list(pins)


def _own_pins(rows: list[SupplyRow], at: int) -> list[Pin]:
    """The block named in the rows themselves, where their proof is gone."""
    from onchain.rpc.pin import Pin

    row = rows[0]
    if row.chain is None or row.block_number is None or row.block_hash is None:
        return []
    return [Pin(row.chain, row.block_number, row.block_hash, at, row.finality or "")]


def _verdicts(live: Live, pins: list[Pin]) -> dict[Pin, str]:
    from onchain.health import recheck_pins

    return live.read_chains(
        lambda: recheck_pins(pins, live.chains, confirm=live.confirm),
        within_s=live.deadline_s,
        what=f"rechecking {len(pins)} blocks",
    )


def _replace(live: Live, run_id: int, one: _Open, gone: list[Pin]) -> bool:
    """Withdraw the rows, then read the same instant again; whether that gave a number. Both are in the quality log."""
    write_supplies(live.store, run_id, [replace(row, finality=ORPHANED) for row in one.rows])
    blocks = ", ".join(f"{pin.chain} {pin.number} {pin.hash[:10]}…" for pin in gone)
    text = f"{one.symbol} at {iso(to_us(one.observed_at))}: {blocks} left the chain"
    entry = QualityRow(KIND, one.asset.slug, one.observed_at, None, detail(f"{text}; its numbers are withdrawn"))
    write_quality(live.store, run_id, [entry])
    try:
        shot = read(live, [live.tokens[one.symbol]], at=one.observed_at, assets={one.symbol: one.asset})
    except DeaiError as error:
        why = str(error)
    else:
        supply = shot.supplies[one.symbol]
        note = snapshot_note(live.tokens, [one.symbol], at=iso(to_us(one.observed_at)), again=True)
        keep_proof(live, run_id, shot.proof(), what=note)
        rows = supply_rows(supply, one.asset, observed_at=one.observed_at) if supply.status == "on_chain" else []
        if rows:
            write_supplies(live.store, run_id, rows)
            closed = replace(entry, closed_at=live.clock(), detail=detail(f"{text}; read again"))
            write_quality(live.store, run_id, [closed])
            return True
        why = supply.reason
    again = replace(entry, detail=detail(f"{text}; its numbers are withdrawn, reading again failed: {why}"))
    write_quality(live.store, run_id, [again])
    return False
