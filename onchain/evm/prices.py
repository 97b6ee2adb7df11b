"""Prices on chain: Uniswap pools by an honest window, Chainlink feeds where they are fresh at the pinned block.

Place in the flow: `checks` compares them with the index's reference rate. Never the spot tick alone: it is what one
transaction can set. Formulas: Uniswap V3 core, Oracle.sol and the OracleLibrary of its periphery.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onchain.errors import PriceRefused, ReadError
from onchain.evm import erc20
from onchain.evm.erc20 import BURN_ADDRESSES
from onchain.evm.multicall import Call, Outcome, call, read_calls
from onchain.rpc.pin import Pin
from onchain.rpc.pool import Pool

FEES = (100, 500, 3000, 10000)
MIN_WINDOW_S = 1800
_SLOT0 = ("uint160", "int24", "uint16", "uint16", "uint16", "uint8", "bool")
_OBSERVATION = ("uint32", "int56", "uint160", "bool")


@dataclass(frozen=True, slots=True)
class Twap:
    """Mean price of `base` in `quote` (whole tokens, float64) over `window_s` seconds ending at the pinned block.

    `harmonic_liquidity` is the harmonic mean of in-range liquidity over the window; `cost_to_move_5pct` the quote
    tokens that must be held in the pool over the whole window to raise the mean by 5 %. Balances are whole tokens and
    include fees not collected yet.
    """

    pool: str
    pin: Pin
    base: str
    quote: str
    price: float
    window_s: int
    mean_tick: int
    spot_price: float
    harmonic_liquidity: int
    cost_to_move_5pct: float
    base_balance: float
    quote_balance: float
    fee_ppm: int


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


def compute_cost_to_move(liquidity: int, price_raw: float, *, move: float, share: float = 1.0) -> float:
    """Quote base units to raise a mean price by `move` (0.05 = 5 %), held during `share` of the window.

    L·√p·(√(1+m) − 1) with m = (1+move)^(1/share) − 1: a mean of log prices moved in a part of the window only needs
    the larger move there. `price_raw` is quote base units per base base unit. Capital, not loss; liquidity outside
    the present range is ignored.
    """
    spot_move = math.exp(math.log1p(move) / share) - 1.0
    return liquidity * math.sqrt(price_raw) * (math.sqrt(1.0 + spot_move) - 1.0)


async def find_pools(pool: Pool, pin: Pin, *, factory: str, base: str, quotes: Sequence[str]) -> list[str]:
    """Addresses of the existing pools of `base` against each of `quotes`, in all fee tiers."""
    calls = [_get_pool(factory, base, quote, fee) for quote in quotes for fee in FEES]
    outcomes = (await read_calls(pool, pin, calls)).outcomes
    return [str(o.value) for o in outcomes if not o.error and o.value != BURN_ADDRESSES[0]]


async def read_twap(
    pool: Pool, pin: Pin, address: str, *, base: str, window_s: int = 3600, min_window_s: int = MIN_WINDOW_S
) -> Twap:
    """The time-weighted price of `base` in the pool's other token at the pinned block.

    The window is the asked one or what the pool's observations cover, whichever is shorter; below `min_window_s` the
    price is refused (PriceRefused) rather than taken from spot. Raises ReadError when it is not a pool of `base`.
    """
    calls = [
        call(address, "token0()", returns="address"),
        call(address, "token1()", returns="address"),
        call(address, "slot0()", returns=_SLOT0),
        call(address, "fee()", returns="uint24"),
    ]
    token0, token1, slot0, fee = await _read(pool, pin, calls)
    if base.lower() not in (token0, token1):
        raise ReadError(f"{address} trades {token0} and {token1}, not {base}")
    sqrt_price, _, index, cardinality, *_ = slot0
    if not cardinality or not sqrt_price:
        raise PriceRefused(f"{address} was created but never given a price")
    calls = [
        call(address, "observations(uint256)", (index + 1) % cardinality, returns=_OBSERVATION),
        call(address, "observations(uint256)", 0, returns=_OBSERVATION),
        *(erc20.decimals(token) for token in (token0, token1)),
        *(erc20.balance_of(token, address) for token in (token0, token1)),
    ]
    oldest, first, *rest = await _read(pool, pin, calls)
    window = min(window_s, _age(pin.timestamp, oldest[0] if oldest[3] else first[0]))
    if window < min_window_s:
        raise PriceRefused(
            f"{address}: observations cover {window} s (cardinality {cardinality}), {min_window_s} s are needed; "
            "the spot price is not a substitute"
        )
    (observed,) = await _read(pool, pin, [_observe(address, window)])
    if [len(part) for part in observed] != [2, 2]:
        raise ReadError(f"observe of {address}: {len(observed[0])} observations where 2 were asked for")
    digits = [erc20.checked_decimals(rest[i], token) for i, token in enumerate((token0, token1))]
    sides = ((token0, digits[0], rest[2]), (token1, digits[1], rest[3]))
    inverted = base.lower() == token1
    where = (address, pin, window, fee)
    return _twap(where, observed, sqrt_price=sqrt_price, inverted=inverted, sides=sides[::-1] if inverted else sides)


def _twap(
    where: tuple[str, Pin, int, int],
    observed: tuple[tuple[int, int], tuple[int, int]],
    *,
    sqrt_price: int,
    inverted: bool,
    sides: tuple[tuple[str, int, int], ...],
) -> Twap:
    """The price from raw answers; `sides` are (token, decimals, balance) of base, then quote."""
    address, pin, window, fee = where
    ticks, seconds = observed
    tick = compute_mean_tick(ticks[0], ticks[1], window)
    liquidity = compute_harmonic_liquidity(seconds[0], seconds[1], window)
    raw = 1.0001 ** (-tick if inverted else tick)
    spot = (sqrt_price / 2.0**96) ** 2
    (base, d_base, b_base), (quote, d_quote, b_quote) = sides
    unit = 10.0 ** (d_base - d_quote)
    return Twap(
        pool=address,
        pin=pin,
        base=base,
        quote=quote,
        price=raw * unit,
        window_s=window,
        mean_tick=tick,
        spot_price=(1.0 / spot if inverted else spot) * unit,
        harmonic_liquidity=liquidity,
        cost_to_move_5pct=compute_cost_to_move(liquidity, raw, move=0.05) / 10.0**d_quote,
        base_balance=b_base / 10.0**d_base,
        quote_balance=b_quote / 10.0**d_quote,
        fee_ppm=fee,
    )


def _age(now: int, then: int) -> int:
    """Seconds since a uint32 time stamp."""
    return (now - then) & 0xFFFFFFFF


def _get_pool(factory: str, base: str, quote: str, fee: int) -> Call:
    return call(factory, "getPool(address,address,uint24)", base, quote, fee, returns="address")


def _observe(address: str, window: int) -> Call:
    return call(address, "observe(uint32[])", [window, 0], returns=("int56[]", "uint160[]"), label="observe")


async def _read(pool: Pool, pin: Pin, calls: list[Call]) -> list:  # type: ignore[type-arg]  # mixed ABI values
    outcomes = (await read_calls(pool, pin, calls)).outcomes
    for asked, outcome in zip(calls, outcomes, strict=True):
        if outcome.error:
            raise ReadError(f"{asked.label} of {asked.target}: {outcome.error}")
    return [outcome.value for outcome in outcomes]


@dataclass(frozen=True, slots=True)
class Reserves:
    """A pair's reserves in whole tokens and the spot price of `base` in `quote` they imply (float64)."""

    pair: str
    pin: Pin
    base: str
    quote: str
    base_reserve: float
    quote_reserve: float
    spot_price: float
    cost_to_move_5pct: float
    last_trade_s: int  # seconds between the reserves' last change and the pinned block


