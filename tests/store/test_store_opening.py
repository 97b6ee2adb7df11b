"""Opening: which URLs are taken, what is made, what is said of the others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from seeds import seed
from sqlalchemy import text

from indexer.errors import ConfigError, InputError, StoreError
from indexer.store.administration import read_events
from indexer.store.assets import read_assets
from indexer.store.db import Store, open_store
from indexer.store.supplies import read_supplies
from indexer.store.tables import Event, Supply


def test_the_directory_of_a_new_store_is_made(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'a' / 'b' / 'deai.db'}")
    store.migrate()
    assert (tmp_path / "a" / "b" / "deai.db").is_file()
    store.close()


def test_sqlite_runs_with_wal_and_foreign_keys(sqlite_store: Store) -> None:
    with sqlite_store.reading() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert values == ["wal", 1, 1, 30_000]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", '"nonsense" is not a database URL: give sqlite:///data/deai.db or postgresql'),
        ("mysql://host/db", 'The store speaks SQLite and PostgreSQL, not "mysql": give sqlite:///… or postgresql://…'),
        ("sqlite://", "The store needs a file: give sqlite:///data/deai.db"),
    ],
)
def test_other_urls_are_refused_with_what_to_give(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(url)
    assert message in str(caught.value)


def test_a_directory_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="Cannot make the directory"):
        open_store(f"sqlite:///{tmp_path / 'file' / 'deai.db'}")


def test_a_store_without_tables_says_so(empty_url: str) -> None:
    store = open_store(empty_url)
    with pytest.raises(StoreError, match=r"has no tables yet .*; run the migration first"):
        read_assets(store)
    store.close()


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "deai.db").write_text("this is not a database, it is a letter to a friend" * 50)
    store = open_store(f"sqlite:///{tmp_path / 'deai.db'}")
    with pytest.raises(StoreError, match="file is not a database"):
        store.migrate()
    store.close()


def test_the_password_of_a_server_is_not_shown() -> None:
    store = open_store("postgresql+psycopg://deai:secret@127.0.0.1:1/deai?connect_timeout=2")
    with pytest.raises(StoreError) as caught:
        store.migrate()
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    store.close()


def test_instants_and_exact_integers_survive(store: Store) -> None:
    made = seed(store)
    at = datetime(2025, 1, 27, 21, 0, 0, 123_456, tzinfo=UTC)
    huge = 2**255 + 1
    with store.writing() as connection:
        connection.execute(
            Event.__table__.insert(),  # type: ignore[attr-defined]
            [{"slug": "e", "kind": "shock", "time": at, "title": "t", "source": "s", "detail": "{}"}],
        )
        connection.execute(
            Supply.__table__.insert(),  # type: ignore[attr-defined]
            [
                {
                    "asset_id": made.assets["fet"],
                    "kind": "total",
                    "origin": "on_chain",
                    "source": "rpc",
                    "observed_at": at,
                    "revision": 1,
                    "amount": huge,
                    "run_id": made.run_id,
                }
            ],
        )
    assert read_events(store)[0].time == at
    assert read_supplies(store)[0].amount == huge
    with store.session() as session:
        assert session.get(Event, 1).time.tzinfo is UTC  # type: ignore[union-attr]


def test_a_naive_instant_is_refused(store: Store) -> None:
    with pytest.raises((InputError, StoreError), match="has no time zone"), store.writing() as connection:
        connection.execute(
            Event.__table__.insert(),  # type: ignore[attr-defined]
            [{"slug": "e", "kind": "k", "time": datetime(2025, 1, 1), "title": "t", "source": "s", "detail": "{}"}],
        )


def test_check_constraints_hold_on_both(store: Store) -> None:
    made = seed(store)
    sql = "INSERT INTO bar (listing_id, time, revision, close, run_id) VALUES (:l, 1, 1, -1.0, :r)"
    with pytest.raises(StoreError, match="Nothing of this step was kept"), store.writing() as connection:
        connection.execute(text(sql), {"l": made.listings[0], "r": made.run_id})
