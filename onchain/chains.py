"""Chains as data: identity, finality, endpoints. Reads chains.toml; the user's own endpoints come first.

Place in the flow: the first thing a caller loads; `rpc.Pool` is built from one `Chain`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from importlib import resources

from onchain.errors import ChainConfigError

FAMILIES = ("evm", "solana", "cosmos", "near", "substrate", "icp", "filecoin", "arweave")


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain. Durations in seconds; `identity` is what an endpoint must answer to be trusted (`a|b`: either)."""

    name: str
    family: str
    endpoints: tuple[str, ...]
    identity_method: str = ""
    identity_params: tuple[object, ...] = ()
    identity: str = ""
    native_decimals: int = 18
    block_time_s: float = 12.0
    finality: str = "finalized"
    max_age_s: float | None = None  # a pin older than this is refused: every endpoint is stale
    multicall: str = "0xcA11bde05977b3631167028862bE2a173976CA11"
    evm_block_number: bool = True  # False where block.number inside the EVM is another chain's (Arbitrum)
    rate_per_s: float = 10.0
    uniswap_v3_factory: str = ""
    uniswap_v2_factory: str = ""
    sequencer_feed: str = ""
    quote_tokens: Mapping[str, str] = field(default_factory=dict)


def load_chains(
    *, text: str | None = None, own_endpoints: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Chain]:
    """All known chains by name. `own_endpoints` ({"ethereum": ["https://…"]}) are tried before the public ones.

    Raises ChainConfigError for an unknown key, family or chain name, naming the closest known word.
    """
    raw = tomllib.loads(text if text is not None else _shipped("chains.toml"))
    chains = {name: _chain(name, table) for name, table in raw.items()}
    for name, urls in (own_endpoints or {}).items():
        if name not in chains:
            raise ChainConfigError(f'own endpoints: no chain "{name}".{_close(name, chains)}')
        chain = chains[name]
        rest = tuple(url for url in chain.endpoints if url not in urls)
        chains[name] = replace(chain, endpoints=(*urls, *rest))
    return chains


def _shipped(name: str) -> str:
    return resources.files("onchain").joinpath(name).read_text(encoding="utf-8")


def _close(word: str, known: Mapping[str, object] | set[str]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f' Did you mean "{close[0]}"?' if close else ""


def _chain(name: str, table: Mapping[str, object]) -> Chain:
    known = {f.name for f in fields(Chain)}
    for key in table:
        if key not in known:
            raise ChainConfigError(f'chains.toml [{name}]: unknown key "{key}".{_close(key, known)}')
    if table.get("family") not in FAMILIES:
        raise ChainConfigError(f"chains.toml [{name}]: family must be one of {', '.join(FAMILIES)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    chain = Chain(name=name, **values)  # type: ignore[arg-type]  # keys checked above, TOML types by the tests
    if chain.family == "evm" and not chain.identity_method:
        chain = replace(chain, identity_method="eth_chainId")
    return chain
