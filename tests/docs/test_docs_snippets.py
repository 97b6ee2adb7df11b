"""What the pages show works: Python, JavaScript and shell snippets run, commands exist with their options."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from live_server import Live

from indexer.cli.main import app

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
HOST = "http://127.0.0.1:8000"
# Their snippets are excerpts with names from the text around them, or are run by tests of their own.
NOT_RUN = {"analytics.md", "onchain.md", "api.md", "sources.md", "import.md", "methodology.md", "embeds.md"}
NEEDS_A_SERVER = [page for page in PAGES if page.name not in NOT_RUN]


def snippets(language: str, pages: list[Path]) -> list[object]:
    found = []
    for page in pages:
        for number, code in enumerate(
            re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), flags=re.S | re.M)
        ):
            found.append(pytest.param(code, id=f"{page.relative_to(DOCS)}-{number}"))
    return found


@pytest.mark.parametrize("code", snippets("python", NEEDS_A_SERVER))
def test_python_runs(live: Live, home: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    exec(compile(code.replace(HOST, live.url), "docs", "exec"), {"__name__": "docs"})


@pytest.mark.parametrize("code", snippets("js", NEEDS_A_SERVER))
def test_javascript_runs(live: Live, code: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine, so the JavaScript was not run")
    (tmp_path / "snippet.mjs").write_text(code.replace(HOST, live.url))
    done = subprocess.run(
        [node, tmp_path / "snippet.mjs"], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("code", snippets("sh", NEEDS_A_SERVER))
def test_curl_lines_run(live: Live, code: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine, so the shell snippets were not run")
    for line in code.replace(HOST, live.url).splitlines():
        if not line.startswith("curl") or "explain" in line:  # the seeded store has nothing to explain
            continue
        quiet = line.replace("curl ", "curl --fail --noproxy '*' ", 1).replace(
            "--fail --", "--", int("--fail-with" in line)
        )
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", quiet], cwd=tmp_path, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stderr.decode()}"


def commands() -> list[object]:
    """Every `deai …` line in a block of code."""
    found = []
    for page in [*PAGES, DOCS.parent / "README.md"]:
        blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), flags=re.S | re.M)
        for line in "\n".join(blocks).splitlines():
            words = line.partition(" #")[0].strip()
            words = re.sub(r"^(DEAI_\w+=\S+ )*(\.venv/bin/)?", "", words)
            if words.startswith("deai "):
                found.append(pytest.param(words, id=f"{page.name}: {words[:60]}"))
    return found


@pytest.mark.parametrize("line", commands())
def test_commands_exist_with_their_options(line: str) -> None:
    words = shlex.split(line.partition(">")[0].partition("|")[0])[1:]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name = words.pop(0)
        assert name in command.commands, f"there is no command {name} in: {line}"
        command = command.commands[name]
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    for word in words:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, f"there is no option {word} in: {line}"
    with command.make_context(command.name, words):
        pass  # every value was taken, and nothing that is needed is missing


def test_settings_that_are_named_exist() -> None:
    from indexer.config import PREFIX, Settings

    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for page in PAGES:
        for name in re.findall(r"\bDEAI_[A-Z_]+[A-Z]\b", page.read_text("utf-8")):
            assert name in known, f"{page.name} names {name}"
