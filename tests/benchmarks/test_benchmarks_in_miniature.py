"""Every benchmark runs to its end on the smallest cases, and says what it should. What it measures decides nothing."""

from __future__ import annotations

import importlib
import math

import pytest

from benchmarks.__main__ import NAMES

KEYS = {"name", "ours_ms", "peer", "peer_ms", "ratio", "goal"}


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_to_its_end(name: str):
    rows = importlib.import_module(f"benchmarks.bench_{name}").run(quick=True)
    if not rows:
        pytest.skip(f"bench_{name} has no data here, and says so")
    for row in rows:
        assert set(row) == KEYS
        assert row["name"]
        assert math.isfinite(row["ours_ms"])
        assert row["peer_ms"] is None or row["peer_ms"] >= 0
