"""How far the history is, written into its run while it works, for everybody who looks: terminal, API, page."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any, Final

from indexer.live.context import Live
from indexer.live.filling import Filling
from indexer.live.plan import Plan
from indexer.live.series import least_seconds
from indexer.live.walk import Piece
from indexer.sources.base import limit_of
from indexer.sources.http import HostLimit, HttpClient
from indexer.store.runs import write_progress

EVERY_S: Final = 2.0


class Reporter:
    """Looks at a filling after each batch of answers, and writes what it sees every two seconds."""

    def __init__(self, live: Live, run_id: int, plan: Plan) -> None:
        self._live = live
        self._run_id = run_id
        self._plan = plan
        self._written = time.monotonic() - EVERY_S
        self._done = 0

    def look(self, filling: Filling, *, last: bool = False) -> None:
        """Write how far the filling is, unless that was done a moment ago; a `last` look is always written."""
        now = time.monotonic()
        if last or now - self._written >= EVERY_S:
            write_progress(self._live.store, self._run_id, self._seen(filling, now - self._written))
            self._written = now

    def _seen(self, filling: Filling, seconds: float) -> dict[str, Any]:
        stages, filled = self._plan.stages, filling.filled
        failing = {name: text for name, text in filled.failures.items() if name not in filled.sources}
        done = sum(piece.done for stage in stages for piece in stage.all)
        calls_per_s, self._done = (done - self._done) / max(seconds, 1.0), done
        left = [piece for stage in stages for piece in stage.all if not piece.done]
        first = [piece for piece in left if piece.rank < 2] if stages and filling.stage == stages[0].name else []
        return {
            "stage": filling.stage,
            "done": done,
            "of": len(self._plan.calls),
            "calls_per_s": round(calls_per_s, 1),
            "bars": filled.bars,
            "first_levels_s": self._least_s(first, without=failing),
            "left_s": self._least_s(left, without=failing),
            "answering": sorted(filled.sources),
            "failing": failing,
        }

    def _least_s(self, pieces: Sequence[Piece], *, without: Collection[str]) -> int:
        """The seconds that these pieces take at least, of sources that answer; they work side by side."""
        calls = [piece.call for piece in pieces if piece.call.source not in without]
        return round(max(least_seconds(calls, self._live.sources, self._limits()).values(), default=0.0))

    def _limits(self) -> dict[str, HostLimit]:
        """Each source's limit as it was learnt from the answers so far."""
        names = {limit_of(source, name) for name, source in self._live.sources.items()}

        async def ask(http: HttpClient) -> dict[str, HostLimit]:
            return {name: http.health(name).pace for name in names}

        return self._live.upstream.run(ask)
