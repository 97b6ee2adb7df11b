"""Which supply an index would take now, why not a better one, and where a person can look at its block. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from indexer.store.rows import SupplyRow

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
    """The supply in use among an asset's newest rows; `reason` is what the quality log says of its chain."""
    passed: list[str] = []
    for origin, kinds in ORDER:
        for kind in kinds:
            found = [row for row in rows if (row.origin, row.kind) == (origin, kind) and row.amount > 0]
            if found:
                return FloatStatus(origin, max(found, key=lambda row: row.observed_at), "; ".join(passed))
        said = reason if origin == "on_chain" and reason else f"no {' or '.join(kinds).replace('_', ' ')}"
        passed.append(f"{origin.replace('_', '-')}: {said}")
    return FloatStatus(MISSING, None, "; ".join(passed))


FLOATS: Final = ("free_float", "estimated_float", "circulating")
TOLERANCE: Final = 0.10
SAME_TIME: Final = timedelta(days=35)  # figures of one float that are further apart in time may well differ


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two sources whose figures of one float differ by more than a tenth: the one in use, and the other."""

    used: SupplyRow
    other: SupplyRow

    def text(self, decimals: int) -> str:
        """The finding in words, in tokens."""
        mine, theirs = (row.amount / 10**decimals for row in (self.used, self.other))
        return (
            f"{self.other.source} ({self.other.origin.replace('_', '-')}, {self.other.observed_at:%Y-%m-%d}) says "
            f"{theirs:,.0f} tokens, {theirs / mine - 1.0:+.1%} from the {mine:,.0f} of {self.used.source} that are used"
        )


def disagreements(rows: Sequence[SupplyRow]) -> list[Disagreement]:
    """The newest figures of an asset's float, of other sources and the same time, that are far from the one in use."""
    used = float_status(rows).row
    if used is None:
        return []
    floats = (row for row in rows if row.kind in FLOATS and row.source != used.source and row.amount > 0)
    return [
        Disagreement(used, row)
        for row in floats
        if abs(row.amount / used.amount - 1.0) > TOLERANCE and abs(row.observed_at - used.observed_at) <= SAME_TIME
    ]


BLOCKS: Final = {
    "ethereum": "https://etherscan.io/block/{number}",
    "arbitrum": "https://arbiscan.io/block/{number}",
    "base": "https://basescan.org/block/{number}",
    "optimism": "https://optimistic.etherscan.io/block/{number}",
    "bsc": "https://bscscan.com/block/{number}",
    "polygon": "https://polygonscan.com/block/{number}",
    "solana": "https://explorer.solana.com/block/{number}",
    "near": "https://nearblocks.io/blocks/{hash}",
    "bittensor": "https://taostats.io/block/{number}",
    "akash": "https://www.mintscan.io/akash/block/{number}",
    "fetchhub": "https://www.mintscan.io/fetchai/block/{number}",
    "arweave": "https://viewblock.io/arweave/block/{number}",
    "filecoin": "https://filfox.info/en/tipset/{number}",
}


def block_link(chain: str | None, number: int | None, block_hash: str | None) -> str | None:
    """The page of a block at a public explorer, or None where there is no block or no explorer is known."""
    template = BLOCKS.get(chain or "")
    if template is None or number is None or ("{hash}" in template and not block_hash):
        return None
    return template.format(number=number, hash=block_hash)
