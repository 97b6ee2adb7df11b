"""The sources there are, by name: one line each. `build_sources` makes those that may be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from indexer.errors import ConfigError, did_you_mean
from indexer.sources.aggregators import CoinMetrics, DefiLlama, FearGreed
from indexer.sources.base import Capabilities, RestSource, Source
from indexer.sources.closes import Cboe, Fred, Nasdaq
from indexer.sources.coingecko import CoinGecko
from indexer.sources.derivatives import BinanceDerivatives, BybitDerivatives, OkxDerivatives
from indexer.sources.libraries import Ccxt, YFinance
from indexer.sources.usage import usage_sources
from indexer.sources.venues import Binance, Bybit, Coinbase, Kraken, Okx
from indexer.sources.yahoo import Yahoo


@dataclass(frozen=True, slots=True)
class Perpetual:
    """A venue's perpetual swaps: the source that gives them, and how it spells the one on a `{base}` currency."""

    source: str
    symbol: str


CLASSES: Final[tuple[type[RestSource], ...]] = (
    Binance,
    Coinbase,
    Kraken,
    Okx,
    Bybit,
    CoinGecko,
    DefiLlama,
    *usage_sources(),
    CoinMetrics,
    Cboe,
    Nasdaq,
    Yahoo,
    Fred,
    FearGreed,
    OkxDerivatives,
    BybitDerivatives,
    BinanceDerivatives,
    Ccxt,
    YFinance,
)
PERPETUALS: Final = {
    "binance": Perpetual("binance-derivatives", "{base}USDT"),
    "okx": Perpetual("okx-derivatives", "{base}-USDT-SWAP"),
    "bybit": Perpetual("bybit-derivatives", "{base}USDT"),
}
"""The perpetual swaps of each spot venue that has any."""
REGISTRY: Final[dict[str, type[RestSource]]] = {cls.about.name: cls for cls in CLASSES}


def capabilities() -> tuple[Capabilities, ...]:
    """What every known source can do, in the order of preference; for `deai sources` and /v1/sources."""
    return tuple(cls.about for cls in CLASSES)


def build_sources(
    *,
    only: tuple[str, ...] = (),
    opted_in: tuple[str, ...] = (),
    left_out: tuple[str, ...] = (),
    keys: Mapping[str, str] | None = None,
    base_url: str = "",
    base_urls: Mapping[str, str] | None = None,
) -> dict[str, Source]:
    """The usable sources by name: all keyless ones, and of the opt-in ones those that are named.

    `only`, when given, is the whole list (naming an opt-in source there opts in). `keys` and `base_urls` are by
    source name; `base_url` sends every source to `<base_url>/<name>` (a mirror, a test server).
    Raises ConfigError for a name that no source has.
    """
    keys, base_urls = keys or {}, base_urls or {}
    for name in (*only, *opted_in, *left_out, *keys, *base_urls):
        if name not in REGISTRY:
            raise ConfigError(f'there is no source "{name}".{did_you_mean(name, REGISTRY)}')
    wanted = [name for name, cls in REGISTRY.items() if _wanted(name, cls, only, opted_in) and name not in left_out]
    everywhere = f"{base_url.rstrip('/')}/" if base_url else ""
    return {
        name: REGISTRY[name](
            base_url=base_urls.get(name, f"{everywhere}{name}" if everywhere else "").rstrip("/"),
            key=keys.get(name, ""),
        )
        for name in wanted
    }


def _wanted(name: str, cls: type[RestSource], only: tuple[str, ...], opted_in: tuple[str, ...]) -> bool:
    if only:
        return name in only
    return not cls.about.opt_in or name in opted_in
