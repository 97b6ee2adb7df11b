"""`deai verify` from the archived files on, `--on-empty`, `--since`, and what it says when something was changed."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from indexer.cli.main import app
from indexer.errors import NotFoundError, VerificationError

TOKENS = ("NEAR", "FET", "GRT", "FIL", "AR", "LPT")
HOURS = 24 * 100
MANIFEST = """
kind = "tokens"
interval = "1h"
stamp = "bar_close"
volume_unit = "usd"
[columns]
time = "time"
symbol = "symbol"
close = "close"
volume = "volume"
[constants]
venue = "here"
source = "test"
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
INDEX = """
id = "six"
name = "Six"
version = "1.0.0"
description = "Six tokens in equal parts."
base_date = 2024-01-10T00:00:00Z
base_level = 1000
decimals = 6
effective_from = 2024-01-10T00:00:00Z
[schedule]
reconstitution_months = [1, 4, 7, 10]
effective_day = 10
reference_days_before = 1
[[eligibility]]
effective_from = 2024-01-01T00:00:00Z
reason = "A small world."
min_history_days = 1
min_median_adv_usd = 0
min_atvr = 0
min_free_float = 0
adv_min_days = 1
min_venues = 1
incumbent_min_venues = 1
[selection]
target = 6
entry_rank = 6
exit_rank = 6
min_constituents = 3
[weighting]
scheme = "equal"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of 100 days of six tokens, imported by the command."""
    made = tmp_path_factory.mktemp("verify")
    rows = [
        f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}T{hour:02d}:00:00Z,{token},{1 + n + (day * hour) % 13 / 100},1e6"
        for day in range(HOURS // 24)
        for hour in range(24)
        for n, token in enumerate(TOKENS)
    ]
    (made / "prices.csv").write_text("time,symbol,close,volume\n" + "\n".join(rows) + "\n")
    (made / "prices.toml").write_text(MANIFEST)
    (made / "rules").mkdir()
    (made / "rules" / "six.toml").write_text(INDEX)
    (made / "supply.csv").write_text("time,symbol,supply\n" + "".join(f"2024-01-01,{one},1000000\n" for one in TOKENS))
    (made / "supply.toml").write_text(SUPPLY)
    done = call(made, "import", str(made / "prices.csv"), str(made / "supply.csv"))
    assert done.exit_code == 0, done.output
    assert "no levels: index deai has no base: 5 eligible constituents are needed" in done.output, "and that is said"
    return made


def call(folder: Path, *words: str) -> Result:
    env = {"DEAI_DATA_DIR": str(folder / "var"), "DEAI_METHODOLOGY_DIR": str(folder / "rules")}
    return CliRunner().invoke(app, list(words), env=env)


def test_everything_is_derived_again_from_the_archive(folder: Path) -> None:
    made = call(folder, "verify", "six", "--on-empty", "--json")
    assert made.exit_code == 0, made.output
    said = json.loads(made.output)
    assert said["inputs"] == {
        "answers": 4,
        "derived": {"import": 2},
        "rows": said["inputs"]["rows"],
        "taken_over": 0,
        "over": 0,
        "updates": 1,
        "problems": [],
    }
    assert said["inputs"]["rows"] > 2 * HOURS * 6, "bars, rates, levels"
    assert [one["problem"] for one in said["indices"]] == [""]
    text = call(folder, "verify", "six").output
    assert f"4 files and answers are what came; 2 import runs ({HOURS * 6 + 6:,} rows) derived again" in text
    none = json.loads(call(folder, "verify", "six", "--since", "2100-01-01", "--json").output)
    assert (none["inputs"]["answers"], none["inputs"]["derived"]) == (0, {})


def test_what_was_changed_is_named_wherever_it_was(folder: Path) -> None:
    kept = (folder / "var" / "archive").glob("*/*.gz")
    (record,) = [one for one in kept if b'"file": "prices.csv"' in gzip.decompress(one.read_bytes())]
    whole = record.read_bytes()
    record.write_bytes(gzip.compress(gzip.decompress(whole).replace(b"prices", b"prizes")))
    broken = call(folder, "verify", "six")
    assert isinstance(broken.exception, VerificationError)
    assert f"archived record {record.name.removesuffix('.gz')} (run 1): archive file" in str(broken.exception)
    record.write_bytes(whole)
    with closing(sqlite3.connect(folder / "var" / "deai.sqlite")) as raw:
        raw.execute("DELETE FROM level WHERE time = (SELECT max(time) FROM level)")
        raw.commit()
    broken = call(folder, "verify", "six")
    assert "level: row index_id six, time 2024-04-16T23:00:00Z, revision 1 that run 3 wrote is gone" in str(
        broken.exception
    )


def test_an_index_that_is_not_there_is_not_verified_in_silence(folder: Path) -> None:
    assert isinstance(call(folder, "verify", "seven").exception, NotFoundError)
