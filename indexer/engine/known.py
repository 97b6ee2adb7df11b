"""What was known at an instant: the last price, the supply readings that act, the best of them. No look-ahead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Final

import numpy as np

from indexer.arrays import F64, I8, I64, Bools
from indexer.engine.market import VENUES, Market, SupplyHistory, SupplySource
from indexer.engine.weights import Sizes
from indexer.methodology.spec import Eligibility
from indexer.times import DAY_US, HOUR_US
from onchain.supply import float_band

STEP: Final = 0.20
SPAN_US: Final = 31 * DAY_US
SAME: Final = 0.05
TOLERANCE: Final = 1e-9
EXPIRED_US: Final = 400 * DAY_US  # no index weighs by an older reading: what comes then has nothing to be held against


@dataclass(frozen=True, slots=True)
class SupplyTokens:
    """One supply observation in tokens (the store has base units).

    `kind`: circulating, free_float, total or burnt. `shipped`: a fact of the package, not a provider's reading.
    `stated`: it says itself why it moved. A `witness` only confirms others, it is not used itself.
    """

    asset_id: int
    kind: str
    origin: str
    observed_us: int
    tokens: float
    shipped: bool = False
    source: str = ""
    stated: bool = False
    witness: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A reading that did not act at once, the one before it, and when the series went on (None: not yet)."""

    at_us: int
    before_us: int
    before: float
    after: float
    until_us: int | None = None

    @property
    def change(self) -> float:
        """How far the reading is from the one before it, as a fraction of it."""
        return self.after / self.before - 1.0


@cache
def provider_of(source: str) -> str:
    """The first word of a source's name: a provider that repeats itself under other names is no second one."""
    word = re.match(r"[^\W_]+", source.lower())
    return word[0] if word else source


def acting(
    readings: Sequence[SupplyTokens], *, events: Sequence[tuple[int, int]] = (), witnesses: Sequence[SupplyTokens] = ()
) -> tuple[list[bool], list[Step]]:
    """Which of the readings (one kind of supply, ascending) act, and the steps that had to wait.

    A step is a change of more than 20 % from one reading to the next within 31 days, in longer gaps in proportion (100
    days allow 64.5 %). Nothing but an acknowledgement lets it act: the reading's own statement, an event between the
    two, or another provider that gives the same kind of figure within 5 %. Until then the reading before it goes on and
    ages. Each is judged by what was known at its instant.

    `events` are (from, until) of what may change a supply, `witnesses` further readings of the same kind.
    """
    acts: list[bool] = []
    steps: list[Step] = []
    last: SupplyTokens | None = None
    waiting = False
    for reading in readings:
        if last is not None and reading.observed_us - last.observed_us > EXPIRED_US:
            last = None
        if last is not None and not _near(reading, last, waiting=waiting):
            known = _acknowledged(reading, last, events=events, others=(*readings, *witnesses))
            if not known:
                if not waiting:
                    steps.append(Step(reading.observed_us, last.observed_us, last.tokens, reading.tokens))
                waiting = True
                acts.append(False)
                continue
        if waiting:
            steps[-1] = replace(steps[-1], until_us=reading.observed_us)
        waiting, last = False, reading
        acts.append(True)
    return acts, steps


def _near(reading: SupplyTokens, last: SupplyTokens, *, waiting: bool) -> bool:
    """Whether a reading is no step; while one waits, time does not widen what may come back."""
    gaps = 1.0 if waiting else max(1.0, (reading.observed_us - last.observed_us) / SPAN_US)
    return abs(reading.tokens / last.tokens - 1.0) <= STEP * gaps + TOLERANCE


def _acknowledged(
    reading: SupplyTokens, last: SupplyTokens, *, events: Sequence[tuple[int, int]], others: Sequence[SupplyTokens]
) -> bool:
    if reading.stated or any(last.observed_us < until and start <= reading.observed_us for start, until in events):
        return True
    return any(
        provider_of(other.source) != provider_of(reading.source)
        and last.observed_us < other.observed_us <= reading.observed_us
        and reading.observed_us - other.observed_us <= SPAN_US
        and abs(other.tokens / reading.tokens - 1.0) <= SAME + TOLERANCE
        for other in others
    )


NEVER_US = 2**62
"""Age of something that was never known, in microseconds: older than any limit."""


