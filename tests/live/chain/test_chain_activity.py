"""A day of real transfers into metrics, and from there into weights and eligibility of an index."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from chainkit import INDEX, NOBODY, NOW, TREASURY, World
from web3 import Web3

from indexer.engine.level import compute_index
from indexer.engine.second import compare, second_index
from indexer.errors import SourceUnavailable
from indexer.levels.markets import load_market, narrowed
from indexer.live.chain.activity import activity_series, owed_days, read_activity_of_day, read_events
from indexer.live.jobs import onchain_jobs
from indexer.methodology.load import load_methodology
from indexer.store.archive import read_payloads
from indexer.store.bars import read_metrics
from indexer.store.quality import read_quality
from indexer.times import to_us
from onchain.evm.activity import LegActivity, read_legs

pytestmark = pytest.mark.evm
DAY_END = datetime(2026, 3, 11, tzinfo=UTC)
OTHER = Web3.to_checksum_address(f"0x{0xF6:040x}")


def lively(world: World) -> None:
    """On the tenth of March three transfers and a mint of AAA, one transfer of BBB; the next day settles it."""
    for node in (world.one, world.two):
        node.rpc("evm_increaseTime", 20 * 3600)
        node.mine(1)
    for receiver, amount in ((NOBODY, 5), (OTHER, 7), (NOBODY, 11)):
        world.aaa.do("transfer", receiver, amount * 10**18)
    world.aaa.do("mint", TREASURY, 3 * 10**18)
    world.bbb.do("transfer", NOBODY, 4 * 10**6)
    for node in (world.one, world.two):
        node.rpc("evm_increaseTime", 20 * 3600)
        node.mine(10, interval=12)


def stored(world: World, slug: str, source: str = "onchain") -> dict[str, float]:
    found = read_metrics(world.store, subject=slug)
    assert all(one.time_us.tolist() == [to_us(DAY_END)] for one in found)
    return {one.name: float(one.value[0]) for one in found if one.source == source}


def test_a_day_becomes_metrics_of_each_ledger_and_of_the_token(world: World) -> None:
    lively(world)
    run = world.run("onchain-activity")
    seen: list[tuple[str, str, int, int]] = []
    world.update()  # rates, for volumes in USD
    made = read_activity_of_day(world.work(), run, end=DAY_END, progress=lambda *step: seen.append(step))
    assert made.read == len(made.ledgers) == 2 and {step[0] for step in seen} == {"AAA", "BBB"}
    aaa = stored(world, "aaa")
    assert (aaa["transfers"], aaa["senders"], aaa["receivers"], aaa["active_addresses"]) == (3, 1, 3, 4)
    assert (aaa["transfer_volume_tokens"], aaa["transfer_volume_usd"], aaa["mint_tokens"]) == (23.0, 23.0, 3.0)
    ledger = stored(world, "aaa", "onchain:ethereum")
    assert ledger["supply_identity_gap_tokens"] == 0.0
    assert ledger["holders_top1_share"] == pytest.approx((1000 - 250 - 10 - 23) / 1003)
    assert stored(world, "bbb")["transfers"] == 1.0
    evidence = [json.loads(world.work().archive.get(one.sha256)) for one in read_payloads(world.store, run)]
    assert [(one["symbol"], one["legs"][0]["activity"]["volume"]) for one in evidence] == [
        ("AAA", 23 * 10**18), ("BBB", 4 * 10**6)
    ]  # fmt: skip
    again = read_activity_of_day(world.work(), world.run("onchain-activity"), end=DAY_END)
    assert (again.written.new, again.written.revised) == (0, 0)


def test_an_index_is_weighted_by_a_metric_and_both_calculators_agree(world: World) -> None:
    lively(world)
    run = world.run("onchain-activity")
    blocks: list[tuple[int, int]] = []
    onchain_jobs(world.work(), transfers=True, progress=lambda done, total: blocks.append((done, total)))[-1].work(
        DAY_END, run
    )
    assert blocks and all(done <= total for done, total in blocks)
    world.finished(run)
    weighting = 'scheme = "fundamental"\nmetric = "active_addresses"'
    made = world.update(weighting)
    assert made.not_started == {}
    items = world.base()
    assert items["aaa"].weight_target == pytest.approx(4 / 6, rel=1e-12)
    assert items["bbb"].weight_target == pytest.approx(2 / 6, rel=1e-12)
    assert "no positive metric known" in items["ccc"].reason
    rules = load_methodology(_text(weighting), source="three.toml", registry=world.registry)
    market = narrowed(load_market(world.store, world.registry), rules, world.registry)
    found = compare(compute_index(market, rules), second_index(market, rules))
    assert found.max_relative < 1e-9


def test_an_index_asks_for_activity(world: World) -> None:
    lively(world)
    run = world.run("onchain-activity")
    read_activity_of_day(world.work(), run, end=DAY_END)
    world.finished(run)
    made = world.update(eligibility="min_active_addresses = 3\nmin_median_adv_usd = 1.0")
    assert made.indices == ()  # one of three is left, two are needed
    assert "2 eligible constituents are needed" in made.not_started["three"]
    world.update(eligibility="min_active_addresses = 2")
    items = world.base()
    assert {slug for slug, item in items.items() if item.units_after > 0} == {"aaa", "bbb"}
    assert items["ccc"].reason == (
        "active addresses known on 0 days of 30, 1 needed; a newcomer is not admitted without evidence"
    )


def test_metrics_are_used_as_they_were_known(world: World) -> None:
    lively(world)
    run = world.run("onchain-activity", now=NOW - timedelta(days=1))
    read_activity_of_day(world.work(NOW - timedelta(days=1)), run, end=DAY_END)
    world.update()
    then = load_market(world.store, world.registry, as_of_us=to_us(NOW - timedelta(days=2)))
    assert "active_addresses" not in then.metrics
    now = load_market(world.store, world.registry)
    assert set(now.metrics) >= {"active_addresses", "transfers", "senders", "receivers"}
    row, column = int(np.searchsorted(now.day_us, to_us(DAY_END))), now.slugs.index("aaa")
    assert now.metrics["active_addresses"][row, column] == 4.0


def test_a_ledger_that_cannot_be_read_is_in_the_ledger_and_gives_no_sum(world: World, dark: World) -> None:
    with pytest.raises(SourceUnavailable, match=r"no ledger's transfers could be read \(ethereum: 0 of 1 needed"):
        onchain_jobs(dark.work(), transfers=True)[-1].work(DAY_END, dark.run("onchain-activity"))
    subjects = {entry.subject for entry in read_quality(dark.store, kind="onchain_activity", open_only=True)}
    assert subjects == {"aaa ethereum", "bbb base"}
    good = LegActivity("ethereum", "0x1", "home", _some(world))
    bad = LegActivity("base", "0x2", "mint", None, "base: every endpoint failed")
    none = LegActivity("solana", "Mint", "mint", None, "solana has no Transfer logs")
    assert {one.source for one in activity_series("aaa", [good, bad], end_us=1)} == {"onchain:ethereum"}
    assert "onchain" in {one.source for one in activity_series("aaa", [good, none], end_us=1)}


def test_what_a_ledger_owes_is_read_with_a_later_day(world: World, dark: World) -> None:
    """A day with one silent ledger counts as done; its token's day is read once the ledger answers again."""
    lively(world)
    half = world.work()
    silent = replace(half, chains={**half.chains, "base": dark.work().chains["base"]})
    first = onchain_jobs(silent, transfers=True)[-1].work(DAY_END, world.run("onchain-activity"))
    assert (first["ledgers"], first["of"], first["made_up_for"]) == (1, 2, 0)
    assert stored(world, "aaa")["transfers"] == 3.0 and stored(world, "bbb") == {}
    for node in (world.one, world.two):
        node.rpc("evm_increaseTime", 24 * 3600)
        node.mine(10, interval=12)
    later = DAY_END + timedelta(days=1)
    assert owed_days(half, later, kind="onchain_activity")[-1] == (DAY_END, ("BBB",))
    asked: list[tuple[datetime, tuple[str, ...]]] = owed_days(half, later + timedelta(days=9), kind="onchain_activity")
    assert all(end > later for end, _ in asked), "not further back than three days"
    second = onchain_jobs(half, transfers=True)[-1].work(later, world.run("onchain-activity"))
    assert (second["ledgers"], second["of"], second["made_up_for"]) == (2, 2, 1)
    found = {one.source: one for one in read_metrics(world.store, subject="bbb", name="transfers")}
    assert found["onchain"].time_us.tolist() == [to_us(DAY_END), to_us(later)]
    assert found["onchain"].value.tolist() == [1.0, 0.0]
    assert read_quality(world.store, kind="onchain_activity", open_only=True) == []
    assert owed_days(half, later + timedelta(days=1), kind="onchain_activity") == []


