"""One snapshot of supplies: every chain pinned at the same instant, every network read, every number with its proof."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

import aiohttp
from anyio import move_on_after

from onchain import arweave, cosmos, filecoin, icp, near, solana, substrate
from onchain.chains import Chain, instant_s, load_chains
from onchain.errors import Kind, OnchainError, SupplyError
from onchain.evm import erc20
from onchain.family import Family
from onchain.rpc.pin import Pin, Pinner
from onchain.rpc.pool import Pool
from onchain.rpc.wire import CallRecord, digest
from onchain.supply import Supply, compute_supply, reads_of
from onchain.tokens import MISSING, Read, Reading, Token, Usage, load_tokens, missing, rules_of

FAMILIES: Mapping[str, Family] = {
    "solana": solana.FAMILY,
    "cosmos": cosmos.FAMILY,
    "near": near.FAMILY,
    "substrate": substrate.FAMILY,
    "icp": icp.FAMILY,
    "filecoin": filecoin.FAMILY,
    "arweave": arweave.FAMILY,
}
Reader = Callable[..., Awaitable[dict[Read, Reading]]]
READERS: Mapping[str, Reader] = {"evm": erc20.read} | {name: family.read for name, family in FAMILIES.items()}
Progress = Callable[[str, str], None]  # (chain, "reading" | "done" | reason of the failure)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Supplies by symbol at `at` (epoch seconds), the pins they were read at, and every call that was made.

    `usage` has what networks state of their use, by symbol; of a figure of many parts a reading of each beside the sum.
    """

    at: int
    supplies: Mapping[str, Supply]
    pins: tuple[Pin, ...]
    records: tuple[CallRecord, ...]
    usage: Mapping[str, tuple[tuple[Usage, Reading], ...]] = field(default_factory=dict)

    def proof(self) -> dict[str, object]:
        """Plain data from which `replay` recomputes the supplies offline; `digest` is sha256 over the rest."""
        readings = sorted(
            {r for s in self.supplies.values() for r in s.readings} | {r for u in self.usage.values() for _, r in u},
            key=lambda r: (r.read.chain, r.read.what, r.read.asset, r.read.holder),
        )
        body: dict[str, object] = {
            "at": self.at,
            "symbols": sorted(self.supplies),
            "reported": {k: v.circulating_reported for k, v in sorted(self.supplies.items())},
            "readings": [asdict(r) | {"amount": None if r.amount is None else str(r.amount)} for r in readings],
            "calls": [asdict(r) for r in self.records],
        }
        return {**body, "digest": digest(body)}


def snapshot(
    symbols: Sequence[str] | None = None,
    *,
    at: datetime | None = None,
    tokens: Mapping[str, Token] | None = None,
    chains: Mapping[str, Chain] | None = None,
    own_endpoints: Mapping[str, Sequence[str]] | None = None,
    reported: Mapping[str, float] | None = None,
    confirm: int = 2,
    progress: Progress | None = None,
) -> Snapshot:
    """Supplies of `symbols` (all known ones by default) at the aware instant `at`, or now.

    `reported` gives providers' circulating supplies in tokens, used with status "reported" where no network answers.
    A chain that fails makes its tokens' status reported or missing with the reason; it never raises for one chain.
    Runs its own event loop; from async code use `read_snapshot`. Raises ChainConfigError for an unknown symbol or a
    naive instant.
    """
    return asyncio.run(
        read_snapshot(
            rules_of(symbols, tokens),
            chains=load_chains(own_endpoints=own_endpoints) if chains is None else chains,
            at=instant_s(at),
            reported=reported or {},
            confirm=confirm,
            progress=progress,
        )
    )