def price_as_of(market: Market, at_us: I64) -> tuple[F64, I64]:
    """The last known prices (Q, N) at or before each instant, and their ages in microseconds (Q, N).

    NaN and `NEVER_US` where a line had no price by then.
    """
    row = np.searchsorted(market.times_us, at_us, side="right") - 1
    held = np.maximum(row, 0)
    prices = market.prices[held].copy()
    prices[row < 0] = np.nan
    age = np.where(np.isnan(prices), NEVER_US, (at_us - market.times_us[held])[:, None])
    for column in np.flatnonzero(np.isnan(prices).any(axis=0)):
        valid = np.flatnonzero(~np.isnan(market.prices[:, column]))
        last = np.searchsorted(valid, row, side="right") - 1
        seek = np.flatnonzero(last >= 0)
        rows = valid[last[seek]]
        prices[seek, column] = market.prices[rows, column]
        age[seek, column] = at_us[seek] - market.times_us[rows]
    return prices, age


LIVE_FRESH_US = 45 * DAY_US
FACT_FRESH_US = 100 * DAY_US


@dataclass(frozen=True, slots=True)
class SupplyAt:
    """Supply in tokens at Q instants, where it came from (-1 when not known), the total where known, and when the
    supply was true and from when on it counts as old (`NEVER_US` when not known)."""

    tokens: F64
    source: I8
    total: F64
    at_us: I64
    stale_us: I64


def supply_as_of(history: SupplyHistory, at_us: I64, *, max_age_us: int) -> SupplyAt:
    """The supply to weigh by at each instant (Q,): best source first, latest observation at most `max_age_us` old.

    On chain only a free float counts; reported is the circulating supply; imported is the circulating supply, or the
    free float where no circulating one is known: figures of two kinds make no series. The total is that of the same
    source where it has one. A supply is old 45 days after it was true, 100 days for shipped and imported figures.
    """
    tokens = np.full(len(at_us), np.nan)
    source = np.full(len(at_us), -1, dtype=np.int8)
    true_us = np.full(len(at_us), NEVER_US, dtype=np.int64)
    stale_us = true_us.copy()
    fact = history.source == SupplySource.IMPORTED
    if history.shipped is not None:
        fact = fact | history.shipped
    stale = history.times_us + np.where(fact, FACT_FRESH_US, LIVE_FRESH_US)
    choices = (
        (SupplySource.ON_CHAIN, history.free_float),
        (SupplySource.REPORTED, history.circulating),
        (SupplySource.IMPORTED, history.circulating),
        (SupplySource.IMPORTED, history.free_float),
    )
    for kind, values in choices:
        use = np.flatnonzero((history.source == kind) & (values > 0))
        if not len(use):
            continue
        row = _latest_row(history.times_us, use, at_us=at_us, max_age_us=max_age_us)
        fill = (source < 0) & (row >= 0)
        chosen = row[fill]
        tokens[fill], source[fill] = values[chosen], kind
        true_us[fill], stale_us[fill] = history.times_us[chosen], stale[chosen]
    total = _total(history, at_us, source=source, max_age_us=max_age_us)
    return SupplyAt(tokens, source, total, true_us, stale_us)


def next_supply_us(history: SupplyHistory, at_us: int, *, max_age_us: int) -> int:
    """The first instant after `at_us` at which `supply_as_of` may answer otherwise; `NEVER_US` when there is none."""
    past = history.times_us <= at_us
    newest = [
        history.times_us[past & (history.source == kind) & (values > 0)][-1:] + max_age_us + 1
        for kind in SupplySource
        for values in (history.circulating, history.free_float)
    ]
    turns = np.concatenate([history.times_us[~past], *newest])
    return int(turns[turns > at_us].min(initial=NEVER_US))


SEAM = 0.05  # a smaller step between two origins is not entered


@dataclass(frozen=True, slots=True)
class Seam:
    """Where figures of another origin are used from then on: another definition, nothing need have been issued."""

    at_us: int
    before: float
    after: float
    origins: tuple[str, str]

    @property
    def change(self) -> float:
        """How far the new origin's figure is from the old one's."""
        return self.after / self.before - 1.0


def seams(history: SupplyHistory) -> list[Seam]:
    """Every change of origin of the supply in force: read on chain, reported, shipped or imported."""
    times = np.unique(history.times_us)
    old, new = (supply_as_of(history, at, max_age_us=NEVER_US) for at in (times - 1, times))
    names = [_origins(one) for one in (old, new)]
    return [
        Seam(int(times[n]), float(old.tokens[n]), float(new.tokens[n]), (names[0][n], names[1][n]))
        for n in np.flatnonzero((old.source >= 0) & (new.source >= 0)).tolist()
        if names[0][n] != names[1][n]
    ]


