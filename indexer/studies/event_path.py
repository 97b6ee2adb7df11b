"""How abnormal returns accumulate through an event's window, with the band that the forecast error gives each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.analytics.catalogue import Event
from indexer.analytics.event_study import EventWindows, event_row, event_study
from indexer.arrays import F64, I64
from indexer.errors import NotEnoughDataError
from indexer.store.db import Store
from indexer.studies.frame import make_frame
from indexer.studies.series import benchmark_series, subject_series

PATH_END = -11


@dataclass(frozen=True, slots=True)
class EventPath:
    """(T,) intervals about the event, their ends, and the cumulated return from the first: plain, abnormal, band."""

    subject: str
    factors: tuple[str, ...]
    step: I64
    times_us: I64
    raw: F64
    car: F64
    low: F64
    high: F64


def event_path(
    store: Store,
    subject: str,
    event: Event,
    *,
    factors: Sequence[str],
    first: int = -5,
    last: int = 20,
    length: int = 120,
) -> EventPath:
    """The path of a subject about an event at the exchange's closes. Raises NotEnoughDataError with the reason."""
    import numpy as np

    frame = make_frame(store, subject_series(store, subject), [benchmark_series(store, name) for name in factors])
    row = event_row(frame.times_us, at_us=event.at_us)
    if row is None:
        raise NotEnoughDataError(f'event "{event.id}" lies outside the returns that {subject} and its factors share')
    made = []
    for step in range(first, last + 1):
        found = event_study(
            frame.y, frame.x, row=row, windows=EventWindows(first, step, length, min(PATH_END, first - 1))
        )
        if found.car is None:
            break
        raw = float(frame.y[row + first : row + step + 1].sum())
        made.append((step, int(frame.times_us[row + step]), raw, found.car, found.car_low, found.car_high))
    if not made:
        raise NotEnoughDataError(f"{subject} has no abnormal return about {event.id}: {found.reason}")
    columns = list(zip(*made, strict=True))
    numbers = [np.array(column, dtype=np.float64) for column in columns[2:]]
    steps, times = (np.array(column, dtype=np.int64) for column in columns[:2])
    return EventPath(frame.subject, frame.benchmarks, steps, times, *numbers)
