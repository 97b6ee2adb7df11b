"""`deai doctor`: every source in use asked once, side by side, with a short patience."""

from __future__ import annotations

from typing import Final

from indexer.config import Settings
from indexer.live.health import Examination, examine
from indexer.live.upstream import upstream_of
from indexer.sources.http import Timeouts
from indexer.times import to_us, utc_now

PATIENCE: Final = Timeouts(connect=3.0, read=5.0, total=6.0, patience=0.0, attempts=1)


def examine_all(settings: Settings) -> list[Examination]:
    """How each source in use is now. Never raises for a source that fails; takes some seconds at most."""
    upstream = upstream_of(settings, timeouts=PATIENCE)
    now_us = to_us(utc_now())
    try:
        return upstream.run(lambda http: examine(upstream.sources, http, now_us=now_us))
    finally:
        upstream.close()
