"""Registry → what each source calls our assets. Asked for is what the venue's own list has, or what was seen. Pure.

A price is accepted by its mapped identifier, never by a ticker: what is not mapped here is never asked, and the
sources refuse answers for anything else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from indexer.errors import InputError
from indexer.registry import Asset, Registry, VenueListing
from indexer.sources.base import Mapped, Source, contract_key

TRUSTED: Final = ("verified", "seen")
NOTHING_READ: Final[Mapping[str, Collection[str]]] = {}
QUOTES: Final = ("USDT", "USDC", "USD", "EUR", "BTC")
# Markets in which a quote currency itself is priced in dollars, in the order of preference.
QUOTE_MARKETS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "USDT": (("kraken", "USDTUSD"), ("coinbase", "USDT-USD")),
    "USDC": (("kraken", "USDCUSD"),),
    "EUR": (("kraken", "EURUSD"),),
    "BTC": (("coinbase", "BTC-USD"), ("kraken", "XBTUSD")),
}
# Aggregators' names of a quote currency: asked for the time in which none of its own markets had a rate.
QUOTE_FILLERS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "USDT": (("defillama", "coingecko:tether"), ("coingecko", "tether")),
    "USDC": (("defillama", "coingecko:usd-coin"), ("coingecko", "usd-coin")),
}
_KRAKEN_NAMES: Final = {"BTC": "XBT"}


def base_and_quote(symbol: str) -> tuple[str, str]:
    """The two currencies in a venue's symbol: NEARUSDT, NEAR-USDT and NEAR/USD.

    Raises InputError when the quote currency is not one we know, because a price in an unknown currency is no price.
    """
    base, dash, quote = symbol.upper().replace("/", "-").partition("-")
    if not dash:
        quote = next((known for known in QUOTES if base.endswith(known) and base != known), "")
        base = base.removesuffix(quote)
    if quote not in QUOTES:
        raise InputError(f'"{symbol}" is not priced in a currency we know ({", ".join(QUOTES)})')
    return base, quote


def spelled(venue: str, symbol: str) -> str:
    """The symbol as the venue's API takes it; Kraken takes NEARUSD for NEAR/USD and calls bitcoin XBT."""
    if venue != "kraken":
        return symbol
    base, quote = base_and_quote(symbol)
    return f"{_KRAKEN_NAMES.get(base, base)}{quote}"


def usable(listing: VenueListing, trading: Mapping[str, Collection[str]]) -> bool:
    """Whether a listing is asked for: what the venue's own list says, else what the registry says."""
    if listing.venue in trading:
        return spelled(listing.venue, listing.symbol) in trading[listing.venue]
    return listing.status in TRUSTED


def venue_mappings(
    registry: Registry,
    sources: Mapping[str, Source],
    *,
    legacy: bool = False,
    trading: Mapping[str, Collection[str]] = NOTHING_READ,
) -> tuple[Mapped, ...]:
    """How the venues in use know our assets, by asset in the registry's order.

    `legacy` adds tokens that were succeeded by another: their history is wanted, their present is not. `trading` are
    our symbols in the venues' own lists, where those were read.
    Raises InputError when a venue's identifier is given to two assets.
    """
    rows: list[Mapped] = []
    for asset in registry.assets:
        if asset.status == "legacy" and not legacy:
            continue
        for listing in asset.venues:
            source = sources.get(listing.venue)
            if source is None or not source.capabilities.fixing:
                continue
            if not usable(listing, NOTHING_READ if asset.status == "legacy" else trading):
                continue
            _, quote = base_and_quote(listing.symbol)
            rows.append(Mapped(asset.slug, listing.venue, spelled(listing.venue, listing.symbol), quote))
    check_identifiers(rows)
    return tuple(rows)


def check_identifiers(rows: Iterable[Mapped]) -> None:
    """Raise InputError when a source's identifier is given to two assets."""
    known: dict[tuple[str, str], Mapped] = {}
    for row in rows:
        other = known.setdefault((row.source, contract_key(row.symbol)), row)
        if other.asset != row.asset:
            raise InputError(
                f"{row.source} {row.symbol} is mapped to both {other.asset} and {row.asset}; "
                "an identifier belongs to one asset"
            )


def quote_mappings(quotes: Iterable[str], sources: Collection[str]) -> tuple[Mapped, ...]:
    """The markets that price these currencies in dollars; the asset is called like the currency."""
    pairs = ((quote, venue, symbol) for quote in quotes for venue, symbol in QUOTE_MARKETS.get(quote, ()))
    return tuple(Mapped(quote, venue, symbol) for quote, venue, symbol in pairs if venue in sources)


def quote_fillers(quotes: Iterable[str], sources: Collection[str]) -> tuple[Mapped, ...]:
    """The aggregators that know these currencies, in the order they are asked where their markets had nothing."""
    pairs = ((quote, name, coin) for quote in quotes for name, coin in QUOTE_FILLERS.get(quote, ()))
    return tuple(Mapped(quote, name, coin) for quote, name, coin in pairs if name in sources)


def ids_at(registry: Registry, provider: str, *, legacy: bool = False) -> dict[str, Asset]:
    """The assets by a provider's own identifier."""
    return {
        asset.ids[provider]: asset
        for asset in registry.assets
        if provider in asset.ids and (legacy or asset.status != "legacy")
    }
