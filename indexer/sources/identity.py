"""Which asset a provider's identifier means: by mapped id or contract, never by ticker. Pure.

Tickers are labels and are shared by look-alikes; a price or supply is taken only under an identifier that the
registry maps, and everything else is refused with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from indexer.errors import InputError
from indexer.sources.records import Reject


@dataclass(frozen=True, slots=True)
class Mapped:
    """One asset as one source knows it: `symbol` is the source's identifier, `quote` what it is priced in."""

    asset: str
    source: str
    symbol: str
    quote: str = "USD"


class IdentityMap:
    """The mapped identifiers of all sources. Raises InputError when one identifier is given to two assets."""

    def __init__(self, rows: Iterable[Mapped]) -> None:
        self._by_id: dict[tuple[str, str], Mapped] = {}
        self._by_asset: dict[tuple[str, str], list[Mapped]] = {}
        for row in rows:
            key = (row.source, contract_key(row.symbol))
            other = self._by_id.setdefault(key, row)
            if other.asset != row.asset:
                raise InputError(
                    f"{row.source} {row.symbol} is mapped to both {other.asset} and {row.asset}; "
                    "an identifier belongs to one asset"
                )
            self._by_asset.setdefault((row.source, row.asset), []).append(row)

    def asset_of(self, source: str, symbol: str) -> str | None:
        """The asset a source's identifier means, or None: then the record is refused, whatever its ticker."""
        row = self._by_id.get((source, contract_key(symbol)))
        return row.asset if row else None

    def listings(self, source: str, asset: str) -> tuple[Mapped, ...]:
        """How a source knows an asset; empty when it does not."""
        return tuple(self._by_asset.get((source, asset), ()))

    def sources_of(self, asset: str) -> tuple[str, ...]:
        """The sources that know an asset, in the order given."""
        return tuple(source for source, known in self._by_asset if known == asset)

    def refusal(self, source: str, symbol: str, *, label: str = "") -> Reject:
        """The reject for an identifier that is not mapped; `label` is the ticker or name it came with."""
        looks = f" although it calls itself {label}" if label else ""
        return Reject("identifier is not mapped to an asset", f"{source} {symbol}{looks}")


def contract_key(symbol: str) -> str:
    """The identifier in the form in which equal ones are equal: hexadecimal addresses without case.

    Base58 addresses (Solana) and provider ids keep theirs, because there case tells addresses apart.
    """
    chain, colon, address = symbol.rpartition(":")
    if address[:2].lower() == "0x":
        return f"{chain.lower()}{colon}{address.lower()}"
    return symbol


def same_contract(one: str, other: str) -> bool:
    """Whether two identifiers name the same contract."""
    return contract_key(one) == contract_key(other)
