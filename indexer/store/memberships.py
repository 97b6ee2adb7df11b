"""Writes who was a constituent from when to when, derived from the units of successive rebalancings.

Called by write_rebalancings inside its transaction. The end of a membership is a new revision of its row; a
membership that a recomputation no longer finds is withdrawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from indexer.engine.history import Rebalance

COLUMNS = ("index_id", "asset_id", "valid_from", "revision", "valid_to", "reason_in", "reason_out", "withdrawn")


@dataclass(slots=True)
class _Span:
    valid_from: int
    reason_in: str
    valid_to: int | None = None
    reason_out: str | None = None

    def values(self) -> tuple[Any, ...]:
        return (self.valid_to, self.reason_in, self.reason_out, False)


def write_memberships(
    connection: Connection,
    run_id: int,
    index_id: str,
    *,
    rebalances: Sequence[Rebalance],
    slugs: Sequence[str],
    ids: Sequence[int],
    replace_from_us: int | None,
) -> None:
    """Brings the memberships of an index up to what the rebalancings say; `ids` (N,) are the slugs' asset ids."""
    stored = _latest(connection, index_id)
    found: set[tuple[int, int]] = set()
    for i, (slug, asset) in enumerate(zip(slugs, ids, strict=True)):
        for span in _spans(rebalances, i, slug, _open_before(stored, asset, rebalances)):
            found.add((asset, span.valid_from))
            old = stored.get((asset, span.valid_from))
            if old is None or (old["valid_to"], old["reason_in"], old["reason_out"], old["withdrawn"]) != span.values():
                _insert(connection, run_id, index_id, asset, span, revision=1 if old is None else old["revision"] + 1)
    if replace_from_us is not None:
        for (asset, start), old in stored.items():
            if start >= replace_from_us and (asset, start) not in found and not old["withdrawn"]:
                row = {**old, "revision": old["revision"] + 1, "withdrawn": True}
                _insert_row(connection, {**row, "run_id": run_id})


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
    stored: dict[tuple[int, int], dict[str, Any]], asset: int, rebalances: Sequence[Rebalance]
) -> _Span | None:
    """The membership that was running when the first of these rebalancings came."""
    first = rebalances[0].effective_us if rebalances else 0
    for (number, start), row in stored.items():
        ended = row["valid_to"] is not None and row["valid_to"] < first
        if number == asset and start < first and not ended and not row["withdrawn"]:
            return _Span(start, row["reason_in"])
    return None


def _latest(connection: Connection, index_id: str) -> dict[tuple[int, int], dict[str, Any]]:
    rows = connection.execute(
        text(f"SELECT {', '.join(COLUMNS)} FROM membership WHERE index_id = :id ORDER BY valid_from, revision"),
        {"id": index_id},
    ).mappings()
    return {(row["asset_id"], row["valid_from"]): {**row, "withdrawn": bool(row["withdrawn"])} for row in rows}


def _insert(connection: Connection, run_id: int, index_id: str, asset: int, span: _Span, *, revision: int) -> None:
    key = (index_id, asset, span.valid_from, revision)
    _insert_row(connection, {**dict(zip(COLUMNS, (*key, *span.values()), strict=True)), "run_id": run_id})


def _insert_row(connection: Connection, row: dict[str, Any]) -> None:
    marks = ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO membership ({', '.join(row)}) VALUES ({marks})"), row)
