"""A grid of methodologies over the daily history: each computed, measured and ranked. Deterministic, two cores.

A sweep file is an index TOML with one more table, `[sweep]`: keys are dotted places in the file, values lists.
Every combination is one methodology; combinations that do not hold (caps that cannot be met) are results too,
with the reason.
"""

from __future__ import annotations

import copy
import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from indexer.arrays import F64, I64
from indexer.backtest.backtest import Result, backtest
from indexer.engine.history import BasketEvent
from indexer.engine.market import Market
from indexer.errors import DeaiError, InputError, MethodologyError
from indexer.levels.markets import narrowed
from indexer.methodology.consistency import inconsistencies
from indexer.methodology.load import content_hash, methodology_of
from indexer.methodology.spec import Methodology, universe_lines
from indexer.registry import Registry
from indexer.store.drafts import draft
from onchain.strict_toml import parse_toml, toml_text

MOST = 20_000
CHUNK = 8
RANKINGS = {
    "tracking_error": False,
    "turnover": False,
    "effective_number": True,
    "annual_return": True,
    "volatility": False,
    "max_drawdown": True,
    "correlation": True,
    "largest_weight": False,
}
"""What may be ranked by, and whether more is better."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A base file and the values to try at each dotted place."""

    base: Mapping[str, Any]
    places: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    source: str = ""

    def __len__(self) -> int:
        return math.prod(len(one) for one in self.values)

    def combinations(self) -> Iterator[tuple[Any, ...]]:
        """Every combination, the last place changing fastest."""
        return itertools.product(*self.values)


@dataclass(frozen=True, slots=True)
class Tried:
    """One combination: its values by place, the hash of its rules, and its result, or why it has none."""

    number: int
    values: Mapping[str, Any]
    hash: str
    result: Result | None
    problem: str = ""
    rank: int | None = field(default=None, compare=False)


def read_grid(path: Path) -> Grid:
    """The grid in a sweep file. Raises MethodologyError or InputError saying what does not hold."""
    raw = parse_toml(toml_text(path, error=MethodologyError), source=str(path), error=MethodologyError)
    sweep = raw.pop("sweep", None)
    if not isinstance(sweep, dict) or not sweep:
        raise InputError(f'{path}: give a table [sweep] of lists, e.g. "caps.single" = [0.15, 0.2, 0.25]')
    flat = dict(_flattened(sweep))
    for place, values in flat.items():
        if not isinstance(values, list) or not values:
            raise InputError(f"{path}: sweep.{place} must be a list of values to try")
    grid = Grid(raw, tuple(flat), tuple(tuple(values) for values in flat.values()), str(path))
    if len(grid) > MOST:
        raise InputError(f"{path}: {len(grid):,} combinations; at most {MOST:,} can be tried at once")
    return grid


def _flattened(table: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value


def methodology_at(grid: Grid, values: Sequence[Any]) -> Methodology:
    """The methodology of one combination. Raises MethodologyError with what does not hold."""
    raw: dict[str, Any] = copy.deepcopy(dict(grid.base))
    for place, value in zip(grid.places, values, strict=True):
        _put(raw, place.split("."), value=value, place=place)
    problems: list[str] = []
    methodology = replace(methodology_of(raw, problems), source=grid.source)
    problems = problems or list(inconsistencies(methodology))
    if problems:
        raise MethodologyError("; ".join(problems))
    return replace(methodology, hash=content_hash(methodology))


def _put(raw: dict[str, Any], keys: list[str], *, value: Any, place: str) -> None:
    """Sets a dotted place; in a list of tables ([[eligibility]]) it is set in each of them."""
    inner: Any = raw
    for n, key in enumerate(keys[:-1]):
        inner = inner.setdefault(key, {})
        if isinstance(inner, list):
            for one in inner:
                _put(one, keys[n + 1 :], value=value, place=place)
            return
        if not isinstance(inner, dict):
            raise MethodologyError(f"{place}: {key} is no table")
    inner[keys[-1]] = value


def sweep(
    market: Market,
    registry: Registry,
    *,
    grid: Grid,
    flagship: tuple[I64, F64] | None = None,
    by: str = "tracking_error",
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    events: Sequence[BasketEvent] = (),
) -> list[Tried]:
    """Every combination, best first by `by`, those without a result last; the same on any number of workers.

    `market` is the daily one with all lines. Raises InputError for an unknown ranking.
    """
    if by not in RANKINGS:
        raise InputError(f'"{by}" is nothing to rank by; there are {", ".join(RANKINGS)}')
    jobs = list(enumerate(grid.combinations()))
    chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
    count = min(workers or os.cpu_count() or 1, len(chunks))
    tried: list[Tried] = []
    work = _Work(market, registry, grid, flagship, tuple(events))
    if count <= 1:
        for chunk in chunks:
            tried += work(chunk)
            progress(len(tried), len(jobs))
    else:
        # spawned, the same on every system: each worker gets the daily market (about a megabyte) once
        with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin, initargs=(work,)) as pool:
            for made in pool.map(_one_chunk, chunks):
                tried += made
                progress(len(tried), len(jobs))
    return ranked(tried, by)


