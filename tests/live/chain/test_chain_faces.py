"""deai onchain and /v1/assets over a world with real nodes: what people and programs see of chain work."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from chainkit import NOBODY, NOW, World
from fastapi.testclient import TestClient

from api.app import create_app
from indexer.live.chain.activity import read_activity_of_day
from indexer.live.chain.snapshots import take_snapshot
from indexer.store.runs import read_runs

pytestmark = pytest.mark.evm


def deai(world: World, *args: str) -> subprocess.CompletedProcess[str]:
    """The command line on the world's settings."""
    settings = {
        "DEAI_DATA_DIR": world.settings.data_dir,
        "DEAI_REGISTRY": world.settings.registry,
        "DEAI_SUPPLY_RULES": world.settings.supply_rules,
        "DEAI_CHAINS_FILE": world.settings.chains_file,
        "DEAI_RPC_CONFIRM": "1",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DEAI_")}
    return subprocess.run(
        [sys.executable, "-c", "from indexer.cli import main; main()", "onchain", *args],
        env=environment | {name: str(value) for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def answered(world: World, path: str) -> dict[str, Any]:
    client = TestClient(create_app(world.store, settings=world.settings, clock=lambda: NOW))
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_snapshot_and_supply_by_hand(world: World) -> None:
    done = deai(world, "snapshot", "AAA", "BBB", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    by_symbol = {one["symbol"]: one for one in made["readings"]}
    assert (by_symbol["AAA"]["status"], by_symbol["AAA"]["free_float"]) == ("on_chain", 740.0)
    (run,) = read_runs(world.store, kind="onchain-supply")
    assert (run.outcome, run.due_at, run.detail) == ("done", None, {"by": "hand"})
    shown = json.loads(deai(world, "supply", "AAA", "--json").stdout)
    free = next(one for one in shown if one["kind"] == "free_float")
    assert (free["amount"], free["origin"], free["chain"]) == (str(740 * 10**18), "on_chain", "ethereum")
    assert "  AAA, known gap: a gap of aaa" in deai(world, "snapshot", "AAA").stdout
    text = deai(world, "supply", "AAA")
    assert text.returncode == 0 and re.search(r"^AAA +free_float +740 ", text.stdout, re.MULTILINE), text.stdout


def test_a_snapshot_by_hand_withdraws_what_left_the_chain(world: World) -> None:
    from test_chain_supplies import _latest, supplies

    _latest(world)
    world.bbb.do("mint", NOBODY, 77 * 10**6)
    run = world.run()
    take_snapshot(world.work(), run, symbols=("BBB",))
    world.finished(run)
    assert supplies(world, "bbb")
    world.two.rpc("anvil_reorg", 2, [])
    assert deai(world, "snapshot", "AAA").returncode == 0
    assert supplies(world, "bbb") == {}


def test_activity_and_doctor_by_hand(world: World) -> None:
    for node in (world.one, world.two):
        node.rpc("evm_increaseTime", 40 * 3600)
        node.mine(5, interval=12)
    done = deai(world, "activity", "AAA", "BBB", "--day", "2026-03-10", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert {(one["symbol"], one["transfers"]) for one in made["ledgers"]} == {("AAA", 0), ("BBB", 0)}
    asked = deai(world, "doctor", "ethereum", "--json")
    assert asked.returncode == 0, asked.stderr
    assert [row["ok"] for row in json.loads(asked.stdout)] == [True]
    assert "yes" in deai(world, "doctor", "base").stdout


def test_failures_have_their_exit_codes_and_say_what_to_do(dark: World) -> None:
    done = deai(dark, "snapshot", "AAA")
    assert done.returncode == 5
    assert "missing" in done.stdout and "no chain gave a supply (AAA: " in done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert read_runs(dark.store, kind="onchain-supply")[0].outcome == "done"  # the ledger says what was missing
    unknown = deai(dark, "supply", "NOPE")
    assert unknown.returncode == 2 and 'no supply rule for "NOPE"' in unknown.stderr
    nowhere = deai(dark, "doctor", "etherium")
    assert nowhere.returncode == 3 and 'Did you mean "ethereum"?' in nowhere.stderr
    silent = deai(dark, "doctor", "ethereum")
    assert silent.returncode == 5 and "DEAI_RPC_ENDPOINTS" in silent.stderr
    failed = deai(dark, "activity", "AAA", "--day", "2026-03-10")
    assert failed.returncode == 5 and "no ledger's transfers could be read" in failed.stderr


def test_asset_pages_show_each_status_with_its_block(world: World) -> None:
    run = world.run()
    take_snapshot(world.work(), run, symbols=("AAA", "BBB"))
    world.finished(run)
    world.update()
    listed = {one["asset"]: one for one in answered(world, "/v1/assets")["data"]}
    assert (listed["aaa"]["supply_status"], listed["aaa"]["free_float"]) == ("on_chain", 740.0)
    assert (listed["ccc"]["supply_status"], listed["ccc"]["free_float"]) == ("imported", 300.0)
    assert listed["btc"]["supply_status"] == "missing"
    detail = answered(world, "/v1/assets/AAA")
    assert detail["contract"] == world.aaa.address and detail["labels"][0]["symbol"] == "AAA"
    assert detail["rate"]["usd"] == 1.0 and detail["venues"][0]["venue"] == "kraken"
    free = detail["free_float"]
    number = free["block"]["number"]
    assert free["block"]["hash"] == world.one.block(number)["hash"]
    assert free["block"]["link"] == f"https://etherscan.io/block/{number}"
    assert (free["status"], free["kind"], free["passed_over"]) == ("on_chain", "free_float", "")
    kinds = {(one["kind"], one["origin"]) for one in detail["supplies"]}
    assert {("free_float", "on_chain"), ("treasury", "on_chain"), ("circulating", "imported")} <= kinds
    other = answered(world, "/v1/assets/ccc")["free_float"]
    assert (other["status"], other["block"]) == ("imported", None)
    assert other["passed_over"] == "on-chain: no free float; reported: no circulating"
    members = {one["asset"]: one["supply_source"] for one in answered(world, "/v1/indices/three/constituents")["data"]}
    assert members == {"aaa": "on_chain", "bbb": "on_chain", "ccc": "imported"}


def test_onchain_page_has_components_metrics_history_and_findings(world: World, dark: World) -> None:
    for node in (world.one, world.two):
        node.rpc("evm_increaseTime", 40 * 3600)
        node.mine(5, interval=12)
    take_snapshot(world.work(), world.run(), symbols=("AAA",))
    from test_chain_activity import DAY_END

    read_activity_of_day(world.work(), world.run("onchain-activity"), end=DAY_END, symbols=("AAA",))
    page = answered(world, "/v1/assets/aaa/onchain?metric=transfers")
    assert page["free_float_ratio"] == pytest.approx(740 / 990)
    assert {one["kind"] for one in page["supplies"]} == {"total", "free_float", "burnt", "treasury"}
    assert page["gaps"] == ["a gap of aaa"] and page["findings"] == []
    assert {"onchain", "onchain:ethereum"} == {one["source"] for one in page["metrics"]}
    assert page["history"] == [{"time": "2026-03-11T00:00:00Z", "value": 0.0}]
    take_snapshot(dark.work(), dark.run(), symbols=("AAA",))
    page = answered(dark, "/v1/assets/AAA/onchain")
    assert page["free_float"]["status"] == "imported" and page["free_float_ratio"] is None
    (finding,) = page["findings"]
    assert finding["kind"] == "onchain_missing" and "connection failed" in finding["text"]
    assert page["free_float"]["passed_over"].startswith("on-chain: ethereum: ") or (
        "connection failed" in page["free_float"]["passed_over"]
    )


def test_an_unknown_asset_is_not_found(world: World) -> None:
    client = TestClient(create_app(world.store, settings=world.settings, clock=lambda: NOW))
    answer = client.get("/v1/assets/AAAA")
    assert answer.status_code == 404
    assert 'No asset "AAAA". Did you mean "AAA"?' in answer.json()["detail"]
