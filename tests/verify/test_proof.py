"""A proof file convinces without our database, and nothing in it can be changed unnoticed."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from eventful import eventful

from indexer.errors import InputError
from indexer.store.levels import published_rows
from indexer.store.seals import read_heads
from indexer.verify.proof import check_proof, export_proof


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proof")
    one = eventful(folder)
    one.update(rebuild="to have superseded baskets too")
    told = export_proof(one.store, one.registry, path=folder / "proof.zip")
    assert told.head == read_heads(one.store)["seals"]["hash"]
    yield one, folder / "proof.zip"
    one.store.close()


def test_a_proof_holds_without_the_database(made):
    one, path = made
    [verdict] = check_proof(path)
    assert verdict.ok, verdict.problem
    assert verdict.revisions == 3
    assert verdict.max_difference < 1e-12
    assert verdict.head == published_rows(one.store, "small")["hash"][-1].hex()


def test_the_same_store_gives_the_same_file(made, tmp_path):
    one, path = made
    export_proof(one.store, one.registry, path=tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == path.read_bytes()


def changed(path, to, name, change):
    """The same file with one entry changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for entry in old.namelist():
            body = old.read(entry)
            new.writestr(entry, change(body) if entry == name else body)
    return to


def parquet(change):
    def of(body):
        table = pq.read_table(pa.BufferReader(body)).to_pandas()
        change(table)
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), out)
        return out.getvalue()

    return of


def a_level(table):
    table.loc[700, "level"] *= 1.000001


def a_rate(table):
    rows = table["time"] == table["time"].sort_values().iloc[9000]
    table.loc[rows, "rate"] = np.nextafter(table.loc[rows, "rate"], 9e9)


def a_status(table):
    table.loc[701, "status"] = 0


def other_units(body):
    rows = json.loads(body)
    rows["small"][1]["items"][0]["units_after"] *= 1.0000001
    return json.dumps(rows).encode()


CASES = [
    ("levels-small.parquet", parquet(a_level), "the hash chain breaks at"),
    ("levels-small.parquet", parquet(a_status), "the hash chain breaks at"),
    ("rates.parquet", parquet(a_rate), "an input of this level is not what it was when it was published"),
    ("rebalancings.json", other_units, "recomputed"),
]


@pytest.mark.parametrize(("name", "change", "said"), CASES, ids=["level", "status", "rate", "units"])
def test_a_changed_proof_is_found_out(made, tmp_path, name, change, said):
    [verdict] = check_proof(changed(made[1], tmp_path / "changed.zip", name, change))
    assert said in verdict.problem


def test_changed_rules_are_refused(made, tmp_path):
    def rules(body):
        manifest = json.loads(body)
        manifest["methodologies"][0]["text"] = manifest["methodologies"][0]["text"].replace("0.4", "0.5")
        return json.dumps(manifest).encode()

    with pytest.raises(InputError, match=r"the rules of small 1.0.0 are not those they were hashed from"):
        check_proof(changed(made[1], tmp_path / "changed.zip", "manifest.json", rules))


def test_what_is_no_proof_is_refused(tmp_path):
    (tmp_path / "no.zip").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"no.zip is not a proof that can be read .*; export it again"):
        check_proof(tmp_path / "no.zip")
