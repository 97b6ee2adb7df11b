"""One token's supply as a chain gave it → rows of the store in the registry's units, exact.

The row names the block of the token's home network; its finality is the weakest of all networks read, because the
number stands only while every one of them does. What was read elsewhere is in the snapshot's proof.

A free float that moved by more than three points of the supply since the reading before is said in the quality log:
the rules ask for an emergency rebalancing then, and whether there is one is a decision of people.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from indexer.registry import Asset
from indexer.store.rows import QualityRow, SupplyRow
from indexer.times import iso, to_us
from onchain.supply import float_emergency

if TYPE_CHECKING:
    from onchain.rpc.pin import Pin
    from onchain.supply import Supply

SOURCE: Final = "onchain"
PROTOCOL: Final = "protocol"  # a supply that the protocol fixes: stated by the rule, read nowhere
ORPHANED: Final = "orphaned"
FINALIZED: Final = "finalized"
KINDS: Final = (
    "total", "free_float", "burnt", "treasury", "vesting", "staked", "locked", "lost", "unclaimed", "bridge_escrow",
    "bridged", "legacy",
)  # fmt: skip


def supply_rows(supply: Supply, asset: Asset, *, observed_at: datetime | None = None) -> list[SupplyRow]:
    """Every known component as a row, observed when its newest block was made (or at `observed_at`).

    A supply that no network gave has no rows, except one that the protocol fixes, which is a reported one. A free
    float by an incomplete rule is `estimated_float` where a provider's figure is known: shown, and not used.
    An amount with more decimals than the registry's unit has is rounded down to it.
    """
    pins = pins_of(supply)
    seen = max((pin.timestamp for pin in pins), default=supply.at)
    row = SupplyRow(
        asset=asset.slug,
        kind="total",
        origin="on_chain",
        source=SOURCE,
        observed_at=observed_at or datetime.fromtimestamp(seen, UTC),
        amount=0,
    )
    if supply.status == "on_chain":
        home = pins[0] if pins else None
        row = replace(
            row,
            chain=home.chain if home else None,
            block_number=(home.number or None) if home else None,
            block_hash=(home.hash or None) if home else None,
            finality=weakest(pins),
        )
        return [
            replace(row, kind=_kind(kind, supply), amount=in_units(amount, supply.decimals, asset.decimals))
            for kind in KINDS
            if (amount := getattr(supply, kind)) is not None
        ]
    if supply.status == "reported" and supply.total is not None:
        amount = in_units(supply.total, supply.decimals, asset.decimals)
        stated = replace(row, origin="reported", source=PROTOCOL, amount=amount)
        return [stated, replace(stated, kind="circulating")]
    return []


def _kind(kind: str, supply: Supply) -> str:
    return "estimated_float" if kind == "free_float" and not supply.outranks else kind


def pins_of(supply: Supply) -> list[Pin]:
    """The blocks a supply was read at, that of the home network first, each once."""
    return list(dict.fromkeys(reading.pin for reading in supply.readings if reading.pin is not None))


def provisional(finality: str | None) -> bool:
    """Whether a block of this finality may still leave its chain."""
    return finality is not None and (finality == "safe" or finality.startswith("latest"))


def weakest(pins: list[Pin]) -> str | None:
    """The least settled finality among the blocks; None without any."""
    levels = [pin.finality for pin in pins]
    loose = sorted((level for level in levels if provisional(level)), key=lambda level: not level.startswith("latest"))
    return next(iter([*loose, *levels]), None)


def in_units(amount: int, decimals: int, wanted: int) -> int:
    """A base-unit amount of `decimals` in base units of `wanted` decimals; what does not fit is cut off."""
    factor: int = 10 ** abs(wanted - decimals)
    return amount * factor if wanted >= decimals else amount // factor


KIND: Final = "onchain_float_change"


def float_changes(before: Sequence[SupplyRow], after: Iterable[SupplyRow]) -> list[QualityRow]:
    """An entry, closed at once, for each asset whose on-chain float jumped from its last reading to this one.

    `before` are the newest stored rows, `after` those of a snapshot; an asset read for the first time has none.
    """
    known = {row.asset: row for row in _floats(before)}
    rows = list(after)
    totals = {row.asset: row.amount for row in rows if row.kind == "total" and row.origin == "on_chain"}
    made = []
    for row in _floats(rows):
        last = known.get(row.asset)
        if last is None or last.observed_at >= row.observed_at or row.asset not in totals:
            continue
        if float_emergency(last.amount, row.amount, supply=totals[row.asset]):
            points = 100 * (row.amount - last.amount) / totals[row.asset]
            text = (
                f"the free float changed by {points:+.1f} points of the supply between {iso(to_us(last.observed_at))} "
                f"and {iso(to_us(row.observed_at))}; the methodology asks for an emergency rebalancing above 3"
            )
            detail = json.dumps({"text": text}, ensure_ascii=False)
            made.append(QualityRow(KIND, row.asset, row.observed_at, row.observed_at, detail))
    return made


def _floats(rows: Iterable[SupplyRow]) -> list[SupplyRow]:
    return [row for row in rows if row.kind == "free_float" and row.origin == "on_chain"]
