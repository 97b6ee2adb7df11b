"""Days of activity that some ledger still owes: read again while the ledger says that it could not be read.

A day that was read in part counts as done, so that one silent node does not hold up the others; what it lacks is asked
for with the next days. Place in the flow: the scheduled activity job asks this first.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from indexer.live.chain.activity_series import TOTAL
from indexer.live.chain.context import ChainWork
from indexer.store.read import read_metrics, read_open_quality
from indexer.times import to_us

DAY: Final = timedelta(days=1)
BACK: Final = 3  # days; nodes without an archive do not keep state for longer anyway


def owed_days(work: ChainWork, before: datetime, *, kind: str) -> list[tuple[datetime, tuple[str, ...]]]:
    """(end of the day, symbols) of the last `BACK` days before the one that ends at `before`, oldest first.

    Only tokens with an open entry of `kind` are owed anything; a day whose sum is stored is not.
    """
    unread = {row.subject.split(" ", 1)[0] for row in read_open_quality(work.store, (kind,))}
    slugs = {symbol: asset.slug for symbol, asset in work.assets().items() if asset.slug in unread}
    known = {slug: _days_of(work, slug, before) for slug in slugs.values()}
    ends = [before - back * DAY for back in range(BACK, 0, -1)]
    owed = [(end, tuple(symbol for symbol, slug in slugs.items() if to_us(end) not in known[slug])) for end in ends]
    return [(end, symbols) for end, symbols in owed if symbols]


def _days_of(work: ChainWork, slug: str, before: datetime) -> set[int]:
    """Ends of the days whose transfers are stored for the token as a whole."""
    found = read_metrics(
        work.store, subject=slug, name="transfers", since_us=to_us(before - (BACK + 1) * DAY), until_us=to_us(before)
    )
    return {int(time) for one in found if one.source == TOTAL for time in one.time_us}
