"""Stored series, how two of them are brought together (one row a session, read at the close), and levels at closes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from indexer.analytics.align import (
    CONTINUOUS_DAYS,
    HOURLY_CLOCKS,
    PERIODS_PER_YEAR,
    Aligned,
    Clock,
    Sessions,
    align_at,
    calendar_version,
    sample_at,
    sessions,
)
from indexer.analytics.series import like_a_split
from indexer.arrays import F64, I64, Bools
from indexer.engine.market import Status
from indexer.errors import InputError, NotEnoughDataError, NotFoundError, did_you_mean
from indexer.methodology.load import FLAGSHIP
from indexer.store.assets import read_assets, read_benchmark, read_benchmarks
from indexer.store.bars import read_benchmark_bars
from indexer.store.db import Store
from indexer.store.indices import read_index, read_indices, read_notes
from indexer.store.levels import LevelPage, page_of, published_span, read_level_values, read_levels, unpublished
from indexer.store.rates import read_asset_rates
from indexer.store.rebalancings import read_perpetual_windows
from indexer.store.rows import StoredAsset
from indexer.studies.catalogue import load_events
from indexer.times import DAY_US, HOUR_US, from_us, iso, to_us

NAIVE = "naive join of daily returns on their dates: intervals do not match and weekend moves are lost"
INDEX, TOKEN, BENCHMARK = "index", "token", "benchmark"
LEVEL = "index level"
# Whose closes stand for the exchange's sessions where the benchmark itself is a token.
SESSION_SYMBOLS = ("QQQ", "SPY", "^NDX", "^GSPC")


FOREVER_US = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A span that statistics leave out: `levels` at which an index was impaired; none while it was suspended."""

    start_us: int
    end_us: int
    levels: int = 0

    @property
    def words(self) -> str:
        """When and why."""
        end = "" if self.end_us == FOREVER_US else f" to {iso(self.end_us)}"
        if self.levels:
            return f"{self.levels} levels from {iso(self.start_us)}{end} (impaired)"
        return f"no levels after {iso(self.start_us)}{end} (suspended)"


def left_out(spans: Sequence[LeftOut], *, start_us: int | None = None, end_us: int | None = None) -> str:
    """Which of the spans touch [start, end], in words; '' when none does."""
    words = [one.words for one in _touching(spans, start_us, end_us)]
    return f"left out: {'; '.join(words)}" if words else ""


