"""The first minutes of a fresh store before the simulated providers: first levels and a beta, whatever is broken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from simulation import providers

from indexer.analytics.align import Clock
from indexer.config import Settings
from indexer.engine.market import Status
from indexer.errors import DeaiError
from indexer.live.standing import standing_of
from indexer.store.db import Store, open_store
from indexer.store.levels import count_levels, read_levels
from indexer.studies.beta import index_beta
from indexer.workflow.work import scheduled

NOW = datetime(2026, 11, 30, 12, 10, tzinfo=UTC)
WAIT_S = 240.0  # for machines that do other things too; the goals are 60 s and 120 s


def eventually(what: Callable[[], bool], *, within_s: float) -> bool:
    """Whether something became true in time."""
    until, over = time.monotonic() + within_s, threading.Event()
    while not (came := what()) and time.monotonic() < until:
        over.wait(0.5)
    return came


def has_beta(store: Store) -> bool:
    try:
        index_beta(store, "deai", "^NDX", clock=Clock.AT_CLOSE, sessions=90)
    except DeaiError:
        return False
    return True


@pytest.mark.parametrize("profile", ["healthy", "coinbase-burst"])
def test_first_levels_and_a_beta_come_soon(tmp_path: Path, profile: str) -> None:
    """Levels since the base come before the hours do; they are provisional, and the standing says so."""
    began = time.monotonic()

    def clock() -> datetime:
        return NOW + timedelta(seconds=time.monotonic() - began)

    with providers(profile, now="2026-11-30T12:10:00Z") as root:
        settings = Settings(data_dir=tmp_path, source_base_url=root, onchain=False)
        store = open_store(settings.store_url)
        store.migrate()
        with scheduled(store, settings, clock=clock):
            assert eventually(lambda: count_levels(store, "deai") > 100, within_s=WAIT_S)
            assert set(read_levels(store, "deai").status.tolist()) == {int(Status.PROVISIONAL)}
            assert standing_of(store, now=clock()).provisional
            assert eventually(lambda: has_beta(store), within_s=WAIT_S)
        store.close()
