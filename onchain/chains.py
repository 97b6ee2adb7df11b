"""Chains as data: identity, finality, endpoints. Reads chains.toml; the user's own endpoints come first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib import resources
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field

from onchain.errors import ChainConfigError, did_you_mean
from onchain.strict_toml import COMPUTED, Flag, Number, Text, Whole, one_of, parse_toml, read_table, refuse

FAMILIES = ("evm", "solana", "cosmos", "near", "substrate", "icp", "filecoin", "arweave")
Seconds = Annotated[Number, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain. Durations in seconds; `identity` is what an endpoint must answer to be trusted (`a|b`: either).

    `operators` says who runs a public endpoint, by its URL; answers of one operator count as one.
    """

    name: Text
    family: Annotated[str, one_of(FAMILIES)]
    endpoints: tuple[Text, ...]
    identity_method: str = ""  # EVM chains need none: eth_chainId
    identity_params: tuple[Any, ...] = ()
    identity: str = ""
    native_decimals: Whole = 18
    block_time_s: Seconds = 12.0
    finality: str = "finalized"
    max_age_s: Seconds | None = None  # a pin older than this is refused: every endpoint is stale
    multicall: str = "0xcA11bde05977b3631167028862bE2a173976CA11"
    evm_block_number: Flag = True  # False where block.number inside the EVM is another chain's (Arbitrum)
    rate_per_s: Annotated[Number, Field(gt=0)] = 10.0
    uniswap_v3_factory: str = ""
    uniswap_v2_factory: str = ""
    sequencer_feed: str = ""
    quote_tokens: Mapping[str, str] = field(default_factory=dict)
    operators: Mapping[str, str] = field(default_factory=dict, metadata=COMPUTED)

    def operator(self, url: str) -> str:
        """Who runs the endpoint; of one that the file does not name, its host."""
        return self.operators.get(url) or urlsplit(url).netloc.rpartition("@")[2]

    def at_mirror(self, base: str) -> Chain:
        """The same chain asked of one address: `<base>/<chain>/<operator>` for each operator."""
        names = dict.fromkeys(map(self.operator, self.endpoints))
        urls = {f"{base.rstrip('/')}/{self.name}/{name}": name for name in names}
        return replace(self, endpoints=tuple(urls), operators=urls)


def load_chains(
    *, text: str | None = None, more: str = "", own_endpoints: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Chain]:
    """All known chains by name: those of `text` (the shipped file), and of a text like it, `more`, in their place.

    `own_endpoints` ({"ethereum": ["https://…"]}) are tried before the public ones. Raises ChainConfigError with every
    problem of the files, or for an unknown chain's own endpoints.
    """
    raw: dict[str, Any] = {}
    for part in (_shipped() if text is None else text, more):
        raw |= parse_toml(part, source="chains.toml", error=ChainConfigError)
    problems: list[str] = []
    tables = {name: _chain(name, table, problems) for name, table in raw.items()}
    refuse(problems, source="chains.toml", error=ChainConfigError)
    chains = {name: chain for name, chain in tables.items() if chain is not None}
    for name, urls in (own_endpoints or {}).items():
        if name not in chains:
            raise ChainConfigError(f'own endpoints: there is no chain "{name}".{did_you_mean(name, chains)}')
        chain = chains[name]
        rest = tuple(url for url in chain.endpoints if url not in urls)
        chains[name] = replace(chain, endpoints=(*urls, *rest))
    return chains


def instant_s(at: datetime | None) -> int | None:
    """An aware instant as epoch seconds; None stays. Raises ChainConfigError for one without a time zone."""
    if at is not None and at.tzinfo is None:
        raise ChainConfigError(f"{at.isoformat()} has no time zone; give an aware instant")
    return None if at is None else int(at.timestamp())


def _shipped() -> str:
    return resources.files("onchain").joinpath("chains.toml").read_text(encoding="utf-8")


def _chain(name: str, table: Mapping[str, object], problems: list[str]) -> Chain | None:
    """The chain of a table; `endpoints` is a list of addresses, or a table of an operator's address or addresses."""
    operators = _operators(table.get("endpoints"))
    listed = {"endpoints": list(operators)} if operators else {}
    chain = read_table(Chain, {**table, **listed, "name": name}, problems, at=name)
    return None if chain is None else replace(chain, operators=operators)


def _operators(endpoints: object) -> dict[str, str]:
    if not isinstance(endpoints, Mapping):
        return {}
    lists = {name: urls if isinstance(urls, list) else [urls] for name, urls in endpoints.items()}
    if not all(isinstance(url, str) for urls in lists.values() for url in urls):
        return {}  # then the table's problem is said where it is read
    return {url: name for name, urls in lists.items() for url in urls}
