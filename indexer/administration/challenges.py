"""A challenge of a level: within the window after its publication, with its inputs frozen as they were then."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta

from indexer.administration.explain import explain
from indexer.arrays import to_json
from indexer.errors import InputError
from indexer.methodology.policy import Policy
from indexer.registry import Registry
from indexer.store.db import Store
from indexer.store.read_administration import read_challenges
from indexer.store.records_administration import AnnouncementRow, ChallengeRow
from indexer.store.write import finish_run, start_run
from indexer.store.write_administration import close_challenge, write_announcements, write_challenge
from indexer.times import iso, to_us


def open_challenge(
    store: Store, registry: Registry, *, index_id: str, at_us: int, reason: str, by: str, policy: Policy, now: datetime
) -> ChallengeRow:
    """The challenge, with everything the level was computed from frozen in it.

    Raises NotFoundError for the level, InputError without a reason or a name, or after the window.
    """
    said = explain(store, registry, index_id=index_id, at_us=at_us)
    published = said.revisions[0]["published_at"]
    problems = []
    if len(reason.strip()) < 10:
        problems.append("the reason must say what is doubted, in 10 characters or more")
    if not by.strip():
        problems.append("the challenger must be named")
    window = timedelta(hours=policy.challenge_window_hours)
    if now - published > window:
        problems.append(
            f"the level was published at {published.isoformat()}, more than {policy.challenge_window_hours} hours ago"
        )
    if problems:
        raise InputError("this challenge cannot be opened: " + "; ".join(problems))
    frozen = json.dumps(to_json(said), sort_keys=True)
    row = ChallengeRow(
        index_id=index_id,
        time=said.time,
        revision=said.revision,
        reason=reason,
        opened_by=by,
        opened_at=now,
        frozen=frozen,
        sha256=hashlib.sha256(frozen.encode()).hexdigest(),
    )
    number = write_challenge(store, row)
    when = iso(to_us(said.time))
    _announce(
        store,
        index_id,
        key=f"challenge:{number}:opened",
        title=f"Level of {index_id} at {when} challenged: {reason}",
        now=now,
    )
    return next(one for one in read_challenges(store, index_id=index_id) if one.id == number)


def settle_challenge(store: Store, number: int, *, outcome: str, now: datetime) -> ChallengeRow:
    """The challenge, closed with its outcome. Raises NotFoundError for its number, InputError when closed or silent."""
    if len(outcome.strip()) < 10:
        raise InputError("the outcome must say what was found, in 10 characters or more")
    close_challenge(store, number, outcome=outcome, at=now)
    row = next(one for one in read_challenges(store) if one.id == number)
    said = f"Challenge {number} of {row.index_id} at {iso(to_us(row.time))}: {outcome}"
    _announce(store, row.index_id, key=f"challenge:{number}:closed", title=said, now=now)
    return row


def frozen_holds(row: ChallengeRow) -> bool:
    """Whether the frozen inputs are those that were frozen."""
    return hashlib.sha256(row.frozen.encode()).hexdigest() == row.sha256


def _announce(store: Store, index_id: str, *, key: str, title: str, now: datetime) -> None:
    run_id = start_run(store, kind="decision", key=key, now=now)
    if run_id is not None:
        write_announcements(store, run_id, [AnnouncementRow(key, "challenge", title, now, index_id)])
        finish_run(store, run_id, now=now)
