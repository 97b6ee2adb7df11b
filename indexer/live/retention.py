"""The retention job: raw answers older than `archive_days` go, with their links; the numbers they fed stay."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from indexer.live.context import Live
from indexer.live.fixing import KIND as FIXING
from indexer.store.read import last_run_before
from indexer.store.write import forget_payloads


def sweep(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Remove what is over its time, except the newest fixing's manifest, which the next fixing needs; how much."""
    before = live.clock() - timedelta(days=live.archive_days)
    newest = last_run_before(live.store, FIXING, live.clock() + timedelta(days=1))
    keep = frozenset({newest.detail["manifest"]} if newest and "manifest" in newest.detail else ())
    swept = live.archive.sweep(before_s=before.timestamp(), keep=keep)
    return {"files": swept.files, "bytes": swept.kept_bytes, "links": forget_payloads(live.store, before=before)}
