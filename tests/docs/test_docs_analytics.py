"""The analytics page: what it names exists, and its example gives what the served path gives."""

from __future__ import annotations

import re
from datetime import date
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from indexer.analytics.align import PERIODS_PER_YEAR, Clock, session_closes

PAGE = (Path(__file__).parents[2] / "docs" / "analytics.md").read_text(encoding="utf-8")
NAMES = set(re.findall(r"`((?:studies|report)\.[a-z_.]+)`", PAGE))
FUNCTIONS = sorted(name for name in NAMES if name.count(".") == 2 or name.startswith("report"))
TABLE = PAGE.split("## What is where")[1].split("##")[0]
MODULES = sorted(
    {name for row in TABLE.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")}
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_named_function_exists(name):
    module, _, function = name.rpartition(".")
    module = f"studies.{module}" if module.startswith("report") else module
    assert callable(getattr(import_module(f"indexer.{module}"), function))


def test_the_table_names_every_module_and_no_other():
    folder = Path(import_module("indexer.analytics").__file__).parent
    assert set(MODULES) == {path.stem for path in folder.glob("*.py")} - {"__init__"}


def test_the_clocks_are_those_there_are():
    table = PAGE.split("## Which clock")[1].split("\n\n")[1]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row)}
    assert named - {"dimson", "scholes_williams", "naive"} == set(Clock) == set(PERIODS_PER_YEAR)


def test_the_example_runs():
    closes_us = session_closes(date(2025, 1, 2), date(2025, 2, 28))
    market = np.random.default_rng(0).normal(0, 0.01, closes_us.size)
    world = {
        "start": date(2025, 1, 2),
        "end": date(2025, 2, 28),
        "level_times_us": closes_us,
        "levels": np.exp(np.cumsum(1.5 * market)),
        "closes": np.exp(np.cumsum(market)),
    }
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1), world)
    beta = SimpleNamespace(**world).beta
    assert (beta.beta, beta.n) == (pytest.approx(1.5), closes_us.size - 1)
