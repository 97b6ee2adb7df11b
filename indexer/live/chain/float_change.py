"""A free float that moved by more than three points of the supply since the reading before: said in the ledger.

METHODOLOGY §2.5 asks for an emergency rebalancing then. Whether there is one is a decision of people (a corporate
action or an override); this is the signal. Pure but for `onchain`'s own rule.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from indexer.store.records import QualityRow, SupplyRow
from indexer.times import iso, to_us
from onchain.freefloat import float_emergency

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
