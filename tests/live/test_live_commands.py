"""doctor, sources, backfill, update and up as a user runs them: against played providers, and with no network."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_server import Fault
from played import SLUGS, VENUES, Played, at, played

from indexer.live.audit import manifests_of, read_exchange
from indexer.live.context import archive_of
from indexer.live.filling import hourly_rate
from indexer.sources.records import in_usd
from indexer.sources.registry import build_sources
from indexer.store.archive import read_payloads
from indexer.store.assets import read_listings
from indexer.store.bars import read_bars
from indexer.store.db import Store, open_store
from indexer.store.runs import read_runs
from indexer.times import HOUR_US, to_us

MAIN = "from indexer.cli import main; main()"


def run(world: Played, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "DEAI_DATA_DIR": str(world.folder / "var"),
        "DEAI_REGISTRY": str(world.folder / "registry.toml"),
        "DEAI_METHODOLOGY_DIR": str(world.folder / "own"),
        "DEAI_SOURCE_BASE_URL": world.server.root,
        **more,
    }
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, check=False)


def nowhere() -> str:
    """An address on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Played]:
    with played(tmp_path, start=at("2025-01-28T12:00:00Z")) as made:
        yield made


def test_doctor_tells_each_source_apart_and_shows_no_key(world: Played) -> None:
    world.faults += [Fault("binance", "451"), Fault("okx", "429"), Fault("bybit", "500"), Fault("coinbase", "html")]
    made = run(world, "doctor", "--json", DEAI_COINGECKO_API_KEY="very-secret")
    assert made.returncode == 0, made.stderr
    found = {one["source"]: one for one in json.loads(made.stdout)}
    states = {name: one["state"] for name, one in found.items()}
    assert (states["binance"], states["okx"], states["bybit"]) == ("blocked", "limited", "unreachable")
    assert (states["coinbase"], states["kraken"], states["fred"]) == ("wrong", "reachable", "reachable")
    assert "does not serve this region" in found["binance"]["detail"]
    assert found["kraken"]["latency_ms"] > 0
    assert found["coingecko"]["has_key"]
    assert found["chain:ethereum"]["detail"].startswith("nobody answers (publicnode: ")
    assert "a US-dollar market" in found["kraken"]["loses"]
    assert "very-secret" not in made.stdout + made.stderr
    assert not (world.folder / "var").exists(), "asking how sources are writes nothing"


def test_doctor_without_a_network_answers_with_exit_code_5(world: Played) -> None:
    made = run(world, "doctor", DEAI_SOURCE_BASE_URL=nowhere())
    assert made.returncode == 5
    assert "none of 19 sources is reachable" in made.stderr
    assert "without kraken the index loses a US-dollar market" in made.stdout
    assert "a key for coingecko (DEAI_COINGECKO_API_KEY) adds" in made.stdout
    assert "0 of 4" in made.stdout and "nobody answers" in made.stdout, "chains are asked too"


def test_sources_lists_capabilities_and_state(world: Played) -> None:
    made = run(world, "sources", "--json", DEAI_SOURCES="binance,coinmetrics")
    found = {one["name"]: one for one in json.loads(made.stdout)}
    assert [found[name]["state"] for name in ("binance", "coinmetrics", "kraken")] == [
        "not_asked",
        "not_asked",
        "not_used",
    ]
    assert found["coinmetrics"]["licence"] == "non-commercial"
    assert not found["coingecko"]["fixing"]
    assert "fixing" in run(world, "sources").stdout


def test_a_source_that_does_not_exist_is_refused(world: Played) -> None:
    made = run(world, "doctor", DEAI_SOURCES="binanse")
    assert made.returncode == 2
    assert 'there is no source "binanse". Did you mean "binance"?' in made.stderr


BACKFILL = ("backfill", "--from", "2025-01-24", "--to", "2025-01-26")
FOUR = {"DEAI_SOURCES": "binance,coinbase,okx,defillama"}


def test_a_dry_run_says_what_would_be_asked_and_asks_nothing(world: Played) -> None:
    made = run(world, *BACKFILL, "--dry-run", "--json", **FOUR)
    plan = json.loads(made.stdout)
    assert (plan["start"], plan["end"]) == ("2025-01-24T00:00:00Z", "2025-01-26T00:00:00Z")
    assert plan["calls"] == 10, "three assets at three venues, and the dollar market of USDT"
    assert plan["bars"] == 9 * 48 + 49
    assert {one["source"]: one["calls"] for one in plan["sources"]} == {"binance": 3, "coinbase": 4, "okx": 3}
    assert world.server.requests == {}
    text = run(world, *BACKFILL, "--dry-run", **FOUR).stdout
    assert "10 calls for 481 bars of 1h; 0.0 s at the limits we keep, sources side by side" in text


