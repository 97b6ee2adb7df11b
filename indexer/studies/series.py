"""One named series out of the store: an index's levels, a token's reference rates, a benchmark's closes.

First step of every study. Nothing is filled: where there is no row there is no value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, I64
from indexer.errors import NotEnoughDataError, NotFoundError, did_you_mean
from indexer.store.columnar import columns
from indexer.store.db import Store
from indexer.store.read import (
    StoredAsset,
    read_assets,
    read_benchmark,
    read_benchmark_bars,
    read_benchmarks,
    read_index,
    read_indices,
)

INDEX, TOKEN, BENCHMARK = "index", "token", "benchmark"
# Whose closes stand for the exchange's sessions where the benchmark itself is a token.
SESSION_SYMBOLS = ("QQQ", "SPY", "^NDX", "^GSPC")


@dataclass(frozen=True, slots=True)
class Series:
    """Values (T,) true at `times_us` (T,), ascending. `kind` is index, token or benchmark; `basis` what a value is."""

    name: str
    kind: str
    times_us: I64
    values: F64
    basis: str


def index_series(store: Store, index_id: str) -> Series:
    """All levels of an index. Raises NotFoundError for the id, NotEnoughDataError while it has none."""
    read_index(store, index_id)
    times, levels = _newest(store, "level", "level WHERE index_id = :id", index_id)
    if not len(times):
        raise NotEnoughDataError(f"{index_id} has no levels yet; import prices (`deai import`) and `deai update`")
    return Series(index_id, INDEX, times, levels, "index level")


def subject_series(store: Store, name: str) -> Series:
    """The levels of the index, or the rates of the token, of this name. Raises NotFoundError naming the closest."""
    indices = [row.id for row in read_indices(store)]
    if name in indices:
        return index_series(store, name)
    return token_series(store, name, also=indices)


def token_series(store: Store, slug: str, *, also: list[str] | None = None) -> Series:
    """The reference rates of a line in its last token: a predecessor's, by the ratio, until the successor has its own.

    `also` are other names to suggest from. Raises NotFoundError for a slug that is not stored, NotEnoughDataError
    for one without a rate.
    """
    assets = read_assets(store)
    known = {asset.slug: asset for asset in assets}
    wanted = slug.lower()
    if wanted not in known:
        names = sorted({*known, *(also or [])})
        raise NotFoundError(
            f'No index or token "{slug}".{did_you_mean(wanted, names)} Indices: {", ".join(also or [])}.'
        )
    tokens = [known[wanted], *(asset for asset in assets if asset.line == wanted and asset.slug != wanted)]
    parts = [(token, *_newest(store, "rate", "rate WHERE asset_id = :id", token.id)) for token in tokens]
    times, values = _spliced([part for part in parts if len(part[1])], last=wanted)
    if not len(times):
        raise NotEnoughDataError(f"{wanted} has no reference rate yet; import its prices (`deai import`)")
    return Series(wanted, TOKEN, times, values, "reference rate")


def benchmark_series(store: Store, symbol: str, *, interval: str = "1d") -> Series:
    """The closes of a benchmark, or a token's rates where no benchmark but a token has this name.

    Raises NotFoundError naming the closest benchmark, NotEnoughDataError where it has no bar of the interval.
    """
    tokens = {asset.slug for asset in read_assets(store)}
    listed = {row.symbol.casefold() for row in read_benchmarks(store)}
    if symbol.casefold() not in listed and symbol.lower() in tokens:
        return token_series(store, symbol)
    name = read_benchmark(store, symbol).symbol
    times, closes, basis = read_benchmark_bars(store, name, interval=interval)
    return Series(name, BENCHMARK, times, closes, basis)


def session_instants(store: Store, *, around: Series | None = None) -> I64:
    """The instants of the exchange's closes: the series' own where it is a benchmark, else those of QQQ or the like."""
    if around is not None and around.kind == BENCHMARK:
        return around.times_us
    known = [row.symbol for row in read_benchmarks(store)]
    for symbol in [*(name for name in SESSION_SYMBOLS if name in known), *known]:
        times, _, _ = read_benchmark_bars(store, symbol)
        if len(times):
            return times
    raise NotEnoughDataError("no benchmark has closes, so the exchange's sessions are not known; import QQQ or another")


def values_at(series: Series, at_us: I64) -> F64:
    """The series at exactly these instants, NaN where it has no row."""
    from indexer.analytics.align import sample_at

    return sample_at(series.times_us, series.values, at_us=at_us)


def last_known(series: Series, at_us: I64) -> tuple[F64, F64]:
    """The last value at or before each instant, and its age in microseconds; NaN before the first.

    For valuing a basket as the engine does, never for a return or a beta.
    """
    row = np.searchsorted(series.times_us, at_us, side="right") - 1
    held = np.where(row >= 0, series.values[np.maximum(row, 0)], np.nan)
    age = np.where(row >= 0, at_us - series.times_us[np.maximum(row, 0)], np.nan)
    return held, age.astype(np.float64)


def _newest(store: Store, column: str, source: str, key: int | str) -> tuple[I64, F64]:
    """(times, values) of the rows of one key, the last revision of each instant."""
    kinds = {"time": "int64", "revision": "int64", column: "float64"}
    found = columns(store, kinds, source=source, params={"id": key}, order="time, revision")
    times = found["time"]
    last = np.r_[times[1:] != times[:-1], True] if len(times) else np.zeros(0, dtype=np.bool_)
    return times[last], found[column][last]


def _spliced(parts: list[tuple[StoredAsset, I64, F64]], *, last: str) -> tuple[I64, F64]:
    """Tokens of a line in succession, in units of the last one: each until the next one's first rate."""
    ordered = sorted(parts, key=lambda part: (part[0].slug == last, int(part[1][0])))
    times: list[I64] = []
    values: list[F64] = []
    for place, (token, at, rate) in enumerate(ordered):
        until = min((int(later[1][0]) for later in ordered[place + 1 :]), default=np.iinfo(np.int64).max)
        keep = at < until
        ratio = 1.0 if token.slug == last else token.line_ratio
        times.append(at[keep])
        values.append(rate[keep] / ratio)
    if not times:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    return np.concatenate(times), np.concatenate(values)
