"""The simulated market under the real store's name, for commands that read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexer.demo import START_US, build_demo
from indexer.store.db import open_store
from indexer.times import DAY_US, from_us

NOW = from_us(START_US + 120 * DAY_US)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose main store holds the simulated market; levels in it stay as they are."""
    folder = tmp_path_factory.mktemp("demo")
    store = open_store(f"sqlite:///{folder / 'deai.sqlite'}")
    store.migrate()
    build_demo(store, clock=lambda: NOW)
    store.close()
    return folder
