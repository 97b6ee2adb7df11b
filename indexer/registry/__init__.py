"""Who a token is: assets, symbols with their dates, listings, successions, read strictly from `assets.toml`.

Import, sources, levels and chain reading ask it who a symbol is and where it trades.
"""

from __future__ import annotations

from indexer.registry.read import SHIPPED, load_registry
from indexer.registry.records import Asset, Contract, Label, Registry, Succession, VenueListing

__all__ = ["SHIPPED", "Asset", "Contract", "Label", "Registry", "Succession", "VenueListing", "load_registry"]
