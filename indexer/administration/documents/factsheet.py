"""The factsheet of an index: figures, chart and constituents of its newest level."""

from __future__ import annotations

import numpy as np

from indexer.administration.documents.sheet import Sheet, SheetTable, performance
from indexer.administration.explain import Explanation
from indexer.errors import NotEnoughDataError
from indexer.store.db import Store
from indexer.store.read import read_index, read_levels
from indexer.times import DAY_US, to_us

HEADERS = ("token", "sub-sector", "weight", "target", "price USD", "supply", "supply from")


def index_sheet(store: Store, newest: Explanation) -> Sheet:
    """The factsheet of an index as of an explained level. Raises NotEnoughDataError with less than two days."""
    rows = read_levels(store, newest.index, step_us=DAY_US, end_us=to_us(newest.time) + 1)
    if len(rows) < 2:
        raise NotEnoughDataError(f"index {newest.index} has {len(rows)} daily levels; a factsheet needs two")
    name = read_index(store, newest.index).name
    weights = np.array([one.weight for one in newest.constituents])
    head = (
        ("Level", f"{newest.level:,.2f}"),
        ("As of (UTC)", f"{newest.time:%Y-%m-%d}"),
        ("Status", newest.status),
    )
    effective = f"{len(weights)} (effective {1 / (weights**2).sum():.1f})"
    figures = (*head, *performance(rows.times_us, rows.levels, since="Since base"), ("Constituents", effective))
    return Sheet(
        title=name,
        kicker=f"Index {newest.index}{' (SIMULATED)' if newest.simulated else ''}, factsheet",
        figures=figures,
        times_us=rows.times_us,
        values=rows.levels,
        label=f"chart of {len(rows)} daily levels of {name}",
        tables=(SheetTable("Constituents", HEADERS, _rows(newest), numeric=frozenset({2, 3, 4, 5})),),
        evidence=evidence_of(newest),
    )


def evidence_of(said: Explanation) -> tuple[str, ...]:
    """Which rules, and which level: what `deai verify` and `deai explain` go by."""
    return (
        f"Rules {said.methodology_version}, hash {said.methodology_hash}.",
        f"Hash of the level: {said.hash}; check with deai verify.",
    )


def _rows(said: Explanation) -> tuple[tuple[str, ...], ...]:
    ordered = sorted(said.constituents, key=lambda one: -one.weight)
    return tuple(
        (
            one.symbol,
            one.sub_sector,
            f"{one.weight:.2%}",
            f"{one.weight_target:.2%}",
            f"{one.price:,.4g}",
            "–" if one.supply is None else f"{one.supply.tokens:,.0f}",
            "–" if one.supply is None else (one.supply.origin or "–").replace("_", " "),
        )
        for one in ordered
    )
