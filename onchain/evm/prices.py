"""Pool and oracle prices of a token beside the index's reference rate: a check on the rate, never its source.

Uniswap pools by an honest window, never the spot tick alone (it is what one transaction can set); Chainlink feeds where
they are fresh at the pinned block. Formulas: Uniswap V3 core, Oracle.sol and the OracleLibrary of its periphery.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from onchain.chains import Chain, instant_s, load_chains
from onchain.errors import OnchainError, PriceRefused, ReadError
from onchain.evm import erc20
from onchain.evm.multicall import Call, Outcome, call, read_calls
from onchain.rpc.pin import Pin, Pinner
from onchain.rpc.pool import Pool
from onchain.tokens import Feed, Token, rules_of

FEES = (100, 500, 3000, 10000)
WINDOW_S, MIN_WINDOW_S = 3600, 1800
GRACE_S = 3600  # after a roll-up's sequencer came back
SLACK = 1.5  # heartbeats may be late by half
_SLOT0 = ("uint160", "int24", "uint16", "uint16", "uint16", "uint8", "bool")
_OBSERVATION = ("uint32", "int56", "uint160", "bool")
_RESERVES = ("uint112", "uint112", "uint32")
_ROUND = ("uint80", "int256", "uint256", "uint256", "uint80")


@dataclass(frozen=True, slots=True)
class PriceCheck:
    """One independent USD price against the reference rate. Refused prices have `price_usd` None and a `reason`.

    `kind`: univ3_twap, univ2_spot (for display: never beyond tolerance) or chainlink. `cost_to_move_usd` (pools only)
    is the capital that moves the mean by 5 %: how much the price is worth as evidence.
    """

    symbol: str
    reference_usd: float
    tolerance_bps: float = 200.0
    kind: str = "univ3_twap"
    chain: str = ""
    address: str = ""
    price_usd: float | None = None
    window_s: int | None = None
    cost_to_move_usd: float | None = None
    liquidity_usd: float | None = None
    pin: Pin | None = None
    reason: str = ""

    @property
    def divergence_bps(self) -> float | None:
        """10^4 · (price / reference − 1)."""
        return None if self.price_usd is None else 1e4 * (self.price_usd / self.reference_usd - 1.0)

    @property
    def beyond(self) -> bool:
        """Whether the price is further from the reference than is tolerated."""
        bps = self.divergence_bps
        return bps is not None and self.kind != "univ2_spot" and abs(bps) > self.tolerance_bps


def check_price(
    symbol: str,
    *,
    reference_usd: float,
    quote_usd: Mapping[str, float],
    at: datetime | None = None,
    tolerance_bps: float = 200.0,
    confirm: int = 2,
    tokens: Mapping[str, Token] | None = None,
    chains: Mapping[str, Chain] | None = None,
    own_endpoints: Mapping[str, Sequence[str]] | None = None,
) -> list[PriceCheck]:
    """Every pool mean and feed known for `symbol`, compared with `reference_usd`.

    `quote_usd` prices the chains' quote tokens by name ({"WETH": …, "USDC": 1.0}); pools against others are left
    out. `at` is an aware instant, default now. A chain that fails gives a refused check with its reason. Runs its own
    event loop; from async code use `read_checks`.
    """
    (token,), instant = rules_of([symbol], tokens), instant_s(at)
    check = PriceCheck(symbol, reference_usd, tolerance_bps)

    async def read() -> list[PriceCheck]:
        known = load_chains(own_endpoints=own_endpoints) if chains is None else chains
        async with pinners_of(known, confirm=confirm) as pinners:
            return await read_checks(pinners, token, check, quote_usd=quote_usd, at=instant)

    return asyncio.run(read())


@asynccontextmanager
async def pinners_of(chains: Mapping[str, Chain], *, confirm: int = 2) -> AsyncIterator[dict[str, Pinner]]:
    """A pinner for each EVM chain, so that tokens at one instant share pins and identities. Nothing is asked yet."""
    async with AsyncExitStack() as pools:
        yield {
            name: Pinner(await pools.enter_async_context(Pool(chain, confirm=confirm)))
            for name, chain in chains.items()
            if chain.family == "evm"
        }


async def read_checks(
    pinners: Mapping[str, Pinner],
    token: Token,
    check: PriceCheck,
    *,
    quote_usd: Mapping[str, float],
    at: int | None = None,
) -> list[PriceCheck]:
    """`check_price` for callers with an event loop, for many tokens after one another; `at` in epoch seconds.

    `check` has the symbol, the reference and the tolerance.
    """
    checks: list[PriceCheck] = []
    for leg in token.legs:
        if leg.chain in pinners:
            here = replace(check, chain=leg.chain, address=leg.asset)
            checks += await _pools(pinners[leg.chain], here, quote_usd, at=at)
    for feed in token.feeds:
        here = replace(check, kind="chainlink", chain=feed.chain, address=feed.address)
        if feed.chain in pinners:
            checks.append(await _held(here, _feed(pinners[feed.chain], feed, at=at)))
        else:
            checks.append(replace(here, reason=f'no chain "{feed.chain}" is configured'))
    return checks


async def _held(check: PriceCheck, figures: Awaitable[Mapping[str, Any]]) -> PriceCheck:
    """The check with these figures, or with the reason why there are none."""
    try:
        return replace(check, **await figures)
    except OnchainError as error:
        return replace(check, reason=str(error))


async def _pools(
    pinner: Pinner, check: PriceCheck, quote_usd: Mapping[str, float], *, at: int | None
) -> list[PriceCheck]:
    """A check for each pool and pair of the token `check.address` against the priced tokens."""
    pool, base = pinner.pool, check.address
    known = pool.chain.quote_tokens.items()
    quotes = {address.lower(): quote_usd[name] for name, address in known if name in quote_usd}
    if not quotes:
        return []
    try:
        pin = await pinner.settled(at)
        pools, pairs = await find_pools(pool, pin, base=base, quotes=list(quotes))
    except OnchainError as error:
        return [replace(check, reason=str(error))]

    async def figures(read: Callable[[], Awaitable[PoolPrice]]) -> Mapping[str, Any]:
        got = await read()
        usd = quotes[got.quote]
        return {
            "price_usd": got.price * usd,
            "window_s": got.window_s,
            "cost_to_move_usd": got.cost_to_move_5pct * usd,
            "liquidity_usd": got.liquidity * usd,
            "pin": pin,
        }

    spots = [
        (replace(check, kind="univ2_spot", address=a), partial(read_reserves, pool, pin, a, base=base)) for a in pairs
    ]
    means = [(replace(check, address=a), partial(read_twap, pool, pin, a, base=base)) for a in pools]
    return [await _held(here, figures(read)) for here, read in (*spots, *means)]


async def _feed(pinner: Pinner, feed: Feed, *, at: int | None) -> Mapping[str, Any]:
    pin, sequencer = await pinner.settled(at), pinner.pool.chain.sequencer_feed
    price = await read_feed(
        pinner.pool, pin, feed.address, heartbeat_s=feed.heartbeat_s, sequencer=sequencer, pair=feed.pair
    )
    return {"price_usd": price, "pin": pin}


# -- pools ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PoolPrice:
    """The price of a token in `quote` (whole tokens, float64): a mean over `window_s` seconds, or without one the spot.

    `cost_to_move_5pct` is the quote tokens that raise it by 5 %, of a mean held over the whole window; `liquidity` what
    the pool holds, in quote tokens, fees not collected yet included.
    """

    quote: str
    price: float
    cost_to_move_5pct: float
    liquidity: float
    window_s: int | None = None


def compute_mean_tick(before: int, after: int, window_s: int) -> int:
    """Mean tick from two int56 cumulatives, rounded toward −∞; a wrapped counter is unwrapped."""
    delta = (after - before) & ((1 << 56) - 1)
    if delta >= 1 << 55:
        delta -= 1 << 56
    return delta // window_s


def compute_harmonic_liquidity(before: int, after: int, window_s: int) -> int:
    """(window · 2^128) // Δ(seconds per liquidity), uint160 differences. Raises PriceRefused when it stood still."""
    delta = (after - before) & ((1 << 160) - 1)
    if delta == 0:
        raise PriceRefused("seconds-per-liquidity did not move over the window")
    return (window_s << 128) // delta


