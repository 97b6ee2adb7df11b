"""Real Uniswap V3 and V2 bytecode (from npm, not kept) and an own aggregator that misbehaves, on a real node."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pytest
from evmkit import Deployed, Node, npm_package

from onchain.errors import PriceRefused, ReadError
from onchain.evm.erc20 import checked_decimals
from onchain.evm.prices import (
    PriceCheck,
    compute_cost_to_move,
    compute_harmonic_liquidity,
    compute_mean_tick,
    find_pools,
    pinners_of,
    read_checks,
    read_feed,
    read_reserves,
    read_twap,
)
from onchain.rpc.pin import Pinner
from onchain.rpc.pool import Pool
from onchain.tokens import Feed, Leg, Token

pytestmark = pytest.mark.evm
LOW_LIMIT, HIGH_LIMIT = 4295128740, 1461446703485210103287273052203988822378723970341


@dataclass
class Scene:
    node: Node
    pool: Deployed
    base: Deployed
    quote: Deployed
    factory: Deployed
    liquidity: int
    trader: Deployed


def artifact(package: str, version: str, path: str) -> dict:
    return json.loads((npm_package(package, version) / path).read_text())


def v3_scene(
    node: Node, *, cardinality: int = 60, steps: int = 40, gap: int = 60, price: float = 2.5, empty_s: int = 0
) -> Scene:
    """A pool of an 18-decimals base and a 6-decimals quote, traded back and forth every `gap` seconds.

    It is without liquidity for `empty_s` seconds after it was given a price.
    """
    made = artifact("@uniswap/v3-core", "1.0.1", "artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json")
    abi = artifact("@uniswap/v3-core", "1.0.1", "artifacts/contracts/UniswapV3Pool.sol/UniswapV3Pool.json")["abi"]
    factory = node.deploy_raw(made["abi"], made["bytecode"])
    base = node.deploy("token", "Base", "BAS", 18, 10**32)
    quote = node.deploy("token", "Quote", "QUO", 6, 10**32)
    factory.do("createPool", base.address, quote.address, 3000)
    pool = Deployed(node, factory.ask("getPool", base.address, quote.address, 3000), abi)
    raw = price * 10**6 / 10**18
    raw = raw if pool.ask("token0").lower() == base.address.lower() else 1 / raw
    pool.do("initialize", int(math.sqrt(raw) * 2**96))
    if cardinality > 1:
        pool.do("increaseObservationCardinalityNext", cardinality)
    trader = node.deploy("v3trader")
    base.do("transfer", trader.address, 10**31)
    quote.do("transfer", trader.address, 10**31)
    liquidity = 10**18
    node.rpc("evm_increaseTime", empty_s)
    trader.do("add", pool.address, -887220, 887220, liquidity)
    for i in range(steps):
        node.rpc("evm_increaseTime", gap)
        up = i % 2 == 0
        base_in = up == (pool.ask("token0").lower() == base.address.lower())
        amount = 10**21 if base_in else 25 * 10**8  # about the same value, 0.16 % of the pool
        trader.do("trade", pool.address, up, amount, LOW_LIMIT if up else HIGH_LIMIT)
    node.mine(5)
    return Scene(node, pool, base, quote, factory, liquidity, trader)


@pytest.fixture(scope="module")
def scene() -> Scene:
    node = Node(31337)
    node.multicall3()
    yield v3_scene(node, gap=100)  # 40 trades over 4,000 s: the hour of the mean lies after the liquidity came
    node.close()


async def test_twap_agrees_with_the_pools_own_observe(scene: Scene) -> None:
    async with Pool(scene.node.chain()) as pool:
        pin = await Pinner(pool).head("latest")
        got = await read_twap(pool, pin, scene.pool.address, base=scene.base.address, window_s=1800)
        other = await read_twap(pool, pin, scene.pool.address, base=scene.quote.address, window_s=1800)
    (before, after), _ = scene.pool.ask("observe", [1800, 0])
    tick = (after - before) // 1800
    token0_is_base = scene.pool.ask("token0").lower() == scene.base.address.lower()
    expected = 1.0001 ** (tick if token0_is_base else -tick) * 10**12
    assert got.price == pytest.approx(expected, rel=1e-12) and got.price == pytest.approx(2.5, rel=0.02)
    assert other.price == pytest.approx(1 / got.price, rel=1e-12)
    cost = compute_cost_to_move(scene.liquidity, got.price * 1e6 / 1e18, move=0.05) / 1e6
    assert got.cost_to_move_5pct == pytest.approx(cost, rel=1e-6)
    held = [token.ask("balanceOf", scene.pool.address) for token in (scene.quote, scene.base)]
    assert got.liquidity == pytest.approx(held[0] / 1e6 + held[1] / 1e18 * got.price, rel=1e-12)
    assert (got.window_s, got.quote) == (1800, scene.quote.address.lower())


def spot_raw(scene: Scene) -> float:
    """Quote base units per base base unit, by the pool's own slot."""
    price = (scene.pool.ask("slot0")[0] / 2.0**96) ** 2
    return price if scene.pool.ask("token0").lower() == scene.base.address.lower() else 1 / price


