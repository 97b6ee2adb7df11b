"""Settings → the pieces of work that the command line, the scheduler and `deai up` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from indexer.assets import Registry, load_registry
from indexer.clock import Clock, utc_now
from indexer.config import Settings
from indexer.importing import FileReport, import_files
from indexer.methodology.load import load_folder, shipped
from indexer.methodology.spec import Methodology
from indexer.pipeline import UpdateReport, update
from indexer.scheduler import Job, Scheduler
from indexer.store.db import Store

Progress = Callable[[int, int], None]
BAR_DELAY = timedelta(minutes=2)  # venues publish a closed hour within seconds; two minutes forgives a slow one


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class ImportAndUpdate:
    """What an import took from each file, and what the indices became (None when not computed)."""

    files: tuple[FileReport, ...]
    update: UpdateReport | None


def registry_of(settings: Settings) -> Registry:
    """The asset registry in use: the user's own file, or the shipped one."""
    return load_registry(settings.registry)


def methodologies_of(settings: Settings, registry: Registry) -> Mapping[str, Methodology]:
    """The shipped methodologies and those in the user's folder, by index id."""
    made = shipped()
    if settings.methodology_dir is not None:
        made = {**made, **load_folder(settings.methodology_dir, registry=registry, taken=made)}
    return made


def import_and_update(
    store: Store,
    settings: Settings,
    *,
    paths: Sequence[Path],
    manifest: Path | None = None,
    compute: bool = True,
    progress: Progress = quiet,
    clock: Clock = utc_now,
) -> ImportAndUpdate:
    """Import files, then bring rates and levels up to date."""
    registry = registry_of(settings)
    report = import_files(store, paths, registry=registry, clock=clock, manifest=manifest, progress=progress)
    made = run_update(store, settings, progress=progress, clock=clock) if compute else None
    return ImportAndUpdate(tuple(report.files), made)


def run_update(store: Store, settings: Settings, *, progress: Progress = quiet, clock: Clock = utc_now) -> UpdateReport:
    """Bring rates and levels up to date with what is stored."""
    registry = registry_of(settings)
    return update(
        store,
        registry=registry,
        methodologies=methodologies_of(settings, registry),
        clock=clock,
        progress=progress,
    )


def make_scheduler(store: Store, settings: Settings, *, clock: Clock) -> Scheduler:
    """The scheduler with its jobs: update the indices every `update_minutes`, shortly after the bars close."""

    def work(due: datetime) -> Mapping[str, Any]:
        report = run_update(store, settings, clock=clock)
        return {"levels_written": sum(made.new for made in report.indices), "unchanged": report.unchanged}

    every = timedelta(minutes=settings.update_minutes)
    return Scheduler(store, [Job(name="fixing", every=every, delay=BAR_DELAY, work=work)], clock=clock)
