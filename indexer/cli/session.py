"""Settings and store for one command: opened, migrated, closed again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from indexer.config import Settings, load_settings
from indexer.store.db import Store, open_store


@contextmanager
def opened(*, demo: bool = False) -> Iterator[tuple[Store, Settings]]:
    """The migrated store and the settings of this process."""
    gc.enable()  # off since the start, see `main`
    settings = load_settings()
    settings = settings.for_demo() if demo else settings
    store = open_store(settings.store_url)
    try:
        store.migrate()
        yield store, settings
    finally:
        store.close()
