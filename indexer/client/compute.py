"""`compute_levels`: prices and a methodology → the levels of an index, without a store. A pure function.

The engine is the same as behind every published level; here its market is built from what the caller has. What a rule
needs and the caller did not give is an error that says so: nothing is assumed in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import F64, I64
from indexer.client.models import Levels
from indexer.engine.level import compute_index
from indexer.engine.market import STATUS_NAMES, Line, Market, Status, SupplyHistory, SupplySource
from indexer.errors import InputError
from indexer.methodology.spec import BY_CAP, Methodology, Scheme
from indexer.times import DAY_US, INTERVAL_US, to_us

NO_RATE = 5


@dataclass(frozen=True, slots=True)
class _Columns:
    """A table of the caller's: instants (T,) ascending, names (N,), values (T, N)."""

    times_us: I64
    names: tuple[str, ...]
    values: F64


def compute_levels(
    prices: Any,
    methodology: Methodology | str | Path,
    *,
    times: Sequence[datetime] | NDArray[Any] | None = None,
    assets: Sequence[str] | None = None,
    supply: Any = None,
    volume_usd: Any = None,
    sub_sectors: Mapping[str, str] | None = None,
    venues: int = 1,
) -> Levels:
    """The levels of an index, from its base on, one for each instant of the prices.

    prices: a pandas frame with a UTC index and one column for each asset, in USD, NaN where not known; or an array
    (T, N) with `times` (aware datetimes, datetime64 in UTC, or int64 microseconds) and `assets` (N names).
    methodology: TOML text, a file, the id of a shipped index, or a loaded one. supply: tokens in circulation, a
    mapping from asset to a number that held all the time, or a frame over time. volume_usd: a frame of traded value
    by day, indexed by the 00:00 UTC that ends the day. sub_sectors and venues (how many each price comes from) are
    what caps and eligibility ask for. Raises InputError for what does not fit or is needed and missing, and
    NotEnoughDataError when no date has enough eligible assets.
    """
    rules = _methodology(methodology)
    table = _table(prices, times=times, assets=assets, what="prices")
    volume = _table(volume_usd, what="volume_usd") if volume_usd is not None else None
    if supply is None:
        _need_no_supply(rules, len(table.names))
    if volume is None:
        _need_no_volume(rules)
    known = np.isfinite(table.values)
    lines = tuple(
        Line(
            slug=name,
            sub_sector=(sub_sectors or {}).get(name, ""),
            first_price_us=int(table.times_us[known[:, n].argmax()]) if known[:, n].any() else int(table.times_us[-1]),
            venues=venues,
            supply=_supply(supply, name, table),
        )
        for n, name in enumerate(table.names)
    )
    market = Market(
        times_us=table.times_us,
        prices=table.values,
        price_status=np.where(known, Status.FINAL, NO_RATE).astype(np.int8),
        lines=lines,
        day_us=volume.times_us if volume else np.zeros(0, np.int64),
        volume_usd=_aligned(volume, table.names),
    )
    history = compute_index(market, rules)
    names = np.array(STATUS_NAMES, np.str_)
    return Levels(
        index=rules.id,
        simulated=False,
        interval=_spacing(table.times_us),
        times_us=history.times_us,
        levels=history.levels,
        status=names[history.status],
        carried_weight=history.carried_weight,
        constituents=history.constituents,
        perpetual_weight=np.zeros(len(history.times_us)),
    )


def _methodology(rules: Methodology | str | Path) -> Methodology:
    from indexer.methodology.load import load_methodology, shipped

    if isinstance(rules, Methodology):
        return rules
    text = str(rules)
    if "\n" in text:
        return load_methodology(text, source="the given text")
    if isinstance(rules, str) and rules in (known := shipped()):
        return known[rules]
    try:
        return load_methodology(Path(text).read_text(encoding="utf-8"), source=text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f'methodology "{text}" is no file that can be read ({error}); '
            "give TOML text, a file, or the id of a shipped index"
        ) from None


