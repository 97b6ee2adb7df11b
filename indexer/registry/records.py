"""What is known of a token: its identity, its labels through time, where it trades and in what, what became of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from indexer.times import to_us
from onchain.strict_toml import COMPUTED, Instant, Number, Text, Whole, matching, one_of

DOLLAR: Final = "USD"
AT_PAR: Final = frozenset({"USDT", "USDC"})  # taken as a dollar, with a flag on the rate, where no rate is known
STABLE: Final = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDE", "USDP", "USD1", "PYUSD", "DAI", "EURT", "EURC")
FIAT: Final = (
    "USD", "EUR", "GBP", "JPY", "KRW", "CHF", "CAD", "AUD", "NZD", "CNY", "HKD", "SGD", "TRY", "BRL", "MXN", "ARS",
    "INR", "IDR", "THB", "VND", "PHP", "TWD", "PLN", "CZK", "HUF", "RON", "SEK", "NOK", "DKK", "ZAR", "NGN", "UAH",
    "ILS", "AED", "SAR", "COP", "CLP", "PEN", "MYR", "PKR",
)  # fmt: skip
COINS: Final = ("BTC", "XBT", "ETH", "BNB", "SOL")
QUOTES: Final = frozenset((*STABLE, *FIAT, *COINS))
_ENDINGS: Final = sorted(QUOTES, key=len, reverse=True)


def currency(word: str) -> str:
    """The code of a quote currency (XBT is BTC), or '' for a word that is none."""
    code = word.strip().upper()
    return "" if code not in QUOTES else "BTC" if code == "XBT" else code


def split_pair(word: str, symbols: Set[str] = frozenset()) -> tuple[str, str]:
    """Symbol and quote of a pair; ('', '') for a word that names no pair with a known quote.

    Where a pair could end in two quotes (FETUSD: USD, TUSD), that which leaves one of the known `symbols`.
    """
    text = word.strip().upper()
    parts = re.split(r"[/_:\-]", text)
    if len(parts) == 2 and parts[0] and currency(parts[1]):
        return parts[0], currency(parts[1])
    if len(parts) == 2 and currency(parts[0]) and parts[1] in symbols:  # Upbit's KRW-NEAR
        return parts[1], currency(parts[0])
    kraken = re.fullmatch(r"X([A-Z]{3})[XZ]([A-Z]{3})", text)
    if kraken and currency(kraken[2]):
        return "BTC" if kraken[1] == "XBT" else kraken[1], currency(kraken[2])
    endings = [quote for quote in _ENDINGS if text.endswith(quote) and text != quote]
    halves = [(text.removesuffix(quote), currency(quote)) for quote in endings]
    if not halves or len(parts) > 1:
        return "", ""
    return next((half for half in halves if half[0] in symbols), halves[0])


STATUSES = ("core", "watch", "special", "legacy", "universe", "reference")
LISTING_STATUSES = ("verified", "seen", "unverified")
CONTRACT_STATUSES = ("verified", "unverified")
SUCCESSION_KINDS = ("migration", "redenomination", "merger")
SPOT, PERPETUAL = "spot", "perpetual"
MARKETS = (SPOT, PERPETUAL, "aggregate", "amm")
PROVIDERS = ("coingecko", "coinmetrics", "defillama", "defillama_chain", "defillama_dexs", "defillama_fees", "yahoo")
Decimals = Annotated[Whole, Field(ge=0, le=36)]
Slug = Annotated[Text, matching(r"[^\sA-Z]+", "in lower case without spaces")]


@dataclass(frozen=True, slots=True)
class Label:
    """A symbol an asset goes by, from `valid_from` (inclusive) to `valid_to` (exclusive); None is unbounded."""

    symbol: Annotated[Text, AfterValidator(str.upper)]
    valid_from: Instant | None = None
    valid_to: Instant | None = None

    def holds_at(self, at_us: int) -> bool:
        """Whether the label named its asset at that instant."""
        after = self.valid_from is None or to_us(self.valid_from) <= at_us
        return after and (self.valid_to is None or at_us < to_us(self.valid_to))


@dataclass(frozen=True, slots=True)
class VenueListing:
    """The symbol an asset trades under at a venue. status: verified (a venue's own list was read, the file's head
    says when), seen (in public code), unverified (plausible, ask the venue before use)."""

    venue: Text
    symbol: Text
    status: Annotated[str, one_of(LISTING_STATUSES)]


@dataclass(frozen=True, slots=True)
class Contract:
    """Another contract of the same asset (a bridge or a second ledger). Adding supplies up is `supply_method`'s say."""

    chain: Text
    contract: Text
    decimals: Decimals
    status: Annotated[str, one_of(CONTRACT_STATUSES)]


