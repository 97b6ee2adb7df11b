"""Files of measured quantities: whose they are, what is not wanted, what is refused, and the check against the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_samples import NOW

from indexer.errors import ImportFileError
from indexer.files.importing import import_files
from indexer.files.manifest import parse_manifest
from indexer.registry import Registry
from indexer.store.archive import Archive
from indexer.store.bars import read_metrics
from indexer.store.db import Store, open_store
from indexer.times import iso
from indexer.verify.replay import replay

MANIFEST = """
kind = "metrics"
market = "ALL"
[columns]
time = "when"
symbol = "who"
metric = "what"
value = "value"
[constants]
source = "test"
[metrics]
mood = "fear_greed_0_100"
funding = "funding_rate"
"""
FILE = """when,who,what,value
2025-01-27,ALL,mood,71
2025-01-28,ALL,mood,72
2025-01-27,BTC,funding,-0.0001
2025-01-27,BTC,colour,7
2025-01-27,NOTACOIN,colour,7
2025-01-27,NOTACOIN,funding,7
2025-01-28,BTC,funding,
2025-01-29,BTC,funding,much
2025-01-30,BTC,funding,inf
2025-01-31,BTC,funding,0
2025-02-01,BTC,funding,1
2025-02-01,BTC,funding,2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "moods.csv"
    path.write_text(FILE)
    path.with_name("moods.toml").write_text(MANIFEST)
    return path


def test_each_subject_and_quantity_is_a_series(store: Store, registry: Registry, file: Path) -> None:
    [report] = import_files(store, [file], registry=registry, clock=lambda: NOW).files
    assert (report.rows, report.new, report.filtered, report.rejected) == (12, 4, 2, 6)
    assert report.reasons == {
        "unknown symbol": 1,
        "value is empty": 1,
        "value is not a number": 1,
        "value is not finite": 1,
        "stamp comes twice with different values": 2,
    }
    found = {(one.subject, one.name, one.source): one for one in read_metrics(store)}
    assert set(found) == {("market", "fear_greed_0_100", "test"), ("btc", "funding_rate", "test")}
    mood = found["market", "fear_greed_0_100", "test"]
    assert [(iso(at), value) for at, value in zip(mood.time_us.tolist(), mood.value.tolist(), strict=True)] == [
        ("2025-01-27T00:00:00Z", 71.0),
        ("2025-01-28T00:00:00Z", 72.0),
    ]
    assert found["btc", "funding_rate", "test"].value.tolist() == [-0.0001, 0.0]


def test_a_stored_value_is_held_against_its_file(store: Store, registry: Registry, file: Path, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    import_files(store, [file], registry=registry, clock=lambda: NOW, archive=archive)
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE metric SET value = 90 WHERE value = 72")
    empty = open_store(f"sqlite:///{tmp_path / 'again.sqlite'}")
    empty.migrate()
    assert replay(store, empty, registry=registry, archive=archive, updates=False).problems == (
        "metric of market fear_greed_0_100 test at 2025-01-28T00:00:00Z: value is stored as 90.0, "
        "the archive gives 72.0",
    )
    empty.close()


def test_a_manifest_of_metrics_names_what_it_takes() -> None:
    with pytest.raises(ImportFileError) as caught:
        parse_manifest(MANIFEST.split("[metrics]", maxsplit=1)[0].replace('value = "value"', ""), name="m.toml")
    assert "columns.value: is missing" in str(caught.value)
    assert 'metrics: is missing; name the quantities to take, e.g. fear_greed_index = "fear_greed_0_100"' in str(
        caught.value
    )
