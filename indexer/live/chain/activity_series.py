"""Activity of a token's ledgers over one day → daily metrics. Pure.

Every ledger has its own series (source `onchain:<chain>`); what adds up over ledgers is also given for the token
(source `onchain`), which is what an index may weigh by. The same address on two chains is two addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from indexer.store.records import MetricSeries

if TYPE_CHECKING:
    from onchain.evm.activity import Activity
    from onchain.metrics import LegActivity

TOTAL: Final = "onchain"
ADDED: Final = (
    "transfers", "senders", "receivers", "active_addresses", "transfer_volume_tokens", "transfer_volume_usd",
    "mint_tokens", "burn_tokens",
)  # fmt: skip
"""Metrics that are the sum over a token's ledgers."""


def activity_series(slug: str, legs: Sequence[LegActivity], *, end_us: int) -> list[MetricSeries]:
    """The metrics of one asset for the day that ends at `end_us`: of each ledger that was read, and of the token.

    The token's are given only when every ledger that has transfer logs was read, because a part of a sum is not it.
    """
    figures = {leg.chain: dict(_figures(leg.activity)) for leg in legs if leg.activity is not None}
    made = [
        _one(slug, name, f"{TOTAL}:{chain}", end_us, value)
        for chain, values in figures.items()
        for name, value in values.items()
    ]
    if figures and not any(failed(leg) for leg in legs):
        for name in ADDED:
            parts = [values[name] for values in figures.values() if name in values]
            if len(parts) == len(figures):
                made.append(_one(slug, name, TOTAL, end_us, sum(parts)))
    return made


def failed(leg: LegActivity) -> bool:
    """Whether a ledger that has transfer logs could not be read (one of another family has none to read)."""
    return leg.activity is None and not leg.reason.endswith("has no Transfer logs")


def _figures(seen: Activity) -> Iterator[tuple[str, float]]:
    scale = 10.0**seen.decimals
    yield from ((name, float(getattr(seen, name))) for name in ADDED[:4])
    yield "transfer_volume_tokens", seen.volume_tokens
    if seen.volume_usd is not None:
        yield "transfer_volume_usd", seen.volume_usd
    yield "mint_tokens", seen.mint / scale
    yield "burn_tokens", seen.burn / scale
    yield "supply_identity_gap_tokens", seen.identity_gap / scale
    yield "logs_confirmed_share", seen.checked
    if (top := seen.concentration) is not None:
        yield "holders_examined", float(top.examined)
        yield "holders_coverage_share", top.coverage
        yield "holders_top1_share", top.top1
        yield "holders_top10_share", top.top10
        yield "holders_top100_share", top.top100
        yield "holders_hhi", top.hhi


def _one(slug: str, name: str, source: str, end_us: int, value: float) -> MetricSeries:
    return MetricSeries(slug, name, source, np.array([end_us], np.int64), np.array([value], np.float64))
