"""Reading chains well enough to base an index on: block-pinned, quorum-checked, reorg-safe, cheap on quota.

A leaf library: imports neither the index nor the API. Start at `snapshot`. Names load on first use, so that the pure
parts (free float, bands) cost no network stack.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onchain.chains import Chain, load_chains
    from onchain.errors import OnchainError
    from onchain.evm.activity import LegActivity, activity
    from onchain.evm.erc20 import ERC20_ABI
    from onchain.evm.prices import PriceCheck, check_price
    from onchain.evm.provider import web3
    from onchain.health import EndpointHealth, doctor, recheck
    from onchain.rpc.pin import Pin, Pinner
    from onchain.rpc.pool import Pool
    from onchain.snapshots import Snapshot, read_snapshot, replay, snapshot
    from onchain.supply import (
        Supply,
        compute_supply,
        float_band,
        float_emergency,
        free_float,
    )
    from onchain.tokens import Token, load_tokens

__all__ = [
    "ERC20_ABI",
    "Chain",
    "EndpointHealth",
    "LegActivity",
    "OnchainError",
    "Pin",
    "Pinner",
    "Pool",
    "PriceCheck",
    "Snapshot",
    "Supply",
    "Token",
    "activity",
    "check_price",
    "compute_supply",
    "doctor",
    "float_band",
    "float_emergency",
    "free_float",
    "load_chains",
    "load_tokens",
    "read_snapshot",
    "recheck",
    "replay",
    "snapshot",
    "web3",
]

_HOMES = {
    "chains": ("Chain", "load_chains"),
    "health": ("EndpointHealth", "doctor", "recheck"),
    "errors": ("OnchainError",),
    "evm.erc20": ("ERC20_ABI",),
    "evm.prices": ("PriceCheck", "check_price"),
    "evm.provider": ("web3",),
    "evm.activity": ("LegActivity", "activity"),
    "rpc.pin": ("Pin", "Pinner"),
    "rpc.pool": ("Pool",),
    "snapshots": ("Snapshot", "read_snapshot", "replay", "snapshot"),
    "supply": (
        "Supply",
        "compute_supply",
        "float_band",
        "float_emergency",
        "free_float",
    ),
    "tokens": ("Token", "load_tokens"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'onchain' has no attribute {name!r}")
    value = getattr(import_module(f"onchain.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
