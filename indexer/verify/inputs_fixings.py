"""Fixings computed again from their archived answers, and held against the rates and bars that were stored.

Place in the flow: part of `verify` (see `inputs.py`). Rates must be the same to the last bit, with the same status
and the same verdict on each venue; a bar that the fixing wrote must be that venue's hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from indexer.live.fixing import KIND, evidence, rate_rows
from indexer.live.replay import Refixed, replay_fixing
from indexer.store.archive import Archive
from indexer.store.bars import BAR_VALUES
from indexer.store.db import Store
from indexer.store.facts import read_facts
from indexer.store.read import RunRow, read_assets, read_listings
from indexer.store.tables import Bar, Rate
from indexer.times import iso

Stored = Mapping[int, dict[str, tuple[object, ...]]]  # by run: what a row is about -> its values


@dataclass
class FixingCheck:
    """The check of fixings; `rates` counts those computed again."""

    store: Store
    archive: Archive
    rates: int = 0

    def problems(self, run: RunRow) -> Iterator[str]:
        """What a fixing stored and its answers do not give, or the other way round.

        Raises NotFoundError or VerificationError when the manifest or an answer cannot be read.
        """
        again = replay_fixing(self.archive, str(run.detail["manifest"]))
        at, made = again.fixed.at_us, rate_rows(again.fixed, again.rows)
        self.rates += len(made)
        given = {
            f"rate of {one.asset} at {iso(at)}": (one.rate, one.status, again.fixed.rates.method, one.verdicts)
            for one in made
        }
        stored = self._rates.get(run.id, {})
        for about in sorted(given.keys() | stored.keys()):
            if given.get(about) != stored.get(about):
                yield _said(about, stored.get(about), given.get(about))
        bars = _bars_of(again)
        for about, values in self._bars.get(run.id, {}).items():
            if not _alike(values, bars.get(about)):
                yield _said(about, values, bars.get(about))

    @cached_property
    def _rates(self) -> Stored:
        """The rates of every fixing, read at once: the table has no order by run."""
        slugs = {int(asset.id): asset.slug for asset in read_assets(self.store)}
        names = ("run_id", "asset_id", "time", "status", "rate", "method", "verdicts")
        found = read_facts(self.store, Rate, names, kind=KIND)
        rows: dict[int, dict[str, tuple[object, ...]]] = {}
        for run, asset, time, status, rate, method, verdicts in zip(
            *(found[name].tolist() for name in names), strict=True
        ):
            rows.setdefault(run, {})[f"rate of {slugs[asset]} at {iso(time)}"] = (rate, status, method, verdicts)
        return rows

    @cached_property
    def _bars(self) -> Stored:
        names = {one.id: (one.asset, one.venue) for one in read_listings(self.store)}
        columns = ("run_id", "listing_id", "time", *BAR_VALUES)
        found = read_facts(self.store, Bar, columns, kind=KIND)
        rows: dict[int, dict[str, tuple[object, ...]]] = {}
        for run, listing, time, *values in zip(*(found[name].tolist() for name in columns), strict=True):
            rows.setdefault(run, {})[_bar(*names[listing], time)] = tuple(values)
        return rows


def _bars_of(again: Refixed) -> dict[str, tuple[object, ...]]:
    at = again.fixed.at_us
    return {
        _bar(row.asset, row.source, at): tuple(float(getattr(bar, name)[0]) for name in BAR_VALUES)
        for row, bar in evidence(again.rows, again.got, at_us=at)
    }


def _bar(asset: str, venue: str, time: int) -> str:
    return f"bar of {asset} ({venue}, 1h) at {iso(time)}"


def _alike(one: tuple[object, ...], two: tuple[object, ...] | None) -> bool:
    return two is not None and np.array_equal(np.array(one), np.array(two), equal_nan=True)


def _said(about: str, stored: tuple[object, ...] | None, given: tuple[object, ...] | None) -> str:
    if given is None:
        return f"{about} is stored, but the archived answers give none"
    if stored is None:
        return f"{about}: the archived answers give {given[0]!r}, nothing is stored"
    return f"{about} is stored as {stored!r}, the archived answers give {given!r}"