async def test_cost_to_move_is_what_a_real_swap_needs(scene: Scene) -> None:
    async with Pool(scene.node.chain()) as pool:
        pinner = Pinner(pool)
        before = await read_twap(pool, await pinner.head("latest"), scene.pool.address, base=scene.base.address)
        snapshot, spot = scene.node.rpc("evm_snapshot"), spot_raw(scene)
        quote_is_0 = scene.pool.ask("token0").lower() == scene.quote.address.lower()
        cost = compute_cost_to_move(scene.liquidity, spot_raw(scene), move=0.05)
        paid = int(cost / 0.997)  # the pool takes 0.3 % of what comes in
        scene.trader.do("trade", scene.pool.address, quote_is_0, paid, LOW_LIMIT if quote_is_0 else HIGH_LIMIT)
        scene.node.mine(5)
        after, moved = (
            await read_twap(pool, await pinner.head("latest"), scene.pool.address, base=scene.base.address),
            spot_raw(scene),
        )
        scene.node.rpc("evm_revert", snapshot)
    assert moved / spot == pytest.approx(1.05, rel=1e-4)
    assert after.price / before.price < 1.001  # the mean hardly saw it
    assert before.cost_to_move_5pct == pytest.approx(cost / 1e6, rel=0.02)


async def test_a_pool_that_was_empty_for_a_moment_of_the_window_costs_nothing_to_move(new_node) -> None:
    once_empty = v3_scene(new_node(), empty_s=5)  # 2,400 s of trades: the window goes back to the empty seconds
    async with Pool(once_empty.node.chain()) as pool:
        pin = await Pinner(pool).head("latest")
        got = await read_twap(pool, pin, once_empty.pool.address, base=once_empty.base.address)
    assert got.cost_to_move_5pct < 1e-6


async def test_window_shorter_than_needed_is_refused_and_the_effective_one_told(new_node) -> None:
    young = v3_scene(new_node(), steps=10, gap=60)
    async with Pool(young.node.chain()) as pool:
        pin = await Pinner(pool).head("latest")
        with pytest.raises(
            PriceRefused, match=r"observations cover \d+ s \(cardinality 60\), 1800 s are needed; the spot price is not"
        ):
            await read_twap(pool, pin, young.pool.address, base=young.base.address)
        got = await read_twap(pool, pin, young.pool.address, base=young.base.address, window_s=9999, min_window_s=300)
    assert 600 <= got.window_s <= 700  # what exists, not what was asked


async def test_pool_with_one_observation_has_no_mean(new_node) -> None:
    single = v3_scene(new_node(), cardinality=1, steps=4)
    async with Pool(single.node.chain()) as pool:
        with pytest.raises(PriceRefused, match=r"\(cardinality 1\)"):
            await read_twap(pool, await Pinner(pool).head("latest"), single.pool.address, base=single.base.address)


