"""Reading chains well enough to base an index on: block-pinned, quorum-checked, reorg-safe, cheap on quota.

A leaf library: imports neither the index nor the API. Start at `snapshot`.
"""

from onchain.chains import Chain, load_chains
from onchain.errors import OnchainError
from onchain.pin import Pin, Pinner
from onchain.rpc import Pool
from onchain.snapshot import EndpointHealth, Snapshot, doctor, read_snapshot, replay, snapshot
from onchain.supply import Supply, compute_supply, float_band, float_emergency, free_float
from onchain.tokens import Token, load_tokens

__all__ = [
    "Chain",
    "EndpointHealth",
    "OnchainError",
    "Pin",
    "Pinner",
    "Pool",
    "Snapshot",
    "Supply",
    "Token",
    "compute_supply",
    "doctor",
    "float_band",
    "float_emergency",
    "free_float",
    "load_chains",
    "load_tokens",
    "read_snapshot",
    "replay",
    "snapshot",
]