async def read_snapshot(
    tokens: Sequence[Token],
    *,
    chains: Mapping[str, Chain],
    at: int | None = None,
    reported: Mapping[str, float] | None = None,
    confirm: int = 2,
    progress: Progress | None = None,
    wall: Callable[[], float] = time.time,
    chain_s: float = 90.0,
) -> Snapshot:
    """`snapshot` for callers with an event loop; `at` in epoch seconds, `wall` replaces the clock.

    A chain that is not read within `chain_s` seconds is given up, so that it costs no other its numbers; finding the
    common instant takes at most half as long again.

    Without `at`, several EVM chains are read at the newest instant that is settled on all of them, so that a transfer
    between two of them is neither lost nor counted twice; other chains are read at their newest final block. A chain
    whose endpoints do not keep the state of that instant is read at its own newest settled block instead, for the
    tokens that live on it alone.
    """
    instant = at if at is not None else int(wall())
    needed: dict[str, dict[Read, None]] = {}
    for token in tokens:
        for read in (*reads_of(token, instant), *(usage.read() for usage in token.usage)):
            needed.setdefault(read.chain, {})[read] = None
    async with aiohttp.ClientSession(headers={"User-Agent": "deai-index"}) as session:
        known = [name for name in needed if name in chains]
        pools = {name: Pool(chains[name], confirm=confirm, session=session, wall=wall) for name in known}
        common = at if at is not None else await _settled(list(pools.values()), within_s=chain_s / 2)

        async def readings_of(name: str) -> tuple[dict[Read, Reading], bool]:
            if name not in pools:
                return _none(needed[name], f'no chain "{name}" is configured'), False
            asked = partial(_read_chain, pools[name], list(needed[name]), confirm=confirm, progress=progress)
            return await _together(pools[name], partial(asked, within_s=chain_s), at=at, common=common)

        parts = dict(zip(needed, await asyncio.gather(*map(readings_of, needed)), strict=True))
    readings = {read: reading for part, _ in parts.values() for read, reading in part.items()}
    apart = {name for name, (_, alone) in parts.items() if alone}
    evm_chains = {name for name, pool in pools.items() if pool.chain.family == "evm"}
    for token in tokens:
        readings |= _not_together(token, instant, apart=apart, evm_chains=evm_chains)
    records = tuple(record for pool in pools.values() for record in pool.records)
    return _assembled(tokens, readings, instant, reported=reported or {}, records=records)


async def _together(
    pool: Pool, asked: Callable[..., Awaitable[dict[Read, Reading]]], *, at: int | None, common: int | None
) -> tuple[dict[Read, Reading], bool]:
    """(the readings of a chain, whether it was read apart from the instant that EVM chains have in common)."""
    if pool.chain.family != "evm":
        return await asked(at=at), False
    readings = await asked(at=common)
    if at is not None or common is None or not _forgotten(pool, readings):
        return readings, False
    return await asked(at=None), True


def _assembled(
    tokens: Iterable[Token],
    readings: Mapping[Read, Reading],
    at: int,
    *,
    reported: Mapping[str, float | None],
    records: tuple[CallRecord, ...] = (),
) -> Snapshot:
    supplies = {token.symbol: _supply(token, readings, at, reported.get(token.symbol)) for token in tokens}
    usage = {token.symbol: tuple(_usage(token, readings)) for token in tokens if token.usage}
    pins = dict.fromkeys(reading.pin for reading in readings.values() if reading.pin is not None)
    return Snapshot(at, supplies, tuple(pins), records, usage)


def _usage(token: Token, readings: Mapping[Read, Reading]) -> Iterator[tuple[Usage, Reading]]:
    for usage in token.usage:
        asked = usage.read()
        for read, reading in readings.items():
            if read == asked or (not asked.holder and replace(read, holder="") == asked):
                yield usage, reading


async def _settled(pools: list[Pool], *, within_s: float) -> int | None:
    """The newest instant settled on every EVM chain that answers in time; None for fewer than two chains."""
    evm_pools = [pool for pool in pools if pool.chain.family == "evm"]
    if len(evm_pools) < 2:
        return None

    async def head(pool: Pool) -> Pin | None:
        with move_on_after(within_s):  # wait_for may lose a cancellation
            return await Pinner(pool).head()
        return None

    asked = await asyncio.gather(*map(head, evm_pools), return_exceptions=True)
    heads = [pin for pin in asked if isinstance(pin, Pin)]
    return min((head.timestamp for head in heads), default=0) - 1 if heads else None