async def test_pool_that_was_never_given_a_price_is_refused(new_node) -> None:
    node = new_node()
    made = artifact("@uniswap/v3-core", "1.0.1", "artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json")
    factory = node.deploy_raw(made["abi"], made["bytecode"])
    base, quote = node.deploy("token", "Base", "BAS", 18, 10**20), node.deploy("token", "Quote", "QUO", 6, 10**20)
    factory.do("createPool", base.address, quote.address, 500)
    node.mine(5)
    chain = node.chain(name="one", uniswap_v3_factory=factory.address, quote_tokens={"USDQ": quote.address})
    token = Token("BAS", "Base", 18, legs=(Leg("one", base.address, 18),))
    async with pinners_of({"one": chain}) as pinners:
        (check,) = await read_checks(pinners, token, PriceCheck("BAS", 2.5), quote_usd={"USDQ": 1.0})
    assert check.price_usd is None and check.reason.endswith("was created but never given a price")


def test_decimals_no_amount_can_have_are_refused() -> None:
    assert [checked_decimals(n, "T") for n in (0, 18, 77)] == [0, 18, 77]
    for value in (78, -1, 2**255, None, "18"):
        with pytest.raises(ReadError, match=f"T says that it has {value!r} decimals"):
            checked_decimals(value, "T")


async def test_pools_are_found_through_the_factory(scene: Scene) -> None:
    async with Pool(scene.node.chain(uniswap_v3_factory=scene.factory.address)) as pool:
        pin = await Pinner(pool).head()
        quotes = [scene.quote.address, "0x00000000000000000000000000000000000000AA"]
        pools, pairs = await find_pools(pool, pin, base=scene.base.address, quotes=quotes)
        assert ([a.lower() for a in pools], pairs) == ([scene.pool.address.lower()], [])
        with pytest.raises(ReadError, match=r"trades .* and .*, not 0x"):
            await read_twap(pool, pin, scene.pool.address, base=quotes[1])
        with pytest.raises(ReadError, match=r"token0\(\) of .*: returned nothing|reverted"):
            await read_twap(pool, pin, scene.base.address, base=scene.base.address)


def test_ticks_round_down_and_counters_wrap() -> None:
    assert compute_mean_tick(0, -5, 2) == -3  # toward −∞, not toward zero
    assert compute_mean_tick(0, 5, 2) == 2
    top = 2**55 - 1
    assert compute_mean_tick(top - 10, -(2**55) + 19, 10) == 3  # int56 wrapped by 30
    assert compute_harmonic_liquidity(2**160 - 5, 5, 60) == (60 << 128) // 10
    with pytest.raises(PriceRefused, match="did not move"):
        compute_harmonic_liquidity(7, 7, 60)


# -- Uniswap V2 -----------------------------------------------------------------------------------------------


async def test_v2_reserves_and_price(new_node) -> None:
    node = new_node()
    made = artifact("@uniswap/v2-core", "1.0.1", "build/UniswapV2Factory.json")
    pair_abi = artifact("@uniswap/v2-core", "1.0.1", "build/UniswapV2Pair.json")["abi"]
    zero = "0x" + "0" * 40
    factory = node.deploy_raw(made["abi"], made["bytecode"], zero)
    base, quote = node.deploy("token", "B", "B", 18, 10**30), node.deploy("token", "Q", "Q", 6, 10**30)
    factory.do("createPair", base.address, quote.address)
    pair = Deployed(node, factory.ask("getPair", base.address, quote.address), pair_abi)
    async with Pool(node.chain()) as pool:
        node.mine(5)
        with pytest.raises(PriceRefused, match="has an empty side"):
            await read_reserves(pool, await Pinner(pool).head(), pair.address, base=base.address)
        base.do("transfer", pair.address, 100 * 10**18)
        quote.do("transfer", pair.address, 250 * 10**6)
        pair.do("mint", base.address)
        node.mine(5, interval=12)
        got = await read_reserves(pool, await Pinner(pool).head(), pair.address, base=base.address)
        with pytest.raises(ReadError, match=r"token0\(\) of .*: reverted"):
            await read_reserves(pool, await Pinner(pool).head(), base.address, base=base.address)
    token = Token("B", "b", 18, legs=(Leg("one", base.address, 18),))
    chain = node.chain(name="one", uniswap_v2_factory=factory.address, quote_tokens={"USDQ": quote.address})
    async with pinners_of({"one": chain}) as pinners:
        (check,) = await read_checks(pinners, token, PriceCheck("B", 2.0), quote_usd={"USDQ": 1.0})
    assert (check.kind, check.price_usd, check.beyond) == ("univ2_spot", 2.5, False)
    assert check.divergence_bps == pytest.approx(2500) and check.liquidity_usd == 500.0
    assert (got.price, got.liquidity, got.window_s) == (2.5, 500.0, None)
    assert got.cost_to_move_5pct == pytest.approx(250 * (1.05**0.5 - 1))