async def find_pairs(pool: Pool, pin: Pin, *, factory: str, base: str, quotes: Sequence[str]) -> list[str]:
    """Addresses of the existing pairs of `base` against each of `quotes`."""
    calls = [call(factory, "getPair(address,address)", base, quote, returns="address") for quote in quotes]
    outcomes = (await read_calls(pool, pin, calls)).outcomes
    return [str(o.value) for o in outcomes if not o.error and o.value != erc20.BURN_ADDRESSES[0]]


async def read_reserves(pool: Pool, pin: Pin, pair: str, *, base: str) -> Reserves:
    """Reserves of a V2 pair at the pinned block. `cost_to_move_5pct` = reserve·(√1.05 − 1), in quote tokens, no fee.

    Raises ReadError when it is not a pair of `base`, PriceRefused when it is empty.
    """
    asked = [
        call(pair, "token0()", returns="address"),
        call(pair, "token1()", returns="address"),
        call(pair, "getReserves()", returns=("uint112", "uint112", "uint32")),
    ]
    token0, token1, reserves = (await read_calls(pool, pin, asked)).outcomes
    tokens = (token0.value, token1.value)
    if token0.error or token1.error or reserves.error or not isinstance(reserves.value, tuple):
        raise ReadError(f"{pair} is not a V2 pair: {token0.error or token1.error or reserves.error}")
    if base.lower() not in tokens:
        raise ReadError(f"{pair} trades {tokens[0]} and {tokens[1]}, not {base}")
    digits = (await read_calls(pool, pin, [erc20.decimals(str(t)) for t in tokens])).outcomes
    scales = [erc20.checked_decimals(d.value, str(token)) for d, token in zip(digits, tokens, strict=True)]
    amounts = [reserves.value[i] / 10.0 ** scales[i] for i in (0, 1)]
    at = 0 if tokens[0] == base.lower() else 1
    if not all(amounts):
        raise PriceRefused(f"{pair} has an empty side")
    return Reserves(
        pair=pair,
        pin=pin,
        base=base,
        quote=str(tokens[1 - at]),
        base_reserve=amounts[at],
        quote_reserve=amounts[1 - at],
        spot_price=amounts[1 - at] / amounts[at],
        cost_to_move_5pct=amounts[1 - at] * (math.sqrt(1.05) - 1.0),
        last_trade_s=(pin.timestamp - reserves.value[2]) & 0xFFFFFFFF,
    )


