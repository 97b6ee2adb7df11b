"""What was published of an index: its changes of units, from which the engine goes on, and the rules of each level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, I64
from indexer.config import Settings
from indexer.engine.history import BY_LINE, Decision, Rebalance, Settled, aligned
from indexer.engine.market import Market, SupplySource
from indexer.errors import MethodologyError, NotEnoughDataError, NotFoundError, did_you_mean
from indexer.methodology.load import load_methodologies, load_methodology
from indexer.methodology.spec import Methodology
from indexer.registry import Registry, load_registry
from indexer.registry.read import simulated_registry
from indexer.store.db import Store
from indexer.store.indices import read_index, read_indices, read_methodologies
from indexer.store.levels import published_span
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import LevelRows, MethodologyRow, RebalancingItemRow, RebalancingRow
from indexer.times import to_us

ORDER = {"suspension": 0, "event": 1}


def read_settled(store: Store, index_id: str, *, market: Market, as_of_us: int | None = None) -> Settled | None:
    """The published changes of an index over the market's columns, None while nothing is published.

    With `as_of_us`: those that were published by then. Raises InputError for a constituent that has no rate.
    """
    span = published_span(store, index_id, as_of_us=as_of_us)
    if span is None:
        return None
    rows = read_rebalancings(store, index_id, as_of_us=as_of_us)
    settled = settled_of(rows, until_us=span[1], market=market)
    return settled if settled.changes else None


def settled_of(rows: list[RebalancingRow], *, until_us: int, market: Market) -> Settled:
    """Stored changes, as they took effect up to an instant, over the market's columns."""
    standing = sorted(
        (row for row in rows if to_us(row.effective_at) <= until_us),
        key=lambda row: (row.effective_at, ORDER.get(row.kind, 2), row.id),
    )
    changes = (
        aligned(change_of(row), slugs=tuple(item.asset for item in row.items), columns=market.slugs) for row in standing
    )
    return Settled(tuple(changes), until_us)


def change_of(row: RebalancingRow) -> Rebalance:
    """A stored change as the engine has it, its arrays in the order of the row's items."""

    def column(name: str) -> np.ndarray:
        return np.array([getattr(item, name) or 0.0 for item in row.items], dtype=np.float64)

    return Rebalance(
        kind=row.kind,
        reference_us=to_us(row.reference_at),
        effective_us=to_us(row.effective_at),
        **{name: column("price" if name == "prices" else name) for name in BY_LINE},
        divisor_before=row.divisor_before,
        divisor_after=row.divisor_after,
        level=row.level,
        turnover=row.turnover,
        decisions=tuple(_decision(item) for item in row.items if item.reason),
    )


def _decision(item: RebalancingItemRow) -> Decision:
    source = None if item.supply_source is None else int(SupplySource[item.supply_source.upper()])
    return Decision(
        slug=item.asset,
        member=item.units_after > 0,
        rank=item.rank,
        reason=item.reason,
        supply=item.supply,
        supply_source=source,
        free_float_cap_usd=item.free_float_cap_usd,
        median_adv_usd=item.median_adv_usd,
        supply_us=None if item.supply_observed_at is None else to_us(item.supply_observed_at),
        supply_stale_us=None if item.supply_stale_at is None else to_us(item.supply_stale_at),
    )


@dataclass(frozen=True, slots=True)
class Versions:
    """ids (K,): the stored version of each level's rules; `rules` are their hash and decimals by version."""

    ids: I64
    rules: Mapping[int, tuple[str, int]]

    @classmethod
    def one(cls, methodology: Methodology, *, count: int, version: int = 0) -> Versions:
        """The same version for every level."""
        return cls(np.full(count, version, dtype=np.int64), {version: (methodology.hash, methodology.decimals)})

    def hashes(self) -> str | list[str]:
        """The hash of each level's rules; one text when they are all the same."""
        if len(self.rules) == 1:
            return next(iter(self.rules.values()))[0]
        return [self.rules[number][0] for number in self.ids.tolist()]

    def rounded(self, levels: F64) -> F64:
        """Levels rounded to the decimals of their versions."""
        out = levels.copy()
        for number, (_, decimals) in self.rules.items():
            rows = self.ids == number
            out[rows] = np.round(levels[rows], decimals)
        return out

    def units(self) -> F64:
        """One unit of the last decimal of each level."""
        out = np.ones(len(self.ids))
        for number, (_, decimals) in self.rules.items():
            out[self.ids == number] = 10.0**-decimals
        return out


def versions_of(
    store: Store, methodology: Methodology, *, times_us: I64, version: int, stored: LevelRows | None
) -> Versions:
    """The version of each level: that of the stored one, else the present one. `stored` None: the present for all."""
    if stored is None or not len(stored) or bool((stored.methodology_id == version).all()):
        return Versions.one(methodology, count=len(times_us), version=version)
    ids = np.full(len(times_us), version, dtype=np.int64)
    slot = np.minimum(np.searchsorted(stored.times_us, times_us), len(stored) - 1)
    known = stored.times_us[slot] == times_us
    ids[known] = stored.methodology_id[slot[known]]
    rows = [row for row in read_methodologies(store, methodology.id) if row.id in set(ids.tolist())]
    return Versions(ids, {row.id: (row.hash, rules_of(row).decimals) for row in rows})


def rules_of(row: MethodologyRow) -> Methodology:
    """The rules of a stored version, read as any methodology is.

    Raises NotEnoughDataError when this program cannot read the stored rules.
    """
    try:
        return load_methodology(row.text, source=f"{row.index_id} {row.version}")
    except MethodologyError as error:
        raise NotEnoughDataError(
            f"the rules stored with {row.index_id} cannot be read by this program ({str(error).splitlines()[0]}); "
            "`deai update` stores the present ones"
        ) from None


def registry_for(store: Store, settings: Settings) -> Registry:
    """The registry of the tokens in a store: that of the simulated market where the store holds one."""
    simulated = any(row.simulated for row in read_indices(store))
    return simulated_registry() if simulated else load_registry(settings.registry)


def methodology_of(store: Store, settings: Settings, *, index_id: str) -> Methodology:
    """The present rules of an index: as stored with its levels, or as loaded when it has none yet.

    Raises NotFoundError for an unknown index, NotEnoughDataError when this program cannot read the stored rules.
    """
    try:
        row = read_index(store, index_id)
    except NotFoundError:
        registry = load_registry(settings.registry)
        known = load_methodologies(settings.methodology_dir, registry=registry).methodologies
        if index_id not in known:
            raise NotFoundError(f'No index "{index_id}".{did_you_mean(index_id, known)}') from None
        return known[index_id]
    return rules_of(next(one for one in read_methodologies(store, index_id) if one.id == row.methodology_id))
