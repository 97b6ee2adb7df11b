"""Snapshots of real nodes into the store and into an index's weights; what is missing, provisional or gone says so."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from chainkit import NOBODY, NOW, PRICES, TREASURY, World
from pydantic import SecretStr
from sqlalchemy import text

from indexer.errors import InputError, SourceUnavailable, Stopped, VerificationError
from indexer.live.chain.recheck import recheck_supplies
from indexer.live.chain.snapshots import proofs_of, replayed, take_snapshot
from indexer.live.jobs import ACTIVITY, EVENTS, LEASE, SUPPLY, chain_scheduler, onchain_jobs
from indexer.live.jobs import PRICES as PRICE_JOB
from indexer.live.measures import USAGE
from indexer.live.scheduler import Scheduler
from indexer.store.archive import read_payloads
from indexer.store.db import open_store
from indexer.store.quality import read_quality
from indexer.store.runs import read_runs
from indexer.store.supplies import read_latest_supplies, read_supplies
from indexer.times import to_us
from indexer.verify.replay import Replayed, replay
from indexer.workflow.work import update_live
from onchain.chains import load_chains

pytestmark = pytest.mark.evm


def supplies(world: World, slug: str) -> dict[str, object]:
    return {row.kind: row for row in read_latest_supplies(world.store, slug) if row.origin == "on_chain"}


def said(entry) -> str:
    return json.loads(entry.detail)["text"]


def test_snapshot_becomes_exact_rows_with_their_block(world: World) -> None:
    run = world.run()
    made = take_snapshot(world.work(), run, symbols=("AAA", "BBB"))
    assert (made.on_chain, made.written.new, made.first_reason) == (2, 8, "")
    rows = supplies(world, "aaa")
    amounts = {kind: row.amount for kind, row in rows.items()}
    assert amounts == {
        "total": 1000 * 10**18, "free_float": 740 * 10**18, "burnt": 10 * 10**18, "treasury": 250 * 10**18
    }  # fmt: skip
    block = world.one.block(rows["total"].block_number)
    assert rows["total"].block_hash == block["hash"]
    assert (rows["total"].chain, rows["total"].finality) == ("ethereum", "finalized")
    assert to_us(rows["total"].observed_at) == int(block["timestamp"], 16) * 1_000_000
    assert supplies(world, "bbb")["free_float"].amount == 1500 * 10**6
    again = take_snapshot(world.work(), world.run(), symbols=("AAA", "BBB"))
    assert (again.written.new, again.written.revised, again.written.unchanged) == (0, 0, 8)


def test_proof_is_kept_linked_and_gives_the_same_numbers_offline(world: World) -> None:
    run = world.run()
    made = take_snapshot(world.work(), run, symbols=("AAA",))
    (payload,) = read_payloads(world.store, run)
    assert (payload.sha256, payload.source) == (made.proof, "onchain")
    (proof,) = proofs_of(world.work(), run)
    world.one.close()
    assert (
        replayed(world.work().tokens, proof).supplies["AAA"].free_float == supplies(world, "aaa")["free_float"].amount
    )
    proof["readings"][0]["amount"] = "1"
    with pytest.raises(VerificationError, match="does not match its digest"):
        replayed(world.work().tokens, proof)


def test_index_is_weighted_by_the_on_chain_float_and_says_where_each_supply_is_from(world: World) -> None:
    world.finished(_snapshot(world))
    world.update()
    items = world.base()
    assert {slug: item.supply_source for slug, item in items.items()} == {
        "aaa": "on_chain", "bbb": "on_chain", "ccc": "imported"
    }  # fmt: skip
    assert {slug: item.supply for slug, item in items.items()} == {"aaa": 740.0, "bbb": 1500.0, "ccc": 300.0}
    value = {slug: PRICES[slug] * item.supply for slug, item in items.items()}
    assert items["bbb"].weight_target == pytest.approx(value["bbb"] / sum(value.values()), rel=1e-12)


def test_snapshot_after_the_reference_date_changes_nothing_before_it(world: World) -> None:
    for node in (world.one, world.two):
        node.rpc("evm_increaseTime", 25 * 86400)  # past 2026-03-27
        node.mine(5, interval=12)
    world.finished(_snapshot(world))
    world.update()
    assert {item.supply_source for item in world.base().values()} == {"imported"}


def test_without_any_endpoint_the_reason_is_in_the_ledger_and_the_index_goes_on(dark: World) -> None:
    job = onchain_jobs(dark.work(), transfers=False)[0]
    run = dark.run()
    with pytest.raises(SourceUnavailable, match=r"no chain gave a supply \(.*connection failed.*; the index goes on"):
        job.work(NOW, run)
    open_now = {entry.subject: said(entry) for entry in read_quality(dark.store, kind="onchain_missing")}
    assert "connection failed" in open_now["aaa"] and "connection failed" in open_now["bbb"]
    assert "secret" not in json.dumps(open_now)
    assert not [row for row in read_supplies(dark.store) if row.origin == "on_chain"]
    assert len(dark.update().indices) == 1
    assert {item.supply_source for item in dark.base().values()} == {"imported"}


def test_entries_close_once_the_chain_answers(world: World, dark_settings) -> None:
    with pytest.raises(SourceUnavailable):
        onchain_jobs(dark_settings(world), transfers=False)[0].work(NOW, world.run())
    assert len(read_quality(world.store, kind="onchain_missing", open_only=True)) >= 2
    take_snapshot(world.work(NOW + timedelta(hours=1)), world.run(), symbols=("AAA", "BBB"))
    still = {entry.subject for entry in read_quality(world.store, kind="onchain_missing", open_only=True)}
    assert not {"aaa", "bbb"} & still


def test_safe_rows_are_confirmed_once_final(world: World) -> None:
    _snapshot(world)
    first = supplies(world, "bbb")["total"]
    assert (first.finality, first.revision) == ("safe", 1)
    world.two.mine(10, interval=2)
    made = recheck_supplies(world.work(), world.run())
    assert (made.confirmed, made.orphaned, made.open) == (1, 0, 0)
    now = supplies(world, "bbb")["total"]
    assert (now.finality, now.revision, now.amount) == ("finalized", 2, first.amount)
    assert recheck_supplies(world.work(), world.run()).confirmed == 0


def test_reorg_withdraws_the_numbers_and_reads_the_instant_again(world: World) -> None:
    _latest(world)
    world.bbb.do("mint", NOBODY, 77 * 10**6)
    before = world.run(now=NOW - timedelta(days=2))
    take_snapshot(world.work(NOW - timedelta(days=2)), before, symbols=("BBB",))
    first = supplies(world, "bbb")["total"]
    assert first.amount == 2077 * 10**6 and first.finality == "latest"
    world.two.rpc("anvil_reorg", 2, [])  # the mint is gone with its block
    world.two.mine(4, interval=60)
    made = recheck_supplies(world.work(), world.run())
    assert (made.orphaned, made.replaced, made.confirmed) == (1, 1, 0)
    now = supplies(world, "bbb")["total"]
    assert (now.amount, now.revision, now.observed_at) == (2000 * 10**6, 3, first.observed_at)
    assert now.block_hash != first.block_hash
    (entry,) = read_quality(world.store, kind="onchain_orphaned")
    assert entry.subject == "bbb" and entry.closed_at == NOW
    assert "base" in said(entry) and "left the chain; read again" in said(entry)
    known_then = read_supplies(world.store, as_of_us=to_us(NOW - timedelta(days=1)))
    assert [row.amount for row in known_then if (row.asset, row.kind, row.origin) == ("bbb", "total", "on_chain")] == [
        2077 * 10**6
    ]


def test_readings_are_derived_again_from_their_proofs(world: World, tmp_path: Path) -> None:
    _latest(world)
    world.bbb.do("mint", NOBODY, 77 * 10**6)
    first, later = world.run(now=NOW - timedelta(days=2)), NOW - timedelta(days=1)
    take_snapshot(world.work(NOW - timedelta(days=2)), first, symbols=("BBB",))
    world.finished(first)
    world.two.rpc("anvil_reorg", 2, [])
    world.two.mine(4, interval=60)
    second = world.run(now=later)
    assert recheck_supplies(world.work(later), second).replaced == 1
    take_snapshot(world.work(later), second)
    world.finished(second)
    assert derived(world, tmp_path / "again.sqlite").problems == ()
    assert derived(world, tmp_path / "same.sqlite").derived == {"onchain-supply": 2}
    with world.store.writing() as connection:
        connection.execute(text("UPDATE supply SET amount = '5' WHERE kind = 'total' AND origin = 'on_chain'"))
    problems = derived(world, tmp_path / "forged.sqlite").problems
    assert "amount is stored as '5', the archive gives " in problems[0]
    world.points_aaa_at(NOBODY)
    ruled = derived(world, tmp_path / "ruled.sqlite")
    assert ruled.derived == {}, "by another rule nothing can be said: the rows are taken over, and counted"
    assert ruled.taken_over == derived(world, tmp_path / "more.sqlite").taken_over >= 2


def derived(world: World, path: Path) -> Replayed:
    empty = open_store(f"sqlite:///{path}")
    empty.migrate()
    live = world.work()
    try:
        return replay(
            world.store, empty, registry=live.registry, archive=live.archive, tokens=live.tokens, updates=False
        )
    finally:
        empty.close()


def test_orphaned_numbers_that_cannot_be_read_again_are_used_by_nobody(world: World) -> None:
    _latest(world)
    world.bbb.do("mint", NOBODY, 77 * 10**6)
    run = world.run()
    take_snapshot(world.work(), run, symbols=("BBB",))
    world.finished(run)
    world.two.rpc("anvil_reorg", 2, [])  # no newer block proves the instant: it cannot be read again yet
    made = recheck_supplies(world.work(), world.run())
    assert (made.orphaned, made.replaced) == (1, 0)
    assert supplies(world, "bbb") == {}
    (entry,) = read_quality(world.store, kind="onchain_orphaned", open_only=True)
    assert "its numbers are withdrawn, reading again failed: " in said(entry)
    world.update()
    assert world.base()["bbb"].supply_source == "imported"


def test_chain_scheduler_works_beside_the_other_and_reads_transfers_when_asked_for(world: World) -> None:
    def made(**changes: object) -> Scheduler | None:
        settings = world.settings.model_copy(update=changes)
        return chain_scheduler(world.store, settings, registry=world.registry, clock=lambda: NOW)

    assert made(onchain=False) is None and made(sources=("none",)) is None
    for asked, names in (
        ({}, [SUPPLY, PRICE_JOB, USAGE, EVENTS]),
        ({"sources": ("binance",)}, [SUPPLY, PRICE_JOB, EVENTS]),
        ({"onchain_activity": True}, [SUPPLY, PRICE_JOB, USAGE, EVENTS, ACTIVITY]),
    ):
        chains = made(**asked)
        assert chains is not None and [job.name for job in chains.jobs] == names
    main = Scheduler(world.store, [], clock=lambda: NOW)
    main.tick()
    scheduler = Scheduler(world.store, onchain_jobs(world.work(), transfers=False)[:1], clock=lambda: NOW, lease=LEASE)
    assert scheduler.tick() == 1 and main.leads and scheduler.leads and scheduler.failed == {}
    (done,) = read_runs(world.store, kind=SUPPLY)
    assert done.outcome == "done" and done.detail["on_chain"] == 2 and done.detail["orphaned"] == 0


def test_update_by_hand_does_what_the_chains_are_due_once(world: World) -> None:
    """deai update without a server: supplies are read and used; a job that got nothing is said; no lease stays."""
    path = world.settings.chains_file
    known = load_chains(text=path.read_text())
    path.write_text(
        path.read_text()
        + "".join(
            f'[{name}]\nfamily = "{chain.family}"\nendpoints = ["http://127.0.0.1:9"]\n'
            for name, chain in load_chains().items()
            if name not in known
        )
    )
    name, chain = next(iter(known.items()))
    endpoint = SecretStr(f"{name}={chain.endpoints[0]}")  # with one of their own chains are read though no source is
    own = {"rpc_endpoints": endpoint, "onchain_activity": True}
    settings = world.settings.model_copy(update={**own, "sources": ("none",)})
    made = update_live(world.store, settings, clock=lambda: NOW)
    assert not made.elsewhere and set(made.failed) == {ACTIVITY, EVENTS}
    assert "is not settled yet" in made.failed[ACTIVITY]
    assert supplies(world, "aaa")["free_float"].amount == 740 * 10**18
    (done,) = read_runs(world.store, kind=SUPPLY)
    assert (done.outcome, done.detail["on_chain"], done.due_at) == ("done", 2, NOW - timedelta(hours=6))
    again = update_live(world.store, settings, clock=lambda: NOW)
    assert len(read_runs(world.store, kind=SUPPLY)) == 1 and again.done == 0
    leader = Scheduler(world.store, [], clock=lambda: NOW, lease=LEASE)
    leader.tick()
    assert update_live(world.store, settings, clock=lambda: NOW).elsewhere
    off = settings.model_copy(update={"onchain": False})
    assert not update_live(world.store, off, clock=lambda: NOW).elsewhere


def test_stopping_ends_a_read(world: World) -> None:
    work = world.work()
    work.upstream.close()
    with pytest.raises(Stopped, match="stopped while reading the supplies of 1 tokens"):
        take_snapshot(work, world.run(), symbols=("AAA",))


def test_a_jump_of_the_float_is_said_once(world: World) -> None:
    _snapshot(world)
    world.two.rpc("evm_increaseTime", 600)
    world.bbb.do("transfer", TREASURY, 50 * 10**6)  # 2.5 points of 2000
    world.two.mine(10, interval=12)
    world.one.mine(60, interval=12)
    _snapshot(world)
    assert read_quality(world.store, kind="onchain_float_change") == []
    world.two.rpc("evm_increaseTime", 600)
    world.bbb.do("transfer", TREASURY, 61 * 10**6)
    world.two.mine(10, interval=12)
    world.one.mine(60, interval=12)
    _snapshot(world)
    _snapshot(world)
    (entry,) = read_quality(world.store, kind="onchain_float_change")
    assert entry.subject == "bbb" and entry.closed_at == entry.opened_at
    assert "the free float changed by -3.0 points of the supply between" in said(entry)  # 3.05


def test_unknown_symbol_names_those_there_are(world: World) -> None:
    with pytest.raises(InputError, match=r'no supply rule for "NOPE" whose token is in the registry; known: .*AAA, '):
        take_snapshot(world.work(), world.run(), symbols=("NOPE",))


def test_a_read_that_hangs_is_given_up(world: World) -> None:
    from dataclasses import replace

    with pytest.raises(SourceUnavailable, match=r"reading the supplies of 1 tokens took longer than 0 s"):
        take_snapshot(replace(world.work(), deadline_s=0), world.run(), symbols=("AAA",))


def _snapshot(world: World) -> int:
    run = world.run()
    take_snapshot(world.work(), run, symbols=("AAA", "BBB"))
    return run


def _latest(world: World) -> None:
    """Read the second chain at its newest block, which may still go."""
    path = world.settings.chains_file
    path.write_text(path.read_text().replace('finality = "safe"', 'finality = "latest"'))
    world.two.mine(3, interval=12)


@pytest.fixture
def dark_settings(tmp_path):
    """The world's work with endpoints that nobody listens on."""

    def make(world: World):
        path = tmp_path / "dark.toml"
        text = world.settings.chains_file.read_text()
        for node in (world.one, world.two):
            text = text.replace(node.url, "http://127.0.0.1:9")
        path.write_text(text)
        dark = World(
            None, None, None, None, world.settings.model_copy(update={"chains_file": path}), world.registry, world.store
        )
        return dark.work()

    return make
