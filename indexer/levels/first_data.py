"""Is what came since the last update the *first* data of something, reaching back into published history?

A newcomer imports files in any order. For some hours after an index's first publication (`policy.setup_hours`)
the first prices or supplies of a token, or more of them before or after those known, rebuild its history, so that
the order does not matter. Corrections and rows in between never do: they go by the restatement policy.
"""

from __future__ import annotations

from sqlalchemy import text

from indexer.store.db import Store

BARS = """
SELECT a.slug FROM (
  SELECT listing_id,
         min(CASE WHEN run_id IN ({new}) THEN time END) AS new_first,
         min(CASE WHEN run_id NOT IN ({new}) THEN time END) AS old_first,
         max(CASE WHEN run_id NOT IN ({new}) THEN time END) AS old_last,
         max(CASE WHEN run_id IN ({new}) AND time <= :until THEN time END) AS new_last
  FROM bar GROUP BY listing_id
) s JOIN listing l ON l.id = s.listing_id JOIN asset a ON a.id = l.asset_id
WHERE new_first <= :until AND (old_first IS NULL OR new_first < old_first OR new_last > old_last)
"""
SUPPLIES = """
SELECT a.slug FROM (
  SELECT asset_id, kind, source,
         min(CASE WHEN run_id IN ({new}) THEN observed_at END) AS new_first,
         min(CASE WHEN run_id NOT IN ({new}) THEN observed_at END) AS old_first,
         max(CASE WHEN run_id NOT IN ({new}) THEN observed_at END) AS old_last,
         max(CASE WHEN run_id IN ({new}) AND observed_at <= :until THEN observed_at END) AS new_last
  FROM supply GROUP BY asset_id, kind, source
) s JOIN asset a ON a.id = s.asset_id
WHERE new_first <= :until AND (old_first IS NULL OR new_first < old_first OR new_last > old_last)
"""
NEW_RUNS = "SELECT id FROM run WHERE kind != 'update' AND started_at > :since"


def first_data_since(store: Store, since_us: int, *, until_us: int) -> list[str]:
    """Slugs of assets whose first data came in runs started after `since_us` and is true at or before `until_us`."""
    params = {"since": since_us, "until": until_us}
    with store.reading() as connection:
        if connection.execute(text(NEW_RUNS + " LIMIT 1"), params).first() is None:
            return []
        found = [
            slug
            for query in (BARS, SUPPLIES)
            for (slug,) in connection.execute(text(query.format(new=NEW_RUNS)), params)
        ]
    return sorted(set(found))
