"""Archived inputs give what is stored, and whatever was changed on either side is named."""

from __future__ import annotations

import gzip
import math
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from indexer.config import Settings
from indexer.errors import ImportFileError
from indexer.files.importing import import_files
from indexer.live.context import archive_of
from indexer.registry import load_registry
from indexer.store.archive import read_payload_links
from indexer.store.db import open_store
from indexer.store.runs import read_runs
from indexer.verify.replay import Replayed, replay
from indexer.workflow.work import import_and_update

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TOKENS = """
kind = "tokens"
interval = "1h"
stamp = "bar_close"
volume_unit = "base"
[columns]
time = "time"
symbol = "symbol"
close = "close"
volume = "volume"
[constants]
venue = "here"
source = "test"
"""
BENCHMARKS = """
kind = "benchmarks"
interval = "1d"
stamp = "session_date"
[columns]
time = "time"
symbol = "symbol"
close = "close"
[constants]
source = "test"
price_basis = "close"
"""
SUPPLY = """
kind = "supply"
[columns]
time = "time"
symbol = "symbol"
supply = "supply"
[constants]
source = "test"
"""
FILES = {
    "prices": (TOKENS, "time,symbol,close,volume", [f"2025-01-01T{h:02}:00:00Z,{s},{h + 1}.1,7"
                                                    for s in ("NEAR", "FET") for h in range(20)]),
    "stocks": (BENCHMARKS, "time,symbol,close", ["2025-01-02,QQQ,510.23", "2025-01-03,QQQ,518.58"]),
    "supplies": (SUPPLY, "time,symbol,supply", ["2025-01-01,NEAR,1200000000", "2025-01-01,FET,2500000000.5"]),
}  # fmt: skip


def write(folder, name, rows, manifest, header):
    (folder / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / f"{name}.toml").write_text(manifest)
    return folder / f"{name}.csv"


class Place:
    """A store with its archive, and files that can be imported into it."""

    def __init__(self, folder):
        self.folder, self.now, self.checks = folder, NOW, 0
        self.settings = Settings(data_dir=folder / "var")
        self.archive = archive_of(self.settings)
        self.store = open_store(self.settings.store_url)
        self.store.migrate()

    def take(self, *paths):
        self.now += timedelta(minutes=1)
        return import_and_update(self.store, self.settings, paths=paths, clock=lambda: self.now)

    def check(self, **more) -> Replayed:
        """All facts derived again in a store of its own."""
        self.checks += 1
        empty = open_store(f"sqlite:///{self.folder / f'again-{self.checks}.sqlite'}")
        empty.migrate()
        try:
            return replay(self.store, empty, registry=load_registry(), archive=self.archive, updates=False, **more)
        finally:
            empty.close()

    def sql(self, statement, **params):
        with self.store.writing() as connection:
            assert connection.execute(text(statement), params).rowcount >= 1


@pytest.fixture
def place(tmp_path):
    one = Place(tmp_path)
    one.take(*(write(tmp_path, name, rows, manifest, header) for name, (manifest, header, rows) in FILES.items()))
    yield one
    one.store.close()


def test_every_import_is_read_again_and_is_the_same(place):
    found = place.check()
    assert found.problems == ()
    assert (found.answers, found.derived, found.rows, found.taken_over) == (6, {"import": 3}, 44, 0)
    [supplies] = [run for run in read_runs(place.store, kind="import") if run.detail["name"] == "supplies.csv"]
    assert len(supplies.detail["record"]) == 64


def test_neither_todays_registry_nor_the_manifest_beside_the_file_matters_any_more(place):
    for name in FILES:
        (place.folder / f"{name}.toml").unlink()
        (place.folder / f"{name}.csv").unlink()
    assert place.check().ok


def test_rows_that_changed_nothing_are_found_with_the_run_before(place):
    manifest, header, rows = FILES["prices"]
    longer = [*rows[:3], "2025-01-01T03:00:00Z,NEAR,4.2,7", *rows[4:], "2025-01-01T20:00:00Z,FET,9,9"]
    made = place.take(write(place.folder, "prices", longer, manifest, header))
    assert (made.files[0].new, made.files[0].revised, made.files[0].unchanged) == (1, 1, 39)
    found = place.check()
    assert found.problems == ()
    assert (found.derived, found.rows) == ({"import": 4}, 44 + 2)
    place.sql("DELETE FROM bar WHERE close = 9")
    [problem] = place.check().problems
    assert (
        problem == "bar of fet (here, 1h, test) at 2025-01-01T20:00:00Z is given by the archive, but it is not stored"
    )
    assert place.check(since=place.now + timedelta(hours=1)).derived == {}


