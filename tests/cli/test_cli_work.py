"""The command by hand: import, look, export, be interrupted, run again."""

import csv
import gc
import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from indexer.cli.main import main
from indexer.demo import build_demo
from indexer.store.db import open_store

MANIFEST = """
kind = "tokens"
interval = "1h"
stamp = "bar_close"

[columns]
time = "time"
symbol = "symbol"
close = "close"

[constants]
price_basis = "trade"
quote = "USD"
venue = "test"
source = "hand"
"""


def run(folder, *arguments):
    """The command in this process, with its exit code and what it wrote."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("DEAI_DATA_DIR", str(folder))
        patch.setattr(sys, "argv", ["deai", *arguments])
        try:
            main()
        except SystemExit as done:
            code = done.code or 0
    gc.enable()
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A store with levels, made by the simulated market under the real store's name."""
    folder = tmp_path_factory.mktemp("cli")
    store = open_store(f"sqlite:///{folder}/deai.sqlite")
    store.migrate()
    build_demo(store, clock=lambda: datetime(2025, 10, 1, tzinfo=UTC))
    store.close()
    return folder


def test_levels_as_table_and_as_json(demo):
    made = run(demo, "levels", "demo", "--interval", "1d", "--last", "3")
    assert made.returncode == 0
    assert "2025-10-01" in made.stdout and "T00:00:00Z" not in made.stdout
    body = json.loads(run(demo, "levels", "demo", "--interval", "1h", "--last", "5", "--json").stdout)
    assert [row["time"] for row in body["levels"]][-1] == "2025-10-01T00:00:00Z"
    assert len(body["levels"]) == 5


def test_beta_as_json_has_error_interval_and_clock(demo):
    made = run(demo, "beta", "demo", "-b", "QQQ", "--sessions", "90", "--json")
    assert made.returncode == 0, made.stderr
    [beta] = json.loads(made.stdout)
    assert beta["ci_low"] < beta["beta"] < beta["ci_high"]
    assert beta["n"] == 90
    assert beta["alignment"]["clock"] == "at_close"


def test_beta_with_too_little_data_exits_4_and_says_how_much(demo):
    made = run(demo, "beta", "demo", "--sessions", "250")
    assert made.returncode == 4
    assert "250 are needed" in made.stderr


def test_an_unknown_index_exits_3_and_a_wrong_time_2(demo):
    assert run(demo, "levels", "dema").returncode == 3
    made = run(demo, "levels", "demo", "--start", "yesterday")
    assert made.returncode == 2
    assert '"yesterday" is not a time' in made.stderr


def test_export_writes_csv_parquet_and_json(demo, tmp_path):
    import pyarrow.parquet as pq

    for name in ("levels.csv", "levels.parquet", "levels.json"):
        made = run(demo, "export", str(tmp_path / name), "--index", "demo", "--interval", "1d", "--json")
        assert made.returncode == 0, made.stderr
        rows = json.loads(made.stdout)["rows"]
    with (tmp_path / "levels.csv").open(newline="") as file:
        body = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "levels.parquet")
    assert len(body) == table.num_rows == len(json.loads((tmp_path / "levels.json").read_text())) == rows
    assert float(body[-1]["level"]) == table["level"][-1].as_py()
    assert run(demo, "export", str(tmp_path / "levels.xls"), "--index", "demo").returncode == 2


def test_verify_under_a_registry_without_the_tokens_says_there_is_nothing_to_compute(demo):
    made = run(demo, "verify", "demo", "--json")
    assert made.returncode == 4
    assert "index demo" in made.stderr


