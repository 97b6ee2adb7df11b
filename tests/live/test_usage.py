"""The usage job in the played world: whole days of fees and value locked, asked again and written once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from fault_server import Fault
from played import NOON, Played, run_of

from indexer.errors import SourceUnavailable
from indexer.live.context import Live
from indexer.live.measures import USAGE as KIND
from indexer.live.measures import read_usage
from indexer.registry import load_registry
from indexer.sources.usage import USAGE
from indexer.store.bars import read_metrics
from indexer.store.quality import read_quality
from indexer.times import DAY_US, to_us


def test_whole_days_are_written_once_under_the_asset_that_the_registry_names(live: Live, world: Played) -> None:
    everyone = replace(live, registry=load_registry())  # the shipped one, with its identifiers of DefiLlama
    everyone.asset_ids()
    first = read_usage(everyone, NOON, run_of(live, KIND))
    series = {(row.subject, row.name): row for row in read_metrics(live.store)}
    assert first["failed_sources"] == [] and first["series"] == len(series) + 1 > 20, "fees of NEAR have two sources"
    fees, tvl = series["akt", "fees_usd"], series["near", "tvl_usd"]
    assert np.unique(fees.value).tolist() == [5000.0] and tvl.source == "defillama-usage"
    assert series["akt", "spend_tokens"].value.tolist() == [2.0] * 29
    assert np.unique(series["icp", "cycles_burnt"].value).tolist() == [1.0]
    assert (fees.time_us % DAY_US == 0).all() and fees.time_us[-1] == to_us(NOON) // DAY_US * DAY_US
    world.now += timedelta(days=1)
    again = read_usage(everyone, NOON + timedelta(days=1), run_of(live, KIND, 1))
    assert again["values"] == first["series"], "one day more of each"


def test_when_nobody_answers_the_job_fails_and_says_who(live: Live, world: Played) -> None:
    world.faults += [Fault(name, "401") for name in USAGE.services]
    with pytest.raises(SourceUnavailable, match="no source gave any network's usage"):
        read_usage(replace(live, registry=load_registry()), NOON, run_of(live, KIND))
    assert {row.subject for row in read_quality(live.store, kind="source_down", open_only=True)} == set(USAGE.services)
