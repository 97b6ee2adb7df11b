"""The level that lives, for everyone who listens: made when the first asks, and asked of the venues only then."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from indexer.config import Settings
from indexer.store.db import Store
from indexer.times import Clock

if TYPE_CHECKING:
    from indexer.live.live_level import LiveLevel
    from indexer.live.ticker import Ticker


class LiveFeed:
    """The live levels of one application. Safe for several threads; asks nobody until somebody asks it."""

    def __init__(self, store: Store, settings: Settings, *, clock: Clock) -> None:
        self._store, self._settings, self._clock = store, settings, clock
        self._ticker: Ticker | None = None
        self._lock = threading.Lock()

    def level(self, index_id: str) -> LiveLevel:
        """The live level of an index. Raises as `Ticker.level`, and ConfigError for settings that do not hold."""
        with self._lock:
            if self._ticker is None:
                self._ticker = self._made()
        return self._ticker.level(index_id)

    def _made(self) -> Ticker:
        # The HTTP client comes with it: not on the way to the first answer.
        from indexer.levels.versions import registry_for
        from indexer.live.context import live_of
        from indexer.live.ticker import Ticker
        from indexer.live.upstream import upstream_of
        from indexer.sources.http import Timeouts

        registry = registry_for(self._store, self._settings)
        quick = Timeouts(connect=1.5, read=2.5, total=3.0, patience=0.0, attempts=1)  # a dark venue holds up nobody
        upstream = upstream_of(self._settings, clock=self._clock, timeouts=quick)
        return Ticker(live_of(self._store, self._settings, registry=registry, upstream=upstream, clock=self._clock))

    def close(self) -> None:
        """Close the connections to the venues, where there are any."""
        with self._lock:
            if self._ticker is not None:
                self._ticker.live.upstream.close()
                self._ticker = None
