"""The retention job: raw answers older than `archive_days` go, with their links; the numbers they fed stay.

Imported files stay: they are few, and nobody can be asked for them again. What instant a sweep reached back to is in
its run (`before`), so that `verify` can tell an answer whose time was over from one that was taken away.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from indexer.live.context import Live
from indexer.live.fixing import KIND as FIXING
from indexer.store.read import kept_for_good, last_run_before
from indexer.store.write import forget_payloads


def sweep(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Remove what is over its time, except imported files and the newest fixing's manifest, which the next fixing
    needs; how much."""
    before = live.clock() - timedelta(days=live.archive_days)
    newest = last_run_before(live.store, FIXING, live.clock() + timedelta(days=1))
    keep = {newest.detail["manifest"]} if newest and "manifest" in newest.detail else set()
    keep |= kept_for_good(live.store)
    swept = live.archive.sweep(before_s=before.timestamp(), keep=keep)
    links = forget_payloads(live.store, before=before)
    return {"before": before.isoformat(), "files": swept.files, "bytes": swept.kept_bytes, "links": links}
