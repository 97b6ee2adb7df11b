"""Writes who was a constituent from when to when, derived from the units of successive rebalancings.

Called by write_rebalancings inside its transaction. The end of a membership is a new revision of its row; a
membership that a recomputation no longer finds is withdrawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from indexer.engine.history import Rebalance
from indexer.store.tables import Membership
from indexer.times import from_us, to_us

COMPARED = ("valid_to", "reason_in", "reason_out", "withdrawn")


@dataclass(slots=True)
class _Span:
    valid_from: int
    reason_in: str
    valid_to: int | None = None
    reason_out: str | None = None

    def row(self, run_id: int, index_id: str, asset: int) -> Membership:
        """The membership as a row, in its first revision."""
        return Membership(
            index_id=index_id,
            asset_id=asset,
            valid_from=from_us(self.valid_from),
            valid_to=None if self.valid_to is None else from_us(self.valid_to),
            reason_in=self.reason_in,
            reason_out=self.reason_out,
            run_id=run_id,
        )


def write_memberships(
    session: Session,
    run_id: int,
    index_id: str,
    *,
    rebalances: Sequence[Rebalance],
    slugs: Sequence[str],
    ids: Sequence[int],
    replace_from_us: int | None,
) -> None:
    """Brings the memberships of an index up to what the rebalancings say; `ids` (N,) are the slugs' asset ids."""
    query = select(Membership).where(Membership.index_id == index_id)
    stored = {
        (row.asset_id, to_us(row.valid_from)): row
        for row in session.exec(query.order_by(col(Membership.valid_from), col(Membership.revision)))
    }
    current: set[tuple[int, int]] = set()
    for i, (slug, asset) in enumerate(zip(slugs, ids, strict=True)):
        for span in _spans(rebalances, i, slug, _open_before(stored, asset, rebalances)):
            current.add((asset, span.valid_from))
            row, old = span.row(run_id, index_id, asset), stored.get((asset, span.valid_from))
            if old is None or any(getattr(old, name) != getattr(row, name) for name in COMPARED):
                row.revision = 1 if old is None else old.revision + 1
                session.add(row)
    if replace_from_us is not None:
        for (asset, start), old in stored.items():
            if start >= replace_from_us and (asset, start) not in current and not old.withdrawn:
                values = old.model_dump(exclude={"id"})
                values |= {"revision": old.revision + 1, "withdrawn": True, "run_id": run_id}
                session.add(Membership(**values))


def _spans(rebalances: Sequence[Rebalance], column: int, slug: str, current: _Span | None) -> list[_Span]:
    spans: list[_Span] = []
    for rebalance in rebalances:
        held = bool(rebalance.units_after[column] > 0)
        if held and current is None:
            current = _Span(rebalance.effective_us, _reason(rebalance, slug))
        elif not held and current is not None:
            current.valid_to, current.reason_out = rebalance.effective_us, _reason(rebalance, slug)
            spans.append(current)
            current = None
    return [*spans, current] if current else spans


def _reason(rebalance: Rebalance, slug: str) -> str:
    decided = next((decision.reason for decision in rebalance.decisions if decision.slug == slug), "")
    return decided or rebalance.kind


def _open_before(
    stored: dict[tuple[int, int], Membership], asset: int, rebalances: Sequence[Rebalance]
) -> _Span | None:
    """The membership that was running when the first of these rebalancings came."""
    first = rebalances[0].effective_us if rebalances else 0
    for (number, start), row in stored.items():
        ended = row.valid_to is not None and to_us(row.valid_to) < first
        if number == asset and start < first and not ended and not row.withdrawn:
            return _Span(start, row.reason_in)
    return None