@dataclass(frozen=True, slots=True)
class Asset:
    """A token. Its identity is (chain, contract); `slug` is our stable name for it, symbols are labels.

    `candidate_from`: the first reference date at which an index that chooses by status may take it, None for any.
    `line` is the slug of the last successor its price series continues in (its own slug without one), and
    `line_ratio` the units of that token one unit of this one became: price / line_ratio and supply * line_ratio
    are in units of the line. `ids` maps provider -> identifier. `launched` is 00:00 UTC of the day, None unknown.
    """

    slug: Slug
    name: Text
    chain: Text
    contract: Text
    decimals: Decimals
    sub_sector: Text
    status: Annotated[str, one_of(STATUSES)]
    symbols: Annotated[tuple[Label, ...], Field(min_length=1)]
    venues: tuple[VenueListing, ...] = ()
    ids: Mapping[Annotated[str, one_of(PROVIDERS)], Text] = field(default_factory=dict)
    other_contracts: tuple[Contract, ...] = ()
    candidate_from: Instant | None = None
    launched: Instant | None = None
    supply_method: str = ""
    notes: str = ""
    source: str = ""
    line: str = field(default="", metadata=COMPUTED)
    line_ratio: float = field(default=1.0, metadata=COMPUTED)

    @property
    def symbol(self) -> str:
        """The label in use now: the last one given."""
        return self.symbols[-1].symbol


@dataclass(frozen=True, slots=True)
class Succession:
    """One unit of `from_` became `ratio` units of `to`, with its prices from `effective` on.

    kind: migration (same token, new contract), redenomination (same token, other unit) or merger (holders were
    offered another token). The first two continue the price line; a merger does not: its token leaves by rule.
    """

    from_: Annotated[Text, Field(alias="from")]
    to: Text
    ratio: Annotated[Number, Field(gt=0)]
    effective: Instant
    kind: Annotated[str, one_of(SUCCESSION_KINDS)]
    source: str = ""

    @property
    def continues_line(self) -> bool:
        """Whether the price series of `from_` is spliced onto that of `to`."""
        return self.kind != "merger"


@dataclass(frozen=True, slots=True)
class LinePart:
    """One token of a line: when it stands for the line, and its units of the line's token per unit of its own."""

    asset_id: int
    slug: str
    ratio: float
    from_us: int | None
    until_us: int | None

    def holds(self, at_us: int) -> bool:
        """Whether this token stands for the line at an instant."""
        return (self.from_us is None or at_us >= self.from_us) and (self.until_us is None or at_us < self.until_us)


@dataclass(frozen=True, eq=False)
class Registry:
    """Every asset known, in the order of the file, what became of those that ended, and venues that are no spot
    market with their kind."""

    assets: tuple[Asset, ...]
    successions: tuple[Succession, ...]
    sub_sectors: Mapping[str, str]
    source: str = ""
    venues: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_slug(self) -> Mapping[str, Asset]:
        """slug -> asset."""
        return {asset.slug: asset for asset in self.assets}

    def market(self, venue: str) -> str:
        """The kind of a venue's market (MARKETS): as listed, else by the end of its name, else spot."""
        named = next((kind for kind in MARKETS[1:] if venue.endswith(f"_{kind}")), SPOT)
        return self.venues.get(venue, named)

    @cached_property
    def _by_symbol(self) -> Mapping[str, list[tuple[Label, Asset]]]:
        index: dict[str, list[tuple[Label, Asset]]] = {}
        for asset in self.assets:
            for label in asset.symbols:
                index.setdefault(label.symbol, []).append((label, asset))
        return index

    def resolve(self, symbol: str, at_us: int) -> Asset | None:
        """The asset that `symbol` (as written by venues, case ignored) named at an instant, or None.

        Two assets never share a symbol at one instant: the registry is refused at loading if they do.
        """
        labelled = self._by_symbol.get(symbol.strip().upper(), ())
        return next((asset for label, asset in labelled if label.holds_at(at_us)), None)

    def symbols(self) -> frozenset[str]:
        """Every symbol that names or named an asset, in upper case."""
        return frozenset(self._by_symbol)

    def lines(self) -> dict[str, tuple[Asset, ...]]:
        """line slug -> the assets whose prices form it, oldest first; the last one is the line's own token."""
        lines: dict[str, tuple[Asset, ...]] = {}
        for asset in self.assets:
            if asset.line == asset.slug:
                lines[asset.slug] = (*self._before(asset.slug), asset)
        return lines

    def parts(self, ids: Mapping[str, int]) -> dict[str, tuple[LinePart, ...]]:
        """line slug -> its tokens in succession, those that have an id; `ids` by slug."""
        into = {step.from_: to_us(step.effective) for step in self.successions if step.continues_line}
        parts = {}
        for slug, tokens in self.lines().items():
            edges = [None, *(into[token.slug] for token in tokens[:-1]), None]
            parts[slug] = tuple(
                LinePart(ids[token.slug], token.slug, token.line_ratio, since, until)
                for token, since, until in zip(tokens, edges, edges[1:], strict=False)
                if token.slug in ids
            )
        return parts

    def successions_into(self, slug: str) -> tuple[Succession, ...]:
        """The migrations and redenominations that continue in `slug` directly, by effective date."""
        steps = [step for step in self.successions if step.to == slug and step.continues_line]
        return tuple(sorted(steps, key=lambda step: step.effective))

    def _before(self, slug: str) -> tuple[Asset, ...]:
        older: tuple[Asset, ...] = ()
        for step in self.successions_into(slug):
            older = (*older, *self._before(step.from_), self.by_slug[step.from_])
        return older