CHANGES = [
    ("UPDATE bar SET close = :x WHERE listing_id = 1 AND close = 3.1", {"x": math.nextafter(3.1, 4)},
     "bar of near (here, 1h, test) at 2025-01-01T02:00:00Z: close is stored as 3.1000000000000005, "
     "the archive gives 3.1"),
    ("UPDATE bar SET volume_base = NULL WHERE listing_id = 1 AND close = 3.1", {},
     "bar of near (here, 1h, test) at 2025-01-01T02:00:00Z: volume_base is stored as nothing, the archive gives 7.0"),
    ("UPDATE bar SET time = time + 1 WHERE listing_id = 2 AND close = 20.1", {},
     "bar of fet (here, 1h, test) at 2025-01-01T19:00:00.000001Z is stored, but the archive does not give it"),
    ("DELETE FROM bar WHERE listing_id = 2 AND close = 20.1", {},
     "bar of fet (here, 1h, test) at 2025-01-01T19:00:00Z is given by the archive, but it is not stored"),
    ("UPDATE benchmark_bar SET close = 510.24 WHERE close = 510.23", {},
     "benchmark_bar of QQQ 1d at 2025-01-02T21:00:00Z: close is stored as 510.24, the archive gives 510.23"),
    ("UPDATE benchmark_bar SET source = 'them' WHERE close = 510.23", {},
     "benchmark_bar of QQQ 1d at 2025-01-02T21:00:00Z: source is stored as 'them', the archive gives 'test'"),
    ("UPDATE supply SET amount = amount + 1 WHERE asset_id = (SELECT id FROM asset WHERE slug = 'near')", {},
     "supply of near circulating test at 2025-01-01T00:00:00Z: amount is stored as "
     "'1200000000000000000000000000000001', the archive gives '1200000000000000000000000000000000'"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "params", "said"), CHANGES, ids=[one[2][:60] for one in CHANGES])
def test_a_stored_row_that_its_file_does_not_give_is_named(place, statement, params, said):
    if "amount + 1" in statement:  # exact amounts are text
        statement = statement.replace("amount + 1", "'1200000000000000000000000000000001'")
    place.sql(statement, **params)
    assert said in place.check().problems


def test_one_byte_of_an_archived_file_or_record_is_named(place):
    for link in read_payload_links(place.store):
        path = place.folder / "var" / "archive" / link.sha256[:2] / f"{link.sha256}.gz"
        whole = path.read_bytes()
        body = bytearray(gzip.decompress(whole))
        body[-5] ^= 1
        path.write_bytes(gzip.compress(bytes(body)))
        [said] = place.check().problems
        what = {"file": "file", "manifest": "record"}[link.source]
        assert said.startswith(f"archived {what} {link.sha256} (run {link.run_id}): archive file ")
        assert said.endswith("holds other bytes than its name says")
        path.write_bytes(whole)
    assert place.check().ok


def test_a_file_that_is_gone_from_the_archive_is_named(place):
    link = read_payload_links(place.store)[0]
    (place.folder / "var" / "archive" / link.sha256[:2] / f"{link.sha256}.gz").unlink()
    [said] = place.check().problems
    assert "is not in the archive" in said


def test_an_import_without_an_archive_is_counted_not_passed_over(place):
    manifest, header, rows = FILES["prices"]
    path = write(place.folder, "more", [row.replace("2025", "2024") for row in rows], manifest, header)
    import_files(place.store, [path], registry=load_registry(), clock=lambda: NOW)
    found = place.check()
    assert (found.ok, found.derived, found.taken_over) == (True, {"import": 3}, 1)


def test_a_file_that_changes_while_it_is_imported_is_refused(place, monkeypatch):
    manifest, header, rows = FILES["prices"]
    path = write(place.folder, "moving", [row.replace("2025", "2024") for row in rows], manifest, header)
    monkeypatch.setattr("indexer.files.importing._sha256", lambda path: "0" * 64)
    with pytest.raises(ImportFileError, match=r"moving\.csv was changed while it was imported; import it again"):
        place.take(path)
    assert read_runs(place.store, kind="import")[0].outcome == "failed"


def test_an_archive_that_cannot_be_written_fails_the_import_and_it_can_be_done_again(place):
    manifest, header, rows = FILES["prices"]
    path = write(place.folder, "more", [row.replace("2025", "2024") for row in rows], manifest, header)
    real = place.folder / "var" / "archive"
    real.rename(place.folder / "aside")
    real.write_text("a file where the folder should be")
    with pytest.raises(
        ImportFileError, match=r"more\.csv could not be kept in the archive \(File exists\); free some space"
    ):
        place.take(path)
    real.unlink()
    (place.folder / "aside").rename(real)
    place.take(path)
    assert place.check().ok