def test_what_contracts_log_is_a_metric_and_a_day_not_read_is_made_up_for(world: World, dark: World) -> None:
    lively(world)
    path = world.settings.supply_rules
    event = f'metric = "moved_tokens", chain = "ethereum", address = "{world.aaa.address}", word = 0, decimals = 18'
    event += ', event = "Transfer(address,address,uint256)", source = "test"'
    path.write_text(path.read_text().replace("[AAA]\n", f"[AAA]\nevents = [{{{event}}}]\n"))
    job = {job.name: job for job in onchain_jobs(world.work(), transfers=False)}["onchain-events"]
    counts = job.work(DAY_END, world.run("onchain-events"))
    assert counts == {"events": 1, "of": 1, "metrics": 1, "owed": [], "tries": 1}
    assert stored(world, "aaa", "onchain:ethereum") == {"moved_tokens": 26.0}
    silent = replace(world.work(), chains=dark.work().chains)
    none = read_events(silent, DAY_END + timedelta(days=1), world.run("onchain-events"), only=["aaa moved_tokens"])
    assert none == {"events": 0, "of": 1, "metrics": 0, "owed": ["aaa moved_tokens"]}
    (entry,) = read_quality(world.store, kind="onchain_events", open_only=True)
    assert entry.subject == "aaa moved_tokens"
    world.one.rpc("evm_increaseTime", 48 * 3600)
    world.one.mine(10, interval=12)
    job.work(DAY_END + timedelta(days=2), world.run("onchain-events"))
    (series,) = read_metrics(world.store, subject="aaa", name="moved_tokens")
    assert series.time_us.tolist() == [to_us(DAY_END + timedelta(days=day)) for day in range(3)]
    assert series.value.tolist() == [26.0, 0.0, 0.0]
    assert read_quality(world.store, kind="onchain_events", open_only=True) == []


def test_a_rebasing_token_is_found_by_its_identity(world: World) -> None:
    token = world.one.deploy("rebasing", 10**21)
    world.points_aaa_at(token.address)
    world.one.rpc("evm_increaseTime", 20 * 3600)
    world.one.mine(1)
    token.do("rebase", 11 * 10**17)
    world.one.rpc("evm_increaseTime", 20 * 3600)
    world.one.mine(10, interval=12)
    made = read_activity_of_day(world.work(), world.run("onchain-activity"), end=DAY_END, symbols=("AAA",))
    assert made.ledgers[0].identity_gap == -(10**20)
    (entry,) = read_quality(world.store, kind="onchain_identity", open_only=True)
    assert entry.subject == "aaa ethereum"
    assert json.loads(entry.detail)["text"].endswith(
        "differs from the change of supply by -100000000000000000000 base units"
    )


def _some(world: World):
    lively(world)
    work = world.work()
    end = int(DAY_END.timestamp())
    legs = work.read_chains(
        lambda: read_legs(work.tokens["AAA"], chains=work.chains, start=end - 86400, end=end), within_s=60, what="test"
    )
    return legs[0].activity


def _text(weighting: str) -> str:
    return INDEX.format(weighting=weighting, eligibility="")
