"""What every live job is given: store, registry, sources, archive, clock. Nothing of it is global."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from indexer.config import Settings
from indexer.files.importing import asset_rows
from indexer.live.upstream import Upstream
from indexer.reference import FixingRules, Method
from indexer.registry import Registry
from indexer.sources.base import Source
from indexer.store.archive import Archive
from indexer.store.db import Store
from indexer.store.write import write_assets
from indexer.times import Clock


@dataclass(frozen=True, slots=True)
class Live:
    """The means of the live jobs. `history_days`: how far back a fresh store is filled; `rules`: of the fixings."""

    store: Store
    registry: Registry
    upstream: Upstream
    archive: Archive
    clock: Clock
    history_days: int
    archive_days: int
    rules: FixingRules

    @property
    def sources(self) -> Mapping[str, Source]:
        """The sources in use, by name."""
        return self.upstream.sources

    def asset_ids(self) -> dict[str, int]:
        """Every asset's id in the store by slug, written there if new."""
        return write_assets(self.store, asset_rows(self.registry))


def archive_of(settings: Settings) -> Archive:
    """The folder of raw answers that belongs to these settings."""
    return Archive(Path(settings.data_dir) / "archive")


def live_of(store: Store, settings: Settings, *, registry: Registry, upstream: Upstream, clock: Clock) -> Live:
    """The means of the live jobs for these settings."""
    return Live(
        store=store,
        registry=registry,
        upstream=upstream,
        archive=archive_of(settings),
        clock=clock,
        history_days=settings.history_days,
        archive_days=settings.archive_days,
        rules=FixingRules(method=Method(settings.fixing_method)),
    )
