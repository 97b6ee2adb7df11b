"""`deai settings` and the page of the documentation that is made from the same table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from indexer.cli.main import app
from indexer.config import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def run(*words: str) -> str:
    answer = CliRunner().invoke(app, ["settings", *words])
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_the_page_of_settings_is_the_one_that_the_code_makes():
    assert PAGE.read_text(encoding="utf-8") == run("--markdown"), "make docs writes it again"


def test_every_setting_is_named_with_the_value_in_force(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEAI_UPDATE_MINUTES", "5")
    rows = {row["name"]: row for row in json.loads(run("--json"))}
    assert set(rows) == {f"DEAI_{name.upper()}" for name in Settings.model_fields}
    assert rows["DEAI_UPDATE_MINUTES"]["value"] == "5"


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEAI_ADMIN_KEY", "open-sesame")
    monkeypatch.setenv("DEAI_DATABASE_URL", "postgresql+psycopg://deai:open-sesame@db/deai")
    for words in ((), ("--json",)):
        text = run(*words)
        assert "open-sesame" not in text
        assert "postgresql+psycopg://deai:***@db/deai" in text
