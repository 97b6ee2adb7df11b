"""Which supply readings act: a step that nothing acknowledges waits, and the reading before it goes on and ages. Pure.

A step is a change of more than 20 % from one reading to the next within 31 days, in longer gaps in proportion (100
days allow 64.5 %). It acts once it is acknowledged: by the reading's own statement, by an event between the two, or
by another provider that gives the same kind of figure within 5 %. Each is judged by what was known at its instant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from indexer.times import DAY_US

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