# -- Chainlink ------------------------------------------------------------------------------------------------

HEARTBEAT = 3600


async def answer(node: Node, feed: Deployed, *, sequencer: str = "", pair: str = "", **changes: int):
    now = int(node.block()["timestamp"], 16)
    row = {"id": 7, "answer": 123_450_000, "started": now - 60, "updated": now - 60, "answered_in": 7, **changes}
    feed.do("set_round", *row.values())
    node.mine(5)
    async with Pool(node.chain()) as pool:
        return await read_feed(
            pool, await Pinner(pool).head(), feed.address, heartbeat_s=HEARTBEAT, sequencer=sequencer, pair=pair
        )


async def test_feed_answers_in_its_own_unit_and_age_is_by_the_block(new_node) -> None:
    node = new_node()
    feed = node.deploy("aggregator", 8, "TOK / USD")
    node.rpc("evm_increaseTime", 50_000_000)  # the chain's clock is far from this machine's
    node.mine(2)
    assert await answer(node, feed) == 1.2345


BAD_ROUNDS = [
    ({"answer": -5}, "the answer is -5"),
    ({"answer": 0}, "the answer is 0"),
    ({"updated": 0}, "round 7 is not complete"),
    ({"updated": -6000}, r"stale, 6\d\d\d s old at the pinned block, heartbeat 3600 s"),
    ({"updated": 600}, "after the pinned block"),
    ({"answered_in": 6}, "round 7 carries the answer of round 6"),
    ({"answer": 10**18}, "is at the aggregator's bounds 1…1000000000000000000"),
]


@pytest.mark.parametrize(("changes", "text"), BAD_ROUNDS, ids=[b[1][:30] for b in BAD_ROUNDS])
async def test_feed_that_misbehaves_is_refused_by_name(shared_node: Node, changes, text) -> None:
    feed = shared_node.deploy("aggregator", 8, "TOK / USD")
    if changes.get("updated"):
        changes = {"updated": int(shared_node.block()["timestamp"], 16) + changes["updated"]}
    with pytest.raises(PriceRefused, match=text):
        await answer(shared_node, feed, **changes)


async def test_late_heartbeat_within_half_is_accepted(shared_node: Node) -> None:
    feed = shared_node.deploy("aggregator", 8, "TOK / USD")
    now = int(shared_node.block()["timestamp"], 16)
    assert await answer(shared_node, feed, updated=now - 5000) == 1.2345


async def test_rollup_prices_wait_for_the_sequencer(shared_node: Node) -> None:
    feed, uptime = shared_node.deploy("aggregator", 8, "TOK / USD"), shared_node.deploy("aggregator", 0, "up")
    now = int(shared_node.block()["timestamp"], 16)
    for row, text in (
        ((1, 1, now - 9000, now, 1), "sequencer is down"),
        ((1, 0, now - 60, now, 1), r"up for \d+ s, 3600 s are needed"),
    ):
        uptime.do("set_round", *row)
        with pytest.raises(PriceRefused, match=text):
            await answer(shared_node, feed, sequencer=uptime.address)
    uptime.do("set_round", 1, 0, now - 9000, now, 1)
    assert await answer(shared_node, feed, sequencer=uptime.address) == 1.2345


