"""Figures that were told of an event, each put against the stored data, with the difference said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from indexer.errors import DeaiError, NotEnoughDataError
from indexer.store.db import Store
from indexer.studies.catalogue import Claim, Event
from indexer.studies.drawdowns import AnalogueRow, compare_episodes
from indexer.studies.series import benchmark_series
from indexer.studies.stress import LIQUIDATION, NOTHING, stored_stress
from indexer.times import iso

Measure = Callable[..., tuple[float, str]]


@dataclass(frozen=True, slots=True)
class CheckedClaim:
    """`told` beside `measured`, fractions or dollars; `difference` is in points of percent, or relative for dollars.

    `basis` says what was measured, or why nothing could be.
    """

    text: str
    told: float
    measured: float | None
    difference: float | None
    basis: str


def check_claims(store: Store, event: Event) -> tuple[CheckedClaim, ...]:
    """Every claim of an event against the data. What cannot be measured says why."""
    measures: dict[str, Measure] = {
        "return": partial(_session_return, store, event),
        "long_share": partial(_long_share, store, event),
        "episode": partial(_episode, cache(partial(_pullback, store))),
    }
    return tuple(_checked(claim, measures) for claim in event.claims)


def _checked(claim: Claim, measures: Mapping[str, Measure]) -> CheckedClaim:
    kind, *words = claim.measure.split()
    try:
        measured, basis = measures[kind](*words)
    except (KeyError, TypeError):  # another word, or not as many of them as the measure takes
        basis = f'"{claim.measure}" is no measure; use "return NQ=F", "long_share btc", "episode peak btc FROM TO"'
        return CheckedClaim(claim.text, claim.told, None, None, basis)
    except DeaiError as error:
        return CheckedClaim(claim.text, claim.told, None, None, f"not measured: {error}")
    # Levels are compared by their ratio, returns and shares by their difference.
    difference = measured / claim.told - 1.0 if abs(claim.told) > 1.0 else measured - claim.told
    return CheckedClaim(claim.text, claim.told, measured, difference, basis)


def _session_return(store: Store, event: Event, name: str) -> tuple[float, str]:
    """`return NQ=F`: the simple return of a benchmark's session that holds the event."""
    series = benchmark_series(store, name)
    row = int(np.searchsorted(series.times_us, event.at_us))
    if not 0 < row < len(series.times_us):
        raise NotEnoughDataError(f"{series.name} has no session of {iso(event.at_us)}")
    start, end = int(series.times_us[row - 1]), int(series.times_us[row])
    whole = f"{series.name} from {iso(start)} to {iso(end)}: a whole session, as no hours of it are stored"
    return float(series.values[row] / series.values[row - 1] - 1.0), whole


def _long_share(store: Store, event: Event, subject: str) -> tuple[float, str]:
    """`long_share btc`: the longs among the forced closures from the event's begin to its end, in dollars."""
    readings = stored_stress(store, subject, since_us=event.at_us, until_us=event.until_us + 1)
    long, short = (float(readings.get(side, NOTHING)[1].sum()) for side in LIQUIDATION)
    if not long + short:
        raise NotEnoughDataError("the store holds no liquidations of these hours")
    return long / (long + short), f"liquidations of {subject} from {iso(event.at_us)} to {iso(event.until_us)}"


def _episode(
    pullback: Callable[[str, str, str], AnalogueRow], point: str, subject: str, first: str, last: str
) -> tuple[float, str]:
    """`episode peak btc 2024-01-08 2024-01-15`: of the pullback whose peak lies in that span, by the hour.

    `peak`, `trough`, or `high`: the highest within 60 days of the trough.
    """
    row = pullback(subject, first, last)
    episode = row.analogue.episode
    if episode is None or row.high is None or row.high_us is None:
        raise NotEnoughDataError(row.analogue.reason or f"{subject} has no pullback from {first} to {last}")
    level, at_us = {
        "peak": (episode.peak_level, episode.peak_us),
        "trough": (episode.trough_level, episode.trough_us),
        "high": (row.high, row.high_us),
    }[point]
    return level, f"{point} of {subject} by the hour, {iso(at_us)}"


def _pullback(store: Store, subject: str, first: str, last: str) -> AnalogueRow:
    return compare_episodes(store, [subject], episodes={"": (first, last)}, bar="hourly").rows[0]