def test_what_a_venue_does_not_reach_is_one_line_with_every_asset(world: Played) -> None:
    made = run(world, "backfill", "--from", "2024-01-01", "--to", "2024-02-01", "--dry-run", DEAI_SOURCES="kraken")
    assert made.returncode == 0, made.stderr
    (line,) = [one for one in made.stdout.splitlines() if "gives nothing" in one]
    assert "kraken gives nothing from 2024-01-01T00:00:00Z to 2024-02-01T00:00:00Z for " in line
    assert all(slug in line for slug in SLUGS)


def test_a_backfill_fills_the_rest_and_a_second_one_asks_nothing(world: Played) -> None:
    first = run(world, "backfill", "--from", "2025-01-24T12:00:00Z", "--to", "2025-01-25", "--json", **FOUR)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["venues"]["bars"] == 9 * 12
    rest = json.loads(run(world, *BACKFILL, "--json", **FOUR).stdout)
    assert rest["venues"]["bars"] == 9 * 36, "both ends; what is there is left alone"
    assert rest["gaps"] == 0
    before = dict(world.server.requests)
    again = json.loads(run(world, *BACKFILL, "--json", **FOUR).stdout)
    assert (again["plan"]["calls"], again["venues"]["calls"]) == (0, 0)
    assert world.server.requests == before
    store = open_store(f"sqlite:///{world.folder / 'var' / 'deai.sqlite'}")
    bars = read_bars(store)
    assert len(bars.time_us) == 9 * 48
    quotes = {row.venue: row.quote for row in read_listings(store)}
    assert quotes == {"binance": "USDT", "coinbase": "USD", "okx": "USDT"}
    runs = read_runs(store, kind="backfill")
    assert [len(read_payloads(store, one.id)) for one in runs] == [0, 11, 11], "ten answers and their calls"
    assert derived_bars(store, world) == stored_bars(store)
    store.close()


def stored_bars(store: Store) -> dict[tuple[str, str, int], float]:
    names = {row.id: (row.asset, row.venue) for row in read_listings(store)}
    bars = read_bars(store)
    rows = zip(bars.listing_id.tolist(), bars.time_us.tolist(), bars.close.tolist(), strict=True)
    return {(*names[listing], time_us): close for listing, time_us, close in rows}


def derived_bars(store: Store, world: Played) -> dict[tuple[str, str, int], float]:
    """The closes that the archived answers of all backfills give, in dollars at the rates of their own quotes."""
    archive, sources = archive_of(world.settings), build_sources()
    closes: dict[tuple[str, str, int], float] = {}
    for run in read_runs(store, kind="backfill"):
        for manifest in manifests_of(store, archive, run.id):
            answers = [
                (call["subject"], call["source"], read_exchange(call, archive, sources)[2])
                for call in manifest["exchanges"]
            ]
            markets = {source: [got.bars] for subject, source, got in answers if subject == "USDT" and got.bars}
            rate = hourly_rate("USDT", markets, "1h", start_us=manifest["start_us"], end_us=manifest["end_us"])
            for subject, source, got in answers:
                if subject != "USDT" and got.bars:
                    usd = in_usd(got.bars, rate)
                    times = zip(usd.time_us.tolist(), usd.close.tolist(), strict=True)
                    closes |= {(subject.partition("@")[0], source, time_us): close for time_us, close in times}
    return closes


def test_a_venue_that_fails_costs_its_own_bars_and_the_reason_is_said(world: Played) -> None:
    world.faults += [Fault("okx", "451")]
    made = json.loads(run(world, *BACKFILL, "--json", **FOUR).stdout)
    assert made["venues"]["bars"] == 6 * 48
    assert made["venues"]["failed"] == 3
    assert "does not serve this region" in made["venues"]["failures"]["okx"]
    world.faults += [Fault("binance", "html"), Fault("coinbase", "403")]
    lost = run(world, "backfill", "--from", "2025-01-22", "--to", "2025-01-23", **FOUR)
    assert lost.returncode == 5
    assert "no source gave any history. binance: source_corrupt: binance answered 200 with a web page" in lost.stderr
    assert "coinbase: source_refused" in lost.stderr