async def test_feed_of_another_pair_is_refused(shared_node: Node) -> None:
    """A wrong address in the data would be a wrong price: the feed must say that it prices this token."""
    feed = shared_node.deploy("aggregator", 8, "TOK / USD")
    assert await answer(shared_node, feed, pair="tok/USD") == 1.2345
    with pytest.raises(PriceRefused, match="says that it prices 'TOK / USD', 'OTHER / USD' is configured"):
        await answer(shared_node, feed, pair="OTHER / USD")


async def test_not_a_feed_is_said(shared_node: Node) -> None:
    token = shared_node.deploy("token", "T", "T", 18, 1)
    shared_node.mine(5)
    async with Pool(shared_node.chain()) as pool:
        with pytest.raises(ReadError, match="is not a price feed: reverted"):
            await read_feed(pool, await Pinner(pool).head(), token.address, heartbeat_s=60)


# -- against the reference rate -------------------------------------------------------------------------------


async def test_checks_say_how_far_prices_are_from_the_reference(scene: Scene) -> None:
    feed = scene.node.deploy("aggregator", 8, "BAS / USD")
    now = int(scene.node.block()["timestamp"], 16)
    feed.do("set_round", 3, 275_000_000, now, now, 3)
    scene.node.mine(5)
    token = Token(
        "BAS",
        "Base",
        18,
        legs=(Leg("one", scene.base.address, 18),),
        feeds=(
            Feed("one", feed.address, "BAS / USD", 3600),
            Feed("one", scene.base.address, "BAS / USD", 3600),
            Feed("two", feed.address, "BAS / USD", 3600),
        ),
    )
    chain = scene.node.chain(
        name="one", uniswap_v3_factory=scene.factory.address, quote_tokens={"USDQ": scene.quote.address}
    )
    async with pinners_of({"one": chain}) as pinners:
        found = await read_checks(pinners, token, PriceCheck("BAS", 2.5), quote_usd={"USDQ": 1.0})
    pool, oracle, broken, nowhere = found
    assert (pool.kind, pool.beyond) == ("univ3_twap", False) and abs(pool.divergence_bps) < 200
    assert pool.cost_to_move_usd > 0 and pool.liquidity_usd > pool.cost_to_move_usd and pool.window_s >= 1800
    assert oracle.price_usd == 2.75 and oracle.beyond and oracle.divergence_bps == pytest.approx(1000)
    assert broken.price_usd is None and "is not a price feed" in broken.reason and not broken.beyond
    assert nowhere.price_usd is None and nowhere.reason == 'no chain "two" is configured'


async def test_tokens_at_one_instant_share_the_pin_and_the_identity(scene: Scene, proxies) -> None:
    counted = await proxies(scene.node.url)
    chain = scene.node.chain(
        counted.url, name="one", uniswap_v3_factory=scene.factory.address, quote_tokens={"USDQ": scene.quote.address}
    )
    token = Token("BAS", "Base", 18, legs=(Leg("one", scene.base.address, 18),))
    instant = int(scene.node.block("finalized")["timestamp"], 16) - 1
    asked = []
    async with pinners_of({"one": chain}) as pinners:
        for _ in range(3):
            before = len(counted.requests)
            (check,) = await read_checks(pinners, token, PriceCheck("BAS", 2.5), quote_usd={"USDQ": 1.0}, at=instant)
            assert check.price_usd == pytest.approx(2.5, rel=0.02)
            asked.append(len(counted.requests) - before)
    assert counted.calls.count("eth_chainId") == 1
    assert asked[1] == asked[2] == 4 < asked[0]  # the pools of the factory, and three steps of one pool


def test_divergence_is_signed() -> None:
    assert PriceCheck("T", 100.0, price_usd=99.0).divergence_bps == pytest.approx(-100.0)
