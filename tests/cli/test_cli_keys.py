"""`deai keys`: what it makes is what the server accepts, nothing of a secret is kept, mistakes say what to do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.middleware.keys import KeyRing
from indexer.cli.main import app
from indexer.errors import ConfigError, InputError, NotFoundError

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEAI_DATA_DIR", str(tmp_path))
    return tmp_path


def run(*words: str) -> Result:
    return RUNNER.invoke(app, ["keys", *words])


def made(*words: str) -> dict[str, object]:
    result = run("create", *words, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_a_made_key_opens_the_servers_ring_until_it_is_revoked(folder: Path) -> None:
    key = made("operator", "--scope", "admin", "--scope", "read", "--per-minute", "30")
    ring = KeyRing(folder / "keys.json")
    found = ring.find(str(key["key"]), now=datetime.now(UTC))
    assert found is not None
    assert (found.name, found.scopes, found.requests_per_minute) == ("operator", ("admin", "read"), 30)
    assert run("revoke", found.prefix).stdout == f"{found.prefix} (operator) is revoked\n"
    assert ring.find(str(key["key"]), now=datetime.now(UTC)) is None
    (row,) = json.loads(run("list", "--json").stdout)
    assert row["state"] == "revoked"


def test_a_key_reads_by_default_and_expires_when_told(folder: Path) -> None:
    key = made("sheet", "--days", "2")
    assert key["scopes"] == ["read"]
    ring = KeyRing(folder / "keys.json")
    now = datetime.now(UTC)
    assert ring.find(str(key["key"]), now=now + timedelta(days=1.9)) is not None
    assert ring.find(str(key["key"]), now=now + timedelta(days=2.1)) is None


def test_the_text_is_shown_once_and_its_secret_kept_nowhere(folder: Path) -> None:
    text, hint, _ = run("create", "once").stdout.splitlines()
    assert text.startswith("deai_")
    assert "shown this once" in hint
    secret = text.rsplit("_", 1)[1] if text.count("_") == 2 else text.split("_", 2)[2]
    assert secret not in (folder / "keys.json").read_text()
    listed = run("list")
    assert secret not in listed.stdout
    assert "once" in listed.stdout
    assert "hash" not in run("list", "--json").stdout


def test_without_keys_it_says_how_to_make_one() -> None:
    assert run("list").stdout == "no keys; `deai keys create NAME` makes one\n"


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (
            ("create", "x", "--scope", "amin"),
            ConfigError,
            '--scope "amin" is not one of embed, read, admin. Did you mean "admin"?',
        ),
        (("create", " "), InputError, "A key needs a name and at least one scope of embed, read, admin"),
        (("revoke", "0" * 12), NotFoundError, f'No key "{"0" * 12}". `deai keys list` shows them'),
    ],
)
def test_mistakes_say_what_to_do(words: tuple[str, ...], kind: type[Exception], said: str) -> None:
    result = run(*words)
    assert type(result.exception) is kind
    assert str(result.exception).endswith(said)
