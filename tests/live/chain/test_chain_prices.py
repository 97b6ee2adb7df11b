"""Real pools and feeds beside our reference rate: what is apart is in the ledger, what it would cost is a metric."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from chainkit import GENESIS, NOW, World, world_on
from test_liquidity_evm import v3_scene

from indexer.live.chain.prices import check_prices
from indexer.live.jobs import onchain_jobs
from indexer.store.assets import read_assets
from indexer.store.bars import read_metrics
from indexer.store.quality import read_quality
from indexer.store.rates import write_rates
from indexer.times import from_us, to_us

pytestmark = pytest.mark.evm


def fed(world: World, answer: int) -> None:
    """A feed for AAA whose last answer came a minute before midnight after the first day."""
    world.update()
    feed = world.one.deploy("aggregator", 8, "AAA / USD")
    midnight = GENESIS + 12 * 3600
    world.one.rpc("evm_increaseTime", 12 * 3600 - 120)
    world.one.mine(1)
    feed.do("set_round", 7, answer, midnight - 70, midnight - 70, 7)
    world.one.rpc("evm_increaseTime", 3600)
    world.one.mine(10, interval=12)
    head = f'feeds = [{{chain = "ethereum", address = "{feed.address}", pair = "AAA / USD", heartbeat_s = 3600}}]'
    path = world.settings.supply_rules
    path.write_text(path.read_text().replace("[AAA]\n", f"[AAA]\n{head}\n"))


AT = from_us((GENESIS + 12 * 3600 + 600) * 1_000_000)


def test_a_feed_that_agrees_is_a_metric_and_one_that_does_not_is_an_entry_until_it_does(world: World) -> None:
    fed(world, 105_000_000)
    checks, _ = check_prices(world.work(), world.run("onchain-prices"), symbols=("AAA",), at=AT)
    (check,) = [one for one in checks if one.kind == "chainlink"]
    assert (check.price_usd, check.reference_usd, check.beyond) == (1.05, 1.0, True)
    metrics = {one.name: float(one.value[0]) for one in read_metrics(world.store, subject="aaa")}
    assert metrics["feed_divergence_bps"] == pytest.approx(500.0)
    (entry,) = read_quality(world.store, kind="onchain_divergence", open_only=True)
    assert entry.subject.startswith("aaa chainlink ethereum 0x")
    assert "chainlink 1.05 USD, our rate 1 USD at 2026-03-10T00:00:00Z: +500 bp" in json.loads(entry.detail)["text"]
    check_prices(world.work(), world.run("onchain-prices"), symbols=("AAA",), at=AT, tolerance_bps=600)
    assert read_quality(world.store, kind="onchain_divergence", open_only=True) == []


def test_a_price_that_is_refused_says_why_and_one_without_a_rate_is_not_asked(world: World) -> None:
    fed(world, -5)
    later = AT + timedelta(hours=1)
    checks, unpriced = check_prices(world.work(), world.run("onchain-prices"), at=later)
    assert unpriced == [] and not any(check.beyond for check in checks)
    (entry,) = read_quality(world.store, kind="onchain_price", open_only=True)
    assert "the answer is -5" in json.loads(entry.detail)["text"]
    early = check_prices(world.work(), world.run("onchain-prices"), at=datetime.fromisoformat("2025-01-01T00:00:00Z"))
    assert early == ([], ["AAA", "BBB"])


def test_a_token_whose_chain_hangs_is_refused_and_the_others_go_on(world: World) -> None:
    fed(world, 105_000_000)
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # connects and never answers
        path = world.settings.chains_file
        path.write_text(path.read_text().replace(world.one.url, f"http://127.0.0.1:{deaf.getsockname()[1]}"))
        hasty = replace(world.work(), deadline_s=0.1)
        checks, unpriced = check_prices(hasty, world.run("onchain-prices"), at=AT)
    assert unpriced == [] and [one.symbol for one in checks] == ["AAA"]
    assert checks[0].reason == "checking the price of AAA took longer than 0.1 s and was given up"
    (entry,) = read_quality(world.store, kind="onchain_price", open_only=True)
    assert "took longer than 0.1 s" in json.loads(entry.detail)["text"]


def test_a_pool_gives_its_mean_and_what_moving_it_would_cost(nodes, tmp_path) -> None:
    node = nodes(31337)
    world = world_on(node, None, tmp_path)
    scene = v3_scene(node, price=2.5)
    world.points_aaa_at(scene.base.address)
    path = world.settings.chains_file
    quotes = f'quote_tokens = {{ USDC = "{scene.quote.address}" }}\n'
    quotes += f'uniswap_v3_factory = "{scene.factory.address}"\n'
    path.write_text(path.read_text().replace('identity = "0x7a69"\n', f'identity = "0x7a69"\n{quotes}'))
    rate_at = from_us((int(node.block()["timestamp"], 16) - 60) * 1_000_000)
    _rate(world, rate_at)
    node.rpc("evm_increaseTime", 600)
    node.mine(5)
    checks, _ = check_prices(world.work(), world.run("onchain-prices"), symbols=("AAA",), at=rate_at)
    (pool,) = [one for one in checks if one.kind == "univ3_twap"]
    assert pool.reason == "" and pool.price_usd == pytest.approx(2.5, rel=0.02) and not pool.beyond
    metrics = {one.name: one for one in read_metrics(world.store, subject="aaa")}
    cost = metrics["twap_move_5pct_cost_usd"]
    assert float(cost.value[0]) == pool.cost_to_move_usd > 0
    assert cost.source == f"onchain:ethereum:{scene.pool.address.lower()}"
    assert {"twap_usd", "twap_divergence_bps", "pool_liquidity_usd"} <= set(metrics)
    assert onchain_jobs(world.work(NOW), transfers=False)[1].work(NOW, world.run("onchain-prices"))["without_rate"] == 2
    world.store.close()


def _rate(world: World, at) -> None:
    ids = {asset.slug: asset.id for asset in read_assets(world.store)}
    write_rates(
        world.store, world.run("test"), asset_id=np.array([ids["aaa"]], np.int64),
        time_us=np.array([to_us(at)], np.int64), rate=np.array([2.5]), status=np.zeros(1, np.int8), method="test",
        verdicts=["{}"],
    )  # fmt: skip
