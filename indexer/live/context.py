"""What every scheduled job is given: store, registry, sources, chains, archive, clock. Nothing of it is global."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyio import fail_after

from indexer.config import Settings
from indexer.errors import InputError, SourceError, SourceUnavailable
from indexer.live.chain.configured import chains_of, tokens_of
from indexer.live.mapping import venue_mappings
from indexer.live.upstream import Upstream, upstream_of
from indexer.reference.rules import FixingRules, Method
from indexer.registry import Asset, Registry
from indexer.sources.base import Dataset, Mapped, Source
from indexer.store.archive import Archive
from indexer.store.assets import write_registry
from indexer.store.db import Store
from indexer.store.runs import last_run_before
from indexer.times import Clock, iso, parse_instant, to_us
from onchain.errors import ChainConfigError, OnchainError

if TYPE_CHECKING:
    from onchain.chains import Chain
    from onchain.tokens import Token

T = TypeVar("T")
LISTINGS: Final = "listings"
LISTED_FOR: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Live:
    """The means of the scheduled jobs. `history_since_us`: from when on a store is filled; `rules`: of the fixings.

    `compute` brings the levels up to date in the middle of long work. `chains` and `tokens` (supply rules by symbol)
    are empty where no chain is read. `confirm` endpoints must agree; a read of chains is given up after `deadline_s`,
    one of logs after `scan_deadline_s`.
    """

    store: Store
    registry: Registry
    upstream: Upstream
    archive: Archive
    clock: Clock
    history_since_us: int
    archive_days: int
    rules: FixingRules
    compute: Callable[[], object] = lambda: None
    chains: Mapping[str, Chain] = field(default_factory=dict)
    tokens: Mapping[str, Token] = field(default_factory=dict)
    confirm: int = 2
    deadline_s: float = 120.0
    scan_deadline_s: float = 900.0

    @property
    def sources(self) -> Mapping[str, Source]:
        """The sources in use, by name."""
        return self.upstream.sources

    def venues(self, *, legacy: bool = False) -> tuple[Mapped, ...]:
        """How the venues in use know our assets, by their own lists where those were read in the last days."""
        trading = trading_pairs(self.store, now=self.clock())
        return venue_mappings(self.registry, self.sources, legacy=legacy, trading=trading)

    def asset_ids(self) -> dict[str, int]:
        """Every asset's id in the store by slug, written there if new."""
        return write_registry(self.store, self.registry)

    def assets(self) -> dict[str, Asset]:
        """The registry's asset of each supply rule it knows, by the rule's symbol."""
        at_us = to_us(self.clock())
        assets = {symbol: asset_of(token, self.registry, at_us=at_us) for symbol, token in self.tokens.items()}
        return {symbol: asset for symbol, asset in assets.items() if asset is not None}

    def chosen(self, symbols: tuple[str, ...] = ()) -> dict[str, Asset]:
        """The assets of these symbols, or of all rules. Raises InputError for a symbol without a rule or an asset."""
        known = self.assets()
        for symbol in symbols:
            if symbol not in known:
                names = ", ".join(sorted(known))
                raise InputError(f'no supply rule for "{symbol}" whose token is in the registry; known: {names}')
        return {symbol: known[symbol] for symbol in symbols} if symbols else known

    def read_chains(self, read: Callable[[], Awaitable[T]], *, within_s: float, what: str) -> T:
        """The result of a read of chains, its errors in ours.

        Raises InputError, SourceError, SourceUnavailable (also when it took longer than `within_s` seconds), and
        Stopped when the process stops.
        """

        async def bounded() -> T:
            with fail_after(within_s):
                return await read()

        try:
            return self.upstream.bridge.run(bounded, what=what)
        except TimeoutError:
            raise SourceUnavailable(f"{what} took longer than {within_s:g} s and was given up; try again") from None
        except ChainConfigError as error:
            raise InputError(str(error)) from None
        except OnchainError as error:
            raise SourceUnavailable(str(error)) if error.retryable else SourceError(str(error)) from None


def newest_lists(store: Store, *, now: datetime) -> dict[str, dict[str, Any]]:
    """By venue, our symbols that trade in its own list (`trading`) and when that was read (`read_at`, ISO)."""
    run = last_run_before(store, LISTINGS, now + timedelta(days=1))
    return dict(run.detail.get("lists", {})) if run else {}


def trading_pairs(store: Store, *, now: datetime) -> dict[str, list[str]]:
    """Our symbols that trade at each venue, by its own list; without venues whose list is older than a week."""
    since = iso(to_us(now - LISTED_FOR))
    lists = newest_lists(store, now=now)
    return {venue: one["trading"] for venue, one in lists.items() if one["read_at"] >= since}


def asset_of(token: Token, registry: Registry, *, at_us: int) -> Asset | None:
    """The registry's asset that a supply rule is about: by one of its networks (chain, contract).

    Only a rule without any network is found by its symbol, as it is used at `at_us`.
    """
    if not token.legs:
        return registry.resolve(token.symbol, at_us)
    networks = [(leg.chain, leg.asset.casefold()) for leg in token.legs]
    known = {(asset.chain, asset.contract.casefold()): asset for asset in registry.assets}
    return next((known[network] for network in networks if network in known), None)


def archive_of(settings: Settings) -> Archive:
    """The folder of raw answers that belongs to these settings."""
    return Archive(Path(settings.data_dir) / "archive")


def live_of(
    store: Store,
    settings: Settings,
    *,
    registry: Registry,
    upstream: Upstream,
    clock: Clock,
    compute: Callable[[], object] = lambda: None,
) -> Live:
    """The means of the scheduled jobs for these settings."""
    return Live(
        store=store,
        registry=registry,
        upstream=upstream,
        archive=archive_of(settings),
        clock=clock,
        history_since_us=parse_instant(settings.history_since.isoformat()),
        compute=compute,
        archive_days=settings.archive_days,
        rules=FixingRules(method=Method(settings.fixing_method)),
        confirm=settings.rpc_confirm,
    )


def chain_work(store: Store, settings: Settings, *, registry: Registry, clock: Clock) -> Live:
    """The means of the jobs that read chains and their usage; they wait on a bridge of their own.

    Raises ConfigError for endpoints or files that do not hold.
    """
    upstream = upstream_of(settings, clock=clock, only=Dataset.USAGE)
    live = live_of(store, settings, registry=registry, upstream=upstream, clock=clock)
    return replace(live, chains=chains_of(settings), tokens=tokens_of(settings))
