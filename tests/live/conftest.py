"""Makes the played world importable, and quiets the log of jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from indexer.live.context import Live, live_of
from indexer.registry import load_registry

if TYPE_CHECKING:
    from played import Played

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "sources"))


@pytest.fixture(autouse=True, scope="session")
def quiet() -> Iterator[None]:
    """No log lines among the test's output."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Played]:
    """The played world with every source, at noon."""
    from played import EVERYTHING, NOON, played

    with played(tmp_path, start=NOON, sources=EVERYTHING) as made:
        yield made


@pytest.fixture
def live(world: Played) -> Iterator[Live]:
    """What live work needs there."""
    store = world.open()
    upstream = world.upstream()
    registry = load_registry(world.folder / "registry.toml")
    yield live_of(store, world.settings, registry=registry, upstream=upstream, clock=world.clock)
    upstream.close()