def test_without_a_dollar_rate_bars_in_tether_are_left_out(world: Played) -> None:
    made = json.loads(run(world, *BACKFILL, "--json", DEAI_SOURCES="binance").stdout)
    assert made["venues"]["bars"] == 0
    assert made["venues"]["unpriced"] == {"USDT": 3 * 48}


def test_hours_that_no_venue_had_come_from_an_aggregator(world: Played) -> None:
    hole = (to_us(at("2025-01-25T03:00:00Z")), to_us(at("2025-01-25T06:00:00Z")))
    opens, close, volume = world.server.world.series["FET", "1h"]
    outside = (opens < hole[0]) | (opens >= hole[1])
    whole = (opens, close, volume)
    world.server.world.series["FET", "1h"] = (opens[outside], close[outside], volume[outside])
    made = json.loads(run(world, *BACKFILL, "--json", DEAI_SOURCES="coinbase").stdout)
    assert (made["venues"]["bars"], made["gaps"]) == (3 * 48 - 3, 1)
    world.server.world.series["FET", "1h"] = whole
    world.server.world._cache.clear()
    world.faults += [Fault("coinbase", "500")]
    sources = {"DEAI_SOURCES": "defillama,coingecko"}
    filled = json.loads(run(world, *BACKFILL, "--json", **sources).stdout)
    assert (filled["fillers"]["bars"], filled["gaps"]) == (3, 0)
    store = open_store(f"sqlite:///{world.folder / 'var' / 'deai.sqlite'}")
    ids = {row.id for row in read_listings(store) if row.venue == "defillama"}
    bars = read_bars(store)
    times = bars.time_us[[int(one) in ids for one in bars.listing_id]]
    assert times.tolist() == [hole[0] + n * HOUR_US for n in (1, 2, 3)]
    store.close()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--from", "2025-01-26", "--to", "2025-01-24"), 2, "the range ends before it begins"),
        (("--from", "2025-01-24", "--interval", "5m"), 2, 'bars of "5m" are not kept; give one of 1h, 1d'),
        (("--from", "2025-01-24", "--asset", "fett"), 3, 'no asset "fett" in the registry. Did you mean "fet"?'),
        (("--from", "soon"), 2, '"soon" is not a time'),
    ],
)
def test_a_backfill_that_cannot_be_meant_is_refused(
    world: Played, arguments: tuple[str, ...], code: int, words: str
) -> None:
    made = run(world, "backfill", *arguments)
    assert made.returncode == code
    assert words in made.stderr


def test_update_offline_asks_nobody_and_update_survives_no_network(world: Played) -> None:
    quiet = run(world, "update", "--offline", "--json")
    assert quiet.returncode == 0, quiet.stderr
    assert world.server.requests == {}
    cut_off = run(world, "update", "--json", DEAI_SOURCE_BASE_URL=nowhere(), DEAI_SOURCES="binance,coinbase")
    assert cut_off.returncode == 0
    assert "fixing: no venue gave a price for the fixing. binance: " in cut_off.stderr
    assert "could not be reached" in cut_off.stderr
    assert json.loads(cut_off.stdout)["indices"] == []


def test_up_starts_without_a_network_and_says_which_source_failed_and_why(world: Played) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    env = {
        "PATH": os.environ["PATH"],
        "DEAI_DATA_DIR": str(world.folder / "var"),
        "DEAI_SOURCE_BASE_URL": nowhere(),
        "DEAI_SOURCES": "binance,coinbase",
    }
    command = [sys.executable, "-c", MAIN, "up", "--port", str(port)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        found = _until_down(f"http://127.0.0.1:{port}", process)
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert found["down"] == 2
    down = {one["name"]: one for one in found["data"] if one["state"] == "down"}
    assert set(down) == {"binance", "coinbase"}
    assert "could not be reached" in down["binance"]["said"]
    assert down["binance"]["down_since"]
    assert "no venue gave a price for the fixing" in said


def _until_down(root: str, process: subprocess.Popen[str]) -> dict[str, object]:
    """What /v1/sources says once the first fixing has failed."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None
        try:
            with urllib.request.urlopen(f"{root}/v1/sources", timeout=5) as answer:
                found: dict[str, object] = json.load(answer)
        except OSError:
            continue
        if found["down"]:
            return found
    raise AssertionError("no source was said to be down within two minutes")


def test_the_worlds_assets_are_the_registrys() -> None:
    assert len(SLUGS) == 3
    assert len(VENUES) == 5
