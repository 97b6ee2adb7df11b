"""Activity of a basket token between two instants, over all its EVM networks.

Place in the flow: face of `usage.activity` for the index and the command line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from onchain.chains import Chain, load_chains
from onchain.errors import ChainConfigError, OnchainError
from onchain.rpc.pin import Pinner
from onchain.rpc.pool import Pool
from onchain.tokens import Leg, Token, load_tokens
from onchain.usage.activity import Activity, read_activity

Progress = Callable[[str, int, int], None]  # (chain, blocks done, blocks in all)


@dataclass(frozen=True, slots=True)
class LegActivity:
    """One network's activity, or the reason why there is none."""

    chain: str
    asset: str
    role: str
    activity: Activity | None
    reason: str = ""


def activity(
    symbol: str,
    *,
    start: datetime,
    end: datetime,
    price_usd: float | None = None,
    tokens: Mapping[str, Token] | None = None,
    chains: Mapping[str, Chain] | None = None,
    own_endpoints: Mapping[str, Sequence[str]] | None = None,
    verify_every: int = 10,
    confirm: int = 2,
    progress: Progress | None = None,
) -> list[LegActivity]:
    """Activity of `symbol` after the aware instant `start` up to `end`, one entry a network.

    Networks are kept apart: the same address on two chains is two addresses, and a bridge transfer is a burn here and
    a mint there. Chains other than EVM have no Transfer logs: their entry says so. Runs its own event loop; from
    async code use `read_legs`. Raises ChainConfigError for an unknown symbol or a bad interval.
    """
    for instant in (start, end):
        if instant.tzinfo is None:
            raise ChainConfigError(f"{instant.isoformat()} has no time zone; give an aware instant")
    if end <= start:
        raise ChainConfigError(f"the end {end.isoformat()} is not after the start {start.isoformat()}")
    known = load_tokens() if tokens is None else tokens
    if symbol not in known:
        raise ChainConfigError(f'no supply rule for "{symbol}"; known: {", ".join(sorted(known))}')
    return asyncio.run(
        read_legs(
            known[symbol],
            chains=load_chains(own_endpoints=own_endpoints) if chains is None else chains,
            start=int(start.timestamp()),
            end=int(end.timestamp()),
            price_usd=price_usd,
            verify_every=verify_every,
            confirm=confirm,
            progress=progress,
        )
    )


async def read_legs(
    token: Token,
    *,
    chains: Mapping[str, Chain],
    start: int,
    end: int,
    price_usd: float | None = None,
    verify_every: int = 10,
    confirm: int = 2,
    progress: Progress | None = None,
) -> list[LegActivity]:
    """`activity` for callers with an event loop; instants in epoch seconds."""

    async def read(leg: Leg) -> LegActivity:
        chain = chains.get(leg.chain)
        if chain is None or chain.family != "evm":
            reason = f"{leg.chain} has no Transfer logs" if chain else f'no chain "{leg.chain}" is configured'
            return LegActivity(leg.chain, leg.asset, leg.role, None, reason)
        try:
            async with Pool(chain, confirm=confirm, timeout_s=60.0) as pool:
                pinner = Pinner(pool)
                counts = await read_activity(
                    pinner,
                    leg.asset,
                    decimals=leg.decimals,
                    start=await pinner.at(start),
                    end=await pinner.at(end),
                    price_usd=price_usd,
                    verify_every=verify_every,
                    progress=None if progress is None else lambda done, all_: progress(leg.chain, done, all_),
                )
        except OnchainError as error:
            return LegActivity(leg.chain, leg.asset, leg.role, None, str(error))
        return LegActivity(leg.chain, leg.asset, leg.role, counts)

    legs = [leg for leg in token.legs if leg.role != "check"]
    return list(await asyncio.gather(*(read(leg) for leg in legs)))