def compute_cost_to_move(liquidity: int, price_raw: float, *, move: float) -> float:
    """Quote base units to raise a mean price by `move` (0.05 = 5 %), held during the whole window.

    L·√p·(√(1+m) − 1); `price_raw` is quote base units per base base unit. Capital, not loss; liquidity outside the
    present range is ignored.
    """
    return liquidity * math.sqrt(price_raw) * (math.sqrt(1.0 + move) - 1.0)


async def find_pools(pool: Pool, pin: Pin, *, base: str, quotes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Addresses of the chain's V3 pools, in all fee tiers, and V2 pairs of `base` against each of `quotes`."""
    v3, v2 = pool.chain.uniswap_v3_factory, pool.chain.uniswap_v2_factory
    pools = [
        call(v3, "getPool(address,address,uint24)", base, quote, fee, returns="address")
        for quote in quotes
        for fee in FEES
        if v3
    ]
    pairs = [call(v2, "getPair(address,address)", base, quote, returns="address") for quote in quotes if v2]
    outcomes = (await read_calls(pool, pin, [*pools, *pairs])).outcomes
    existing = ["" if o.error or o.value == erc20.ZERO_ADDRESS else str(o.value) for o in outcomes]
    return list(filter(None, existing[: len(pools)])), list(filter(None, existing[len(pools) :]))


async def read_twap(
    pool: Pool, pin: Pin, address: str, *, base: str, window_s: int = WINDOW_S, min_window_s: int = MIN_WINDOW_S
) -> PoolPrice:
    """The time-weighted price of `base` in a V3 pool's other token at the pinned block.

    The window is the asked one or what the pool's observations cover, whichever is shorter; below `min_window_s` the
    price is refused (PriceRefused) rather than taken from spot. Raises ReadError when it is not a pool of `base`.
    """
    tokens, (slot0,) = await _sides(pool, pin, address, base, [call(address, "slot0()", returns=_SLOT0)])
    sqrt_price, _, index, cardinality, *_ = slot0
    if not cardinality or not sqrt_price:
        raise PriceRefused(f"{address} was created but never given a price")
    asked = [
        call(address, "observations(uint256)", (index + 1) % cardinality, returns=_OBSERVATION),
        call(address, "observations(uint256)", 0, returns=_OBSERVATION),
        *(erc20.decimals(token) for token in tokens),
        *(erc20.balance_of(token, address) for token in tokens),
    ]
    oldest, first, *rest = await _read(pool, pin, asked)
    window = min(window_s, (pin.timestamp - (oldest if oldest[3] else first)[0]) & 0xFFFFFFFF)  # uint32 time stamps
    if window < min_window_s:
        raise PriceRefused(
            f"{address}: observations cover {window} s (cardinality {cardinality}), {min_window_s} s are needed; "
            "the spot price is not a substitute"
        )
    observe = call(address, "observe(uint32[])", [window, 0], returns=("int56[]", "uint160[]"), label="observe")
    ((ticks, seconds),) = await _read(pool, pin, [observe])
    if (len(ticks), len(seconds)) != (2, 2):
        raise ReadError(f"observe of {address}: {len(ticks)} observations where 2 were asked for")
    units = [10.0 ** erc20.checked_decimals(digits, token) for digits, token in zip(rest[:2], tokens, strict=True)]
    at = tokens.index(base.lower())
    tick = compute_mean_tick(ticks[0], ticks[1], window)
    raw = 1.0001 ** (-tick if at else tick)
    price, held = raw * units[at] / units[1 - at], [rest[2 + i] / units[i] for i in (0, 1)]
    cost = compute_cost_to_move(compute_harmonic_liquidity(seconds[0], seconds[1], window), raw, move=0.05)
    liquidity = held[1 - at] + held[at] * price
    return PoolPrice(tokens[1 - at], price, cost / units[1 - at], liquidity, window)


async def read_reserves(pool: Pool, pin: Pin, pair: str, *, base: str) -> PoolPrice:
    """The spot price of `base` that a V2 pair's reserves imply; cost_to_move_5pct = reserve·(√1.05 − 1), no fee.

    Raises ReadError when it is not a pair of `base`, PriceRefused when it is empty.
    """
    tokens, (reserves,) = await _sides(pool, pin, pair, base, [call(pair, "getReserves()", returns=_RESERVES)])
    digits = await _read(pool, pin, [erc20.decimals(token) for token in tokens])
    scales = [erc20.checked_decimals(digit, token) for digit, token in zip(digits, tokens, strict=True)]
    at = tokens.index(base.lower())
    own, other = (reserves[i] / 10.0 ** scales[i] for i in (at, 1 - at))
    if not own or not other:
        raise PriceRefused(f"{pair} has an empty side")
    return PoolPrice(tokens[1 - at], other / own, other * (math.sqrt(1.05) - 1.0), 2.0 * other)


async def _sides(pool: Pool, pin: Pin, address: str, base: str, more: list[Call]) -> tuple[list[str], list[Any]]:
    """(the two tokens of a pool, what else it was asked). Raises ReadError unless one of them is `base`."""
    asked = [call(address, f"{side}()", returns="address") for side in ("token0", "token1")]
    token0, token1, *rest = await _read(pool, pin, [*asked, *more])
    if base.lower() not in (token0, token1):
        raise ReadError(f"{address} trades {token0} and {token1}, not {base}")
    return [token0, token1], rest


async def _read(pool: Pool, pin: Pin, calls: list[Call]) -> list[Any]:
    outcomes = (await read_calls(pool, pin, calls)).outcomes
    for asked, outcome in zip(calls, outcomes, strict=True):
        if outcome.error:
            raise ReadError(f"{asked.label} of {asked.target}: {outcome.error}")
    return [outcome.value for outcome in outcomes]


# -- feeds ----------------------------------------------------------------------------------------------------


async def read_feed(pool: Pool, pin: Pin, feed: str, *, heartbeat_s: int, sequencer: str = "", pair: str = "") -> float:
    """The latest answer at the pinned block, in the feed's own unit. `pair` is what it must say that it prices.

    Raises PriceRefused, naming the check, unless: answer > 0, the round is complete and not carried over, its age at
    the block's time stamp is within 1.5 heartbeats, the answer is not at the aggregator's min/max clamp, and on a
    roll-up the sequencer has been up for an hour. ReadError when it is not a feed.
    """
    asked = [
        call(feed, "latestRoundData()", returns=_ROUND),
        call(feed, "decimals()", returns="uint8"),
        call(feed, "description()", returns="string"),
        call(feed, "aggregator()", returns="address"),
        *([call(sequencer, "latestRoundData()", returns=_ROUND)] if sequencer else []),
    ]
    latest, digits, text, aggregator, *up = (await read_calls(pool, pin, asked)).outcomes
    if latest.error or digits.error or not isinstance(latest.value, tuple):
        raise ReadError(f"{feed} is not a price feed: {latest.error or digits.error}")
    if pair and (text.error or _letters(text.value) != _letters(pair)):
        raise PriceRefused(f"{feed} says that it prices {text.error or text.value!r}, {pair!r} is configured")
    for outcome in up:
        _check_sequencer(sequencer, outcome, pin)
    _check_round(feed, latest.value, pin, heartbeat_s)
    answer = int(latest.value[1])
    if not aggregator.error:
        await _check_clamp(pool, pin, feed, str(aggregator.value), answer)
    return answer / 10.0 ** digits.integer("decimals")


def _letters(text: object) -> str:
    """A pair without its spaces and case, which differ between feeds."""
    return "".join(str(text).split()).casefold()


def _check_round(feed: str, latest: tuple[int, ...], pin: Pin, heartbeat_s: int) -> None:
    round_id, answer, _, updated_at, answered_in = latest
    age = pin.timestamp - updated_at
    for refused, why in (
        (answer <= 0, f"the answer is {answer}"),
        (updated_at == 0, f"round {round_id} is not complete"),
        (age < 0, f"updated {-age} s after the pinned block"),
        (age > heartbeat_s * SLACK, f"stale, {age} s old at the pinned block, heartbeat {heartbeat_s} s"),
        (answered_in < round_id, f"round {round_id} carries the answer of round {answered_in}"),
    ):
        if refused:
            raise PriceRefused(f"{feed}: {why}")


async def _check_clamp(pool: Pool, pin: Pin, feed: str, aggregator: str, answer: int) -> None:
    """An answer at the aggregator's bound means the market is beyond it. Newer aggregators have no bounds."""
    asked = [call(aggregator, f"{side}Answer()", returns="int192") for side in ("min", "max")]
    low, high = (await read_calls(pool, pin, asked)).outcomes
    if isinstance(low.value, int) and isinstance(high.value, int) and not low.value < answer < high.value:
        raise PriceRefused(f"{feed}: the answer {answer} is at the aggregator's bounds {low.value}…{high.value}")


def _check_sequencer(feed: str, outcome: Outcome, pin: Pin) -> None:
    if outcome.error or not isinstance(outcome.value, tuple):
        raise PriceRefused(f"sequencer feed {feed}: {outcome.error or 'no answer'}")
    _, down, started_at, _, _ = outcome.value
    if down != 0:
        raise PriceRefused(f"sequencer feed {feed}: the roll-up's sequencer is down")
    if started_at == 0 or pin.timestamp - started_at < GRACE_S:
        raise PriceRefused(f"sequencer feed {feed}: up for {pin.timestamp - started_at} s, {GRACE_S} s are needed")