def ranked(tried: Sequence[Tried], by: str) -> list[Tried]:
    """Best first, ties by number; without a result, or without that figure, last and unranked."""
    more = RANKINGS[by]

    def figure(one: Tried) -> float | None:
        value = None if one.result is None else getattr(one.result, by)
        return None if value is None else (-value if more else value)

    known = sorted((one for one in tried if figure(one) is not None), key=lambda one: (figure(one) or 0.0, one.number))
    rest = sorted((one for one in tried if figure(one) is None), key=lambda one: one.number)
    return [*(replace(one, rank=n) for n, one in enumerate(known, 1)), *rest]


@dataclass(frozen=True, slots=True)
class _Work:
    """What a worker needs; universes are cut from the market once each."""

    market: Market
    registry: Registry
    grid: Grid
    flagship: tuple[I64, F64] | None
    events: Sequence[BasketEvent]
    cut: dict[tuple[object, ...], Market] = field(default_factory=dict)

    def __call__(self, chunk: Sequence[tuple[int, tuple[Any, ...]]]) -> list[Tried]:
        return [self._one(number, values) for number, values in chunk]

    def _one(self, number: int, values: tuple[Any, ...]) -> Tried:
        named = dict(zip(self.grid.places, values, strict=True))
        try:
            methodology = methodology_at(self.grid, values)
            lines = universe_lines(methodology.universe, self.registry)
            place = (lines, bool(methodology.universe.assets), methodology.perpetual_windows)
            if place not in self.cut:
                self.cut[place] = narrowed(self.market, methodology, self.registry)
            events = [one for one in self.events if one.slug in lines]
            outcome = backtest(self.cut[place], methodology, flagship=self.flagship, events=events)
        except DeaiError as error:
            return Tried(number, named, "", None, str(error))
        return Tried(number, named, methodology.hash, outcome.result)


_WORKER: list[_Work] = []  # of a worker process, put there by its initializer; empty everywhere else


def _begin(work: _Work) -> None:
    _WORKER[:] = [work]


def _one_chunk(chunk: Sequence[tuple[int, tuple[Any, ...]]]) -> list[Tried]:
    return _WORKER[0](chunk)


def as_table(tried: Sequence[Tried]) -> list[dict[str, Any]]:
    """One flat row for each combination, for a table or Parquet."""
    names = list(Result.__dataclass_fields__)
    return [
        {
            "rank": one.rank,
            "number": one.number,
            **{f"rule.{place}": _shown(value) for place, value in one.values.items()},
            **(dict.fromkeys(names) if one.result is None else asdict(one.result)),
            "hash": one.hash,
            "problem": one.problem,
        }
        for one in tried
    ]


def _shown(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else str(value)


def write_parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The rows as a Parquet file, written beside and moved in place when whole. Raises InputError for the place."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with draft(path) as part:
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), part, compression="zstd")
