"""Activity of a token between two instants, from its Transfer logs, checked against its supply."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain as chain_of
from typing import Any, TypeAlias

from onchain.chains import Chain, instant_s, load_chains
from onchain.errors import AllEndpointsFailed, ChainConfigError, Kind, OnchainError, ReadError
from onchain.evm import erc20
from onchain.evm.logs import Checkpoint, LogScan, RangeSize, Rollback
from onchain.evm.multicall import read_calls, topic
from onchain.rpc.pin import Pin, Pinner
from onchain.rpc.pool import Pool
from onchain.tokens import ON_CHAIN, EventSum, Leg, Reading, Token, missing, rules_of

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
ZERO = "0x" + "0" * 40
_PAD = "0x" + "0" * 24
MOVED = ("transfers", "volume")
UNCHECKED = "no endpoint keeps the state of both ends, and no second operator confirms the logs"

# (block number, log index, sender, receiver, value in base units, block hash); addresses are lower-case 0x text
Transfer: TypeAlias = tuple[int, int, str, str, int, str]


def parse_transfers(logs: Sequence[dict[str, object]], *, token: str) -> list[Transfer]:
    """ERC-20 Transfer tuples in log order. Values stay int: floats and int64 corrupt 10^27.

    A log with four topics and no data is an ERC-721 transfer and is left out. Raises ReadError for a log of another
    contract or event, or one whose words do not hold.
    """
    try:
        return _parsed(logs, token)
    except (TypeError, ValueError) as error:
        raise ReadError(f"a Transfer of {token} holds words that are not hex ({error})") from None


def _parsed(logs: Sequence[dict[str, Any]], token: str) -> list[Transfer]:
    wanted, rows = token.lower(), []
    for log in logs:
        topics, data = log["topics"], log["data"]
        if len(topics) == 4 and data == "0x":
            continue
        sender, receiver = topics[1:3] if len(topics) == 3 else ("", "")
        if (
            len(data) != 66
            or topics[:1] != [TRANSFER]
            or sender[:26] != _PAD
            or receiver[:26] != _PAD
            or len(sender) != 66
            or len(receiver) != 66
            or str(log["address"]).lower() != wanted
        ):
            raise ReadError(f"log {log.get('logIndex')} of block {log.get('blockNumber')} is not a Transfer of {token}")
        rows.append(
            (
                int(str(log["blockNumber"]), 16),
                int(str(log["logIndex"]), 16),
                "0x" + sender[26:],
                "0x" + receiver[26:],
                int(data, 16),
                str(log["blockHash"]),
            )
        )
    return rows


@dataclass(frozen=True, slots=True)
class Concentration:
    """How much of the supply the largest of the examined holders have. Shares are fractions of total supply.

    Only addresses seen in the window are examined: `coverage` is the share of supply they hold together, and the true
    top shares are at least these. `hhi` is the sum of squared shares.
    """

    examined: int
    coverage: float
    top1: float
    top10: float
    top100: float
    hhi: float


@dataclass(frozen=True, slots=True)
class Activity:
    """Counts and sums after `start` up to `end` (pins). Volumes in base units, USD as float64 or None without price.

    Mints and burns are kept apart and are not transfers. `identity_gap` = (Σ mint − Σ burn) − ΔtotalSupply: zero for
    a complete scan of an honest token; a rebasing token or a lost log shows here. Supplies, gap and concentration are
    None where too few endpoints keep the state of both ends. `checked` is the share of chunks that a second operator
    confirmed: all of them where there is no gap to go by.
    """

    token: str
    start: Pin
    end: Pin
    transfers: int
    senders: int
    receivers: int
    active_addresses: int
    volume: int
    mint: int
    burn: int
    mints: int
    burns: int
    supply_before: int | None
    supply_after: int | None
    decimals: int
    volume_usd: float | None
    concentration: Concentration | None
    checked: float
    rollbacks: int

    @property
    def identity_gap(self) -> int | None:
        if self.supply_before is None or self.supply_after is None:
            return None
        return (self.mint - self.burn) - (self.supply_after - self.supply_before)

    @property
    def complete(self) -> bool:
        """The supply identity holds: every mint and burn between the pins was seen."""
        return self.identity_gap == 0

    @property
    def volume_tokens(self) -> float:
        """Volume in whole tokens."""
        return float(self.volume) / 10.0**self.decimals


def count_transfers(rows: Iterable[Transfer]) -> tuple[dict[str, int], Counter[str]]:
    """(counts and sums under the names of `Activity`, what each address moved)."""
    sums = dict.fromkeys(("transfers", "volume", "mints", "mint", "burns", "burn"), 0)
    sent: Counter[str] = Counter()
    received: Counter[str] = Counter()
    for _, _, sender, receiver, value, _ in rows:
        many, total = ("mints", "mint") if sender == ZERO else ("burns", "burn") if receiver == ZERO else MOVED
        sums[many] += 1
        sums[total] += value
        if sender != ZERO:
            sent[sender] += value
        if sender == ZERO or receiver != ZERO:
            received[receiver] += value
    active = len(received.keys() | sent.keys())
    return {**sums, "senders": len(sent), "receivers": len(received), "active_addresses": active}, received + sent


def compute_concentration(balances: Mapping[str, int], supply: int) -> Concentration | None:
    """Shares of the largest of `balances` in `supply`; None when there is no supply."""
    if supply <= 0:
        return None
    shares = sorted((amount / supply for amount in balances.values()), reverse=True)
    return Concentration(
        examined=len(shares),
        coverage=sum(shares),
        top1=sum(shares[:1]),
        top10=sum(shares[:10]),
        top100=sum(shares[:100]),
        hhi=sum(share * share for share in shares),
    )


async def read_activity(
    pinner: Pinner,
    token: str,
    *,
    decimals: int,
    start: Pin,
    end: Pin,
    price_usd: float | None = None,
    holders: int = 400,
    ranges: dict[str, RangeSize] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Activity:
    """Activity of `token` in the blocks after `start` up to and including `end`.

    `holders` addresses that moved most are asked for their balance (0: no concentration). `progress(done, all)`
    counts blocks. What endpoints are learned to serve is kept in `ranges`, if given. Raises ScanError,
    AllEndpointsFailed, DisagreementError; ReadError when totalSupply() is no number, or its state is kept by too few
    endpoints and no second operator confirms the logs either.
    """
    before, after = await _supplies(pinner, token, (start, end))
    point = Checkpoint(start.number + 1, ranges={} if ranges is None else ranges)
    scan = LogScan(pinner.pool, addresses=[token], topics=[TRANSFER], upto=end, checkpoint=point)
    rows, checked, rollbacks = await _scan(scan, token, first=start.number, progress=progress)
    sums, moved = count_transfers(rows)
    if before is None and checked < 1.0:
        raise ReadError(f"{pinner.pool.chain.name}: {UNCHECKED}")
    balances = {} if after is None else await _balances(pinner, token, end, moved, limit=holders)
    return Activity(
        token=token,
        start=start,
        end=end,
        **sums,
        supply_before=before,
        supply_after=after,
        decimals=decimals,
        volume_usd=None if price_usd is None else sums["volume"] / 10**decimals * price_usd,
        concentration=compute_concentration(balances, after or 0) if holders else None,
        checked=checked,
        rollbacks=rollbacks,
    )


async def _scan(
    scan: LogScan, token: str, *, first: int, progress: Callable[[int, int], None] | None
) -> tuple[Iterator[Transfer], float, int]:
    """(what is still on the chain at the end, share of chunks confirmed, rollbacks)."""
    by_chunk: list[tuple[int, list[Transfer]]] = []
    chunks = checked = rollbacks = 0
    async for item in scan.run():
        if isinstance(item, Rollback):
            rollbacks += 1
            by_chunk = [(last, rows) for last, rows in by_chunk if last <= item.to_block]
            continue
        chunks, checked = chunks + 1, checked + item.checked
        by_chunk.append((item.last, parse_transfers(item.logs, token=token)))
        if progress:
            progress(item.last - first, scan.upto.number - first)
    whole = chain_of.from_iterable(rows for _, rows in by_chunk)
    return whole, checked / chunks if chunks else 0.0, rollbacks


async def _supplies(pinner: Pinner, token: str, pins: Sequence[Pin]) -> list[int | None]:
    """totalSupply() at each pin; all None where too few endpoints keep the state of one of them."""
    supplies: list[int | None] = []
    for pin in pins:
        try:
            (outcome,) = (await read_calls(pinner.pool, pin, [erc20.total_supply(token)])).outcomes
        except AllEndpointsFailed as error:
            if any(each.kind is Kind.MISSING_STATE for each in error.errors):
                return [None] * len(pins)
            raise
        supplies.append(outcome.integer(f"totalSupply() of {token} at block {pin.number}"))
    return supplies


async def _balances(pinner: Pinner, token: str, pin: Pin, moved: Counter[str], *, limit: int) -> dict[str, int]:
    """Balances of the addresses that moved most. One that cannot be read is left out of the examined."""
    asked = [address for address, _ in moved.most_common(limit)]
    readout = await read_calls(pinner.pool, pin, [erc20.balance_of(token, address) for address in asked])
    balances = {}
    for address, outcome in zip(asked, readout.outcomes, strict=True):
        try:
            balances[address] = outcome.integer("balance")
        except ReadError:
            continue
    return balances


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
    confirm: int = 2,
    progress: Progress | None = None,
) -> list[LegActivity]:
    """Activity of `symbol` after the aware instant `start` up to `end`, one entry a network.

    Networks are kept apart: the same address on two chains is two addresses, and a bridge transfer is a burn here and
    a mint there. Chains other than EVM have no Transfer logs: their entry says so. Runs its own event loop; from
    async code use `read_legs`. Raises ChainConfigError for an unknown symbol or a bad interval.
    """
    start_s, end_s = instant_s(start) or 0, instant_s(end) or 0
    if end_s <= start_s:
        raise ChainConfigError(f"the end {end.isoformat()} is not after the start {start.isoformat()}")
    return asyncio.run(
        read_legs(
            rules_of([symbol], tokens)[0],
            chains=load_chains(own_endpoints=own_endpoints) if chains is None else chains,
            start=start_s,
            end=end_s,
            price_usd=price_usd,
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
                    progress=None if progress is None else lambda done, all_: progress(leg.chain, done, all_),
                )
        except OnchainError as error:
            return LegActivity(leg.chain, leg.asset, leg.role, None, str(error))
        return LegActivity(leg.chain, leg.asset, leg.role, counts)

    legs = [leg for leg in token.legs if leg.role != "check"]
    return list(await asyncio.gather(*(read(leg) for leg in legs)))


async def read_event_sums(
    events: Sequence[EventSum], *, chains: Mapping[str, Chain], start: int, end: int, confirm: int = 2
) -> list[tuple[EventSum, Reading]]:
    """What contracts' logs say of the time after `start` up to `end` (epoch seconds): one scan a chain for all events.

    A chain that fails, or whose logs no second operator serves, gives readings without an amount, with the reason.
    """

    async def read(name: str, wanted: list[EventSum]) -> list[tuple[EventSum, Reading]]:
        if name not in chains:
            return [(each, missing(each.read(), f'no chain "{name}" is configured')) for each in wanted]
        try:
            async with Pool(chains[name], confirm=confirm, timeout_s=60.0) as pool:
                pinner = Pinner(pool)
                first, last = await pinner.at(start), await pinner.at(end)
                topics = {topic(event) for each in wanted for event in (each.event, each.less) if event}
                scan = LogScan(
                    pool,
                    addresses=sorted({each.address for each in wanted}),
                    topics=[sorted(topics)],
                    upto=last,
                    checkpoint=Checkpoint(first.number + 1),
                )
                logs = await scan.logs()
        except OnchainError as error:
            return [(each, missing(each.read(), str(error))) for each in wanted]
        return [(each, _event_sum(each, logs, last)) for each in wanted]

    by_chain = {name: [each for each in events if each.chain == name] for name in {each.chain for each in events}}
    parts = await asyncio.gather(*(read(name, wanted) for name, wanted in by_chain.items()))
    return [pair for part in parts for pair in part]


def _event_sum(event: EventSum, logs: Sequence[dict[str, Any]], pin: Pin) -> Reading:
    signs = {topic(name): sign for name, sign in ((event.event, 1), (event.less, -1)) if name}
    total = 0
    for log in logs:
        sign = signs.get(str(*log["topics"][:1]), 0)
        if not sign or log["address"].lower() != event.address.lower():
            continue
        word = "1" if event.word is None else log["data"][2 + 64 * event.word :][:64].rjust(64, "?")
        try:
            total += sign * int(word, 16)
        except ValueError:  # cut short, or not hex
            return missing(event.read(), f"a log of block {log['blockNumber']} has no word {event.word}", pin)
    return Reading(event.read(), total, ON_CHAIN, pin, pin.agreed)
