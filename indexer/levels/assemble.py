"""Stored facts → the `Market` that the engine computes on. Pure.

A line's column is spliced from its tokens in order of succession: until the successor's effective instant the
predecessor's rate divided by the ratio, from then on the successor's own. Nothing is filled here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.engine.known import Step, SupplyTokens, acting
from indexer.engine.market import Line, Market, SupplyHistory, SupplySource
from indexer.reference.rates import RateSeries
from indexer.reference.rules import RateFlag
from indexer.registry.records import LinePart
from indexer.times import DAY_US, MINUTE_US

UNKNOWN_STATUS = 5  # RateStatus.MISSING: there is no number
# More than there are until the year 9999, so that two numbers pack into one that sorts like both.
_DAYS, _MINUTES = 2**22, 2**33


@dataclass(frozen=True, slots=True)
class LineFacts:
    """A line before it becomes a column: its tokens in time order, sub-sector, qualified venues, candidate since."""

    slug: str
    sub_sector: str
    venues: int
    parts: tuple[LinePart, ...]
    candidate_from_us: int = 0


VOLUME = "volume_usd"


@dataclass(frozen=True, slots=True)
class DailyColumns:
    """A daily figure as columns (M,): asset and the 00:00 UTC end of the day it describes; VOLUME is traded USD."""

    name: str
    asset_id: I64
    day_us: I64
    value: F64


def assemble(
    lines: Sequence[LineFacts],
    rates: RateSeries,
    *,
    daily: Sequence[DailyColumns] = (),
    supplies: Sequence[SupplyTokens] = (),
    events: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    clock: Sequence[int] = (),
    rated: Collection[int] = (),
) -> Market:
    """The market of these lines, on the clock of every instant at which any of them has a rate, and of `clock`.

    Lines are those with a rate here, and of assets `rated` at other times.
    `events`, by line slug, are (from, until) of what may change a supply.
    """
    by_asset = _split(rates.asset_id)
    wanted = [line for line in lines if any(part.asset_id in by_asset or part.asset_id in rated for part in line.parts)]
    mine = [part.asset_id for line in wanted for part in line.parts]
    times = np.union1d(rates.time_us[np.isin(rates.asset_id, mine)], np.array(clock, dtype=np.int64))
    known = [one.day_us[np.isin(one.asset_id, mine)] for one in daily]
    days = np.unique(np.concatenate(known)) if known else np.zeros(0, dtype=np.int64)
    by_day = {one.name: _daily(wanted, days, one) for one in daily}
    prices = np.full((len(times), len(wanted)), np.nan)
    status = np.full(prices.shape, UNKNOWN_STATUS, dtype=np.int8)
    perpetual = np.zeros(prices.shape, dtype=np.bool_)
    columns: list[Line] = []
    for n, line in enumerate(wanted):
        for part in line.parts:
            rows = by_asset.get(part.asset_id, np.empty(0, dtype=np.int64))
            rows = rows[_standing(part, rates.time_us[rows])]
            slot = np.searchsorted(times, rates.time_us[rows])
            prices[slot, n] = rates.rate[rows] / part.ratio
            status[slot, n] = rates.status[rows]
            perpetual[slot, n] = rates.flags[rows] & RateFlag.PERPETUAL
        columns.append(_line(line, first_us=_first(times, prices[:, n]), supplies=supplies, events=events or {}))
    return Market(
        times_us=times,
        prices=prices,
        price_status=status,
        lines=tuple(columns),
        day_us=days,
        volume_usd=by_day.pop(VOLUME, np.full((len(days), len(wanted)), np.nan)),
        metrics=by_day,
        perpetual=perpetual if perpetual.any() else None,
    )


def _daily(lines: Sequence[LineFacts], days: I64, columns: DailyColumns) -> F64:
    """Daily values (D, N) of the lines, each from the token that stood for the line on that day."""
    out = np.full((len(days), len(lines)), np.nan)
    by_asset = _split(columns.asset_id)
    for n, line in enumerate(lines):
        for part in line.parts:
            rows = by_asset.get(part.asset_id, np.empty(0, dtype=np.int64))
            rows = rows[_standing(part, columns.day_us[rows] - 1)]
            out[np.searchsorted(days, columns.day_us[rows]), n] = columns.value[rows]
    return out


def daily_volumes(asset_id: I64, venue: I64, *, interval_us: I64, time_us: I64, volume_usd: F64) -> DailyColumns:
    """Traded USD a day from bars as columns (M,): a venue's daily bar, else the sum of its hours that are known.

    `time_us` are bar ends; a day is known for a venue when its daily bar states a volume or all 24 hours do, and a
    bar of one venue that comes twice counts once. Venues are added; a day without any known venue has no row.
    """
    day = -(-time_us // DAY_US)  # the 00:00 UTC at or after the bar's end
    series = asset_id * (int(venue.max(initial=0)) + 1) + venue
    rows = np.flatnonzero(np.isfinite(volume_usd))
    bars = (series[rows] * _MINUTES + time_us[rows] // MINUTE_US) * 2 + (interval_us[rows] == DAY_US)
    rows = rows[np.unique(bars, return_index=True)[1]]  # a venue's bar that several files hold counts once
    days, first, which = np.unique(series[rows] * _DAYS + day[rows], return_index=True, return_inverse=True)
    whole = interval_us[rows] == DAY_US
    stated = np.full(len(days), np.nan)
    stated[which[whole]] = volume_usd[rows[whole]]
    hours = np.where(whole, 0, interval_us[rows]).astype(np.float64)
    covered = np.bincount(which, weights=hours, minlength=len(days))
    summed = np.bincount(which, weights=np.where(whole, 0.0, volume_usd[rows]), minlength=len(days))
    value = np.where(np.isfinite(stated), stated, np.where(covered == DAY_US, summed, np.nan))
    good = np.isfinite(value)
    rows = rows[first[good]]
    pairs, place, back = np.unique(asset_id[rows] * _DAYS + day[rows], return_index=True, return_inverse=True)
    total = np.bincount(back, weights=value[good], minlength=len(pairs))
    rows = rows[place]
    return DailyColumns(VOLUME, asset_id[rows], day[rows] * DAY_US, total.astype(np.float64))


def _standing(part: LinePart, times: I64) -> Bools:
    """At which of the times (T,) this token stands for its line."""
    since, until = part.from_us, part.until_us
    rows: Bools = np.full(len(times), True) if since is None else times >= since
    return rows if until is None else rows & (times < until)


def _split(ids: I64) -> dict[int, I64]:
    """Row numbers by asset."""
    order = np.argsort(ids, kind="stable")
    edges = np.flatnonzero(np.diff(ids[order])) + 1
    return {int(ids[rows[0]]): rows for rows in np.split(order, edges) if len(rows)}


def _first(times: I64, prices: F64) -> int:
    seen = np.flatnonzero(np.isfinite(prices))
    return int(times[seen[0]]) if len(seen) else int(np.iinfo(np.int64).max)


def _line(
    line: LineFacts,
    *,
    first_us: int,
    supplies: Sequence[SupplyTokens],
    events: Mapping[str, Sequence[tuple[int, int]]],
) -> Line:
    last = line.parts[-1]
    return Line(
        slug=line.slug,
        sub_sector=line.sub_sector,
        first_price_us=first_us,
        venues=line.venues,
        supply=_supply(line, supplies, events=events.get(line.slug, ())),
        successor_since_us=last.from_us if len(line.parts) > 1 else None,
        candidate_from_us=line.candidate_from_us,
    )


JUDGED = ("circulating", "free_float", "total")
ORIGINS = {"on_chain": SupplySource.ON_CHAIN, "reported": SupplySource.REPORTED, "imported": SupplySource.IMPORTED}


def acting_supplies(
    line: LineFacts, supplies: Sequence[SupplyTokens], *, events: Sequence[tuple[int, int]] = ()
) -> tuple[list[SupplyTokens], list[Step]]:
    """The observations of a line that act, in the line's own token, and the steps that had to wait.

    Each kind of figure of each origin is a series of its own: none is judged by, or goes on from, another kind.
    """
    ratios = {part.asset_id: part for part in line.parts}
    mine = [
        replace(row, tokens=row.tokens * ratios[row.asset_id].ratio)
        for row in supplies
        if row.asset_id in ratios and ratios[row.asset_id].holds(row.observed_us)
    ]
    mine.sort(key=lambda row: row.observed_us)  # stable: of one instant in the order they were given
    acting_rows, steps = [row for row in mine if row.kind not in JUDGED and not row.witness], []
    used = [row for row in mine if row.kind in JUDGED and not row.witness]
    for kind, origin, shipped in sorted({(row.kind, row.origin, row.shipped) for row in used}):
        series = [row for row in used if (row.kind, row.origin, row.shipped) == (kind, origin, shipped)]
        others = [row for row in mine if row.kind == kind and row not in series]
        acts, waited = acting(series, events=events, witnesses=others)
        acting_rows += [row for row, act in zip(series, acts, strict=True) if act]
        steps += waited
    return acting_rows, steps


def _supply(line: LineFacts, supplies: Sequence[SupplyTokens], *, events: Sequence[tuple[int, int]]) -> SupplyHistory:
    """Observations of the line in its own token; readings of one instant and origin share a row.

    The total is of tokens that exist: what lies visibly at a burn address is taken off it.
    """
    table: dict[tuple[int, int], dict[str, float]] = {}
    shipped: dict[tuple[int, int], bool] = {}
    for row in acting_supplies(line, supplies, events=events)[0]:
        key = (row.observed_us, int(ORIGINS[row.origin]))
        table.setdefault(key, {})[row.kind] = row.tokens
        shipped[key] = row.shipped
    keys = sorted(table)

    def column(kind: str) -> F64:
        return np.array([table[key].get(kind, np.nan) for key in keys], dtype=np.float64)

    return SupplyHistory(
        times_us=np.array([key[0] for key in keys], dtype=np.int64),
        circulating=column("circulating"),
        free_float=column("free_float"),
        total=column("total") - np.nan_to_num(column("burnt")),
        source=np.array([key[1] for key in keys], dtype=np.int8),
        shipped=np.array([shipped[key] for key in keys], dtype=np.bool_),
    )