def _table(data: Any, *, what: str, times: Any = None, assets: Sequence[str] | None = None) -> _Columns:
    if hasattr(data, "columns") and hasattr(data, "index"):
        index = data.index
        if getattr(index, "tz", None) is None:
            raise InputError(f'{what}: the index has no time zone; say which it is, e.g. .tz_localize("UTC")')
        times, assets = index.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]"), list(data.columns)
        data = data.to_numpy(np.float64)
    if times is None or assets is None:
        raise InputError(f"{what}: give a pandas frame with a UTC index, or an array with times= and assets=")
    values = np.ascontiguousarray(data, np.float64)
    columns = _Columns(_us(times, what), tuple(map(str, assets)), values)
    if values.shape != (len(columns.times_us), len(columns.names)):
        raise InputError(
            f"{what} has shape {values.shape}; {len(columns.times_us)} times and {len(columns.names)} assets"
        )
    return columns


def _us(times: Any, what: str) -> I64:
    array = np.asarray(times)
    if array.dtype.kind == "M":
        return np.asarray(array.astype("datetime64[us]").astype(np.int64))
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if all(isinstance(time, datetime) for time in times):
        return np.array([to_us(time) for time in times], np.int64)
    raise InputError(f"{what}: times are aware datetimes, datetime64 in UTC, or int64 microseconds")


def _supply(supply: Any, name: str, table: _Columns) -> SupplyHistory:
    """The observations of one asset; a constant holds from long before the first price, however old it then is."""
    if supply is None:
        # Everyone has a seat and the same weight: the ranking that needs a supply decides nothing.
        supply = dict.fromkeys(table.names, 1.0)
    if isinstance(supply, Mapping):
        if name not in supply:
            raise InputError(f'supply has no "{name}"; give one number for each asset of the prices')
        first = int(table.times_us[0]) // DAY_US * DAY_US - 10 * DAY_US
        times = np.arange(first, int(table.times_us[-1]) + 1, DAY_US, dtype=np.int64)
        values = np.full(len(times), float(supply[name]))
    else:
        frame = _table(supply, what="supply")
        if name not in frame.names:
            raise InputError(f'supply has no "{name}"; give one column for each asset of the prices')
        values = frame.values[:, frame.names.index(name)]
        times, values = frame.times_us[np.isfinite(values)], values[np.isfinite(values)]
    unknown = np.full(len(times), np.nan)
    source = np.full(len(times), SupplySource.IMPORTED, np.int8)
    return SupplyHistory(times, values, unknown, unknown, source)


def _aligned(volume: _Columns | None, names: tuple[str, ...]) -> F64:
    if volume is None:
        return np.zeros((0, len(names)))
    missing = [name for name in names if name not in volume.names]
    if missing:
        raise InputError(f'volume_usd has no "{missing[0]}"; give one column for each asset of the prices')
    return np.ascontiguousarray(volume.values[:, [volume.names.index(name) for name in names]])


def _need_no_supply(rules: Methodology, count: int) -> None:
    asks = [rule for rule in rules.eligibility if rule.min_atvr > 0]
    seats = min(rules.selection.entry_rank, rules.selection.target)
    reason = ""
    if rules.weighting.scheme in BY_CAP:
        reason = f'scheme "{rules.weighting.scheme}" weighs by it'
    elif asks:
        reason = "min_atvr compares volume with it"
    elif count > seats:
        reason = f"{count} assets are ranked by it for {seats} seats"
    if reason:
        raise InputError(f"methodology {rules.id} needs supply=: {reason}")


def _need_no_volume(rules: Methodology) -> None:
    asked = next((rule for rule in rules.eligibility if rule.min_median_adv_usd > 0 or rule.min_atvr > 0), None)
    if asked is not None or rules.weighting.scheme is Scheme.LIQUIDITY:
        when = f" (rules from {asked.effective_from:%Y-%m-%d})" if asked else ""
        raise InputError(
            f"methodology {rules.id} needs volume_usd={when}; or write one with min_median_adv_usd = 0 and min_atvr = 0"
        )


def _spacing(times_us: I64) -> str:
    steps = np.unique(np.diff(times_us))
    known = {step: name for name, step in INTERVAL_US.items()}
    return known.get(int(steps[0]), "irregular") if len(steps) == 1 else "irregular"
