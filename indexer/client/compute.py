"""`compute_levels`: prices and a methodology → the levels of an index, by the engine behind every published level.

A pure function. What a rule needs and the caller did not give is an error that says so: nothing is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import I64
from indexer.client.models import Levels
from indexer.engine.level import compute_index
from indexer.engine.market import STATUS_NAMES, Line, Market, Status, SupplyHistory, SupplySource
from indexer.errors import InputError, NotEnoughDataError
from indexer.methodology.load import load_methodology, shipped
from indexer.methodology.spec import BY_CAP, Methodology, Scheme
from indexer.times import DAY_US, INTERVAL_US, to_us

if TYPE_CHECKING:
    import pandas as pd

NO_RATE = 5


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
    table = _frame(prices, what="prices", times=times, assets=assets)
    times_us, names = table.index.to_numpy(), list(table.columns)
    if not names or not len(times_us):
        raise NotEnoughDataError(f"prices has no {'rows' if names else 'columns'}")
    if supply is None:
        _need_no_supply(rules, len(names))
    if volume_usd is None:
        _need_no_volume(rules)
    traded = table[:0] if volume_usd is None else _frame(volume_usd, what="volume_usd")
    known = np.isfinite(table.to_numpy())
    lines = tuple(
        Line(
            slug=name,
            sub_sector=(sub_sectors or {}).get(name, ""),
            first_price_us=int(times_us[known[:, n].argmax()] if known[:, n].any() else times_us[-1]),
            venues=venues,
            supply=_supply(supply, name, times_us),
        )
        for n, name in enumerate(names)
    )
    return _levels(_market(table, traded, lines), rules)


def _levels(market: Market, rules: Methodology) -> Levels:
    history = compute_index(market, rules)
    return Levels(
        index=rules.id,
        simulated=False,
        interval=_spacing(market.times_us),
        times_us=history.times_us,
        levels=history.levels,
        status=np.array(STATUS_NAMES, np.str_)[history.status],
        carried_weight=history.carried_weight,
        constituents=history.constituents,
        perpetual_weight=np.zeros(len(history.times_us)),
    )


def _market(table: pd.DataFrame, traded: pd.DataFrame, lines: tuple[Line, ...]) -> Market:
    prices = np.ascontiguousarray(table.to_numpy())
    return Market(
        times_us=table.index.to_numpy(),
        prices=prices,
        price_status=np.where(np.isfinite(prices), Status.FINAL, NO_RATE).astype(np.int8),
        lines=lines,
        day_us=traded.index.to_numpy(),
        volume_usd=np.column_stack([_named(traded, line.slug, what="volume_usd") for line in lines]),
    )


def _methodology(rules: Methodology | str | Path) -> Methodology:
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


def _frame(data: Any, *, what: str, times: Any = None, assets: Sequence[str] | None = None) -> pd.DataFrame:
    """The caller's table with instants in UTC, in microseconds, as its index, and names as its columns."""
    import pandas as pd

    if isinstance(data, pd.DataFrame) and isinstance(data.index, pd.DatetimeIndex):
        if data.index.tz is None:
            raise InputError(f'{what}: the index has no time zone; say which it is, e.g. .tz_localize("UTC")')
        times, assets, data = data.index.tz_convert("UTC").as_unit("us").asi8, list(data.columns), data.to_numpy()
    if times is None or assets is None:
        raise InputError(f"{what}: give a pandas frame with a UTC index, or an array with times= and assets=")
    values, times_us = np.ascontiguousarray(data, np.float64), _us(times, what)
    if values.shape != (len(times_us), len(assets)):
        raise InputError(f"{what} has shape {values.shape}; {len(times_us)} times and {len(assets)} assets")
    names = list(map(str, assets))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{what} has two columns of {', '.join(twice)}")
    return pd.DataFrame(values, index=times_us, columns=names)


def _us(times: Any, what: str) -> I64:
    array = np.asarray(times)
    if array.dtype.kind == "M":
        return np.asarray(array.astype("datetime64[us]").astype(np.int64))
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if all(isinstance(time, datetime) for time in times):
        return np.array([to_us(time) for time in times], np.int64)
    raise InputError(f"{what}: times are aware datetimes, datetime64 in UTC, or int64 microseconds")


def _named(columns: Any, name: str, *, what: str) -> Any:
    if name not in columns:
        raise InputError(f'{what} has no "{name}"; give one number for each asset of the prices, or one column')
    return columns[name]


def _supply(supply: Any, name: str, times_us: I64) -> SupplyHistory:
    """The observations of one asset; a constant holds from long before the first price, however old it then is."""
    if supply is None or isinstance(supply, Mapping):
        # Without one everyone has a seat and the same weight: the ranking that needs a supply decides nothing.
        amount = 1.0 if supply is None else _named(supply, name, what="supply")
        first = int(times_us[0]) // DAY_US * DAY_US - 10 * DAY_US
        times = np.arange(first, int(times_us[-1]) + 1, DAY_US, dtype=np.int64)
        values = np.full(len(times), float(amount))
    else:
        stated = _named(_frame(supply, what="supply"), name, what="supply").dropna()
        times, values = stated.index.to_numpy(), stated.to_numpy()
    unknown = np.full(len(times), np.nan)
    return SupplyHistory(times, values, unknown, unknown, np.full(len(times), SupplySource.IMPORTED, np.int8))


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
