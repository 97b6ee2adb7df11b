"""The administrator's commands on a small store: what they print, what they write, how they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from indexer.cli.main import app
from indexer.errors import InputError, NotEnoughDataError, SourceUnavailable, VerificationError


@pytest.fixture
def deai(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setenv("DEAI_DATA_DIR", str(folder))

    def call(*words: str) -> str:
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    yield call


def test_documents_are_written(deai, tmp_path):
    for kind, ending in (("methodology", "html"), ("statement", "txt"), ("factsheet", "pdf")):
        out = tmp_path / f"{kind}.{ending}"
        said = json.loads(deai("document", "demo", "--kind", kind, "--out", str(out), "--json"))
        assert said["bytes"] == out.stat().st_size > 500


def test_a_proof_goes_out_and_is_checked(deai, tmp_path):
    path = tmp_path / "proof.zip"
    made = json.loads(deai("export", "--proof", str(path), "--json"))
    assert made["indices"] == ["demo"]
    [verdict] = json.loads(deai("verify", "--from", str(path), "--json"))
    assert verdict["problem"] == ""
    body = bytearray(path.read_bytes())
    at = body.find(b"levels-demo.parquet") + 5000
    body[at] ^= 1
    path.write_bytes(bytes(body))
    with pytest.raises((VerificationError, InputError)):
        deai("verify", "--from", str(path))


def test_status_calendar_announcements_and_actions(deai):
    status = json.loads(deai("status", "demo", "--json"))
    assert status["state"] == "active"
    assert status["below_minimum"] is False
    assert deai("calendar", "demo", "--format", "ical", "--months", "2").startswith("BEGIN:VCALENDAR")
    assert json.loads(deai("calendar", "demo", "--format", "json"))[0]["index"] == "demo"
    assert "<rss version='2.0'>" in deai("calendar", "demo", "--format", "rss")
    assert isinstance(json.loads(deai("announcements", "--json")), list)
    assert "ocean-leaves" in deai("actions")


def test_decisions_have_a_name_a_reason_and_an_end(deai):
    said = deai(
        "override", "add", "event", "near", "--starts", "2030-01-01", "--expires", "2030-02-01",
        "--reason", "the chain was abandoned", "--by", "Ada", "--effect", "remove",
    )  # fmt: skip
    assert said.startswith("override 1 is in force until 2030-02-01")
    assert "Ada" in deai("override", "list")
    assert "override 1 is withdrawn" in deai("override", "withdraw", "1", "--by", "Grace")
    with pytest.raises(InputError, match="by must name the person who decides"):
        deai("state", "demo", "suspended", "--reason", "venues are closed", "--by", " ")


def test_what_cannot_be_is_refused_with_what_to_do(deai, tmp_path):
    with pytest.raises(InputError, match="say why in --reason"):
        deai("rebuild", "--reason", "why")
    with pytest.raises(InputError, match=r"name the file to write"):
        deai("export")
    taken = tmp_path / "there.sqlite"
    taken.write_bytes(b"")
    with pytest.raises(InputError, match="is there already; name a new file"):
        deai("replay", str(taken))
    with pytest.raises(NotEnoughDataError, match="is decided by what is known at"):
        deai("proforma", "demo")


def test_a_doctor_without_sources_says_by_which_setting(deai, monkeypatch):
    monkeypatch.setenv("DEAI_SOURCES", "none")
    with pytest.raises(SourceUnavailable, match="DEAI_SOURCES=none"):
        deai("doctor")
