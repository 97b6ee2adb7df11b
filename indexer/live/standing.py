"""Where the filling of a store and its sources stand, by its logs: one truth for terminal, API and page.

The first fill of a fresh store is a run of the kind `first-fill`: its `due_at` is when it began, and it is done when
nothing is owed any more. Until then, a day at most, levels are provisional; then they are computed again from all
quotes and become official in one run.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from indexer.store.db import Store
from indexer.store.levels import has_levels
from indexer.store.rows import RunRow
from indexer.store.runs import (
    CLOCK,
    DONE,
    FIRST_FILL,
    HISTORY,
    RUNNING,
    finish_run,
    first_fill_is_open,
    newest_instant,
    read_runs,
    start_run,
)
from indexer.times import iso, to_us

BOUND = timedelta(minutes=5)  # beyond any step of a time server, below any interval of ours
WAITING = "the sources are about to be asked for history; levels are provisional until it is complete"
LATEST_S = 15.0  # a step of the levels' computation after its bars are there, roughly


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the history is."""

    sentence: Annotated[str, "For people; empty when nothing is under way"]
    under_way: bool
    provisional: Annotated[bool, "Levels are of a first filling that is not complete"]
    stage: Annotated[str, "What is being fetched"]
    done: Annotated[int, "Calls that are behind us"]
    of: Annotated[int, "Calls in all"]
    share: float
    calls_per_s: Annotated[float, "Calls behind us a second, just now"]
    bars: Annotated[int, "Bars written so far"]
    first_levels_s: Annotated[int | None, "Estimated seconds until the first levels; null when they are there"]
    left_s: Annotated[int | None, "Estimated seconds until all is there"]
    answering: tuple[str, ...]
    failing: Annotated[dict[str, str], "Sources that only failed so far, and what they said"]
    clock_suspect: Annotated[str, "Why the machine's clock is doubted and no scheduled work done; or empty"]


@dataclass(frozen=True, slots=True)
class LiveLevel:
    """An index now. `carried_weight` has no price of now but the last official one; `three_venues` is the weight that
    three venues or more price; `since_fixing` the return since the newest official level, which is of `fixed_at`."""

    index: str
    simulated: bool
    time: datetime
    age_s: float
    level: float
    final: bool
    carried_weight: float
    three_venues: float
    venues: tuple[str, ...]
    fixed_at: datetime
    since_fixing: float


class SourceState(StrEnum):
    """not_used by the settings; not_asked yet; answering; or down: an entry of the data-quality log is open."""

    NOT_USED = "not_used"
    NOT_ASKED = "not_asked"
    ANSWERING = "answering"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One upstream. `fixing` says whether it may enter a reference rate; aggregators never do."""

    name: str
    title: str
    kind: Annotated[str, "venue, aggregator, market, derivatives or sentiment"]
    datasets: tuple[str, ...]
    intervals: Annotated[tuple[str, ...], "Intervals of its bars"]
    licence: Annotated[str, "commercial-ok, non-commercial or display-only, as the provider states it"]
    fixing: bool
    in_use: bool
    opt_in: Annotated[bool, "Used only when named in the settings"]
    extra: Annotated[str, "The extra to install for it, or empty"]
    has_key: Annotated[bool, "Whether a key is set; the key itself is never shown"]
    key_adds: str
    loses: Annotated[str, "What the index lacks without it"]
    limit: Annotated[str, "The rate limit we keep to, and why"]
    notes: str
    docs: str
    state: SourceState
    down_since: datetime | None
    said: Annotated[str, "What it said when it failed, while it is down"]
    troubles: Annotated[int, "Symbols of it that fail while others answer"]
    last_answer: Annotated[datetime | None, "When it last gave something that was used"]


def standing_of(store: Store, *, now: datetime) -> Standing:
    """Where the filling stands at `now`."""
    run = next(iter(read_runs(store, kind=HISTORY, limit=1)), None)
    seen = run.detail if run is not None and run.outcome == RUNNING else {}
    provisional = first_fill_is_open(store, now=now)
    done, of = int(seen.get("done", 0)), int(seen.get("of", 0))
    share, left_s = done / of if of else 0.0, seen.get("left_s")
    first_s = None if has_levels(store) else round(seen.get("first_levels_s", 0) + LATEST_S)
    failing = {str(name): str(text) for name, text in seen.get("failing", {}).items()}
    return Standing(
        sentence=_sentence(share, first_s, left_s, provisional=provisional) if of else WAITING * provisional,
        under_way=bool(of),
        provisional=provisional,
        stage=str(seen.get("stage", "")),
        done=done,
        of=of,
        share=round(share, 4),
        calls_per_s=float(seen.get("calls_per_s", 0.0)),
        bars=int(seen.get("bars", 0)),
        first_levels_s=first_s if of else None,
        left_s=left_s,
        answering=tuple(map(str, seen.get("answering", ()))),
        failing=failing,
        clock_suspect=clock_doubt(store, now=now),
    )


def begin_first_fill(store: Store, *, now: datetime) -> bool:
    """Whether the store is being filled for the first time; begun here when it has neither levels nor history."""
    if first_fill_is_open(store, now=now):
        return True
    if has_levels(store) or read_runs(store, kind=FIRST_FILL, limit=1) or read_runs(store, kind=HISTORY, limit=1):
        return False
    return start_run(store, kind=FIRST_FILL, key=FIRST_FILL, now=now, due_at=now) is not None


def end_first_fill(store: Store, owed: Collection[str], *, now: datetime) -> bool:
    """Close an open first fill to which nothing is owed; whether it was closed now."""
    runs = read_runs(store, kind=FIRST_FILL, limit=1)
    if owed or not runs or runs[0].outcome == DONE:
        return False
    finish_run(store, runs[0].id, now=now, detail={})
    return True


def _sentence(share: float, first_s: int | None, left_s: int | None, *, provisional: bool) -> str:
    said = f"history {int(100 * share + 1e-9)} %"  # 100 % only when it is
    if first_s is not None:
        return f"{said}, first levels in about {first_s} s"
    if share == 1.0:
        return f"{said}, levels are being computed"
    if not left_s:
        return f"{said}, waiting for sources that failed"
    time = f"{left_s} s" if left_s < 90 else f"{round(left_s / 60)} min"
    return f"{said}, about {time} left" + ("; levels are provisional until then" if provisional else "")


def clock_doubt(store: Store, *, now: datetime) -> str:
    """Why the clock is doubted, by the run log and by this process's own; empty while it is not."""
    newest = newest_doubt(store)
    if newest is not None and newest.outcome == RUNNING:
        return str(newest.detail.get("doubt", ""))
    return behind(store, now)


def accept_clock(store: Store, *, now: datetime) -> str:
    """Ends the doubt by a person's word; what it was. The clock is believed until it leaps again."""
    doubt = clock_doubt(store, now=now)
    run = start_run(store, kind=CLOCK, key=f"{CLOCK}:{iso(to_us(now))}", now=now)
    if run is not None:
        finish_run(store, run, now=now, detail={"accepted": doubt})
    return doubt


def newest_doubt(store: Store) -> RunRow | None:
    """The newest entry of the run log about the clock: doubted (running), ended or accepted."""
    return next(iter(read_runs(store, kind=CLOCK, limit=1)), None)


def behind(store: Store, now: datetime) -> str:
    """That the clock is behind what was entered already; empty when it is not."""
    newest = newest_instant(store)
    if newest is None or newest <= now + BOUND:
        return ""
    return f"the run log reaches {newest:%Y-%m-%d %H:%M} UTC, the clock of this machine says {now:%Y-%m-%d %H:%M}"
