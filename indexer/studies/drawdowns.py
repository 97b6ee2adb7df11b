"""Pullbacks and recoveries of an index or token, what followed its falls, and named episodes side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.analytics.drawdown import (
    AfterFall,
    Analogue,
    Bar,
    Episode,
    RecoverySummary,
    after_fall,
    analogues,
    drawdown_episodes,
    drawdown_series,
    recovery_summary,
    ulcer_index,
)
from indexer.errors import InputError, NotEnoughDataError
from indexer.store.db import Store
from indexer.studies.series import Series, left_out, subject_series
from indexer.times import DAY_US, HOUR_US, parse_instant

STEP_US = {Bar.DAILY: DAY_US, Bar.HOURLY: HOUR_US}
UNIT = {Bar.DAILY: "days", Bar.HOURLY: "hours"}
DEPTHS = ((0.05, 0.10), (0.10, 0.20), (0.20, 0.40), (0.40, 1.0))
FALLS = (0.03, 0.05, 0.08)
MIN_ANALOGUE = 0.05
HORIZON_DAYS = (1, 5, 20, 60)
# Spans in which each episode's peak lies; the words are what a table shows.
EPISODES: Mapping[str, tuple[str, str]] = {
    "2024-01, after the ETF approval": ("2024-01-08", "2024-01-15"),
    "2025-01, DeepSeek": ("2025-01-18", "2025-01-27"),
}


@dataclass(frozen=True, slots=True)
class DrawdownStudy:
    """Episodes at least `min_depth` deep, oldest first, and what can be said from them.

    `now` is the drawdown at the last level (0 at a peak). `bar` is the clock's interval, so that "bars" means days
    or hours. `after_falls` has one entry for each size of a one-bar fall. `left_out` says which spans are not counted,
    because the index was impaired or suspended.
    """

    subject: str
    bar: str
    first_us: int
    last_us: int
    n: int
    min_depth: float
    now: float
    ulcer: float | None
    episodes: tuple[Episode, ...]
    recovery: tuple[RecoverySummary, ...]
    after_falls: tuple[AfterFall, ...]
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class AnalogueRow:
    """An episode of one subject; `high` is the highest level in the 60 days after its trough, at `high_us`."""

    subject: str
    analogue: Analogue
    high: float | None
    high_us: int | None


@dataclass(frozen=True, slots=True)
class AnalogueTable:
    """Episodes side by side, by name and subject. Horizons of `after_*` are in days."""

    bar: str
    rows: tuple[AnalogueRow, ...]


def study_drawdowns(
    store: Store,
    subject: str,
    *,
    min_depth: float = 0.10,
    start_us: int | None = None,
    end_us: int | None = None,
    bar: str = Bar.DAILY,
    falls: Sequence[float] = FALLS,
) -> DrawdownStudy:
    """The drawdowns of an index or token on daily (00:00 UTC) or hourly levels in [start, end].

    `falls` are the sizes of one-bar falls, as fractions, of which to say what followed.
    Raises NotFoundError for an unknown name, InputError for a bar or depth that does not exist, NotEnoughDataError
    below two levels.
    """
    series = regular(subject_series(store, subject), bar)
    keep = np.ones(len(series.times_us), dtype=np.bool_)
    keep &= True if start_us is None else series.times_us >= start_us
    keep &= True if end_us is None else series.times_us <= end_us
    times, values = series.times_us[keep], series.values[keep]
    if len(times) < 2:
        raise NotEnoughDataError(f"{series.name} has {len(times)} {bar} levels in that range; 2 are needed")
    episodes = drawdown_episodes(times, values, min_depth=min_depth)
    every = drawdown_episodes(times, values, min_depth=min(low for low, _ in DEPTHS))
    unit = UNIT[Bar(bar)]
    return DrawdownStudy(
        subject=series.name,
        bar=bar,
        first_us=int(times[0]),
        last_us=int(times[-1]),
        n=len(times),
        min_depth=min_depth,
        now=float(drawdown_series(values)[-1]),
        ulcer=ulcer_index(values),
        episodes=tuple(episodes),
        recovery=tuple(recovery_summary(every, min_depth=low, max_depth=high, unit=unit) for low, high in DEPTHS),
        after_falls=tuple(after_fall(times, values, fall=fall, horizons=HORIZON_DAYS[:3]) for fall in falls),
        left_out=left_out(series.left_out, start_us=start_us, end_us=end_us),
    )


def compare_episodes(
    store: Store,
    subjects: Sequence[str],
    *,
    episodes: Mapping[str, tuple[str, str]] = EPISODES,
    bar: str = Bar.DAILY,
) -> AnalogueTable:
    """Each subject's pullback in each named span of peaks, beside the others: analogues, not evidence."""
    spans = {name: (parse_instant(first), parse_instant(last)) for name, (first, last) in episodes.items()}
    rows: list[AnalogueRow] = []
    for subject in subjects:
        series = regular(subject_series(store, subject), bar)
        matches = analogues(
            series.times_us, series.values, windows=spans, min_depth=MIN_ANALOGUE, horizons=HORIZON_DAYS,
            bars=DAY_US // step_of(bar),
        )  # fmt: skip
        rows += [AnalogueRow(series.name, analogue, *_high_after(series, analogue)) for analogue in matches]
    order = list(spans)
    return AnalogueTable(bar, tuple(sorted(rows, key=lambda row: order.index(row.analogue.name))))


def regular(series: Series, bar: str) -> Series:
    """The series at full days or hours; the hourly one ends where the hours do."""
    step = step_of(bar)
    keep = series.times_us % step == 0
    times, values = series.times_us[keep], series.values[keep]
    if step == HOUR_US and len(times) > 1:
        hours = np.flatnonzero(np.diff(times) == step)
        stop = int(hours[-1]) + 2 if len(hours) else 0
        times, values = times[:stop], values[:stop]
    return replace(series, times_us=times, values=values)


def step_of(bar: str) -> int:
    """Microseconds between levels. Raises InputError for a spacing that does not exist."""
    if bar not in tuple(Bar):
        raise InputError(f'"{bar}" is not a bar; use {" or ".join(Bar)}')
    return STEP_US[Bar(bar)]


def _high_after(series: Series, analogue: Analogue) -> tuple[float | None, int | None]:
    if analogue.episode is None:
        return None, None
    trough = analogue.episode.trough_us
    inside = np.flatnonzero((series.times_us >= trough) & (series.times_us <= trough + HORIZON_DAYS[-1] * DAY_US))
    top = inside[int(np.argmax(series.values[inside]))]
    return float(series.values[top]), int(series.times_us[top])
