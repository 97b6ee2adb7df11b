"""A default start beside simulated providers and chains: supplies, usage and fundamentals of the index come soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from chain_endpoints import chain_endpoints
from fastapi.testclient import TestClient
from simulation import providers
from test_first_run import WAIT_S, eventually

from api.app import create_app
from indexer.config import Settings
from indexer.live.chain.configured import chains_of
from indexer.store.db import Store, open_store
from indexer.store.supplies import read_all_latest_supplies
from indexer.times import iso, to_us, utc_now
from indexer.workflow import work
from onchain.health import by_chain, doctor

GOAL_S = 120.0
BUDGET = 40  # requests to one operator of one chain in one reading, of which there are four a day


def test_a_default_start_shows_supplies_metrics_and_fundamentals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "CHAINS_AFTER_S", 1.0)  # a minute, which is spared here
    with (
        providers("healthy", now=iso(to_us(utc_now()))) as root,
        chain_endpoints(root, silent=("drpc",)) as (base, asked),
    ):
        settings = Settings(data_dir=tmp_path, source_base_url=base)
        store = open_store(settings.store_url)
        store.migrate()
        page = TestClient(create_app(store, settings=settings, clock=utc_now))
        with work.scheduled(store, settings):
            began = time.monotonic()
            assert eventually(lambda: len(read_on_chain(store)) >= 20, within_s=WAIT_S), read_on_chain(store)
            assert eventually(lambda: {"active_leases", "fees_usd"} <= metrics(page, "AKT"), within_s=WAIT_S)
            assert eventually(lambda: page.get("/v1/indices/deai/fundamentals").status_code == 200, within_s=WAIT_S)
            assert eventually(lambda: {"winning_tickets", "ticket_fees_eth"} <= metrics(page, "LPT"), within_s=WAIT_S)
            took = time.monotonic() - began
        paid = page.get("/v1/assets/ATH/metrics?metric=fees_tokens").json()["series"]
        assert [(row["source"], row["grade"], row["value"]) for row in paid] == [("onchain:arbitrum", "measured", 60.0)]
        assert {"subnets", "alpha_price_tokens", "subnet_emission_tokens"} <= metrics(page, "TAO")
        assert page.get("/v1/assets/TAO/onchain").json()["free_float"]["block"]["chain"] == "bittensor"
        figures = {row["figure"]: row for row in page.get("/v1/indices/deai/fundamentals").json()["aggregates"]}
        assert figures["fees_usd"]["members"] >= 5 and figures["staking_share"]["value"] > 0
        store.close()
    assert took < GOAL_S
    assert max(asked.counts.values()) <= BUDGET, asked.counts.most_common(5)


def test_the_doctor_counts_operators_and_says_what_is_unconfirmed() -> None:
    with chain_endpoints("http://127.0.0.1:9", silent=("drpc", "polkachu")) as (base, _):
        rows = {row.chain: row for row in by_chain(doctor(chains=chains_of(Settings(source_base_url=base))))}
    assert rows["ethereum"].answering == ("publicnode", "blockmachine", "tenderly")
    assert rows["ethereum"].verdict.startswith("quorum: 2 operators confirm each other (drpc: ")
    assert rows["aioz"].verdict.startswith("unconfirmed: it has one operator")
    assert rows["icp"].verdict.startswith("nobody answers (dfinity: ")
    assert [row.operators for row in rows.values() if row.chain in ("aioz", "icp")] == [1, 1]


def read_on_chain(store: Store) -> set[str]:
    """The assets that a chain gave a figure of."""
    rows = (row for known in read_all_latest_supplies(store).values() for row in known)
    return {row.asset for row in rows if row.origin == "on_chain"}


def metrics(page: TestClient, symbol: str) -> set[str]:
    answer = page.get(f"/v1/assets/{symbol}/metrics")
    return {series["metric"] for series in answer.json()["series"]} if answer.status_code == 200 else set()
