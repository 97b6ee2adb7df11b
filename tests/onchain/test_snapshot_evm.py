"""Whole snapshots on several real chains at once, with faults in front: the result is right or refused, never wrong."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
from datetime import UTC, date, datetime

import pytest
from evmkit import ADMIN_KEY_ACCOUNT, Node

import onchain
from onchain.chains import Chain
from onchain.errors import ChainConfigError, SupplyError
from onchain.health import check_endpoints, recheck_pins
from onchain.rpc.pin import Pinner
from onchain.rpc.pool import Pool
from onchain.snapshots import read_snapshot, replay, snapshot
from onchain.tokens import MISSING, ON_CHAIN, REPORTED, Escrow, Exclusion, Leg, Token

pytestmark = pytest.mark.evm
LOCK = "0x00000000000000000000000000000000000000E5"
TREASURY = "0x00000000000000000000000000000000000000A1"
DEAD = "0x000000000000000000000000000000000000dEaD"


def token_on(node: Node, chain: str = "one", **changes: object) -> tuple[Token, object]:
    made = node.deploy("token", "Tok", "TOK", 18, 1000 * 10**18)
    made.do("transfer", TREASURY, 250 * 10**18)
    made.do("transfer", DEAD, 10 * 10**18)
    node.mine(5)
    exclude = tuple(
        Exclusion(kind, chain, made.address, 18, "r", "s", date(2020, 1, 1), holder=holder)
        for kind, holder in (("treasury", TREASURY), ("burnt", DEAD))
    )
    return Token("TOK", "Tok", 18, legs=(Leg(chain, made.address, 18),), exclude=exclude, **changes), made


def test_public_face_runs_its_own_loop(new_node) -> None:
    node = new_node()
    token, _ = token_on(node)
    steps: list[tuple[str, str]] = []
    shot = snapshot(
        ["TOK"],
        tokens={"TOK": token},
        chains={"one": node.chain(name="one")},
        progress=lambda c, s: steps.append((c, s)),
    )
    supply = shot.supplies["TOK"]
    assert (supply.tokens("total"), supply.tokens("free_float"), supply.status) == (1000.0, 740.0, ON_CHAIN)
    assert steps == [("one", "reading"), ("one", "done")]
    (pin,) = shot.pins
    assert pin.hash == node.block(pin.number)["hash"] and pin.finality == "finalized"
    assert onchain.snapshot is snapshot
    with pytest.raises(ChainConfigError, match='no supply rule for "NOPE"; known: TOK'):
        snapshot(["NOPE"], tokens={"TOK": token}, chains={})
    with pytest.raises(ChainConfigError, match="has no time zone"):
        snapshot(["TOK"], at=datetime(2026, 1, 1), tokens={"TOK": token}, chains={})


async def test_proof_replays_offline_and_notices_a_change(new_node) -> None:
    node = new_node()
    token, _ = token_on(node)
    shot = await read_snapshot([token], chains={"one": node.chain(name="one")})
    proof = json.loads(json.dumps(shot.proof()))
    assert replay(proof, tokens={"TOK": token}) == shot.supplies
    assert {call["method"] for call in proof["calls"]} >= {"eth_call"}
    proof["readings"][0]["amount"] = "1"
    with pytest.raises(SupplyError, match="does not match its digest"):
        replay(proof, tokens={"TOK": token})


# -- faults ---------------------------------------------------------------------------------------------------

FAULTS = [
    {"status": 429, "retry_after": 3600},
    {"status": 503},
    {"html": True},
    {"cut": True},
    {"garbage": True},
    {"null": True},
    {"wrong_id": True},
    {"chain_id": 999},
    {"drop_by_hash": True},
    {"behind": 3},
    {"delay_s": 0.05},
]


@pytest.mark.parametrize("faults", FAULTS, ids=str)
async def test_one_bad_endpoint_of_three_changes_nothing(new_node, proxies, faults) -> None:
    node = new_node()
    token, _ = token_on(node)
    bad, second = await proxies(node.url, **faults), await proxies(node.url)
    shot = await read_snapshot([token], chains={"one": node.chain(bad.url, second.url, node.url, name="one")})
    assert shot.supplies["TOK"].tokens("free_float") == 740.0


@pytest.mark.parametrize("faults", FAULTS, ids=str)
async def test_two_bad_endpoints_give_the_right_number_or_none(new_node, proxies, faults) -> None:
    node = new_node()
    token, _ = token_on(node)
    bad, worse = await proxies(node.url, **faults), await proxies(node.url, **faults)
    supply = (await read_snapshot([token], chains={"one": node.chain(bad.url, worse.url, name="one")})).supplies["TOK"]
    usable = {"drop_by_hash", "behind", "delay_s"} & faults.keys()
    if usable:
        assert supply.tokens("free_float") == 740.0
    else:
        assert (supply.status, supply.total, supply.free_float) == (MISSING, None, None)
        assert supply.reason.startswith(f"supply of {token.legs[0].asset} on one: one: 0 of 2 needed operators")


def liar(node: Node, holder: str):
    """Adds one token to the balance of `holder` inside multicall answers."""
    needle = holder[2:].lower()

    def lie(item, result):
        if item["method"] != "eth_call" or needle not in item["params"][0]["data"].lower():
            return result
        true = format(250 * 10**18, "064x")
        return result.replace(true, format(251 * 10**18, "064x"))

    return lie


async def test_lie_about_one_balance_is_caught_by_the_second_endpoint(new_node, proxies) -> None:
    node = new_node()
    token, _ = token_on(node)
    lying = await proxies(node.url, lie=liar(node, TREASURY))
    shot = await read_snapshot([token], chains={"one": node.chain(lying.url, node.url, name="one")})
    supply = shot.supplies["TOK"]
    assert supply.status == MISSING and supply.free_float is None
    assert "1 of 4 reads, first balanceOf(0x00000000000000000000000000000000000000A1)" in supply.reason
    assert "251000000000000000000 against 250000000000000000000" in supply.reason


async def test_third_endpoint_decides_against_the_liar(new_node, proxies) -> None:
    node = new_node()
    token, _ = token_on(node)
    lying, honest = await proxies(node.url, lie=liar(node, TREASURY)), await proxies(node.url)
    shot = await read_snapshot([token], chains={"one": node.chain(lying.url, honest.url, node.url, name="one")})
    supply = shot.supplies["TOK"]
    assert supply.tokens("free_float") == 740.0
    assert all(lying.url not in reading.agreed for reading in supply.readings)


def random_endpoint(node: Node, dice: random.Random, *, may_lie: bool) -> dict:
    """Faults of one endpoint: none, a plain one, or (once a snapshot) a lie somewhere."""
    token_lies = [
        lambda item, result: (
            result.replace(format(1000 * 10**18, "064x"), format(999 * 10**18, "064x"))
            if item["method"] == "eth_call"
            else result
        ),
        lambda item, result: (
            {**result, "timestamp": hex(int(result["timestamp"], 16) + 1)}
            if item["method"] == "eth_getBlockByNumber"
            else result
        ),
        lambda item, result: (
            {**result, "hash": "0x" + "12" * 32} if item["method"] == "eth_getBlockByNumber" else result
        ),
        lambda item, result: "0x" if item["method"] == "eth_call" else result,
        lambda item, result: (
            node.rpc("eth_call", item["params"][0], "latest") if item["method"] == "eth_call" else result
        ),
        liar(node, TREASURY),
    ]
    if may_lie:
        return {"lie": dice.choice(token_lies)}
    return dice.choice([{}, {}, {}, *FAULTS])


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_three_endpoints_do_the_number_is_right_or_refused(shared_node, proxies, seed) -> None:
    """At most one endpoint lies, all may fail in any other way; the chain moves on while it is read."""
    dice = random.Random(seed)
    token, made = token_on(shared_node)
    urls = [
        (await proxies(shared_node.url, **random_endpoint(shared_node, dice, may_lie=i == 0))).url for i in range(3)
    ]
    dice.shuffle(urls)
    made.do("mint", TREASURY, 5 * 10**18)  # after what is finalized: must not be seen
    shot = await read_snapshot([token], chains={"one": shared_node.chain(*urls, name="one")})
    supply = shot.supplies["TOK"]
    assert (supply.tokens("total"), supply.tokens("free_float")) in {(1000.0, 740.0), (None, None)}
    assert supply.status == (MISSING if supply.total is None else ON_CHAIN)
    assert supply.reason if supply.total is None else not supply.reason


async def test_reorg_under_the_reads_is_pinned_anew(new_node, proxies) -> None:
    node = new_node()
    token, made = token_on(node)
    seen: list[str] = []

    def refuse(item):
        if item["method"] == "eth_call" and not seen:
            seen.append("reorg")
            node.rpc("anvil_reorg", 4, [])
            node.mine(6)

    proxy = await proxies(node.url, refuse=refuse)
    made.do("mint", TREASURY, 10**18)  # in a block that the reorg replaces without it
    node.mine(1)
    shot = await read_snapshot([token], chains={"one": node.chain(proxy.url, name="one", finality="latest")})
    supply = shot.supplies["TOK"]
    (pin,) = shot.pins
    assert seen and pin.hash == node.block(pin.number)["hash"]
    assert supply.total == made.ask("totalSupply")


async def test_decimals_that_differ_from_the_rule_are_refused(new_node) -> None:
    node = new_node()
    made = node.deploy("token", "Six", "SIX", 6, 10**12)
    node.mine(5)
    token = Token("SIX", "Six", 18, legs=(Leg("one", made.address, 18),))
    supply = (await read_snapshot([token], chains={"one": node.chain(name="one")}, reported={"SIX": 5.0})).supplies[
        "SIX"
    ]
    assert supply.status == REPORTED and supply.tokens("circulating_reported") == 5.0
    assert "has 6 decimals, 18 are configured: fix its entry" in supply.reason


# -- several chains -------------------------------------------------------------------------------------------


async def test_bridges_over_two_chains_at_one_instant(new_node) -> None:
    one, two = new_node(31337), new_node(8453)
    home = one.deploy("token", "Lock", "LCK", 18, 1000 * 10**18)
    remote = two.deploy("token", "Lock", "LCK", 6, 0)
    home.do("transfer", LOCK, 40 * 10**18)
    remote.do("mint", ADMIN_KEY_ACCOUNT, 40 * 10**6)
    a, b = one.deploy("token", "Burn", "BRN", 9, 700), two.deploy("token", "Burn", "BRN", 9, 300)
    one.mine(5, interval=12)
    two.mine(30, interval=2)
    locked = Token(
        "LCK",
        "l",
        18,
        legs=(
            Leg("one", home.address, 18),
            Leg("two", remote.address, 6, role="bridged", escrow=(Escrow("one", LOCK, "t"),)),
        ),
    )
    burnt = Token("BRN", "b", 9, legs=(Leg("one", a.address, 9, role="mint"), Leg("two", b.address, 9, role="mint")))
    chains = {"one": one.chain(name="one"), "two": two.chain(name="two")}
    settled = [int(n.block("finalized")["timestamp"], 16) for n in (one, two)]
    at = min(settled) - 1
    shot = await read_snapshot([locked, burnt], chains=chains, at=at)
    assert shot.supplies["LCK"].tokens("total") == 1000.0 and shot.supplies["LCK"].alerts == ()
    assert shot.supplies["BRN"].total == 1000
    now = await read_snapshot([locked, burnt], chains=chains)  # without an instant: the newest that both have settled
    assert now.supplies["BRN"].total == 1000 and {p.timestamp <= min(settled) for p in now.pins} == {True}
    for pin, node in ((p, one if p.chain == "one" else two) for p in shot.pins):
        assert pin.timestamp <= at < int(node.block(pin.number + 1)["timestamp"], 16)

    remote.do("mint", ADMIN_KEY_ACCOUNT, 1)  # nothing locked for it
    one.mine(5, interval=60)
    two.mine(5, interval=60)
    (alert,) = (await read_snapshot([locked], chains=chains)).supplies["LCK"].alerts
    assert alert.startswith("unbacked mint: 40000001000000000000 of LCK on two, 40000000000000000000 locked")


async def test_chain_that_is_down_takes_only_its_tokens_with_it(new_node) -> None:
    node = new_node()
    good, _ = token_on(node)
    other = Token("OTH", "o", 18, legs=(Leg("dead", good.legs[0].asset, 18),))
    stray = Token("STR", "s", 18, legs=(Leg("nowhere", good.legs[0].asset, 18),))
    chains = {"one": node.chain(name="one"), "dead": node.chain("http://127.0.0.1:9", name="dead")}
    shot = await read_snapshot([good, other, stray], chains=chains)
    assert shot.supplies["TOK"].status == ON_CHAIN
    assert shot.supplies["OTH"].status == MISSING and "connection failed" in shot.supplies["OTH"].reason
    assert 'no chain "nowhere" is configured' in shot.supplies["STR"].reason


async def test_chain_that_hangs_takes_only_its_tokens_with_it(new_node) -> None:
    node = new_node()
    good, _ = token_on(node)
    hung = Token("OTH", "o", 9, legs=(Leg("deaf", "native", 9),))
    seen: list[tuple[str, str]] = []
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # connects and never answers
        chains = {
            "one": node.chain(name="one"),
            "deaf": Chain("deaf", "near", (f"http://127.0.0.1:{deaf.getsockname()[1]}",)),
        }
        shot = await read_snapshot([good, hung], chains=chains, chain_s=4.0, progress=lambda *s: seen.append(s))
    assert shot.supplies["TOK"].status == ON_CHAIN
    said = "deaf took longer than 4 s and was given up; see onchain doctor"
    assert shot.supplies["OTH"].reason.endswith(said) and ("deaf", said) in seen


async def test_chain_that_forgot_the_common_instant_is_read_now_for_its_own_tokens_only(new_node) -> None:
    """A roll-up settles minutes before its home chain, and a node without old state cannot go back that far."""
    home, rollup = new_node(), new_node(8453, "--prune-history", "3")
    solo = rollup.deploy("token", "Solo", "SOL", 18, 500)
    ends = [node.deploy("token", "Span", "SPA", 18, 1000) for node in (home, rollup)]
    home.mine(5)
    rollup.rpc("evm_increaseTime", 900)
    rollup.mine(20, interval=2)
    alone = Token("SOL", "s", 18, legs=(Leg("two", solo.address, 18),))
    spans = Token("SPA", "s", 18, legs=(Leg("one", ends[0].address, 18), Leg("two", ends[1].address, 18, role="mint")))
    chains = {"one": home.chain(name="one"), "two": rollup.chain(name="two")}
    shot = await read_snapshot([alone, spans], chains=chains)
    assert shot.supplies["SOL"].total == 500
    newest = int(rollup.block("finalized")["number"], 16)
    assert {pin.chain: pin.number for pin in shot.pins}["two"] == newest
    refused = shot.supplies["SPA"]
    assert refused.status == MISSING and refused.total is None
    assert "two: no endpoint keeps the state of the instant at which the token's other networks are" in refused.reason
    assert replay(json.loads(json.dumps(shot.proof())), tokens={"SOL": alone, "SPA": spans}) == shot.supplies
    then = int(home.block("finalized")["timestamp"], 16) - 1
    past = (await read_snapshot([alone], chains=chains, at=then)).supplies["SOL"]
    assert past.status == MISSING and "BlockOutOfRangeError" in past.reason  # an instant asked for is never moved


async def test_doctor_says_what_is_wrong_with_each_endpoint(new_node, proxies) -> None:
    node = new_node()
    wrong = await proxies(node.url, chain_id=5)
    rows = await check_endpoints({"one": node.chain(node.url, wrong.url, "http://127.0.0.1:9/key123", name="one")})
    assert [row.ok for row in rows] == [True, False, False]
    assert rows[0].archive is True
    assert rows[0].height == int(node.block("finalized")["number"], 16)
    assert "serves chain 0x5, not one" in rows[1].problem and "connection failed" in rows[2].problem
    assert "key123" not in repr(rows)
    (late,) = await check_endpoints({"one": node.chain(name="one", max_age_s=-1e9)})
    assert not late.ok and late.height and re.match(r"stale: its newest settled block is -?\d+ s old", late.problem)


async def test_snapshots_at_once_do_not_disturb_each_other(new_node) -> None:
    node = new_node()
    token, _ = token_on(node)
    chains = {"one": node.chain(name="one")}
    shots = await asyncio.gather(*(read_snapshot([token], chains=chains) for _ in range(5)))
    assert {shot.supplies["TOK"].free_float for shot in shots} == {740 * 10**18}
    assert all(shot.at <= int(datetime.now(UTC).timestamp()) for shot in shots)


async def test_recheck_tells_final_from_orphaned_from_unsettled(new_node) -> None:
    node = new_node(epoch=2)
    node.mine(20)
    chains = {"test31337": node.chain()}
    async with Pool(node.chain()) as pool:
        pinner = Pinner(pool)
        deep, fresh = await pinner.head("finalized"), await pinner.head("latest")
        assert await recheck_pins([deep, fresh], chains) == {deep: "final", fresh: "unknown"}
        node.rpc("anvil_reorg", 2, [])
        assert (await recheck_pins([fresh], chains))[fresh] == "orphaned"


def test_activity_face_reads_every_network_and_says_what_it_cannot(new_node) -> None:
    node = new_node()
    made = node.deploy("token", "Tok", "TOK", 18, 1000)
    start = int(node.block()["timestamp"], 16)
    node.rpc("evm_increaseTime", 30)
    made.do("transfer", TREASURY, 70)
    node.mine(5, interval=12)
    token = Token("TOK", "t", 18, legs=(Leg("one", made.address, 18), Leg("sol", "Mint", 9, role="mint")))
    when = [datetime.fromtimestamp(t, UTC) for t in (start, int(node.block("finalized")["timestamp"], 16) - 1)]
    chains = {"one": node.chain(name="one"), "sol": Chain("sol", "solana", ())}
    seen: list[tuple[str, int, int]] = []
    one, sol = onchain.activity(
        "TOK", start=when[0], end=when[1], tokens={"TOK": token}, chains=chains, progress=lambda *s: seen.append(s)
    )
    assert one.activity.volume == 70 and one.activity.complete and seen[-1][1] == seen[-1][2]
    assert sol.activity is None and sol.reason == "sol has no Transfer logs"
    with pytest.raises(ChainConfigError, match="is not after the start"):
        onchain.activity("TOK", start=when[1], end=when[0], tokens={"TOK": token}, chains=chains)
