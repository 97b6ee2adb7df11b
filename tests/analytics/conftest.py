"""Golden vectors and the real market data, where it is present."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


@pytest.fixture(scope="session")
def vectors() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "vectors.json").read_text())


@pytest.fixture(scope="session")
def xyz(vectors: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Equity, index and BTC returns of the vectors, 16 rows."""
    return tuple(np.array(vectors["input"][name]) for name in "xyz")  # type: ignore[return-value]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"real market data is not at {SHARED}: tests on real series need it")
    return SHARED
