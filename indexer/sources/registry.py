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
    *, only: tuple[str, ...] = (), keys: Mapping[str, str] | None = None, base_url: str = ""
) -> dict[str, Source]:
    """The usable sources by name: those of `only`, else all that are on without being named.

    `keys` are by source name; `base_url` sends every source to `<base_url>/<name>` (a mirror, a test server).
    Raises ConfigError for a name that no source has.
    """
    keys = keys or {}
    for name in (*only, *keys):
        if name not in REGISTRY:
            raise ConfigError(f'there is no source "{name}".{did_you_mean(name, REGISTRY)}')
    wanted = {name: cls for name, cls in REGISTRY.items() if (name in only if only else not cls.about.opt_in)}
    places = {name: f"{base_url.rstrip('/')}/{name}" if base_url else "" for name in wanted}
    return {name: cls(base_url=places[name], key=keys.get(name, "")) for name, cls in wanted.items()}