def test_import_update_and_a_second_import(tmp_path):
    (tmp_path / "near.csv").write_text(
        "time,symbol,close\n2025-01-01T01:00:00Z,NEAR,5.0\n2025-01-01T02:00:00Z,NEAR,-1\n"
    )
    (tmp_path / "near.toml").write_text(MANIFEST)
    made = run(tmp_path / "store", "import", str(tmp_path / "near.csv"), "--json")
    assert made.returncode == 0, made.stderr
    body = json.loads(made.stdout)
    assert (body["files"][0]["new"], body["files"][0]["rejected"]) == (1, 1)
    assert "deai" in body["update"]["not_started"], "one price makes no index, and that is said"
    again = json.loads(run(tmp_path / "store", "import", str(tmp_path / "near.csv"), "--json").stdout)
    assert again["files"][0]["new"] == 0
    assert again["update"]["unchanged"]


def test_interrupted_by_ctrl_c_it_says_so_and_goes_on_next_time(tmp_path):
    first = datetime(2020, 11, 1, tzinfo=UTC)
    rows = "".join(f"{first + timedelta(hours=n):%Y-%m-%dT%H:00:00Z},NEAR,{5 + n % 7}\n" for n in range(40_000))
    (tmp_path / "near.csv").write_text("time,symbol,close\n" + rows)
    (tmp_path / "near.toml").write_text(MANIFEST)
    env = {"DEAI_DATA_DIR": str(tmp_path / "store"), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", "from indexer.cli import main; main()", "import", str(tmp_path / "near.csv")]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while not (tmp_path / "store" / "deai.sqlite").exists() and time.monotonic() < until:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "running the same command again goes on" in err
    assert "Traceback" not in err
    assert run(tmp_path / "store", "import", str(tmp_path / "near.csv")).returncode == 0


def test_methodology_check_says_everything_that_does_not_hold(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('id = "mine"\n[caps]\nsinlge = 0.1\n')
    made = run(tmp_path, "methodology", "check", str(file))
    assert made.returncode == 2
    assert 'Did you mean "single"?' in made.stdout


def test_a_new_methodology_holds_and_overwrites_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, "methodology", "new", "my-index").returncode == 0
    checked = json.loads(run(tmp_path, "methodology", "check", "my-index.toml", "--json").stdout)
    assert (checked["problems"], checked["methodology"]["id"]) == ([], "my-index")
    assert run(tmp_path, "methodology", "new", "my-index").returncode == 2


def test_methodology_list_has_the_shipped_indices(tmp_path):
    made = run(tmp_path, "methodology", "list", "--json")
    assert {row["id"] for row in json.loads(made.stdout)} >= {"deai", "deai-compute", "deai-ew"}


def test_rows_that_were_not_taken_are_shown_with_line_reason_and_row(tmp_path):
    (tmp_path / "near.toml").write_text(MANIFEST)
    (tmp_path / "near.csv").write_text(
        "time,symbol,close\n2025-01-01T01:00:00Z,NEAR,5\n2025-01-01T02:00:00Z,NEAR,x\n"
        "2025-01-01T03:00:00Z,NEARR,5\n2025-01-01T04:00:00Z,NEARR,5\n2025-01-01T01:00:00Z,NEAR,5\n"
    )
    store = tmp_path / "store"
    assert "No row of any file was refused." in run(store, "rejects").stdout
    made = run(store, "import", str(tmp_path / "near.csv"), "--no-compute")
    assert made.returncode == 0
    assert "near.csv: 1 row kept as rejects: close is not a number" in made.stdout
    assert "near.csv: 1 row there twice, taken once" in made.stdout
    assert "deai rejects shows them" in made.stdout
    text = run(store, "rejects", "near.csv").stdout
    assert 'near.csv: 2 rows: unknown symbol: "NEARR" is not in the registry. Did you mean "NEAR"?' in text
    assert "    line 4: 2025-01-01T03:00:00Z,NEARR,5\n" in text
    groups = json.loads(run(store, "rejects", "--json").stdout)
    assert [(one["rows"], one["line"], one["row"]) for one in groups] == [
        (2, 4, "2025-01-01T03:00:00Z,NEARR,5"),
        (1, 3, "2025-01-01T02:00:00Z,NEAR,x"),
    ]
    assert run(store, "rejects", "other.csv").stdout == "No row of other.csv was refused.\n"
