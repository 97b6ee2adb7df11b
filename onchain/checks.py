"""Pool and oracle prices of a token beside the index's reference rate: a check on the rate, never its source.

Place in the flow: the index passes its reference rate, gets `PriceCheck`s, and writes those beyond tolerance, and the
refusals with their reason, to its data-quality log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onchain.chains import Chain, load_chains
from onchain.errors import ChainConfigError, OnchainError
from onchain.evm.prices import find_pairs, find_pools, read_feed, read_reserves, read_twap
from onchain.rpc.pin import Pin, Pinner
from onchain.rpc.pool import Pool
from onchain.tokens import Feed, Leg, Token, load_tokens


@dataclass(frozen=True, slots=True)
class PriceCheck:
    """One independent USD price against the reference rate. Refused prices have `price_usd` None and a `reason`.

    `divergence_bps` = 10^4 · (price / reference − 1). `cost_to_move_usd` (pools only) is the capital that moves the
    mean by 5 %: how much the price is worth as evidence.
    """

    symbol: str
    kind: str  # univ3_twap, univ2_spot (for display: never beyond tolerance) or chainlink
    chain: str
    address: str
    reference_usd: float
    price_usd: float | None
    divergence_bps: float | None
    beyond: bool
    window_s: int | None = None
    cost_to_move_usd: float | None = None
    liquidity_usd: float | None = None
    pin: Pin | None = None
    reason: str = ""


def compute_divergence_bps(price_usd: float, reference_usd: float) -> float:
    """10^4 · (price / reference − 1)."""
    return 1e4 * (price_usd / reference_usd - 1.0)


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
    if at is not None and at.tzinfo is None:
        raise ChainConfigError(f"{at.isoformat()} has no time zone; give an aware instant")
    known = load_tokens() if tokens is None else tokens
    if symbol not in known:
        raise ChainConfigError(f'no supply rule for "{symbol}"; known: {", ".join(sorted(known))}')
    all_chains = load_chains(own_endpoints=own_endpoints) if chains is None else chains

    async def read() -> list[PriceCheck]:
        async with Pinners(all_chains, confirm=confirm) as pinners:
            return await read_checks(
                pinners,
                known[symbol],
                reference_usd=reference_usd,
                quote_usd=quote_usd,
                at=None if at is None else int(at.timestamp()),
                tolerance_bps=tolerance_bps,
            )

    return asyncio.run(read())


class Pinners:
    """One pinner for each chain that is asked, opened at first use: tokens at one instant share pins and identities."""

    def __init__(self, chains: Mapping[str, Chain], *, confirm: int = 2) -> None:
        self.chains, self._confirm = chains, confirm
        self._open: dict[str, Pinner] = {}

    async def __aenter__(self) -> Pinners:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for pinner in self._open.values():
            await pinner.pool.__aexit__(*exc)

    def of(self, chain: str) -> Pinner:
        """The pinner of a configured chain."""
        if chain not in self._open:
            self._open[chain] = Pinner(Pool(self.chains[chain], confirm=self._confirm))
        return self._open[chain]


async def read_checks(
    pinners: Pinners,
    token: Token,
    *,
    reference_usd: float,
    quote_usd: Mapping[str, float],
    at: int | None = None,
    tolerance_bps: float = 200.0,
) -> list[PriceCheck]:
    """`check_price` for callers with an event loop, for many tokens after one another; `at` in epoch seconds."""
    against, chains = _Comparison(token.symbol, reference_usd, tolerance_bps), pinners.chains
    checks: list[PriceCheck] = []
    for leg in token.legs:
        if leg.chain in chains and chains[leg.chain].quote_tokens:
            checks += await _pools(pinners.of(leg.chain), leg, quote_usd, at=at, against=against)
    for feed in token.feeds:
        if feed.chain in chains:
            checks.append(await _feed(pinners.of(feed.chain), feed, at=at, against=against))
        else:
            reason = f'no chain "{feed.chain}" is configured'
            checks.append(against.refused("chainlink", feed.chain, feed.address, reason))
    return checks


@dataclass(frozen=True, slots=True)
class _Comparison:
    symbol: str
    reference_usd: float
    tolerance_bps: float

    def priced(self, kind: str, chain: str, address: str, price: float, **more: Any) -> PriceCheck:
        bps = compute_divergence_bps(price, self.reference_usd)
        beyond = kind != "univ2_spot" and abs(bps) > self.tolerance_bps
        return PriceCheck(self.symbol, kind, chain, address, self.reference_usd, price, bps, beyond, **more)

    def refused(self, kind: str, chain: str, address: str, reason: str) -> PriceCheck:
        return PriceCheck(self.symbol, kind, chain, address, self.reference_usd, None, None, False, reason=reason)


async def _pools(
    pinner: Pinner, leg: Leg, quote_usd: Mapping[str, float], *, at: int | None, against: _Comparison
) -> list[PriceCheck]:
    pool, chain = pinner.pool, pinner.pool.chain
    quotes = {address.lower(): quote_usd[name] for name, address in chain.quote_tokens.items() if name in quote_usd}
    if not quotes:
        return []
    try:
        pin = await (pinner.head() if at is None else pinner.at(at))
        pools, pairs = await _discover(pool, pin, base=leg.asset, quotes=list(quotes))
    except OnchainError as error:
        return [against.refused("univ3_twap", chain.name, leg.asset, str(error))]
    checks = [await _pair(pool, pin, address, base=leg.asset, quotes=quotes, against=against) for address in pairs]
    for address in pools:
        try:
            twap = await read_twap(pool, pin, address, base=leg.asset)
        except OnchainError as error:
            checks.append(against.refused("univ3_twap", chain.name, address, str(error)))
            continue
        usd = quotes[twap.quote]
        price = twap.price * usd
        checks.append(
            against.priced(
                "univ3_twap",
                chain.name,
                address,
                price,
                window_s=twap.window_s,
                cost_to_move_usd=twap.cost_to_move_5pct * usd,
                liquidity_usd=twap.quote_balance * usd + twap.base_balance * price,
                pin=pin,
            )
        )
    return checks


async def _discover(pool: Pool, pin: Pin, *, base: str, quotes: list[str]) -> tuple[list[str], list[str]]:
    """(V3 pools, V2 pairs) of `base` against `quotes`, through the factories the chain names."""
    v3, v2 = pool.chain.uniswap_v3_factory, pool.chain.uniswap_v2_factory
    pools = await find_pools(pool, pin, factory=v3, base=base, quotes=quotes) if v3 else []
    return pools, await find_pairs(pool, pin, factory=v2, base=base, quotes=quotes) if v2 else []


async def _pair(
    pool: Pool, pin: Pin, address: str, *, base: str, quotes: Mapping[str, float], against: _Comparison
) -> PriceCheck:
    try:
        reserves = await read_reserves(pool, pin, address, base=base)
    except OnchainError as error:
        return against.refused("univ2_spot", pool.chain.name, address, str(error))
    usd = quotes[reserves.quote]
    return against.priced(
        "univ2_spot",
        pool.chain.name,
        address,
        reserves.spot_price * usd,
        cost_to_move_usd=reserves.cost_to_move_5pct * usd,
        liquidity_usd=2.0 * reserves.quote_reserve * usd,
        pin=pin,
    )


async def _feed(pinner: Pinner, feed: Feed, *, at: int | None, against: _Comparison) -> PriceCheck:
    pool = pinner.pool
    try:
        pin = await (pinner.head() if at is None else pinner.at(at))
        answer = await read_feed(
            pool,
            pin,
            feed.address,
            heartbeat_s=feed.heartbeat_s,
            sequencer=pool.chain.sequencer_feed,
            pair=feed.pair,
        )
    except OnchainError as error:
        return against.refused("chainlink", pool.chain.name, feed.address, str(error))
    return against.priced("chainlink", pool.chain.name, feed.address, answer.price, pin=pin)
