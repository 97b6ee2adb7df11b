"""The market inside the index at an instant: breadth, dispersion, correlation, concentration, strength, share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.analytics.breadth import (
    Breadth,
    Concentration,
    average_correlation,
    breadth,
    concentration,
    dispersion,
    relative_strength,
)
from indexer.analytics.catalogue import packaged_text, parse_decisions
from indexer.analytics.macro import PolicyDistance, policy_distance
from indexer.arrays import F64, I64
from indexer.errors import NotEnoughDataError, NotFoundError
from indexer.store.db import Store
from indexer.store.read import read_constituents
from indexer.studies.series import TOKEN, Series, benchmark_series, index_series, token_series, values_at
from indexer.studies.share import UNIVERSE, UniverseShare, universe_share
from indexer.times import DAY_US

WINDOWS = (20, 50, 200)
HORIZONS = (5, 20, 60)
CORRELATION_DAYS = 60
AGAINST = ("btc", "eth", "QQQ")


@dataclass(frozen=True, slots=True)
class Strength:
    """Log change of index over benchmark, by horizon in days (tokens) or sessions (equities); None unknown."""

    benchmark: str
    unit: str
    change: Mapping[int, float | None]


@dataclass(frozen=True, slots=True)
class BreadthStudy:
    """State at the 00:00 UTC at or before `at_us`, from daily rates of the constituents of that instant.

    `breadth` has one row for each window in days. `dispersion` is the cross-sectional standard deviation of the last
    day's log returns, `dispersion_weighted` by index weight, `dispersion_median` that of the last 60 days.
    `correlation` is the mean pairwise one over 60 days. `without_rate` names members whose rate was not there.
    """

    index_id: str
    at_us: int
    members: int
    breadth: tuple[Breadth, ...]
    dispersion: float | None
    dispersion_weighted: float | None
    dispersion_median: float | None
    correlation: float | None
    correlation_days: int
    concentration: Concentration | None
    strength: tuple[Strength, ...]
    share: UniverseShare
    policy: PolicyDistance
    without_rate: tuple[str, ...]


def study_breadth(
    store: Store,
    index_id: str,
    *,
    at_us: int | None = None,
    against: Sequence[str] = AGAINST,
    universe: Sequence[str] = UNIVERSE,
) -> BreadthStudy:
    """The inside of an index at an instant, its newest level when none is given.

    Benchmarks that the store does not have are left out of `strength`. Raises NotFoundError for the index or an
    instant before its base, NotEnoughDataError without levels.
    """
    own = index_series(store, index_id)
    asked = int(own.times_us[-1]) if at_us is None else at_us
    at = asked // DAY_US * DAY_US
    held = read_constituents(store, index_id, at)
    days = at - DAY_US * np.arange(max(WINDOWS), -1, -1, dtype=np.int64)
    prices = np.column_stack([_daily(store, row.asset, days) for row in held])
    returns = np.diff(np.log(prices), axis=0)[-CORRELATION_DAYS:]
    weights = np.array([np.nan if row.weight is None else row.weight for row in held])
    whole = bool(np.isfinite(weights).all())
    spread = dispersion(returns)
    return BreadthStudy(
        index_id=index_id,
        at_us=at,
        members=len(held),
        breadth=tuple(breadth(prices, windows=WINDOWS)),
        dispersion=_number(spread[-1]),
        dispersion_weighted=_number(dispersion(returns, weights=weights)[-1]) if whole else None,
        dispersion_median=_number(np.nanmedian(spread)) if np.isfinite(spread).any() else None,
        correlation=average_correlation(returns),
        correlation_days=len(returns),
        concentration=concentration(weights) if whole else None,
        strength=tuple(_strength(own, other, at) for other in _known(store, against)),
        share=universe_share(store, held, others=universe, at_us=at),
        policy=policy_distance(parse_decisions(packaged_text("fomc.toml")), asked),
        without_rate=tuple(row.asset for row, last in zip(held, prices[-1], strict=True) if np.isnan(last)),
    )


def _daily(store: Store, asset: str, days: I64) -> F64:
    try:
        return values_at(token_series(store, asset), days)
    except NotEnoughDataError:
        return np.full(len(days), np.nan)


def _known(store: Store, names: Sequence[str]) -> list[Series]:
    found = []
    for name in names:
        try:
            found.append(benchmark_series(store, name))
        except (NotFoundError, NotEnoughDataError):
            continue
    return found


def _strength(own: Series, other: Series, at: int) -> Strength:
    if other.kind == TOKEN:
        instants = at - DAY_US * np.arange(max(HORIZONS), -1, -1, dtype=np.int64)
        unit = "days"
    else:
        instants = other.times_us[other.times_us <= at][-max(HORIZONS) - 1 :]
        unit = "sessions"
    found = relative_strength(values_at(own, instants), values_at(other, instants), horizons=HORIZONS)
    return Strength(other.name, unit, found.change)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
