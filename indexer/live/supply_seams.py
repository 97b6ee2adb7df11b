"""Where shipped facts give way to a live provider: a step there is another definition, not issuance, and is logged.

Two figures of one token and time are compared: a fact and the provider's reading nearest to it, at most a month apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from indexer.live.quality_log import said
from indexer.registry.supply_facts import SOURCE
from indexer.store.db import Store
from indexer.store.quality import write_quality
from indexer.store.rows import QualityRow, SupplyRow
from indexer.store.supplies import read_supplies

KIND: Final = "supply_seam"
STEP: Final = 0.05
NEAR: Final = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Seam:
    """A fact of a token and the provider's reading nearest to it; `at` is where the provider begins."""

    asset: str
    at: datetime
    fact: SupplyRow
    reading: SupplyRow

    @property
    def step(self) -> float:
        """How far the provider's figure is from the fact, as a fraction of it."""
        return self.reading.amount / self.fact.amount - 1.0


def seams(rows: Iterable[SupplyRow]) -> Iterator[Seam]:
    """The seam of each token that has facts and a provider's circulating supply near one of them. Pure."""
    by_asset: dict[str, list[SupplyRow]] = {}
    for row in rows:
        if row.kind == "circulating" and row.origin == "reported":
            by_asset.setdefault(row.asset, []).append(row)
    for asset, mine in by_asset.items():
        seam = _seam(asset, [r for r in mine if r.source == SOURCE], [r for r in mine if r.source != SOURCE])
        if seam is not None:
            yield seam


def _seam(asset: str, facts: Sequence[SupplyRow], readings: Sequence[SupplyRow]) -> Seam | None:
    pairs = [(abs(fact.observed_at - one.observed_at), fact, one) for fact in facts for one in readings]
    near = [pair for pair in pairs if pair[0] <= NEAR]
    if not near:
        return None
    begins = min(one.observed_at for one in readings)
    _, fact, reading = min(near, key=lambda pair: (pair[0], pair[1].observed_at))
    return Seam(asset, begins, fact, reading)


def note_seams(store: Store, run_id: int) -> int:
    """Enter each seam with a step of more than five percent, closed at once: nothing is to be repaired; how many."""
    wide = [seam for seam in seams(read_supplies(store)) if abs(seam.step) > STEP]
    if wide:
        write_quality(
            store, run_id, [QualityRow(KIND, seam.asset, seam.at, seam.at, said(_text(seam))) for seam in wide]
        )
    return len(wide)


def _text(seam: Seam) -> str:
    return (
        f"the shipped supply of {seam.fact.observed_at:%Y-%m-%d} and {seam.reading.source} of "
        f"{seam.reading.observed_at:%Y-%m-%d} differ by {seam.step:+.1%}: the provider counts otherwise, nothing was "
        f"issued or burnt; from {seam.at:%Y-%m-%d} on its figures are used"
    )
