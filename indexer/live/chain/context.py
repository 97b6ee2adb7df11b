"""What every piece of chain work is given: store, registry, archive, clock, and the chains and supply rules in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from indexer.errors import InputError
from indexer.files.importing import asset_rows
from indexer.live.chain.waiting import Waiting
from indexer.registry import Asset, Registry
from indexer.store.archive import Archive
from indexer.store.db import Store
from indexer.store.write import write_assets
from indexer.times import Clock, to_us

if TYPE_CHECKING:
    from onchain.chains import Chain
    from onchain.tokens import Token


@dataclass(frozen=True, slots=True)
class ChainWork:
    """The means of chain work. `confirm` endpoints must agree; a read is given up after `deadline_s`, one of logs after
    `scan_deadline_s`."""

    store: Store
    registry: Registry
    archive: Archive
    clock: Clock
    chains: Mapping[str, Chain]
    tokens: Mapping[str, Token]
    confirm: int = 2
    deadline_s: float = 120.0
    scan_deadline_s: float = 900.0
    waiting: Waiting = field(default_factory=Waiting)

    def assets(self) -> dict[str, Asset]:
        """The registry's asset of each supply rule it knows, by the rule's symbol."""
        at_us = to_us(self.clock())
        found = {symbol: asset_of(token, self.registry, at_us=at_us) for symbol, token in self.tokens.items()}
        return {symbol: asset for symbol, asset in found.items() if asset is not None}

    def chosen(self, symbols: tuple[str, ...] = ()) -> dict[str, Asset]:
        """The assets of these symbols, or of all rules. Raises InputError for a symbol without a rule or an asset."""
        known = self.assets()
        for symbol in symbols:
            if symbol not in known:
                raise InputError(
                    f'no supply rule for "{symbol}" whose token is in the registry; known: {", ".join(sorted(known))}'
                )
        return {symbol: known[symbol] for symbol in symbols} if symbols else known

    def register(self) -> None:
        """Have every asset of the registry in the store, so that rows can refer to it."""
        write_assets(self.store, asset_rows(self.registry))


def asset_of(token: Token, registry: Registry, *, at_us: int) -> Asset | None:
    """The registry's asset that a supply rule is about: by one of its ledgers (chain, contract).

    Only a rule without any ledger is found by its symbol, as it is used at `at_us`.
    """
    if not token.legs:
        return registry.resolve(token.symbol, at_us)
    ledgers = [(leg.chain, leg.asset.casefold()) for leg in token.legs]
    known = {(asset.chain, asset.contract.casefold()): asset for asset in registry.assets}
    return next((known[ledger] for ledger in ledgers if ledger in known), None)
