"""The index, from sources to stored levels and statistics. Public names, for embedding in Python."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.local import AsyncClient, Client
    from indexer.client.compute import compute_levels
    from indexer.engine.level import compute_index
    from indexer.engine.market import Market
    from indexer.errors import DeaiError
    from indexer.methodology.load import load_methodology
    from indexer.methodology.spec import Methodology
    from indexer.registry import load_registry
    from indexer.store.db import Store, open_store
    from indexer.studies.beta import beta_history, index_beta

HOMES = {
    "AsyncClient": "api.local",
    "Client": "api.local",
    "DeaiError": "indexer.errors",
    "Market": "indexer.engine.market",
    "Methodology": "indexer.methodology.spec",
    "Store": "indexer.store.db",
    "beta_history": "indexer.studies.beta",
    "compute_index": "indexer.engine.level",
    "compute_levels": "indexer.client.compute",
    "index_beta": "indexer.studies.beta",
    "load_methodology": "indexer.methodology.load",
    "load_registry": "indexer.registry",
    "open_store": "indexer.store.db",
}

__all__ = [
    "AsyncClient",
    "Client",
    "DeaiError",
    "Market",
    "Methodology",
    "Store",
    "beta_history",
    "compute_index",
    "compute_levels",
    "index_beta",
    "load_methodology",
    "load_registry",
    "open_store",
]


def __getattr__(name: str) -> object:
    """Public names are imported when first used, so that `import indexer` costs nothing."""
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module 'indexer' has no attribute {name!r}")
