"""Reading chains well enough to base an index on: block-pinned, quorum-checked, reorg-safe, cheap on quota.

A leaf library: imports neither the index nor the API. Start at `snapshot`. Names load on first use, so that the pure
parts (free float, bands) cost no network stack.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onchain.chains import Chain as Chain
    from onchain.chains import load_chains as load_chains
    from onchain.errors import OnchainError as OnchainError
    from onchain.evm.activity import LegActivity as LegActivity
    from onchain.evm.activity import activity as activity
    from onchain.evm.erc20 import ERC20_ABI as ERC20_ABI
    from onchain.evm.prices import PriceCheck as PriceCheck
    from onchain.evm.prices import check_price as check_price
    from onchain.evm.provider import web3 as web3
    from onchain.health import EndpointHealth as EndpointHealth
    from onchain.health import doctor as doctor
    from onchain.health import recheck as recheck
    from onchain.rpc.pin import Pin as Pin
    from onchain.rpc.pin import Pinner as Pinner
    from onchain.rpc.pool import Pool as Pool
    from onchain.snapshots import Snapshot as Snapshot
    from onchain.snapshots import read_snapshot as read_snapshot
    from onchain.snapshots import replay as replay
    from onchain.snapshots import snapshot as snapshot
    from onchain.supply import Supply as Supply
    from onchain.supply import compute_supply as compute_supply
    from onchain.supply import float_band as float_band
    from onchain.supply import float_emergency as float_emergency
    from onchain.supply import free_float as free_float
    from onchain.tokens import Token as Token
    from onchain.tokens import load_tokens as load_tokens

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
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'onchain' has no attribute {name!r}")
    value = getattr(import_module(f"onchain.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
