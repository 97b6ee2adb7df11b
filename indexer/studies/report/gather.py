"""Everything the report says, computed once from the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.arrays import F64, I64
from indexer.errors import NotEnoughDataError, NotFoundError
from indexer.store.db import Store
from indexer.store.indices import read_index, read_indices
from indexer.store.rows import IndexRow
from indexer.studies.attribution import AttributionStudy, study_attribution
from indexer.studies.beta import BENCHMARKS, BetaHistory, beta_history
from indexer.studies.breadth import BreadthStudy, study_breadth
from indexer.studies.breaks import BreakStudy, study_breaks
from indexer.studies.catalogue import Event, find_event, load_events
from indexer.studies.compare import BetaComparison, compare_betas
from indexer.studies.drawdowns import AnalogueTable, DrawdownStudy, compare_episodes, regular, study_drawdowns
from indexer.studies.events import TWO_FACTORS, EventPath, EventStudy, event_path, study_event
from indexer.studies.series import Series, benchmark_series, subject_series
from indexer.studies.stress import StressStudy, stored_stress, study_stress
from indexer.times import DAY_US

COMPARED = (*BENCHMARKS, "SMH")
BESIDE = "btc"
AROUND_US = (8 * DAY_US, 12 * DAY_US)
STRESS_DAYS = (4, 5)
ANALOGUE_DAYS = 120
STEPS = 7


@dataclass(frozen=True, slots=True)
class Line:
    """A named line of a chart: instants or days on x, values on y."""

    name: str
    x: I64
    y: F64


@dataclass(frozen=True, slots=True)
class Gathered:
    """The studies of one report. A study that the data does not allow is None, with its reason in `missing`."""

    index: IndexRow
    event: Event
    study: EventStudy
    closes: dict[str, float]
    around: tuple[Line, ...]
    paths: tuple[EventPath, ...]
    attribution: AttributionStudy
    rolling: BetaHistory
    comparison: BetaComparison
    breaks: tuple[BreakStudy, ...]
    analogues: AnalogueTable
    analogue_lines: tuple[Line, ...]
    drawdowns: DrawdownStudy
    breadth: tuple[BreadthStudy, BreadthStudy]
    stress: StressStudy
    last_us: int
    missing: tuple[str, ...]


def gather(
    store: Store, index_id: str, event_id: str, *, data_dir: Path | None, progress: Callable[[int, int], None]
) -> Gathered:
    """Runs the studies. Raises NotFoundError for a name, NotEnoughDataError where the event itself has no data."""
    index = read_index(store, index_id)
    events = load_events(store, data_dir)
    event = find_event(events, event_id)
    study = study_event(store, index_id, event, events=events)
    progress(1, STEPS)
    start, end = study.interval_start_us, study.interval_end_us
    own = subject_series(store, index_id)
    others = [benchmark_series(store, name) for name in COMPARED]
    paths = tuple(event_path(store, index_id, event, factors=names) for names in (("QQQ",), TWO_FACTORS))
    progress(2, STEPS)
    comparison = compare_betas(store, [index_id], COMPARED, sessions=250, end_us=end)
    progress(3, STEPS)
    missing: list[str] = []
    breaks = _breaks(store, index_id, event, missing)
    progress(4, STEPS)
    analogues = compare_episodes(store, [BESIDE, index_id], bar="hourly")
    lines = _analogue_lines(store, analogues)
    progress(5, STEPS)
    days = (start // DAY_US * DAY_US, (end // DAY_US + 1) * DAY_US)
    breadth = (study_breadth(store, index_id, at_us=days[0]), study_breadth(store, index_id, at_us=days[1]))
    progress(6, STEPS)
    return Gathered(
        index, event, study, {series.name: _move(series, start, end) for series in others},
        _around(own, [subject_series(store, BESIDE), *others[:2]], event, base_us=start), paths,
        attribution=study_attribution(store, index_id, start_us=start, end_us=end),
        rolling=beta_history(store, index_id, "QQQ", sessions=90),
        comparison=comparison,
        breaks=breaks,
        analogues=analogues,
        analogue_lines=lines,
        drawdowns=study_drawdowns(store, index_id),
        breadth=breadth,
        stress=_stress(store, index_id, event),
        last_us=int(own.times_us[-1]),
        missing=tuple(missing),
    )  # fmt: skip


def _breaks(store: Store, index_id: str, event: Event, missing: list[str]) -> tuple[BreakStudy, ...]:
    studies = []
    for name in [index_id, *(row.id for row in read_indices(store) if row.id != index_id)]:
        try:
            studies.append(study_breaks(store, name, "QQQ", at_us=event.at_us))
        except (NotEnoughDataError, NotFoundError) as error:
            missing.append(f"no before and after of {name}: {error}")
    return tuple(studies)


def _stress(store: Store, index_id: str, event: Event) -> StressStudy:
    """Whole days about the event's."""
    midnight = event.at_us // DAY_US * DAY_US
    first, last = midnight - STRESS_DAYS[0] * DAY_US, midnight + STRESS_DAYS[1] * DAY_US
    readings = stored_stress(store, BESIDE, since_us=first - DAY_US, until_us=last + 1)
    return study_stress(store, index_id, readings, start_us=first, end_us=last, subject=BESIDE)


def _move(series: Series, start_us: int, end_us: int) -> float:
    """Simple return between two instants at which the series is known; NaN where it is not."""
    rows = np.searchsorted(series.times_us, [start_us, end_us])
    known = rows[1] < len(series.times_us) and list(series.times_us[rows]) == [start_us, end_us]
    return float(series.values[rows[1]] / series.values[rows[0]] - 1.0) if known else float("nan")


def _around(own: Series, others: list[Series], event: Event, *, base_us: int) -> tuple[Line, ...]:
    """Hours of the index and BTC, closes of the rest, each 100 where the event's interval begins."""
    lines = []
    for series in [regular(own, "hourly"), *others]:
        inside = (series.times_us >= event.at_us - AROUND_US[0]) & (series.times_us <= event.at_us + AROUND_US[1])
        times, values = series.times_us[inside], series.values[inside]
        before = np.flatnonzero(times <= base_us)
        if len(before):
            lines.append(Line(series.name, times, 100.0 * values / values[before[-1]]))
    return tuple(lines)


def _analogue_lines(store: Store, table: AnalogueTable) -> tuple[Line, ...]:
    """Each episode from its peak on, in days and percent of the peak."""
    lines = []
    for row in table.rows:
        episode = row.analogue.episode
        if episode is None:
            continue
        series = regular(subject_series(store, row.subject), "hourly")
        inside = (series.times_us >= episode.peak_us) & (series.times_us <= episode.peak_us + ANALOGUE_DAYS * DAY_US)
        times, values = series.times_us[inside][::6], series.values[inside][::6]
        lines.append(
            Line(f"{row.subject}, {row.analogue.name[:7]}", times - episode.peak_us, 100.0 * values / values[0])
        )
    return tuple(lines)