GRACE_S = 3600  # after a roll-up's sequencer came back
SLACK = 1.5  # heartbeats may be late by half
_ROUND = ("uint80", "int256", "uint256", "uint256", "uint80")


@dataclass(frozen=True, slots=True)
class FeedPrice:
    """A feed's answer as float64 in its own unit (see `description`), with its age at the pinned block."""

    feed: str
    pin: Pin
    description: str
    price: float
    updated_at: int
    age_s: int
    round_id: int


async def read_feed(
    pool: Pool, pin: Pin, feed: str, *, heartbeat_s: int, sequencer: str = "", pair: str = ""
) -> FeedPrice:
    """The latest answer at the pinned block. `pair` is what the feed must say that it prices, e.g. "GRT / USD".

    Raises PriceRefused, naming the check, unless: answer > 0, the round is complete and not carried over, its age at
    the block's time stamp is within 1.5 heartbeats, the answer is not at the aggregator's min/max clamp, and on a
    roll-up the sequencer has been up for an hour. ReadError when it is not a feed.
    """
    asked = [
        call(feed, "latestRoundData()", returns=_ROUND),
        call(feed, "decimals()", returns="uint8"),
        call(feed, "description()", returns="string"),
        call(feed, "aggregator()", returns="address"),
    ]
    if sequencer:
        asked.append(call(sequencer, "latestRoundData()", returns=_ROUND))
    outcomes = (await read_calls(pool, pin, asked)).outcomes
    latest, digits, text, aggregator = outcomes[:4]
    if latest.error or digits.error or not isinstance(latest.value, tuple):
        raise ReadError(f"{feed} is not a price feed: {latest.error or digits.error}")
    if pair and (text.error or _letters(text.value) != _letters(pair)):
        raise PriceRefused(f"{feed} says that it prices {text.error or text.value!r}, {pair!r} is configured")
    if sequencer:
        _check_sequencer(sequencer, outcomes[4], pin)
    round_id, answer, _, updated_at, answered_in = latest.value
    _check_round(feed, latest.value, pin, heartbeat_s)
    if not aggregator.error:
        await _check_clamp(pool, pin, feed, str(aggregator.value), answer)
    return FeedPrice(
        feed=feed,
        pin=pin,
        description=str(text.value) if not text.error else "",
        price=answer / 10.0 ** digits.integer("decimals"),
        updated_at=updated_at,
        age_s=pin.timestamp - updated_at,
        round_id=max(round_id, answered_in),
    )


def _letters(text: object) -> str:
    """A pair without its spaces and case, which differ between feeds."""
    return "".join(str(text).split()).casefold()


def _check_round(feed: str, latest: tuple[int, ...], pin: Pin, heartbeat_s: int) -> None:
    round_id, answer, _, updated_at, answered_in = latest
    age = pin.timestamp - updated_at
    if answer <= 0:
        raise PriceRefused(f"{feed}: the answer is {answer}")
    if updated_at == 0:
        raise PriceRefused(f"{feed}: round {round_id} is not complete")
    if age < 0:
        raise PriceRefused(f"{feed}: updated {-age} s after the pinned block")
    if age > heartbeat_s * SLACK:
        raise PriceRefused(f"{feed}: stale, {age} s old at the pinned block, heartbeat {heartbeat_s} s")
    if answered_in < round_id:
        raise PriceRefused(f"{feed}: round {round_id} carries the answer of round {answered_in}")


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
