"""docs/api.md: every address and code is in it, and what it shows works."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from live_server import Live

from api.answers.problems import CATALOGUE

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
HOST = "http://127.0.0.1:8000"


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.S | re.M)


@pytest.mark.parametrize("code", snippets("python"))
def test_python_snippets_run(live: Live, code: str) -> None:
    exec(compile(code.replace(HOST, live.url), "docs/api.md", "exec"), {})


@pytest.mark.parametrize("code", snippets("sh"))
def test_shell_snippets_run(live: Live, tmp_path: Path, code: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    for line in code.replace(HOST, live.url).strip().splitlines():
        run = subprocess.run(
            ["bash", "-c", line.replace("curl ", "curl --fail --noproxy '*' ", 1)],
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, f"{line}: {run.stderr.decode()}"


def test_every_address_is_documented(client: TestClient) -> None:
    for path in client.get("/openapi.json").json()["paths"]:
        tail = path.removeprefix("/v1/indices/{index_id}") or path
        tail = re.sub(r"^/(charts|badge)/\{index_id\}", "", tail)
        assert path in TEXT or f"`{tail}`" in TEXT, path


def test_every_code_of_an_error_is_documented() -> None:
    for code, kind in CATALOGUE.items():
        rows = [line for line in TEXT.splitlines() if line.startswith("| `") and f"`{code}`" in line]
        assert rows, code
        assert str(kind.status) in rows[0], code


def test_the_promise_is_written_down() -> None:
    assert "## API stability" in TEXT
    assert "Ignore keys\n  you do not know" in TEXT


def test_html_snippets_point_at_what_there_is(client: TestClient) -> None:
    for address in re.findall(r'https://your\.host(/[^"\s)&]*)', TEXT):
        assert client.get(address).status_code == 200, address
