"""Where the filling of a store stands, by its run log: one truth for the terminal, the API and the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from indexer.store.db import Store
from indexer.store.levels import has_levels
from indexer.store.runs import RUNNING, first_fill_is_open, read_runs

LATEST_S = 15.0  # a step of the levels' computation after its bars are there, roughly


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the history is. `share` is of its calls; `stage` what is being fetched; times are estimates in seconds.

    `provisional`: levels are those of a first fill that is not complete. `failing` are sources that only failed so far,
    with what they said. `sentence` says it all to people, and is empty when nothing is under way.
    """

    sentence: str
    under_way: bool
    provisional: bool
    stage: str
    done: int
    of: int
    share: float
    bars: int
    first_levels_s: int | None
    left_s: int | None
    answering: tuple[str, ...]
    failing: dict[str, str]


def standing_of(store: Store, *, now: datetime) -> Standing:
    """Where the filling stands at `now`."""
    run = next(iter(read_runs(store, kind="history", limit=1)), None)
    seen = run.detail if run is not None and run.outcome == RUNNING else {}
    provisional = first_fill_is_open(store, now=now)
    done, of = int(seen.get("done", 0)), int(seen.get("of", 0))
    share, left_s = done / of if of else 0.0, seen.get("left_s")
    first_s = None if has_levels(store) else round(seen.get("first_levels_s", 0) + LATEST_S)
    failing = {str(name): str(text) for name, text in seen.get("failing", {}).items()}
    return Standing(
        sentence=_sentence(share, first_s, left_s, provisional=provisional) if of else _waiting(provisional),
        under_way=bool(of),
        provisional=provisional,
        stage=str(seen.get("stage", "")),
        done=done,
        of=of,
        share=round(share, 4),
        bars=int(seen.get("bars", 0)),
        first_levels_s=first_s if of else None,
        left_s=left_s,
        answering=tuple(map(str, seen.get("answering", ()))),
        failing=failing,
    )


def _waiting(provisional: bool) -> str:
    return "the sources are about to be asked for history; levels are provisional until it is complete" * provisional


def _sentence(share: float, first_s: int | None, left_s: int | None, *, provisional: bool) -> str:
    said = f"history {share:.0%}".replace("%", " %")
    if first_s is not None:
        return f"{said}, first levels in about {first_s} s"
    if not left_s:
        return f"{said}, waiting for sources that failed"
    time = f"{left_s} s" if left_s < 90 else f"{round(left_s / 60)} min"
    return f"{said}, about {time} left" + ("; levels are provisional until then" if provisional else "")
