"""Rows that an archived input gives, held against the rows its run wrote: bars of tokens and benchmarks, supplies.

Each row of the run must be one of the input's, with the same bits; each row of the input must be stored, by the run
or, where it changed nothing, by an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import I64
from indexer.times import iso

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows (M,) of a table by series (a listing or benchmark) and instant, each key once, with their values."""

    series: I64
    time_us: I64
    values: Columns

    def __len__(self) -> int:
        return len(self.time_us)

    def take(self, rows: NDArray[Any]) -> Rows:
        """Some of the rows, or all in another order."""
        return Rows(self.series[rows], self.time_us[rows], {name: one[rows] for name, one in self.values.items()})


def unlike(
    stored: Rows, given: Rows, *, earlier: Callable[[I64], Rows], named: Callable[[int], str], source: str
) -> Iterator[str]:
    """The rows that are not what the input gives, in words.

    `earlier(series)` reads what other runs had written of some series by then, revisions included; `named` puts a
    series into words; `source` names the input.
    """
    if _same(stored, given):
        return
    given_keys, stored_keys = _packed(given, stored)
    order = np.argsort(given_keys)
    place = _places(given_keys, order, stored_keys)
    strange = np.flatnonzero(place < 0)
    for row in strange[:5].tolist():
        yield f"{named(int(stored.series[row]))} at {iso(int(stored.time_us[row]))} is stored, but not in {source}"
    there = np.flatnonzero(place >= 0)
    wrong = there[~_equal(stored.take(there), given.take(place[there]))]
    for row in wrong[:5].tolist():
        yield _difference(stored, row, given, int(place[row]), named=named, source=source)
    told = np.zeros(len(given), dtype=np.bool_)
    told[place[there]] = True
    missing = np.flatnonzero(~told)
    if len(missing):
        yield from _not_stored(given.take(missing), earlier=earlier, named=named, source=source)


def _not_stored(
    given: Rows, *, earlier: Callable[[I64], Rows], named: Callable[[int], str], source: str
) -> Iterator[str]:
    """Rows of the input that neither the run nor any before it stored as the input has them."""
    known = earlier(np.unique(given.series))
    given_keys, known_keys = _packed(given, known)
    place = _places(given_keys, np.argsort(given_keys), known_keys)
    there = np.flatnonzero(place >= 0)
    equal = _equal(known.take(there), given.take(place[there]))
    told = np.zeros(len(given), dtype=np.bool_)
    told[place[there[equal]]] = True
    lost = np.flatnonzero(~told)
    for row in lost[:5].tolist():
        yield f"{named(int(given.series[row]))} at {iso(int(given.time_us[row]))} is in {source}, but not stored"
    if len(lost) > 5:
        yield f"{len(lost) - 5} more rows of {source} are not stored"


def _difference(stored: Rows, row: int, given: Rows, other: int, *, named: Callable[[int], str], source: str) -> str:
    where = f"{named(int(stored.series[row]))} at {iso(int(stored.time_us[row]))}"
    for name, column in stored.values.items():
        mine, theirs = column[row], given.values[name][other]
        if not _bits(column[row : row + 1], given.values[name][other : other + 1])[0]:
            return f"{where}: {name} is stored as {_shown(mine)}, {source} gives {_shown(theirs)}"
    return f"{where} differs from {source}"


def _shown(value: Any) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)


def _same(one: Rows, two: Rows) -> bool:
    return (
        len(one) == len(two)
        and bool((one.series == two.series).all() and (one.time_us == two.time_us).all())
        and bool(_equal(one, two).all())
    )


def _equal(one: Rows, two: Rows) -> NDArray[np.bool_]:
    found = np.ones(len(one), dtype=np.bool_)
    for name, column in one.values.items():
        found &= _bits(column, two.values[name])
    return found


def _bits(one: NDArray[Any], two: NDArray[Any]) -> NDArray[np.bool_]:
    """Equal to the bit; unknown equals unknown."""
    if one.dtype.kind != "f":
        return np.fromiter((a == b for a, b in zip(one.tolist(), two.tolist(), strict=True)), np.bool_, len(one))
    same = np.ascontiguousarray(one).view(np.int64) == np.ascontiguousarray(two).view(np.int64)
    both: NDArray[np.bool_] = same | (np.isnan(one) & np.isnan(two))
    return both


def _packed(one: Rows, two: Rows) -> tuple[I64, I64]:
    """One number for each key, the same number for the same key in both."""
    _, series = np.unique(np.concatenate([one.series, two.series]), return_inverse=True)
    _, times = np.unique(np.concatenate([one.time_us, two.time_us]), return_inverse=True)
    keys = (series.astype(np.int64) << 32) | times.astype(np.int64)
    return keys[: len(one)], keys[len(one) :]


def _places(keys: I64, order: I64, wanted: I64) -> I64:
    """Where each wanted key is among the keys, -1 where it is not."""
    if not len(keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return np.where(keys[at] == wanted, at, -1).astype(np.int64)
