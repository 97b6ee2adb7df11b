"""Backups are consistent while others write; released migrations never change; foreign revisions are told."""

from __future__ import annotations

import tarfile
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from seeds import START

from indexer.errors import InputError, StoreError
from indexer.store.archive import Archive
from indexer.store.backup import restore_backup, write_backup
from indexer.store.db import MIGRATIONS, open_store, revisions
from indexer.store.runs import finish_run, read_runs, start_run
from indexer.store.seals import altered_rows, seal_runs

# Of a released revision not a byte changes: what was migrated by it would not be what others are migrated to.
RELEASED = {
    "0001_the_first_tables": "8546780512da7b78a86772589e31664c805e97423bc15efbd45da7e99c185207",
    "0002_perpetual_weight": "cd3decc1c01aa2efb38dcf0ec359f38c20441ec22769584b7e97ff98ab7adfcb",
    "0003_supply_age": "124497a8d0652a06b294a7c3debebd658f0a8a621143a3c0d44c44e6a59a44f0",
    "0004_health": "9b1219c90c8c54292d9f17a6d5f833d868e0a9d5fbef4f5d44aefd6004fa491a",
    "0005_note_revisions": "478170f4d79d59fb127932d9622a092fd8c62a34e616683229eb8e9205c2b81d",
}


def test_released_migrations_are_as_they_were_released() -> None:
    folder = MIGRATIONS / "versions"
    hashes = {path.stem: sha256(path.read_bytes()).hexdigest() for path in folder.glob("[0-9]*.py")}
    assert {name: hashes.get(name) for name in RELEASED} == RELEASED
    assert sorted(hashes)[: len(RELEASED)] == sorted(RELEASED), "new ones follow, none comes between"


def test_a_backup_taken_while_others_write_is_whole_and_restores(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = open_store(f"sqlite:///{folder / 'deai.sqlite'}")
    store.migrate()
    archive, over = Archive(folder / "archive"), threading.Event()
    archive.put(b"an answer")
    (folder / "keys.json").write_text("[]")
    (folder / "alerts.toml").write_text("# mine")
    (folder / "owner.token").write_text("secret")

    def write() -> None:
        number = 0
        while not over.is_set():
            archive.put(b"answer %d" % number)
            run = start_run(store, kind="x", key=f"x:{number}", now=START)
            assert run is not None
            finish_run(store, run, now=START)
            seal_runs(store)
            number += 1

    writing = threading.Thread(target=write)
    writing.start()
    backups = [tmp_path / f"{number}.tar" for number in range(3)]
    try:
        for path in backups:
            assert write_backup(store, folder, path) == path.stat().st_size
    finally:
        over.set()
        writing.join()
    store.close()
    for path in backups:
        place = tmp_path / f"restored-{path.stem}"
        restore_backup(path, place)
        restored = open_store(f"sqlite:///{place / 'deai.sqlite'}")
        restored.migrate()
        restored.check_whole()
        assert altered_rows(restored) == []
        kept = set(Archive(place / "archive").names())
        assert sha256(b"an answer").hexdigest() in kept and len(kept) >= len(read_runs(restored))
        assert (place / "keys.json").exists() and not (place / "owner.token").exists()
        assert (place / "alerts.toml").read_text() == "# mine"
        restored.close()
        with pytest.raises(InputError, match="is there already"):
            restore_backup(path, place)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "deai.sqlite-wal").write_bytes(b"of a database that was moved away")
    with pytest.raises(InputError, match="wal is there already"):
        restore_backup(backups[1], tmp_path / "log")
    with pytest.raises(InputError, match="give the backup another name"):
        write_backup(store, folder, folder / "deai.sqlite")
    with tarfile.open(tmp_path / "foreign.tar", "w") as foreign:
        foreign.add(folder / "keys.json", "keys.json")
    with pytest.raises(InputError, match="there is no deai"):
        restore_backup(tmp_path / "foreign.tar", tmp_path / "other")
    backups[0].write_bytes(backups[0].read_bytes()[:5000])
    with pytest.raises(InputError, match="is no backup"):
        restore_backup(backups[0], tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("foreign", ["0999", "0000_older"])
def test_a_store_of_a_revision_that_is_not_known_is_told_and_left_alone(tmp_path: Path, foreign: str) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'deai.sqlite'}")
    store.migrate()
    with store.writing() as connection:
        connection.exec_driver_sql(f"update alembic_version set version_num = '{foreign}'")
    with pytest.raises(StoreError, match=f"revision {foreign}, which this program .up to {revisions()[-1]}. does not"):
        store.migrate()
    with store.writing() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '0001'")
        connection.exec_driver_sql("alter table seal drop column keys")
    with pytest.raises(StoreError, match="before the first release"):
        store.migrate()
    store.close()
