"""docs/reproduce: the third calculator, run as a stranger would, over a server with the real history."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from live_server import serve

from api.app import create_app
from indexer.config import Settings
from indexer.store.db import Store
from indexer.workflow.work import ImportAndUpdate

SCRIPT = Path(__file__).parents[2] / "docs" / "reproduce" / "reproduce.py"


def test_it_imports_nothing_of_ours() -> None:
    tree = ast.parse(SCRIPT.read_text("utf-8"))
    names = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & {"indexer", "api", "onchain"}
    used = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    assert used == {"numpy", "pandas", "statsmodels"}


def test_it_reproduces_every_level_and_beta(
    history: tuple[Store, ImportAndUpdate], history_settings: Settings, tmp_path: Path
) -> None:
    store, _ = history
    with serve(create_app(store, settings=history_settings)) as live:
        command = [sys.executable, "-I", SCRIPT, live.url, "deai", "deai-ew"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("beta to") == 12, done.stdout
