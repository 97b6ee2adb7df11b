"""Rows of two stores that should be the same, held against each other; what differs is named.

Both have the same assets, listings and benchmarks under the same numbers; runs may have others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from indexer.store.assets import read_assets, read_benchmarks, read_listings
from indexer.store.columnar import Columns, pick
from indexer.store.db import Store
from indexer.store.sealed import Sealed
from indexer.store.seals import INSTANTS, MISSING, read_sealed
from indexer.times import iso

FEW = 5  # rows of a table that are named


def different_rows(
    store: Store, again: Store, table: Sealed, *, runs: Mapping[int, int], given_by: str
) -> tuple[int, list[str]]:
    """How many rows some runs wrote into a table of a store, and those that are other in the second one, in words.

    `runs` gives the numbers of the runs there; `given_by` says what the rows there come of.
    """
    mine = _of_runs(read_sealed(store, table), {run: run for run in runs})
    theirs = _of_runs(read_sealed(again, table), {number: run for run, number in runs.items()})
    if len(mine["run_id"]) == len(theirs["run_id"]) and all((mine[name] == theirs[name]).all() for name in mine):
        return len(mine["run_id"]), []
    stored, given = _by_key(mine, table), _by_key(theirs, table)
    labels = _labels(store)
    unlike = sorted(key for key in stored.keys() | given.keys() if stored.get(key) != given.get(key))
    texts = [
        f"{_named(table, key, labels)}{_difference(table, stored.get(key), given.get(key), given_by=given_by)}"
        for key in unlike[:FEW]
    ]
    if len(unlike) > FEW:
        texts.append(f"{table.name}: {len(unlike) - FEW:,} more rows differ")
    return len(mine["run_id"]), texts


def _of_runs(rows: Columns, runs: Mapping[int, int]) -> Columns:
    """The rows of these runs, under the numbers that they are given."""
    numbers, place = np.unique(rows["run_id"], return_inverse=True)
    known = np.array([runs.get(number, -1) for number in numbers.tolist()], dtype=np.int64)[place]
    return pick({**rows, "run_id": known}, known >= 0)


def _by_key(rows: Columns, table: Sealed) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    keys = zip(*(rows[name].tolist() for name in table.key), strict=True)
    values = zip(*(rows[name].tolist() for name in (*_values(table), "run_id")), strict=True)
    return dict(zip(keys, values, strict=True))


def _values(table: Sealed) -> list[str]:
    """The columns that two stores must have alike: a row's own number is not one of them."""
    return [name for name in table.values if name != "id"]


def _labels(store: Store) -> dict[str, dict[int, str]]:
    """What a number in a key stands for, by column."""
    return {
        "listing_id": {row.id or 0: f"{row.asset} ({row.venue}, {row.interval}, {row.source})"
                       for row in read_listings(store)},
        "asset_id": {asset.id: asset.slug for asset in read_assets(store)},
        "benchmark_id": {row.id or 0: row.symbol for row in read_benchmarks(store)},
    }  # fmt: skip


def _named(table: Sealed, key: tuple[Any, ...], labels: Mapping[str, Mapping[int, str]]) -> str:
    words, when = [], ""
    for name, value in zip(table.key, key, strict=True):
        if name in INSTANTS:
            when = f" at {iso(int(value))}"
        elif name == "revision":
            when += f" (revision {value})" if value > 1 else ""
        else:
            words.append(str(labels[name].get(value, value) if name in labels else value))
    return f"{table.name} of {' '.join(words)}{when}"


def _difference(table: Sealed, stored: tuple[Any, ...] | None, given: tuple[Any, ...] | None, *, given_by: str) -> str:
    if given is None:
        return f" is stored, but {given_by} does not give it"
    if stored is None:
        return f" is given by {given_by}, but it is not stored"
    n = next(n for n, value in enumerate(stored) if value != given[n])
    name = (*_values(table), "run_id")[n]
    return f": {name} is stored as {_shown(stored[n])}, {given_by} gives {_shown(given[n])}"


def _shown(value: Any) -> str:
    return "nothing" if value in MISSING else repr(value)
