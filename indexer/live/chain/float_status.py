"""Which supply an index would take now, and why not a better one: on-chain, else reported, else imported. Pure.

The same order as `engine.known.supply_as_of`, said for people: each source's newest figure beside the one chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from indexer.store.records import SupplyRow

ORDER: Final = (
    ("on_chain", ("free_float",)),
    ("reported", ("circulating",)),
    ("imported", ("circulating", "free_float")),
)
MISSING: Final = "missing"


@dataclass(frozen=True, slots=True)
class FloatStatus:
    """The supply in use: status on_chain, reported, imported or missing, its row, and why not the better sources."""

    status: str
    row: SupplyRow | None
    passed_over: str


def float_status(rows: Sequence[SupplyRow], *, reason: str = "") -> FloatStatus:
    """The supply in use among an asset's newest rows; `reason` is what the quality ledger says of its chain."""
    passed: list[str] = []
    for origin, kinds in ORDER:
        for kind in kinds:
            found = [row for row in rows if (row.origin, row.kind) == (origin, kind) and row.amount > 0]
            if found:
                return FloatStatus(origin, max(found, key=lambda row: row.observed_at), "; ".join(passed))
        said = reason if origin == "on_chain" and reason else f"no {' or '.join(kinds).replace('_', ' ')}"
        passed.append(f"{origin.replace('_', '-')}: {said}")
    return FloatStatus(MISSING, None, "; ".join(passed))
