"""Settings → the chains and supply rules in use: the shipped ones, with the user's own endpoints, chains and rules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from indexer.config import Settings
from indexer.errors import ConfigError
from onchain.errors import ChainConfigError
from onchain.strict_toml import toml_text

if TYPE_CHECKING:
    from onchain.chains import Chain
    from onchain.tokens import Token

_text = partial(toml_text, error=ConfigError)


def is_on(settings: Settings) -> bool:
    """Whether chains are read on schedule: unless that is switched off, or all sources are and no endpoint is given."""
    own = settings.rpc_endpoints.get_secret_value().strip()
    return settings.onchain and (settings.sources != ("none",) or bool(own))


def chains_of(settings: Settings) -> dict[str, Chain]:
    """All chains by name: the shipped ones and those of the user's file, own endpoints before public ones.

    With a base address of sources every endpoint is `<base>/chain/<chain>/<operator>` instead.
    """
    from onchain.chains import load_chains

    urls = own_endpoints(settings.rpc_endpoints.get_secret_value())
    try:
        more = "" if settings.chains_file is None else _text(settings.chains_file)
        chains = load_chains(more=more, own_endpoints=urls)
    except ChainConfigError as error:
        raise ConfigError(str(error)) from None
    if base := settings.source_base_url.rstrip("/"):
        return {name: chain.at_mirror(f"{base}/chain") for name, chain in chains.items()}
    return chains


def tokens_of(settings: Settings) -> dict[str, Token]:
    """All supply rules by symbol: the shipped ones, those of the user's file instead where the symbol is the same."""
    from onchain.tokens import load_tokens

    try:
        own = {} if settings.supply_rules is None else load_tokens(text=_text(settings.supply_rules))
        return {**load_tokens(), **own}
    except ChainConfigError as error:
        raise ConfigError(f"DEAI_SUPPLY_RULES: {error}") from None


def own_endpoints(text: str) -> Mapping[str, tuple[str, ...]]:
    """`ethereum=https://a https://b; base=https://c` as addresses by chain. Raises ConfigError, showing no address."""
    found: dict[str, tuple[str, ...]] = {}
    for n, part in enumerate(filter(None, (piece.strip() for piece in text.split(";"))), 1):
        name, sign, urls = part.partition("=")
        addresses = tuple(urls.replace(",", " ").split())
        if not sign or not addresses or not all(url.startswith(("http://", "https://")) for url in addresses):
            raise ConfigError(
                f"DEAI_RPC_ENDPOINTS: part {n} is not CHAIN=ADDRESS ADDRESS …; "
                "give e.g. ethereum=https://one https://two; base=https://three"
            )
        found[name.strip()] = addresses
    return found
