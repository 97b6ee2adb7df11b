"""The real history and the API over it."""

from __future__ import annotations

from datetime import datetime

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from indexer.config import Settings
from indexer.store.db import Store


@pytest.fixture(scope="session")
def settings(history_settings: Settings) -> Settings:
    return history_settings


@pytest.fixture(scope="session")
def store(history: tuple[Store, object]) -> Store:
    """The real files imported and every shipped index computed; no test writes to it."""
    return history[0]


@pytest.fixture(scope="session")
def client(store: Store, settings: Settings, history_now: datetime) -> TestClient:
    """The API over the real history."""
    return TestClient(create_app(store, settings=settings, clock=lambda: history_now))