def _touching(spans: Sequence[LeftOut], start_us: int | None, end_us: int | None) -> tuple[LeftOut, ...]:
    return tuple(
        one for one in spans
        if (start_us is None or one.end_us >= start_us) and (end_us is None or one.start_us <= end_us)
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Series:
    """Values (T,) true at `times_us` (T,), ascending. `kind` is index, token or benchmark; `basis` what a value is.

    `splits` are (start, end, ratio) of returns that look like a split and that no event confirms: they are left out.
    `left_out` are the spans in which the index was impaired or suspended; `newest_us` is the instant of the newest
    value, also one that is left out.
    """

    name: str
    kind: str
    times_us: I64
    values: F64
    basis: str
    splits: tuple[tuple[int, int, float], ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    newest_us: int | None = None


def index_series(store: Store, index_id: str) -> Series:
    """The levels of an index but those at which it was impaired; `left_out` names these and when it was suspended.

    Raises NotFoundError for the id, NotEnoughDataError while it has none.
    """
    read_index(store, index_id)
    times, levels, status = read_level_values(store, index_id)
    if not len(times):
        none = f"{index_id} has no levels yet; import prices (`deai import`) and `deai update`"
        raise NotEnoughDataError(unpublished(store, index_id, as_of_us=store.as_of_us) or none)
    good = status != Status.IMPAIRED
    if not good.any():
        raise NotEnoughDataError(f"{index_id} was impaired at all of its levels; import prices of its constituents")
    spans, newest = _left_out(store, index_id, times, ~good), int(times[-1])
    return Series(index_id, INDEX, times[good], levels[good], LEVEL, left_out=spans, newest_us=newest)


def sampled_index(store: Store, index_id: str, at_us: I64 | None) -> Series:
    """The levels of an index at these instants (None: all), maybe none; not what is left out and why."""
    times, levels, status = read_level_values(store, index_id, at_us=at_us)
    good = status != Status.IMPAIRED
    return Series(index_id, INDEX, times[good], levels[good], LEVEL)


def _left_out(store: Store, index_id: str, times: I64, impaired: Bools) -> tuple[LeftOut, ...]:
    rows = np.flatnonzero(impaired)
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []
    spans = [LeftOut(int(times[run[0]]), int(times[run[-1]]), len(run)) for run in runs]
    spells = read_notes(store, index_id, kinds=("suspended",))
    spans += [LeftOut(to_us(one.start_at), FOREVER_US if one.end_at is None else to_us(one.end_at)) for one in spells]
    return tuple(sorted(spans, key=lambda span: (span.start_us, span.end_us)))


def subject_series(store: Store, name: str) -> Series:
    """The levels of the index, or the rates of the token, of this name. Raises NotFoundError naming the closest."""
    indices = [row.id for row in read_indices(store)]
    if name in indices:
        return index_series(store, name)
    return token_series(store, name, also=indices)


def token_series(
    store: Store, slug: str, *, rules_of: str = FLAGSHIP, also: Sequence[str] = (), at_us: I64 | None = None
) -> Series:
    """The reference rates of a line in its last token: a predecessor's, by the ratio, until the successor has its own.

    Spot, and perpetual futures only where the rules of the index `rules_of` let them stand in: as that index takes it.
    `also` are other names to suggest from; `at_us` the only instants to read. Raises NotFoundError for a slug that is
    not stored, NotEnoughDataError for one without a rate.
    """
    known, wanted = [asset.slug for asset in read_assets(store)], slug.lower()
    if wanted not in known:
        names, indices = sorted({*known, *also}), ", ".join(also) or "none yet; run `deai update`"
        raise NotFoundError(f'No index or token "{slug}".{did_you_mean(wanted, names)} Indices: {indices}.')
    series = sampled_tokens(store, [wanted], at_us, rules_of=rules_of)[wanted]
    if not len(series.times_us):
        raise NotEnoughDataError(f"{wanted} {UNRATED}")
    return series


UNRATED = "has no reference rate yet; import its prices (`deai import`)"


def sampled_tokens(
    store: Store, slugs: Sequence[str], at_us: I64 | None, *, rules_of: str = FLAGSHIP
) -> dict[str, Series]:
    """The same of each slug at these instants (None: all); no values where it has none.

    A predecessor's rates go on until one of these instants has the successor's own.
    """
    assets = read_assets(store)
    lines = {
        slug: [asset for asset in assets if asset.slug == slug or (asset.line == slug != asset.slug)] for slug in slugs
    }
    numbers = [asset.id for line in lines.values() for asset in line]
    rates = read_asset_rates(store, numbers, at_us=at_us, perpetual=read_perpetual_windows(store, rules_of))
    spliced = {
        slug: _spliced([(token, *rates[token.id]) for token in line if len(rates[token.id][0])], last=slug)
        for slug, line in lines.items()
    }
    return {slug: Series(slug, TOKEN, times, values, "reference rate") for slug, (times, values) in spliced.items()}


def benchmark_series(store: Store, symbol: str, *, interval: str = "1d", at_us: I64 | None = None) -> Series:
    """The closes of a benchmark, or a token's rates (`at_us`: of these instants) where only a token has this name.

    Raises NotFoundError naming the closest benchmark, NotEnoughDataError where it has no bar of the interval.
    """
    listed = {row.symbol.casefold() for row in read_benchmarks(store)}
    if symbol.casefold() not in listed and symbol.lower() in {asset.slug for asset in read_assets(store)}:
        return token_series(store, symbol, at_us=at_us)
    name = read_benchmark(store, symbol).symbol
    times, closes, basis = read_benchmark_bars(store, name, interval=interval)
    return Series(name, BENCHMARK, times, closes, basis, _splits(store, name, times, closes))


def _splits(store: Store, name: str, times_us: I64, closes: F64) -> tuple[tuple[int, int, float], ...]:
    """Steps of a share that look like a split, but for those in which an event of the catalogue names it."""
    factor = closes[1:] / closes[:-1]
    steps = np.flatnonzero(like_a_split(factor)).tolist()
    if not steps:
        return ()
    confirmed = [event.at_us for event in load_events(store).values() if event.benchmark == name]
    spans = [(int(times_us[row]), int(times_us[row + 1]), float(factor[row])) for row in steps]
    return tuple(span for span in spans if not any(span[0] < at <= span[1] for at in confirmed))


def session_instants(store: Store, *, around: Series | None = None) -> I64:
    """The instants of the exchange's closes: the series' own where it is a benchmark, else those of QQQ or the like."""
    if around is not None and around.kind == BENCHMARK:
        return around.times_us
    known = [row.symbol for row in read_benchmarks(store)]
    for symbol in [*(name for name in SESSION_SYMBOLS if name in known), *known]:
        times, _, _ = read_benchmark_bars(store, symbol)
        if len(times):
            return times
    raise NotEnoughDataError("no benchmark has closes, so the exchange's sessions are not known; import QQQ or another")


def values_at(series: Series, at_us: I64) -> F64:
    """The series at exactly these instants, NaN where it has no row."""
    return sample_at(series.times_us, series.values, at_us=at_us)


def last_known(series: Series, at_us: I64) -> tuple[F64, F64]:
    """The last value at or before each instant, and its age in microseconds; NaN before the first.

    For valuing a basket as the engine does, never for a return or a beta.
    """
    row = np.searchsorted(series.times_us, at_us, side="right") - 1
    held = np.where(row >= 0, series.values[np.maximum(row, 0)], np.nan)
    age = np.where(row >= 0, at_us - series.times_us[np.maximum(row, 0)], np.nan)
    return held, age.astype(np.float64)


def _spliced(parts: Sequence[tuple[StoredAsset, I64, F64]], *, last: str) -> tuple[I64, F64]:
    """Tokens of a line in succession, in units of the last one: each until the next one's first rate."""
    ordered = sorted(parts, key=lambda part: (part[0].slug == last, int(part[1][0])))
    times, values = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    for place, (token, at, rate) in enumerate(ordered):
        keep = at < min((int(later[1][0]) for later in ordered[place + 1 :]), default=FOREVER_US)
        times.append(at[keep])
        values.append(rate[keep] / (1.0 if token.slug == last else token.line_ratio))
    return np.concatenate(times), np.concatenate(values)


@dataclass(frozen=True, slots=True)
class Frame(Aligned):
    """Aligned returns of named series on a clock; `calendar` names the sessions' source and its version.

    `newest_us` is the last value that the subject has at all.
    """

    subject: str
    benchmarks: tuple[str, ...]
    clock: str
    calendar: str
    price_basis: tuple[str, ...]
    periods_per_year: float
    newest_us: int
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def naive(self) -> bool:
        """Whether the two sides' intervals do not match."""
        return self.clock == Clock.DATE_JOIN

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why intervals gave no pair, by side, and what is to be known about this frame."""
        losses = [
            f"{lost} intervals without a value of {name} at both ends"
            for name, column in zip((self.subject, *self.benchmarks), (self.y, *self.x.T), strict=True)
            if (lost := int(np.isnan(column).sum()))
        ]
        spans = left_out(self.left_out)
        return (*losses, *((spans,) if spans else ()), *self.notes)

    @property
    def stale_days(self) -> int:
        """Calendar days from the last interval's end to the subject's newest value."""
        return self.newest_us // DAY_US - int(self.times_us[-1]) // DAY_US

    def between(self, start_us: int | None, end_us: int | None) -> Frame:
        """The rows whose interval ends in [start, end); None is open."""
        keep = np.ones(len(self.y), dtype=np.bool_)
        if start_us is not None:
            keep &= self.times_us >= start_us
        if end_us is not None:
            keep &= self.times_us < end_us
        return replace(self.rows(keep), left_out=_touching(self.left_out, start_us, end_us))

    def last(self, count: int, *, until_us: int | None = None) -> Frame:
        """From the `count`-th last complete row to the last complete one. Raises NotEnoughDataError when fewer.

        `until_us` is only named in the message.
        """
        rows = np.flatnonzero(self.complete)
        if len(rows) < count:
            what = f"{self.subject} and {', '.join(self.benchmarks)}"
            until = "" if until_us is None else f" up to {iso(until_us)}"
            raise NotEnoughDataError(
                f"{what} have {len(rows)} {unit_of(self.clock)} returns in common{until}; {count} are needed. "
                "Ask for fewer sessions or import more history"
            )
        keep = np.zeros(len(self.y), dtype=np.bool_)
        keep[rows[-count] : rows[-1] + 1] = True
        spans = _touching(self.left_out, int(self.starts_us[rows[-count]]), None)
        return replace(self.rows(keep), notes=(*self.notes, *_trailing(self, int(rows[-1]))), left_out=spans)

    def rows(self, keep: np.ndarray | slice) -> Frame:
        """The same with only these rows (a mask, row numbers or a slice)."""
        return replace(
            self, starts_us=self.starts_us[keep], times_us=self.times_us[keep], y=self.y[keep], x=self.x[keep]
        )


def unit_of(clock: str) -> str:
    """The word for one interval of a clock."""
    return "hour" if clock in HOURLY_CLOCKS else "daily" if clock == Clock.DAILY_UTC else "session"


def make_frame(store: Store, subject: Series, benchmarks: Sequence[Series], *, clock: str = Clock.AT_CLOSE) -> Frame:
    """The subject beside the benchmarks within the subject's life, on a clock.

    Raises InputError for an unknown clock or no benchmark. Without a common instant the frame is empty.
    """
    if clock not in tuple(Clock):
        raise InputError(f'"{clock}" is not a clock.{did_you_mean(clock, Clock)} Use one of {", ".join(Clock)}')
    if not benchmarks:
        raise InputError("name at least one benchmark")
    lead = _lead(benchmarks)
    if clock == Clock.DATE_JOIN:
        aligned, calendar = _date_join(store, subject, benchmarks, lead=lead), calendar_version()
    else:
        instants, calendar = _instants(store, lead, clock=clock, subject=subject)
        instants = instants[(instants >= subject.times_us[0]) & (instants <= subject.times_us[-1])]
        closes = np.column_stack([_close(series, instants, clock=clock) for series in benchmarks])
        longest = HOUR_US if clock in HOURLY_CLOCKS else None
        aligned = align_at(subject.times_us, subject.values, instants, closes, max_interval_us=longest)
    every_day = clock == Clock.DAILY_UTC and lead.kind == TOKEN
    return Frame(
        aligned.starts_us,
        aligned.times_us,
        aligned.y,
        _without_splits(aligned, benchmarks),
        subject=subject.name,
        benchmarks=tuple(series.name for series in benchmarks),
        clock=clock,
        calendar=calendar,
        price_basis=tuple(series.basis for series in benchmarks),
        periods_per_year=CONTINUOUS_DAYS if every_day else PERIODS_PER_YEAR[Clock(clock)],
        newest_us=subject.newest_us or int(subject.times_us[-1]),
        notes=(
            *((NAIVE,) if clock == Clock.DATE_JOIN else ()),
            *_doubts(benchmarks),
        ),
        left_out=subject.left_out,
    )


def sampling(store: Store, models: Iterable[Sequence[Series]], *, clock: str) -> I64 | None:
    """The instants at which a clock may read a subject beside any of these benchmarks; None where at any hour."""
    if clock in (*HOURLY_CLOCKS, Clock.DATE_JOIN):
        return None
    leads = (_lead(benchmarks) for benchmarks in models)
    return np.unique(np.concatenate([_instants(store, lead, clock=clock, subject=lead)[0] for lead in leads]))


def _lead(benchmarks: Sequence[Series]) -> Series:
    """The benchmark that sets the instants: the first that is no token."""
    return next((series for series in benchmarks if series.kind != TOKEN), benchmarks[0])


def _doubts(benchmarks: Sequence[Series]) -> list[str]:
    """What is left out because it looks like a split, and how to confirm it."""
    return [
        f"{series.name} changes by ×{ratio:.4g} from {iso(start)} to {iso(end)}: probably a split that is not adjusted "
        f"for. Its return is left out; import the adjusted history, or confirm it by an event with benchmark = "
        f'"{series.name}"'
        for series in benchmarks
        for start, end, ratio in series.splits
    ]


def _without_splits(aligned: Aligned, benchmarks: Sequence[Series]) -> F64:
    """The benchmarks' returns, NaN over a step that looks like a split."""
    x = aligned.x.copy()
    for column, series in zip(x.T, benchmarks, strict=True):
        for start, end, _ in series.splits:
            column[(aligned.starts_us < end) & (aligned.times_us > start)] = np.nan
    return x


def _instants(store: Store, lead: Series, *, clock: str, subject: Series) -> tuple[I64, str]:
    """The instants of a clock, set by the first benchmark that is no token, and their calendar in words."""
    if clock == Clock.NQ_HOURS:
        return lead.times_us, f"hours in which {lead.name} has a bar"
    if clock == Clock.HOURLY_UTC:
        return _every(HOUR_US, subject), "every hour, UTC"
    if clock == Clock.DAILY_UTC and lead.kind == TOKEN:
        return _every(DAY_US, subject), "every day, 00:00 UTC"
    closes = session_instants(store, around=lead)
    if clock == Clock.DAILY_UTC:
        return _midnight_after(closes), f"00:00 UTC after each session; {calendar_version()}"
    return closes, calendar_version()


def _every(step_us: int, subject: Series) -> I64:
    first, last = (int(at) // step_us * step_us for at in subject.times_us[[0, -1]])
    return np.arange(first, last + 1, step_us, dtype=np.int64)


def _close(series: Series, instants: I64, *, clock: str) -> F64:
    if clock == Clock.DAILY_UTC and series.kind != TOKEN:
        return values_at(replace(series, times_us=_midnight_after(series.times_us)), instants)
    return values_at(series, instants)


def _midnight_after(closes: I64) -> I64:
    return -(-closes // DAY_US) * DAY_US


def _date_join(store: Store, subject: Series, benchmarks: Sequence[Series], *, lead: Series) -> Aligned:
    """Each day's own return (00:00 to 00:00 UTC) beside the session return of the same date."""
    closes = session_instants(store, around=lead)
    ends = _midnight_after(closes)
    inside = (ends - DAY_US >= subject.times_us[0]) & (ends <= subject.times_us[-1])
    closes, ends = closes[inside], ends[inside]
    y = np.log(values_at(subject, ends) / values_at(subject, ends - DAY_US))
    x = np.column_stack([_own_day(series, closes, ends) for series in benchmarks])
    # The first session has no return of its own: its predecessor's close lies before the subject's life.
    return Aligned(ends[1:] - DAY_US, ends[1:], y[1:], x)


def _own_day(series: Series, closes: I64, ends: I64) -> F64:
    if series.kind == TOKEN:
        day: F64 = np.log(values_at(series, ends) / values_at(series, ends - DAY_US))[1:]
        return day
    between: F64 = np.diff(np.log(values_at(series, closes)))
    return between


def _trailing(frame: Frame, last: int) -> tuple[str, ...]:
    """A sentence where the newest intervals have no pair: the answer is older than it looks."""
    after = len(frame.y) - 1 - last
    if not after:
        return ()
    return (f"the last pair ends {iso(int(frame.times_us[last]))}; {after} later intervals have no pair",)


DAY = timedelta(days=1)


def read_level_closes(store: Store, index_id: str, *, exchange: str, as_of_us: int | None = None) -> LevelPage:
    """One row for each session that closes within the index's life, NaN where there is no level at that instant.

    Nothing is filled from the hours before: a return to or from such a session does not exist. Raises NotFoundError
    for the index, InputError for an exchange that no calendar knows.
    """
    read_index(store, index_id)
    first, last = published_span(store, index_id) or (0, 0)
    closes = _between(first, last, exchange=exchange).closes_us if last else np.zeros(0, np.int64)
    rows = read_levels(store, index_id, step_us=math.gcd(HOUR_US, *closes.tolist()), as_of_us=as_of_us)
    if not len(rows):
        return page_of(rows)
    closes = closes[(closes >= first) & (closes <= rows.times_us[-1])]
    place = np.minimum(np.searchsorted(rows.times_us, closes), len(rows) - 1)
    there = rows.times_us[place] == closes
    columns = (rows.levels, rows.carried_weight, rows.perpetual_weight)
    levels, carried, perpetual = (np.where(there, column[place], np.nan) for column in columns)
    count = np.where(there, rows.constituents[place], 0)
    return LevelPage(closes, levels, rows.status[place], carried, perpetual, count, None)


def session_dates(closes_us: np.ndarray, *, exchange: str) -> list[str]:
    """The sessions' own dates of these closes, `2025-01-27`."""
    if not len(closes_us):
        return []
    around = _between(int(closes_us[0]), int(closes_us[-1]), exchange=exchange)
    place = np.searchsorted(around.closes_us, closes_us)
    return [around.dates[row].isoformat() for row in place.tolist()]


def _between(first_us: int, last_us: int, *, exchange: str) -> Sessions:
    """The sessions from a day before to a day after: a close's date in UTC may be its neighbour's."""
    return sessions(from_us(first_us).date() - DAY, from_us(last_us).date() + DAY, exchange=exchange)
