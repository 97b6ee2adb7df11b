"""Stored metrics → daily columns that an index may weigh by or ask for. Pure.

Place in the flow: `markets.py` hands them to `assemble`; the engine takes the one that a methodology names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from indexer.assemble import MetricColumns
from indexer.store.records import I64, MetricSeries
from indexer.times import DAY_US


def metric_columns(series: Sequence[MetricSeries], ids: Mapping[str, int]) -> list[MetricColumns]:
    """One set of columns for each metric: the last value of each day, of one source an asset.

    That is the on-chain total where there is one, else the first source by name. A single ledger's figures
    (`onchain:<chain>`) are not the token's. Assets without an id are left out.
    """
    chosen: dict[tuple[str, str], MetricSeries] = {}
    for one in sorted(series, key=lambda one: (one.source != "onchain", one.source)):
        if ":" not in one.source and one.subject in ids and len(one.time_us):
            chosen.setdefault((one.name, one.subject), one)
    made = []
    for name in dict.fromkeys(name for name, _ in chosen):
        mine = [one for (other, _), one in chosen.items() if other == name]
        rows = [_last_of_day(one.time_us) for one in mine]
        made.append(
            MetricColumns(
                name,
                asset_id=np.repeat([ids[one.subject] for one in mine], [len(picked) for picked in rows]),
                day_us=np.concatenate([_day(one.time_us[picked]) for one, picked in zip(mine, rows, strict=True)]),
                value=np.concatenate([one.value[picked] for one, picked in zip(mine, rows, strict=True)]),
            )
        )
    return made


def _day(time_us: I64) -> I64:
    """The 00:00 UTC at or after each instant: the end of the day it belongs to."""
    day: I64 = -(-time_us // DAY_US) * DAY_US
    return day


def _last_of_day(time_us: I64) -> I64:
    """Row numbers of the last instant of each day; instants ascend."""
    day = _day(time_us)
    return np.flatnonzero(np.append(day[1:] != day[:-1], True))
