"""The step where a live provider takes over from shipped facts is an entry of the data-quality log."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from indexer.live.supply_seams import seams
from indexer.registry.supply_facts import SOURCE
from indexer.store.rows import SupplyRow


def reading(asset: str, day: str, millions: float, *, source: str = SOURCE, kind: str = "circulating") -> SupplyRow:
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return SupplyRow(asset, kind, "reported", source, at, int(millions * 1e15))


def test_figures_of_one_time_are_compared_not_a_quarter_of_issuance() -> None:
    rows = [
        reading("tao", "2025-10-01", 9.99),
        reading("tao", "2026-01-01", 10.56),
        reading("tao", "2025-11-30", 9.6, source="coingecko-implied"),
        reading("tao", "2025-12-30", 9.8, source="coingecko-implied"),
        reading("tao", "2026-11-30", 9.9, source="coingecko"),
        reading("tao", "2026-01-01", 21.0, source="coingecko", kind="max"),
    ]
    (seam,) = seams(rows)
    assert seam.at == datetime(2025, 11, 30, tzinfo=UTC), "from then on the provider's figures are used"
    assert (seam.fact.observed_at.month, seam.reading.observed_at.day) == (1, 30)
    assert seam.step == pytest.approx(9.8 / 10.56 - 1)


def test_figures_far_apart_in_time_say_nothing() -> None:
    assert (
        list(seams([reading("wld", "2025-10-01", 2160), reading("wld", "2025-12-01", 2500, source="coingecko")])) == []
    )
    assert list(seams([reading("wld", "2025-10-01", 2160)])) == []
