"""Tables on a terminal of 80 columns: numbers whole, words one under the other, what does not fit is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from indexer.cli import command
from indexer.cli.main import app


def printed(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str, code: int = 0) -> str:
    monkeypatch.setenv("DEAI_DATA_DIR", str(folder))
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == code, done.output
    return done.stdout


def test_columns_that_do_not_fit_are_left_out_and_named(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    rows = [("deai-agents", 12345.678, "2025-01-27T21:00:00Z", 0.5, "a long sentence of many words")]
    command.table(("index", "level", "at", "share", "words"), rows)
    text = capsys.readouterr().out
    assert "12,345.68" in text and "deai-agents" in text and "21:00Z" in text
    assert "(too narrow for: share, words; a wider terminal, COLUMNS=200 or --json has them)" in text
    assert max(map(len, text.splitlines()[:-1])) <= 40


def test_performance_constituents_and_prices_are_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(folder, monkeypatch, "performance", "demo")
    assert "Sharpe" in text and "Calendar months" in text
    study = json.loads(printed(folder, monkeypatch, "performance", "demo", "--json"))
    assert {"periods", "risk", "months", "tracking"} <= study.keys()
    members = json.loads(printed(folder, monkeypatch, "constituents", "demo", "--json"))
    assert sum(row["weight"] for row in members["data"]) == pytest.approx(1.0)
    symbol = members["data"][0]["symbol"]
    rates = json.loads(printed(folder, monkeypatch, "price", symbol, "--last", "2", "--json"))["rates"]
    assert len(rates) == 2 and rates[-1]["usd"] == members["data"][0]["rate"]


def test_own_money_is_shown_beside_an_index(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = json.loads(printed(folder, monkeypatch, "constituents", "demo", "--json"))["data"]
    file = tmp_path / "holdings.csv"
    file.write_text(f"coin,amount\n{members[0]['symbol']},10\nXYZ,1\n")
    text = printed(folder, monkeypatch, "portfolio", str(file), "--index", "demo", "--sessions", "30")
    assert "in no figure: 1 XYZ: XYZ is no token" in text and "today's holdings, held through the window" in text
    text = printed(folder, monkeypatch, "scenario", "QQQ=-3%", "--index", "demo", "--sessions", "20")
    assert text.startswith("QQQ −3.0 %: demo −") and "No such interval could be scored yet." in text
    for words, why in (
        (["scenario", "QQQ=down"], "write benchmark and size, such as NVDA=-17%"),
        (["hedge", "1000", "--index", "demo", "--sessions", "20"], "can be scored on 0; 50 are needed"),
    ):
        assert why in str(CliRunner().invoke(app, words).exception)


def test_an_empty_range_is_not_found_and_hours_that_are_days_say_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEAI_DATA_DIR", str(folder))
    done = CliRunner().invoke(app, ["levels", "demo", "--start", "2090-01-01"])
    assert done.exception is not None and "has no level at a full 1d in [2090-01-01, now)" in str(done.exception)


def test_the_program_says_its_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0 and done.stdout.startswith("deai-index ")
