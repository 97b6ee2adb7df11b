"""The seeded store and real servers of the API's tests, for those who read them by the client."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

from live_server import Live, serve
from seeded import NOW, seeded_store

from api.app import create_app
from indexer.client.asking import Patience
from indexer.config import Settings
from indexer.store.db import Store

QUICK = Patience(attempts=3, first_wait=0.01, longest_wait=0.5, reconnect=0.01, silence=10)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a seeded store that no test writes to."""
    made = tmp_path_factory.mktemp("client")
    seeded_store(made / "deai.sqlite").close()
    return made


@pytest.fixture(scope="session")
def served(folder: Path) -> Iterator[Live]:
    """The same store over a real socket."""
    from indexer.store.db import open_store

    store = open_store(f"sqlite:///{folder / 'deai.sqlite'}")
    settings = Settings(data_dir=folder)
    with serve(create_app(store, settings=settings, clock=lambda: NOW)) as running:
        yield running
    store.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Store]:
    """A seeded store of the test's own, to write to."""
    opened = seeded_store(tmp_path / "own.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def quick() -> Patience:
    """Patience for tests: retries at once."""
    return QUICK
