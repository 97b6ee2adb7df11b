"""What was known at an instant: the last price, the supply readings that act, the best of them. No look-ahead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
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
class Reading:
    """Tokens at an instant by a provider; `stated` when the reading itself says why it moved."""

    at_us: int
    tokens: float
    provider: str
    stated: bool = False


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


def provider_of(source: str) -> str:
    """The first word of a source's name: a provider that repeats itself under other names is no second one."""
    word = re.match(r"[^\W_]+", source.lower())
    return word[0] if word else source


def acting(
    readings: Sequence[Reading], *, events: Sequence[tuple[int, int]] = (), witnesses: Sequence[Reading] = ()
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
    last: Reading | None = None
    waiting = False
    for reading in readings:
        if last is not None and reading.at_us - last.at_us > EXPIRED_US:
            last = None
        if last is not None and not _near(reading, last, waiting=waiting):
            known = _acknowledged(reading, last, events=events, others=(*readings, *witnesses))
            if not known:
                if not waiting:
                    steps.append(Step(reading.at_us, last.at_us, last.tokens, reading.tokens))
                waiting = True
                acts.append(False)
                continue
        if waiting:
            steps[-1] = replace(steps[-1], until_us=reading.at_us)
        waiting, last = False, reading
        acts.append(True)
    return acts, steps


def _near(reading: Reading, last: Reading, *, waiting: bool) -> bool:
    """Whether a reading is no step; while one waits, time does not widen what may come back."""
    gaps = 1.0 if waiting else max(1.0, (reading.at_us - last.at_us) / SPAN_US)
    return abs(reading.tokens / last.tokens - 1.0) <= STEP * gaps + TOLERANCE


def _acknowledged(
    reading: Reading, last: Reading, *, events: Sequence[tuple[int, int]], others: Sequence[Reading]
) -> bool:
    if reading.stated or any(last.at_us < until and start <= reading.at_us for start, until in events):
        return True
    return any(
        other.provider != reading.provider
        and last.at_us < other.at_us <= reading.at_us
        and reading.at_us - other.at_us <= SPAN_US
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
    total = _latest_total(history, known, at_us=at_us, max_age_us=max_age_us)
    for kind in SupplySource:
        own = _latest_total(history, known & (history.source == kind), at_us=at_us, max_age_us=max_age_us)
        total = np.where((source == kind) & ~np.isnan(own), own, total)
    return total


def _latest_total(history: SupplyHistory, use: Bools, *, at_us: I64, max_age_us: int) -> F64:
    row = _latest_row(history.times_us, np.flatnonzero(use), at_us=at_us, max_age_us=max_age_us)
    return np.where(row >= 0, history.total[row], np.nan) if use.any() else np.full(len(at_us), np.nan)


def _latest_row(times_us: I64, use: I64, *, at_us: I64, max_age_us: int) -> I64:
    """The last of the rows `use` at or before each instant, -1 where there is none or it is too old."""
    if not len(use):
        return np.full(len(at_us), -1, dtype=np.int64)
    last = np.searchsorted(times_us[use], at_us, side="right") - 1
    row = use[np.maximum(last, 0)]
    return np.where((last >= 0) & (at_us - times_us[row] <= max_age_us), row, -1)


def median_known(values: F64) -> tuple[F64, I64]:
    """The median (N,) over the known values of each column of (W, N), NaN for none; and how many were known."""
    count = (~np.isnan(values)).sum(axis=0)
    if not len(values):
        return np.full(values.shape[1], np.nan), count
    ordered = np.sort(values, axis=0)  # NaN sorts last
    columns = np.arange(values.shape[1])
    low = ordered[np.maximum(count - 1, 0) // 2, columns]
    high = ordered[np.minimum(count // 2, len(values) - 1), columns]
    return np.where(count > 0, (low + high) / 2, np.nan), count


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was known at K reference instants about N lines; arrays are (K, N), NaN where not known.

    price_age_us says how old the last price is; cap_usd is price · supply; adv_usd the median traded value a
    day over `adv_days` known days; atvr = 365 · median(daily value / free-float capitalisation) over
    `atvr_days` days; supply_source is -1 where there is no supply, which was true at supply_us and counts as old from
    supply_stale_us on. free_float is the share of
    the total that is free; with bands `supply` is the banded share of the total (none below the lowest band).
    active_addresses is the median a day over `active_days` known days. venues are the most that had a bar on one
    day of the same window.
    """

    reference_us: I64
    price: F64
    price_age_us: I64
    supply: F64
    supply_source: I8
    supply_us: I64
    supply_stale_us: I64
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
        return Sizes(self.cap_usd[pick], self.adv_usd[pick], self.fundamental[pick])

    def since(self, row: int) -> Inputs:
        """The inputs from one reference date on."""
        return Inputs(**{part.name: getattr(self, part.name)[row:] for part in fields(self)})


def gather(market: Market, reference_us: Sequence[int], *, rules: Sequence[Eligibility], bands: bool = False) -> Inputs:
    """The inputs at each reference instant, under the eligibility rule in force at it (one rule for each).

    Only what was true at or before each instant is used: observations, prices, and volumes of days that ended.
    With `bands` free floats are banded from the first instant on, because a band depends on the one before it.
    """
    references = np.array(reference_us, dtype=np.int64)
    shape = (len(references), len(market.lines))
    price, age = price_as_of(market, references)
    out = Inputs(
        references, price, age,
        supply=np.full(shape, np.nan), supply_source=np.full(shape, -1, dtype=np.int8),
        supply_us=np.full(shape, NEVER_US, dtype=np.int64), supply_stale_us=np.full(shape, NEVER_US, dtype=np.int64),
        total=np.full(shape, np.nan),
        adv_usd=np.full(shape, np.nan), adv_days=np.zeros(shape, dtype=np.int64),
        atvr=np.full(shape, np.nan), atvr_days=np.zeros(shape, dtype=np.int64), fundamental=np.full(shape, np.nan),
        free_float=np.full(shape, np.nan), active_addresses=np.full(shape, np.nan),
        active_days=np.zeros(shape, dtype=np.int64),
        venues=np.tile(np.array([line.venues for line in market.lines], dtype=np.int64), (shape[0], 1)),
    )  # fmt: skip
    day_price, day_age = price_as_of(market, market.day_us)
    for rule in dict.fromkeys(rules):
        rows = np.array([k for k, other in enumerate(rules) if other == rule], dtype=np.int64)
        _fill_supply(out, market, rows=rows, rule=rule)
        _fill_days(out, market, rows=rows, rule=rule, day_price=day_price, day_age=day_age)
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


def _fill_supply(out: Inputs, market: Market, *, rows: I64, rule: Eligibility) -> None:
    for column, line in enumerate(market.lines):
        supply = supply_as_of(line.supply, out.reference_us[rows], max_age_us=rule.member_supply_max_age_days * DAY_US)
        out.supply[rows, column] = supply.tokens
        out.supply_source[rows, column] = supply.source
        out.supply_us[rows, column], out.supply_stale_us[rows, column] = supply.at_us, supply.stale_us
        out.total[rows, column] = supply.total
        out.free_float[rows, column] = np.minimum(supply.tokens / supply.total, 1.0)


def _fill_days(out: Inputs, market: Market, *, rows: I64, rule: Eligibility, day_price: F64, day_age: I64) -> None:
    """Medians over the window of days that ended in (reference - window, reference]."""
    supply = np.column_stack(
        [supply_as_of(line.supply, market.day_us, max_age_us=rule.member_supply_max_age_days * DAY_US).tokens
         for line in market.lines]
    )  # fmt: skip
    fresh = np.where(day_age <= rule.price_max_age_hours * HOUR_US, day_price, np.nan)
    ratio = market.volume_usd / (fresh * supply)
    for row in rows:
        reference = out.reference_us[row]
        start, stop = np.searchsorted(
            market.day_us, [reference - rule.adv_window_days * DAY_US, reference], side="right"
        )
        out.adv_usd[row], out.adv_days[row] = median_known(market.volume_usd[start:stop])
        turnover, out.atvr_days[row] = median_known(ratio[start:stop])
        out.atvr[row] = 365.0 * turnover
        if market.active_addresses is not None:
            out.active_addresses[row], out.active_days[row] = median_known(market.active_addresses[start:stop])
        if VENUES in market.metrics:
            out.venues[row] = np.nan_to_num(market.metrics[VENUES][start:stop]).max(axis=0, initial=0.0)
        if market.fundamental is not None:
            for day in range(start, stop):
                known = ~np.isnan(market.fundamental[day])
                out.fundamental[row, known] = market.fundamental[day, known]
