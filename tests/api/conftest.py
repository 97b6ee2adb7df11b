from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from live_server import Live, serve
from seeded import NOW, seeded_store

from api.app import create_app
from indexer.config import Settings
from indexer.live.upstream import NO_SOURCES
from indexer.store.db import Store, open_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A seeded store that no test writes to."""
    opened = seeded_store(tmp_path_factory.mktemp("api") / "seeded.sqlite")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def client(store: Store) -> TestClient:
    """The API over the seeded store, at a fixed time, without its watcher."""
    return TestClient(create_app(store, clock=lambda: NOW))


@pytest.fixture
def blank(tmp_path: Path) -> Iterator[TestClient]:
    """The API over a migrated store with nothing in it."""
    opened = open_store(f"sqlite:///{tmp_path / 'blank.sqlite'}")
    opened.migrate()
    yield TestClient(create_app(opened, clock=lambda: NOW))
    opened.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Store]:
    """A seeded store of the test's own, to write to."""
    opened = seeded_store(tmp_path / "own.sqlite")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def live(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The seeded store served over a real socket."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("served"), sources=NO_SOURCES)  # the live level asks nobody
    with serve(create_app(store, settings=settings, clock=lambda: NOW)) as running:
        yield running
