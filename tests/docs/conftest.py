"""A seeded store on a real server, for the snippets of the documentation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

from live_server import Live, serve
from seeded import NOW, seeded_store

from api.app import create_app
from indexer.config import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the documentation is read in: its store is in var/."""
    home = tmp_path_factory.mktemp("docs")
    (home / "var").mkdir()
    return home


@pytest.fixture(scope="session")
def live(home: Path) -> Iterator[Live]:
    folder = home / "var"
    store = seeded_store(folder / "deai.sqlite")
    with serve(create_app(store, settings=Settings(data_dir=folder), clock=lambda: NOW)) as running:
        yield running
    store.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built as `make docs` does, strictly and with every way to the network closed."""
    import os
    import subprocess

    made = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(made)],
        cwd=ROOT,
        env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return made
