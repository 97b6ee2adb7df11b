"""How far the history is, written into its run while it works, for everybody who looks: terminal, API, page."""

from __future__ import annotations

import time
from typing import Any, Final

from indexer.live.context import Live
from indexer.live.filling import Filling
from indexer.live.plan import Plan, Stage
from indexer.live.series import least_seconds
from indexer.store.runs import write_progress

EVERY_S: Final = 2.0


class Reporter:
    """Looks at a filling after each batch of answers, and writes what it sees every two seconds."""

    def __init__(self, live: Live, run_id: int, plan: Plan) -> None:
        self._live = live
        self._run_id = run_id
        self._plan = plan
        self._written = 0.0

    def look(self, filling: Filling) -> None:
        """Write how far the filling is, unless that was done a moment ago."""
        now = time.monotonic()
        if now - self._written >= EVERY_S:
            self._written = now
            write_progress(self._live.store, self._run_id, self._seen(filling))

    def _seen(self, filling: Filling) -> dict[str, Any]:
        stages = self._plan.stages
        current = next((stage for stage in stages if _left(stage)), None)
        seconds = [max(least_seconds(_left(stage), self._live.sources).values(), default=0.0) for stage in stages]
        place = stages.index(current) if current is not None else len(stages)
        filled = filling.filled
        return {
            "stage": current.name if current is not None else "",
            "done": sum(piece.done for stage in stages for piece in stage.all),
            "of": len(self._plan.calls),
            "bars": filled.bars,
            "first_levels_s": round(seconds[0]) if place == 0 and seconds else 0,
            "left_s": round(sum(seconds)),
            "answering": sorted(filled.sources),
            "failing": {name: text for name, text in filled.failures.items() if name not in filled.sources},
        }


def _left(stage: Stage) -> list[Any]:
    return [piece.call for piece in stage.all if not piece.done]