def _origins(supply: SupplyAt) -> list[str]:
    facts = (supply.stale_us - supply.at_us == FACT_FRESH_US).tolist()
    names = ["" if source < 0 else SupplySource(source).name.lower() for source in supply.source.tolist()]
    return ["shipped" if fact and name == "reported" else name for name, fact in zip(names, facts, strict=True)]


def _total(history: SupplyHistory, at_us: I64, *, source: I8, max_age_us: int) -> F64:
    """The last total from the source of the supply, so that their share compares like with like; else from any."""
    known = history.total > 0
    total = np.full(len(at_us), np.nan)
    for kind in (None, *SupplySource):
        use = np.flatnonzero(known if kind is None else known & (history.source == kind))
        if len(use):
            row = _latest_row(history.times_us, use, at_us=at_us, max_age_us=max_age_us)
            own = (row >= 0) & (True if kind is None else source == kind)
            total[own] = history.total[row[own]]
    return total


def _latest_row(times_us: I64, use: I64, *, at_us: I64, max_age_us: int) -> I64:
    """The last of the rows `use` (one at least) at or before each instant, -1 where there is none or it is too old."""
    last = np.searchsorted(times_us[use], at_us, side="right") - 1
    row = use[np.maximum(last, 0)]
    return np.where((last >= 0) & (at_us - times_us[row] <= max_age_us), row, -1)