def _forgotten(pool: Pool, readings: Mapping[Read, Reading]) -> bool:
    """Whether nothing could be read because endpoints no longer keep the state that was asked for."""
    lost = any(record.outcome == Kind.MISSING_STATE for record in pool.records)
    return lost and all(reading.amount is None for reading in readings.values())


def _not_together(token: Token, at: int, *, apart: set[str], evm_chains: set[str]) -> dict[Read, Reading]:
    """The reads of a token on chains read `apart` from its other EVM networks: no number, and why."""
    reads = list(reads_of(token, at))
    on = {read.chain for read in reads} & evm_chains
    if len(on) < 2:
        return {}
    why = (
        "no endpoint keeps the state of the instant at which the token's other networks are settled; add an archive one"
    )
    return {read: missing(read, f"{read.chain}: {why}") for read in reads if read.chain in apart}


async def _read_chain(
    pool: Pool, reads: list[Read], *, at: int | None, confirm: int, progress: Progress | None, within_s: float
) -> dict[Read, Reading]:
    """Every read of one chain; a chain that fails or takes too long gives readings with its reason."""
    name = pool.chain.name
    if progress:
        progress(name, "reading")
    try:
        async with asyncio.timeout(within_s):
            readings = await READERS[pool.chain.family](pool, reads, at=at, confirm=confirm)
        outcome = "done"
    except TimeoutError:
        outcome = f"{name} took longer than {within_s:g} s and was given up; see onchain doctor"
        readings = _none(reads, outcome)
    except OnchainError as error:
        readings, outcome = _none(reads, str(error)), str(error)
    if progress:
        progress(name, outcome)
    return readings


def replay(proof: Mapping[str, object], *, tokens: Mapping[str, Token] | None = None) -> dict[str, Supply]:
    """The supplies recomputed from a stored proof, without a network. Raises SupplyError when it was altered."""
    return dict(replay_snapshot(proof, tokens=tokens).supplies)


def replay_snapshot(proof: Mapping[str, object], *, tokens: Mapping[str, Token] | None = None) -> Snapshot:
    """The snapshot that a stored proof gives, without its calls. Raises SupplyError when it was altered."""
    body = {key: value for key, value in proof.items() if key != "digest"}
    if digest(body) != proof.get("digest"):
        raise SupplyError("the proof does not match its digest: it was altered or cut")
    known = load_tokens() if tokens is None else tokens
    data = json.loads(json.dumps(body))
    readings = {reading.read: reading for reading in map(_reading, data["readings"])}
    tokens_read = [known[symbol] for symbol in data["symbols"]]
    reported = {name: units and units / 10 ** known[name].scale for name, units in data["reported"].items()}
    return _assembled(tokens_read, readings, data["at"], reported=reported)


def _none(reads: Iterable[Read], reason: str) -> dict[Read, Reading]:
    return {read: missing(read, reason) for read in reads}


def _supply(token: Token, readings: Mapping[Read, Reading], at: int, reported: float | None) -> Supply:
    """A contradiction in one token's numbers is that token's reason, not the end of the snapshot."""
    try:
        return compute_supply(token, readings, at, reported=reported)
    except SupplyError as error:
        return Supply(token.symbol, at, token.decimals, MISSING, reason=str(error), alerts=(str(error),))


def _reading(row: dict[str, Any]) -> Reading:
    pin = row["pin"]
    return Reading(
        read=Read(**row["read"]),
        amount=None if row["amount"] is None else int(str(row["amount"])),
        status=str(row["status"]),
        pin=None if pin is None else Pin(**{**pin, "agreed": tuple(pin["agreed"])}),
        agreed=tuple(row["agreed"]),
        reason=str(row["reason"]),
    )
