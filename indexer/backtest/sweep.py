"""A grid of methodologies over the daily history: each computed, measured and ranked.

A sweep file is an index TOML with one more table, `[sweep]`: keys are dotted places in the file, values lists.
Every combination is one methodology; combinations that do not hold (caps that cannot be met) are results too,
with the reason.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from indexer.arrays import F64, I64
from indexer.backtest.backtest import Backtest, Result, backtest
from indexer.backtest.wide import Progress, quiet, run_wide
from indexer.engine.history import BasketEvent
from indexer.engine.market import Market
from indexer.errors import DeaiError, InputError, MethodologyError
from indexer.levels.markets import narrowed
from indexer.methodology.consistency import inconsistencies
from indexer.methodology.load import content_hash, methodology_of
from indexer.methodology.spec import Methodology, universe_lines
from indexer.registry import Registry
from onchain.strict_toml import parse_toml, toml_text

MOST = 20_000
CHUNK = 8
RANKINGS = {
    "tracking_error": False,
    "turnover": False,
    "effective_number": True,
    "annual_return": True,
    "net_annual_return": True,
    "sharpe": True,
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
        return math.prod(map(len, self.values))

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
            for table in inner:
                _put(table, keys[n + 1 :], value=value, place=place)
            return
        if not isinstance(inner, dict):
            raise MethodologyError(f"{place}: {key} is no table")
    inner[keys[-1]] = value


@dataclass(frozen=True, slots=True)
class Bench:
    """What methodologies are tried on: the market of all lines, which is cut to each universe once, and its events."""

    market: Market
    registry: Registry
    flagship: tuple[I64, F64] | None = None
    events: Sequence[BasketEvent] = ()
    cost_bps: float = 0.0
    end_us: int | None = None
    cut: dict[tuple[object, ...], Market] = field(default_factory=dict)

    def __call__(self, methodology: Methodology) -> Backtest:
        """The backtest of a methodology. Raises as `backtest`."""
        lines = universe_lines(methodology.universe, self.registry)
        place = (lines, bool(methodology.universe.assets), methodology.perpetual_windows)
        if place not in self.cut:
            self.cut[place] = narrowed(self.market, methodology, self.registry)
        return backtest(
            self.cut[place],
            methodology,
            flagship=self.flagship,
            events=[event for event in self.events if event.slug in lines],
            end_us=self.end_us,
            cost_bps=self.cost_bps,
        )


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some combinations of a grid, by number."""

    bench: Bench
    grid: Grid

    def __call__(self, chunk: Sequence[tuple[int, tuple[Any, ...]]]) -> list[Tried]:
        return [self._tried(number, values) for number, values in chunk]

    def _tried(self, number: int, values: tuple[Any, ...]) -> Tried:
        named = dict(zip(self.grid.places, values, strict=True))
        try:
            methodology = methodology_at(self.grid, values)
            return Tried(number, named, methodology.hash, self.bench(methodology).result)
        except DeaiError as error:
            return Tried(number, named, "", None, str(error))


def sweep(
    bench: Bench,
    grid: Grid,
    *,
    by: str = "tracking_error",
    cluster: str = "",
    workers: int | None = None,
    progress: Progress = quiet,
) -> list[Tried]:
    """Every combination, best first by `by`, those without a result last; the same whoever computes it (`run_wide`).

    The bench's market is the daily one. Raises InputError for an unknown ranking.
    """
    if by not in RANKINGS:
        raise InputError(f'"{by}" is nothing to rank by; there are {", ".join(RANKINGS)}')
    jobs = list(enumerate(grid.combinations()))
    chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]

    def tick(done: int, total: int) -> None:
        progress(min(done * CHUNK, len(jobs)), len(jobs))

    parts = run_wide(_Chunk(bench, grid), chunks, cluster=cluster, workers=workers, progress=tick)
    return ranked([tried for part in parts for tried in part], by)


def ranked(tried: Sequence[Tried], by: str) -> list[Tried]:
    """Best first, ties by number; without a result, or without that figure, last and unranked."""

    def place(trial: Tried) -> tuple[bool, float, int]:
        figure = getattr(trial.result, by, None)
        return figure is None, (figure or 0.0) * (-1 if RANKINGS[by] else 1), trial.number

    in_order = enumerate(sorted(tried, key=place), 1)
    return [replace(trial, rank=None if place(trial)[0] else rank) for rank, trial in in_order]


def as_table(tried: Sequence[Tried]) -> list[dict[str, Any]]:
    """One flat row for each combination, for a table or Parquet."""
    names = list(Result.__dataclass_fields__)
    kinds: dict[str, set[type]] = {}
    for trial in tried:
        for place, value in trial.values.items():
            kinds.setdefault(place, set()).add(float if type(value) is int else type(value))
    mixed = {place for place, types in kinds.items() if len(types) > 1}
    return [
        {
            "rank": trial.rank,
            "number": trial.number,
            **{f"rule.{place}": _shown(value, mixed=place in mixed) for place, value in trial.values.items()},
            **(dict.fromkeys(names) if trial.result is None else asdict(trial.result)),
            "hash": trial.hash,
            "problem": trial.problem,
        }
        for trial in tried
    ]


def _shown(value: Any, *, mixed: bool) -> Any:
    """A value as a column takes it: values of several kinds at one place are words."""
    return value if not mixed and isinstance(value, str | int | float | bool) else str(value)