def median_known(values: F64) -> tuple[F64, I64]:
    """The median (…) over the known values of the last axis of (…, W), NaN for none; and how many were known."""
    count = (~np.isnan(values)).sum(axis=-1)
    if not values.shape[-1]:
        return np.full(count.shape, np.nan), count
    ordered = np.sort(values, axis=-1)  # NaN sorts last
    middle = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[-1] - 1)], axis=-1)
    low, high = np.moveaxis(np.take_along_axis(ordered, middle, axis=-1), -1, 0)
    return np.where(count > 0, (low + high) / 2, np.nan), count


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was known at K reference instants about N lines; arrays are (K, N), NaN where not known.

    The last price is price_age_us old, the first one history_us; successor: the line had come to its present token.
    adv_usd is the median traded value a day over `adv_days` known days; atvr = 365 · median(daily value / free-float
    capitalisation) over `atvr_days` days, where the rule asks for it; active_addresses the median a day likewise.
    supply_source is -1 where there is no supply, which was true at supply_us and counts as old from supply_stale_us on.
    free_float is the share of the total that is free; with bands `supply` is the banded share of the total (none below
    the lowest band). venues are the most that had a bar on one day of the same window.
    """

    price: F64
    price_age_us: I64
    history_us: I64
    successor: Bools
    supply: F64
    supply_source: I8
    supply_us: I64
    supply_stale_us: I64
    supply_age_days: F64
    total: F64
    adv_usd: F64
    adv_days: I64
    atvr: F64
    atvr_days: I64
    fundamental: F64
    free_float: F64
    active_addresses: F64
    active_days: I64
    venues: I64

    @property
    def cap_usd(self) -> F64:
        """Free-float market capitalisation at the reference price."""
        return self.price * self.supply

    def sizes(self, rows: Sequence[int]) -> Sizes:
        """What weights are made from, at the given reference dates."""
        pick = list(rows)
        return Sizes(self.price[pick] * self.supply[pick], self.adv_usd[pick], self.fundamental[pick])

    def at(self, place: slice | I64 | tuple[int, int]) -> Inputs:
        """The inputs of some reference dates, or of one line at one date."""
        return Inputs(*(getattr(self, part.name)[place] for part in fields(self)))


def gather(market: Market, reference_us: Sequence[int], *, rules: Sequence[Eligibility], bands: bool = False) -> Inputs:
    """The inputs at each reference instant, under the eligibility rule in force at it (one rule for each).

    Only what was true at or before each instant is used: observations, prices, and volumes of days that ended.
    With `bands` free floats are banded from the first instant on, because a band depends on the one before it.
    """
    references = np.array(reference_us, dtype=np.int64)
    shape, lines = (len(references), len(market.lines)), market.lines
    price, age = price_as_of(market, references)
    since = [line.successor_since_us for line in lines]

    def unknown() -> F64:
        return np.full(shape, np.nan)

    out = Inputs(
        price, age,
        history_us=references[:, None] - np.array([line.first_price_us for line in lines], dtype=np.int64),
        successor=references[:, None] >= np.array([NEVER_US if at is None else at for at in since], dtype=np.int64),
        supply=unknown(), supply_source=np.full(shape, -1, dtype=np.int8),
        supply_us=np.full(shape, NEVER_US, dtype=np.int64), supply_stale_us=np.full(shape, NEVER_US, dtype=np.int64),
        supply_age_days=unknown(), total=unknown(),
        adv_usd=unknown(), adv_days=np.zeros(shape, dtype=np.int64),
        atvr=unknown(), atvr_days=np.zeros(shape, dtype=np.int64), fundamental=unknown(), free_float=unknown(),
        active_addresses=unknown(), active_days=np.zeros(shape, dtype=np.int64),
        venues=np.tile(np.array([line.venues for line in lines], dtype=np.int64), (shape[0], 1)),
    )  # fmt: skip
    for rule in dict.fromkeys(rules):
        rows = np.array([k for k, other in enumerate(rules) if other == rule], dtype=np.int64)
        _fill_supply(out, market, rows=rows, at_us=references[rows], rule=rule)
        _fill_days(out, market, rows=rows, at_us=references[rows], rule=rule)
    if bands:
        factor = banded(out.free_float)
        np.copyto(out.supply, np.where(factor > 0, factor * out.total, np.nan), where=~np.isnan(factor))
    return out


def banded(share: F64) -> F64:
    """The free-float band (K, N) of each share of the total, NaN where it is not known (docs/methodology.md).

    Down the rows a band stays while the share is within two points of it; an unknown share leaves it as it was.
    """
    out = np.full_like(share, np.nan)
    for column in range(share.shape[1]):
        band: float | None = None
        for row in np.flatnonzero(~np.isnan(share[:, column])):
            band = out[row, column] = float_band(float(share[row, column]), previous=band)
    return out


def _fill_supply(out: Inputs, market: Market, *, rows: I64, at_us: I64, rule: Eligibility) -> None:
    for column, line in enumerate(market.lines):
        supply = supply_as_of(line.supply, at_us, max_age_us=rule.member_supply_max_age_days * DAY_US)
        out.supply[rows, column] = supply.tokens
        out.supply_source[rows, column] = supply.source
        out.supply_us[rows, column], out.supply_stale_us[rows, column] = supply.at_us, supply.stale_us
        out.total[rows, column] = supply.total
    out.free_float[rows] = np.minimum(out.supply[rows] / out.total[rows], 1.0)
    out.supply_age_days[rows] = (at_us[:, None] - out.supply_us[rows]) / DAY_US


def _fill_days(out: Inputs, market: Market, *, rows: I64, at_us: I64, rule: Eligibility) -> None:
    """Medians over the window of days that ended in (reference - window, reference]."""
    edges = np.searchsorted(market.day_us, [at_us - rule.adv_window_days * DAY_US, at_us], side="right")
    places = edges[0][:, None] + np.arange((edges[1] - edges[0]).max(initial=0))
    inside = places < edges[1][:, None]
    places = np.where(inside, places, 0)

    def window(values: F64) -> F64:  # (rows, lines, days)
        return np.where(inside, values.T[:, places], np.nan).transpose(1, 0, 2)

    out.adv_usd[rows], out.adv_days[rows] = median_known(window(market.volume_usd))
    if rule.min_atvr > 0:
        turnover, out.atvr_days[rows] = median_known(window(_daily_turnover(market, rule)))
        out.atvr[rows] = 365.0 * turnover
    if market.active_addresses is not None:
        out.active_addresses[rows], out.active_days[rows] = median_known(window(market.active_addresses))
    if VENUES in market.metrics:
        out.venues[rows] = np.nan_to_num(window(market.metrics[VENUES])).max(axis=2, initial=0.0)
    if market.fundamental is not None and inside.size:
        days = window(market.fundamental)
        last = days.shape[2] - 1 - (~np.isnan(days[:, :, ::-1])).argmax(axis=2)
        out.fundamental[rows] = np.take_along_axis(days, last[:, :, None], axis=2)[:, :, 0]


def _daily_turnover(market: Market, rule: Eligibility) -> F64:
    """Traded value over free-float capitalisation (D, N) of each day, at the prices and supplies of its end."""
    price, age = price_as_of(market, market.day_us)
    fresh = np.where(age <= rule.price_max_age_hours * HOUR_US, price, np.nan)
    limit = rule.member_supply_max_age_days * DAY_US
    supplies = [supply_as_of(line.supply, market.day_us, max_age_us=limit).tokens for line in market.lines]
    turnover: F64 = market.volume_usd / (fresh * np.column_stack(supplies))
    return turnover
