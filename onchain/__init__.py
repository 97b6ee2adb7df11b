"""Reading chains well enough to base an index on: block-pinned, quorum-checked, reorg-safe, cheap on quota.

A leaf library: imports neither the index nor the API. Start at `snapshot`.
"""

from onchain.chains import Chain, load_chains
from onchain.checks import PriceCheck, check_price
from onchain.doctor import EndpointHealth, doctor, recheck
from onchain.errors import OnchainError
from onchain.metrics import LegActivity, activity
from onchain.pin import Pin, Pinner
from onchain.rpc import Pool
from onchain.snapshot import Snapshot, read_snapshot, replay, snapshot
from onchain.supply import FloatChoice, Supply, choose_float, compute_supply, float_band, float_emergency, free_float
from onchain.tokens import Token, load_tokens

__all__ = [
    "Chain",
    "EndpointHealth",
    "FloatChoice",
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
    "choose_float",
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
]
