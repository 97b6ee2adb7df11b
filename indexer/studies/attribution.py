"""Where an index's move came from: units held and rates → contributions of constituents and sub-sectors.

Each step uses the units in force over it (the level at a rebalancing is by the units before it) and prices as the
engine values them: a missing one is the last known. Contributions add up to the index return in every step, and by
Cariño's factors over the whole period. `basket_path` is the reusable part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.analytics.breadth import attribute
from indexer.arrays import F64, I64, Bools
from indexer.engine.history import RESUMPTION
from indexer.engine.market import Status
from indexer.errors import InputError, NotEnoughDataError
from indexer.store.db import Store
from indexer.store.levels import read_levels
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import RebalancingItemRow, RebalancingRow
from indexer.studies.series import index_series, last_known, left_out, token_series
from indexer.times import iso, to_us

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class BasketPath:
    """An index's basket along its levels: times and published levels (T + 1,), and what is held over each step.

    (T, N) are the units, the prices in USD at both ends, and whether the end price is `carried` (no rate then). Steps
    (T,) from or to a level at which the index was impaired are `left_out`: they earn nothing here. Who leaves at a
    stated value ends its last step at that value; the level there is then the one just after.
    """

    index_id: str
    times_us: I64
    levels: F64
    assets: Mapping[str, RebalancingItemRow]
    units: F64
    start_prices: F64
    end_prices: F64
    carried: Bools
    left_out: Bools

    @property
    def steps(self) -> F64:
        """Simple returns (T,) of the published levels; 0 where left out."""
        out: F64 = np.where(self.left_out, 0.0, self.levels[1:] / self.levels[:-1] - 1.0)
        return out

    @property
    def weights(self) -> F64:
        """(T, N) value shares at the start of each step, by the units held over it."""
        value = self.units * np.where(self.units > 0.0, self.start_prices, 0.0)
        share: F64 = value / value.sum(axis=1, keepdims=True)
        return share

    @property
    def returns(self) -> F64:
        """(T, N) simple returns over each step; NaN for what is not held."""
        with np.errstate(invalid="ignore", divide="ignore"):
            simple: F64 = np.where(self.units > 0.0, self.end_prices / self.start_prices - 1.0, np.nan)
        return simple


@dataclass(frozen=True, slots=True)
class Contribution:
    """One constituent: its linked contribution to the index return, its own return while held and mean weight.

    `carried` is the share of steps in which its price was the last known one.
    """

    asset: str
    symbol: str
    sub_sector: str
    contribution: float
    own_return: float
    mean_weight: float
    held: float
    carried: float


@dataclass(frozen=True, slots=True)
class AttributionStudy:
    """`total` is the compounded return of the recomputed basket and the sum of all contributions.

    `published` is the return of the published levels; `difference` what their rounding makes. `steps` levels apart,
    of which `impaired_steps` begin or end at a level at which the index was impaired: they are left out of all figures.
    """

    index_id: str
    start_us: int
    end_us: int
    steps: int
    total: float
    published: float
    difference: float
    largest_step_error: float
    impaired_steps: int
    left_out: str
    constituents: tuple[Contribution, ...]
    sub_sectors: Mapping[str, float]


def study_attribution(store: Store, index_id: str, *, start_us: int, end_us: int) -> AttributionStudy:
    """The index return from the last level at or before `start_us` to the last one at or before `end_us`.

    Raises NotFoundError for the index, InputError for an empty period, NotEnoughDataError without levels there.
    """
    path = basket_path(store, index_id, start_us=start_us, end_us=end_us)
    weights, returns, steps = path.weights, path.returns, path.steps
    attribution = attribute(weights, returns)
    published = float(np.prod(1.0 + steps) - 1.0)
    rows = [
        Contribution(
            item.asset, item.symbol, item.sub_sector, float(attribution.contribution[n]),
            own_return=float(np.expm1(np.log1p(returns[held, n]).sum())),
            mean_weight=float(weights[held, n].mean()),
            held=float(held.mean()),
            carried=float(path.carried[held, n].mean()),
        )
        for n, (item, held) in enumerate(zip(path.assets.values(), path.units.T > 0.0, strict=True))
    ]  # fmt: skip
    return AttributionStudy(
        index_id=index_id,
        start_us=int(path.times_us[0]),
        end_us=int(path.times_us[-1]),
        steps=len(steps),
        total=attribution.total,
        published=published,
        difference=attribution.total - published,
        largest_step_error=float(np.abs(attribution.returns - steps).max()),
        impaired_steps=int(path.left_out.sum()),
        left_out=left_out(index_series(store, index_id).left_out, start_us=start_us, end_us=end_us),
        constituents=tuple(sorted(rows, key=lambda row: -abs(row.contribution))),
        sub_sectors=attribution.grouped([item.sub_sector for item in path.assets.values()]),
    )


def basket_path(store: Store, index_id: str, *, start_us: int, end_us: int) -> BasketPath:
    """The basket over every step between levels of the period. Raises as `study_attribution`."""
    if end_us <= start_us:
        raise InputError(f"end {iso(end_us)} is not after start {iso(start_us)}; give a period")
    times, levels, impaired = _levels(store, index_id, start_us=start_us, end_us=end_us)
    until = [row for row in read_rebalancings(store, index_id, end_us=int(times[-1]) + 1) if row.items]
    resumptions = [to_us(change.effective_at) for change in until if change.kind == RESUMPTION]
    # what joins at the last level is held into no step of the period
    changes = [row for row in until if to_us(row.effective_at) < int(times[-1])]
    at_impaired = times[impaired]
    times, levels = _with_changes(times, levels, changes)
    left_out = np.isin(times[1:], at_impaired) | np.isin(times[:-1], at_impaired)
    assets = _held(changes, first_us=int(times[0]))
    units = _units(changes, assets, times)
    prices = np.full((len(times), len(assets)), np.nan)
    age = np.full(prices.shape, np.nan)
    for column, asset in enumerate(assets):
        prices[:, column], age[:, column] = last_known(token_series(store, asset, rules_of=index_id), times)
    starts, ends = prices[:-1], prices[1:].copy()
    for at_us, asset, moved, share in _exits(changes):
        step = int(np.searchsorted(times, at_us)) - 1
        if step >= 0 and asset in assets:
            levels[step + 1] *= moved
            ends[step, list(assets).index(asset)] *= 1.0 + (moved - 1.0) / share
    still = np.isin(times[1:], resumptions) | left_out
    ends[still] = starts[still]  # while an index is suspended its basket earns nothing
    return BasketPath(index_id, times, levels, assets, units, starts, ends, age[1:] > 0.0, left_out)


def _exits(changes: Sequence[RebalancingRow]) -> Iterator[tuple[int, str, float, float]]:
    """Who left at a stated value: when, the asset, by what factor that moved the level, and its weight before."""
    for change in changes:
        left = [item for item in change.items if item.units_before and not item.units_after]
        if change.kind == "event" and len(left) == 1 and left[0].weight_drifted:
            after = sum(item.units_after * (item.price or 0.0) for item in change.items) / change.divisor_after
            if abs(after / change.level - 1.0) > ROUNDING:
                yield to_us(change.effective_at), left[0].asset, after / change.level, left[0].weight_drifted


def _with_changes(times: I64, levels: F64, changes: Sequence[RebalancingRow]) -> tuple[I64, F64]:
    """The levels, and those of changes of units at instants between them that have no published one."""
    at = np.array([to_us(change.effective_at) for change in changes], dtype=np.int64)
    own = np.array([change.level for change in changes], dtype=np.float64)
    fresh = (at > times[0]) & ~np.isin(at, times)
    instants, first = np.unique(np.concatenate([times, at[fresh]]), return_index=True)
    return instants, np.concatenate([levels, own[fresh]])[first]


def _levels(store: Store, index_id: str, *, start_us: int, end_us: int) -> tuple[I64, F64, Bools]:
    """Times, levels and which are impaired."""
    rows = read_levels(store, index_id, end_us=end_us + 1)
    first = int(np.searchsorted(rows.times_us, start_us, side="right")) - 1
    if first < 0 or len(rows) - first < 2:
        have = f"from {iso(int(rows.times_us[0]))} to {iso(int(rows.times_us[-1]))}" if len(rows) else "none by then"
        raise NotEnoughDataError(
            f"{index_id} has no two levels between {iso(start_us)} and {iso(end_us)}; its levels: {have}"
        )
    return rows.times_us[first:], rows.levels[first:], rows.status[first:] == Status.IMPAIRED


def _held(changes: list[RebalancingRow], *, first_us: int) -> dict[str, RebalancingItemRow]:
    """Assets with units at or after the first instant, by slug."""
    labels: dict[str, RebalancingItemRow] = {}
    for place, change in enumerate(changes):
        until = to_us(changes[place + 1].effective_at) if place + 1 < len(changes) else None
        if until is None or until > first_us:
            for item in change.items:
                if item.units_after > 0.0:
                    labels.setdefault(item.asset, item)
    return dict(sorted(labels.items()))


def _units(changes: list[RebalancingRow], assets: Mapping[str, object], times: I64) -> F64:
    """(T, N) units over each step: those of the last change effective at or before the step's start."""
    table = np.zeros((len(changes), len(assets)))
    place = {asset: column for column, asset in enumerate(assets)}
    for row, change in enumerate(changes):
        for item in change.items:
            if item.asset in place:
                table[row, place[item.asset]] = item.units_after
    effective = np.array([to_us(change.effective_at) for change in changes], dtype=np.int64)
    return table[np.searchsorted(effective, times[:-1], side="right") - 1]
