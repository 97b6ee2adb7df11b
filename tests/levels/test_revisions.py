"""A store that a program of each released revision wrote is upgraded: same levels, verified, carried on, taken back.

`revisions/0001.sql` … hold the rows of one world as the program of that revision stored them, seals and all (before
0004 without its last day: what is impaired there was not known); a revision without a file stored what the one before
it did. What all stored alike is in `every.sql`. Before a revision is released `python tests/levels/test_revisions.py`
writes the head's.
"""

from __future__ import annotations

import itertools
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from small import Small, small

from indexer.store.administration import read_alert_messages, read_alert_states, write_alert_state
from indexer.store.db import current, downgrade, head, open_store, revisions, upgrade
from indexer.store.indices import read_notes
from indexer.store.tables import AlertMessage, AlertState

ROWS = Path(__file__).with_name("revisions")
EVERY = ROWS / "every.sql"
LEVELS = [1000.0, 1000.336575, 1000.673151, 1001.009726, 1001.346301, 1001.682877, 1024.459792, 1048.486702]
DAYS = [f"2023-12-{day}T00:00:00Z" for day in range(24, 32)] + [f"2024-01-0{day}T00:00:00Z" for day in range(1, 7)]


def world(folder: Path) -> Small:
    """Two tokens, two venues, a correction that is deferred, and a day on which one token has no price."""
    made = small(folder)
    made.bars("aaa", {day: 2.0 + 0.01 * n for n, day in enumerate(DAYS)}, interval="1d")
    made.bars("aaa", {day: 2.002 + 0.01 * n for n, day in enumerate(DAYS)}, venue="other", interval="1d")
    made.bars("bbb", {day: 5.0 - 0.02 * n for n, day in enumerate(DAYS)}, interval="1d")
    for slug in ("aaa", "bbb"):
        made.supplies(slug, {"2023-12-10": 1_000_000.0})
    made.update()
    made.bars("aaa", {DAYS[-1]: 2.2}, interval="1d")
    made.bars("bbb", {DAYS[-1]: 4.7}, interval="1d")
    made.update()
    made.bars("aaa", {"2024-01-07T00:00:00Z": 2.2, "2024-01-08T00:00:00Z": 2.3}, interval="1d")
    made.bars("bbb", {"2024-01-07T00:00:00Z": 4.8}, interval="1d")
    made.update()
    at = datetime(2024, 1, 8, 0, 1, tzinfo=UTC)
    message = AlertMessage(
        webhook_id="msg_a", target="desk", rule="calm", created_at=at, text="small is above 1040",
        body='{"type":"level"}', tries=2, due_at=at + timedelta(minutes=5), answer="503",
    )  # fmt: skip
    stands = AlertState(rule="calm", subject="small", side="above", seen=1_704_672_000_000_000)
    assert write_alert_state(made.store, before=None, after=stands, messages=[message])
    return made


def stored_levels(path: Path) -> list[float]:
    connection = sqlite3.connect(path)
    rows = connection.execute("select max(revision), level from level group by time order by time").fetchall()
    connection.close()
    return [level for _, level in rows]


@pytest.mark.parametrize("revision", revisions())
def test_a_store_of_each_revision_is_upgraded_verified_carried_on_and_taken_back(tmp_path: Path, revision: str) -> None:
    path = tmp_path / "small.sqlite"
    store = open_store(f"sqlite:///{path}")
    upgrade(store, revision)
    connection = sqlite3.connect(path)
    own = max(file for file in ROWS.glob("0*.sql") if file.stem <= revision)
    connection.executescript(EVERY.read_text() + own.read_text())
    connection.close()
    store.migrate()
    assert current(store) == head()
    levels, notes = (LEVELS, ["impaired"]) if revision >= "0004" else (LEVELS[:-1], [])
    made = Small(store, numbers=itertools.count(100), now=datetime(2024, 7, 1, tzinfo=UTC))
    assert made.levels().levels.tolist() == levels
    assert made.verified() == ""
    assert [note.kind for note in read_notes(store, "small")] == notes
    assert read_notes(store, "small", as_of_us=1_717_200_540_000_000) == [], "before the run that wrote it"
    alerts = [(one.rule, one.tries, one.answer) for one in read_alert_messages(store, limit=9)]
    assert alerts == ([("calm", 2, "503")] if revision >= "0007" else [])
    assert list(read_alert_states(store)) == ([("calm", "small")] if revision >= "0007" else [])
    for slug, close in (("aaa", 2.3), ("bbb", 4.8)):
        made.bars(slug, {"2024-01-09T00:00:00Z": close}, interval="1d")
    [index] = made.update().indices
    assert (index.new, index.restated) == (1, 0)
    assert made.levels().levels.tolist()[:-1] == levels
    assert made.verified() == ""
    downgrade(store, revision)
    store.check_whole()
    store.close()
    assert stored_levels(path)[:-1] == levels, "the reverse loses what newer revisions added, no level"


def written(folder: Path) -> str:
    connection = sqlite3.connect(folder / "small.sqlite")
    own = ('INSERT INTO "alembic_version"', 'INSERT INTO "data_version"')  # what migrations write
    statements = [line for line in connection.iterdump() if line.startswith("INSERT") and not line.startswith(own)]
    connection.close()
    return "".join(f"{line}\n" for line in statements if line not in EVERY.read_text())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        world(Path(place)).store.close()
        (ROWS / f"{head()}.sql").write_text(written(Path(place)))
        sys.stdout.write(f"wrote the rows of {head()}\n")
