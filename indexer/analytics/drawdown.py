"""What followed comparable falls: conditional statistics, recovery times with censoring, the analogue table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.analytics import Bar as Bar  # noqa: PLC0414 - offered here too
from indexer.analytics.series import as_series
from indexer.arrays import F64, I64, ArrayLike
from indexer.errors import InputError
from indexer.times import DAY_US


@dataclass(frozen=True, slots=True)
class Episode:
    """From a running maximum down and back to it. Times are int64 microseconds, depth a negative fraction.

    An episode that has not regained its peak has no recovery (None), never an invented one; `bars_down` counts
    observations from peak to trough, `days_*` calendar days. `ulcer` is the root mean square of the drawdown
    from the peak's bar to the recovery (or the last bar).
    """

    peak_us: int
    trough_us: int
    recovery_us: int | None
    peak_level: float
    trough_level: float
    depth: float
    bars_down: int
    bars_to_recover: int | None
    days_down: float
    days_to_recover: float | None
    ulcer: float

    @property
    def recovered(self) -> bool:
        """Whether the peak was regained within the data."""
        return self.recovery_us is not None


def drawdown_episodes(times_us: ArrayLike, levels: ArrayLike, *, min_depth: float = 0.10) -> list[Episode]:
    """Episodes at least `min_depth` deep, in time order; missing levels are skipped, not filled.

    A level equal to the old peak ends an episode. Raises InputError on unsorted times, a level that is not
    positive or a depth outside (0, 1).
    """
    times, values = observed_levels(times_us, levels)
    if not 0.0 < min_depth < 1.0:
        raise InputError(f"min_depth {min_depth} must be a fraction between 0 and 1, e.g. 0.10 for 10 %")
    if values.size == 0:
        return []
    # Runs of levels below the running maximum: each gap between the rows under it begins another episode.
    fall = values / np.maximum.accumulate(values) - 1.0
    under = np.flatnonzero(fall < 0.0)
    if under.size == 0:
        return []
    cuts = np.flatnonzero(np.diff(under) > 1)
    firsts, lasts = under[np.r_[0, cuts + 1]], under[np.r_[cuts, under.size - 1]]
    episodes = [
        _episode(times, values, fall=fall, span=span) for span in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]
    return [episode for episode in episodes if episode.depth <= -min_depth]


def drawdown_series(levels: ArrayLike) -> F64:
    """(T,) level over running maximum - 1; NaN where the level is missing."""
    values = as_series(levels, "levels")
    peak = np.fmax.accumulate(values) if values.size else values
    drawdown: F64 = values / peak - 1.0
    return drawdown


def ulcer_index(levels: ArrayLike) -> float | None:
    """Root mean square drawdown over the whole series; None without a level."""
    fall = drawdown_series(levels)
    known = fall[np.isfinite(fall)]
    return math.sqrt(float(known @ known) / known.size) if known.size else None


def observed_levels(times_us: ArrayLike, levels: ArrayLike) -> tuple[I64, F64]:
    """The rows that have a level, checked: times strictly increasing, levels positive."""
    times, values = np.asarray(times_us, dtype=np.int64), as_series(levels, "levels")
    if times.shape != values.shape:
        raise InputError(f"{times.size} times and {values.size} levels do not pair up")
    if np.any(np.diff(times) <= 0):
        raise InputError("times must strictly increase. Sort and remove duplicates first")
    keep = np.isfinite(values)
    if np.any(values[keep] <= 0.0):
        raise InputError("levels must be positive; give index levels or prices, not returns")
    return times[keep], values[keep]


def _episode(times: I64, values: F64, *, fall: F64, span: tuple[int, int]) -> Episode:
    first, last = span
    peak = first - 1
    trough = first + int(np.argmin(fall[first : last + 1]))
    # A run that reaches the last row has not recovered: that is censored, not a recovery at the end of the data.
    back = last + 1 if last + 1 < values.size else None
    path = fall[peak : last + 1]
    return Episode(
        peak_us=int(times[peak]),
        trough_us=int(times[trough]),
        recovery_us=None if back is None else int(times[back]),
        peak_level=float(values[peak]),
        trough_level=float(values[trough]),
        depth=float(fall[trough]),
        bars_down=trough - peak,
        bars_to_recover=None if back is None else back - trough,
        days_down=float(times[trough] - times[peak]) / DAY_US,
        days_to_recover=None if back is None else float(times[back] - times[trough]) / DAY_US,
        ulcer=math.sqrt(float(path @ path) / path.size),
    )


EPISODE_RULE = "an episode runs from one peak until it is regained, so that no two share a day"
OVERLAP_RULE = "an event within the horizon of the last counted one is left out, so that no return is counted twice"


@dataclass(frozen=True, slots=True)
class HorizonRow:
    """Simple returns over `horizon` bars after the fall; `n` counted of `n_all` (overlap rule), `n_open` unfinished."""

    horizon: int
    n: int
    n_all: int
    n_open: int
    median: float | None
    mean: float | None
    q25: float | None
    q75: float | None
    share_up: float | None


@dataclass(frozen=True, slots=True)
class AfterFall:
    """Statistics after one-bar falls of at least `fall`. `events_us` are all of them, before the overlap rule."""

    fall: float
    events_us: I64
    rows: tuple[HorizonRow, ...]
    overlap_rule: str = OVERLAP_RULE


@dataclass(frozen=True, slots=True)
class RecoverySummary:
    """Bars from trough back to the peak over `n` past episodes, `n_open` not yet recovered.

    The median counts open episodes as longer than any recovered one; None when the median itself is open.
    """

    min_depth: float
    max_depth: float
    n: int
    n_open: int
    median_bars: float | None
    median_days: float | None
    statement: str
    overlap_rule: str = EPISODE_RULE


@dataclass(frozen=True, slots=True)
class Analogue:
    """One named episode beside others: the deepest drawdown whose peak lies in its window, and what followed.

    `after_trough` and `after_peak` map horizons in bars to simple returns, None beyond the data.
    `overlaps` names the other episodes that share time with it: those rows are not independent evidence.
    """

    name: str
    episode: Episode | None
    after_trough: dict[int, float | None]
    after_peak: dict[int, float | None]
    overlaps: tuple[str, ...] = ()
    reason: str | None = None


def after_fall(
    times_us: ArrayLike, levels: ArrayLike, *, fall: float, horizons: Sequence[int] = (1, 5, 20)
) -> AfterFall:
    """Conditional statistics after a one-bar fall of at least `fall` (a positive fraction, 0.05 = 5 %)."""
    if not 0.0 < fall < 1.0:
        raise InputError(f"fall {fall} must be a fraction between 0 and 1, e.g. 0.05 for 5 %")
    times, values = observed_levels(times_us, levels)
    spacing = np.diff(times)  # a step over a time without levels is not one bar
    events = np.flatnonzero((values[1:] / values[:-1] - 1.0 <= -fall) & (spacing <= 2 * np.median(spacing))) + 1
    rows = tuple(_horizon(values, events, horizon=horizon) for horizon in horizons)
    return AfterFall(fall, times[events], rows)


def recovery_summary(
    episodes: Sequence[Episode], *, min_depth: float, max_depth: float = 1.0, unit: str = "bars"
) -> RecoverySummary:
    """How long pullbacks between two depths (positive fractions) took from trough to a new high.

    `unit` is the word for one bar in the statement.
    """
    chosen = [e for e in episodes if min_depth <= -e.depth < max_depth]
    still = sum(1 for e in chosen if not e.recovered)
    bars = _censored_median([math.inf if e.bars_to_recover is None else float(e.bars_to_recover) for e in chosen])
    days = _censored_median([math.inf if e.days_to_recover is None else e.days_to_recover for e in chosen])
    statement = _statement(chosen, still=still, bars=bars, unit=unit, size=_size(min_depth, max_depth))
    return RecoverySummary(min_depth, max_depth, len(chosen), still, bars, days, statement)


def _size(low: float, high: float) -> str:
    return f"{low * 100:g} to {high * 100:g} %" if high < 1.0 else f"{low * 100:g} % or more"


def _statement(chosen: Sequence[Episode], *, still: int, bars: float | None, unit: str, size: str) -> str:
    """The summary in words: no median of fewer than three, and none of more than there is."""
    n = len(chosen)
    if n == 0:
        return f"pullbacks of {size}: none in the data"
    done = sorted(e.bars_to_recover for e in chosen if e.bars_to_recover is not None)
    if n < 3:
        took = f" (in {' and '.join(f'{value:g}' for value in done)} {unit})" if done else ""
        return f"pullbacks of {size}: n = {n}, too few for a median; {len(done)} recovered{took}, {still} still open"
    if bars is None:
        return f"pullbacks of {size}: {len(done)} of n = {n} recovered, so that there is no median; {still} still open"
    return f"pullbacks of {size} recovered in a median of {bars:g} {unit}, n = {n}, {still} still open"


def analogues(
    times_us: ArrayLike,
    levels: ArrayLike,
    *,
    windows: Mapping[str, tuple[int, int]],
    min_depth: float = 0.05,
    horizons: Sequence[int] = (1, 5, 20, 60),
    bars: int = 1,
) -> list[Analogue]:
    """Named episodes side by side; `windows` gives the span [start_us, end_us] in which each one's peak lies.

    The drawdown is measured from the highest level inside the window, also when an older peak was higher: the
    episode asked for is the pullback itself, not the bear market around it. Horizons are of so many `bars` each.
    """
    times, values = observed_levels(times_us, levels)
    rows = []
    for name, span in windows.items():
        episode = _deepest(times, values, span=span, min_depth=min_depth)
        if isinstance(episode, str):
            rows.append(Analogue(name, None, {}, {}, reason=episode))
            continue
        places = (int(np.searchsorted(times, at)) for at in (episode.trough_us, episode.peak_us))
        trough, peak = ({n: _forward(values, place, n * bars) for n in horizons} for place in places)
        rows.append(Analogue(name, episode, trough, peak))
    end_us = int(times[-1]) if times.size else 0
    return [replace(row, overlaps=_overlaps(row, rows, end_us=end_us)) for row in rows]


def _deepest(times: I64, values: F64, *, span: tuple[int, int], min_depth: float) -> Episode | str:
    """The deepest episode whose peak lies in the span, or why there is none."""
    inside = np.flatnonzero((times >= span[0]) & (times <= span[1]))
    if inside.size == 0:
        return "no level in the window"
    # Rows before the window are cut off, so that its own highest level is the peak.
    later = drawdown_episodes(times[inside[0] :], values[inside[0] :], min_depth=min_depth)
    episodes = [episode for episode in later if span[0] <= episode.peak_us <= span[1]]
    return min(episodes, key=lambda e: e.depth, default=f"no pullback of {min_depth:.0%} begins in the window")


def _overlaps(row: Analogue, rows: Sequence[Analogue], *, end_us: int) -> tuple[str, ...]:
    """The other episodes that share time with this one."""
    own, others = row.episode, [(other.name, other.episode) for other in rows if other is not row]
    return tuple(
        name
        for name, theirs in others
        if own is not None and theirs is not None
        if own.peak_us < (theirs.recovery_us or end_us) and theirs.peak_us < (own.recovery_us or end_us)
    )


def _horizon(values: F64, events: I64, *, horizon: int) -> HorizonRow:
    if horizon < 1:
        raise InputError(f"horizon {horizon} must be at least 1 bar")
    # Falls nearer than the horizon share returns and are no second observation: the first of them counts.
    chosen: list[int] = []
    for event in events.tolist():
        if not chosen or event - chosen[-1] >= horizon:
            chosen.append(event)
    done = np.array([event for event in chosen if event + horizon < values.size], dtype=np.int64)
    counts = (horizon, len(done), len(events), len(chosen) - len(done))
    if not len(done):
        return HorizonRow(*counts, None, None, None, None, None)
    after = values[done + horizon] / values[done] - 1.0
    q25, median, q75 = (float(value) for value in np.percentile(after, [25, 50, 75]))
    return HorizonRow(*counts, median, float(after.mean()), q25, q75, float((after > 0.0).mean()))


def _forward(values: F64, row: int, horizon: int) -> float | None:
    return float(values[row + horizon] / values[row] - 1.0) if row + horizon < values.size else None


def _censored_median(durations: Sequence[float]) -> float | None:
    if not durations:
        return None
    # Open episodes are infinite: they rank last, and a median that falls among them is not known.
    ordered = sorted(durations)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2.0
    return middle if math.isfinite(middle) else None
