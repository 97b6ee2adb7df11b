"""The server starts fast: nothing heavy is imported until a request needs it."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = [
    "adbc_driver_manager",
    "altair",
    "exchange_calendars",
    "numba",
    "pandas",
    "polars",
    "pyarrow",
    "scipy",
    "statsmodels",
    "vl_convert",
    "web3",
]
START = """
import json, sys
from api.app import create_app
from indexer.store.db import open_store
store = open_store(sys.argv[1])
app = create_app(store)
print(json.dumps(sorted(set(name.split(".")[0] for name in sys.modules))))
"""


def test_nothing_heavy_is_imported_at_start(tmp_path: object) -> None:
    run = subprocess.run(
        [sys.executable, "-c", START, f"sqlite:///{tmp_path}/x.sqlite"], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(run.stdout))
    assert loaded & set(HEAVY) == set()
    assert "fastapi" in loaded
