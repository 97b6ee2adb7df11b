"""Which endpoints answer today, and whether pinned blocks are still on their chain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onchain.chains import Chain, load_chains
from onchain.errors import Kind, OnchainError, OrphanedPin, RpcError
from onchain.rpc.pin import Header, Pin, Pinner, read_header
from onchain.rpc.pool import Endpoint, Pool
from onchain.snapshots import FAMILIES

FINAL, ORPHANED, UNKNOWN = "final", "orphaned", "unknown"
_Probe = tuple[Pin | Header | None, bool | None]  # the newest settled block, whether old state is kept


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """How one endpoint answered. `height` and `age_s` are of its newest settled block (Filecoin, Arweave: newest),
    `archive` whether it still knows the state of block 1 (EVM); None where not asked. `problem` is empty for a good
    endpoint; one whose block is older than the chain's `max_age_s` is not good."""

    chain: str
    endpoint: str
    operator: str
    ok: bool
    latency_s: float
    problem: str = ""
    height: int | None = None
    age_s: float | None = None
    archive: bool | None = None


@dataclass(frozen=True, slots=True)
class ChainHealth:
    """A chain by its operators, whatever their endpoints: how many there are, who answers well, and what that means."""

    chain: str
    operators: int
    answering: tuple[str, ...]
    latency_s: float | None
    verdict: str


def by_chain(rows: Iterable[EndpointHealth], *, confirm: int = 2) -> list[ChainHealth]:
    """One row a chain, in the order of the endpoints': a quorum, unconfirmed, or nobody, and each problem."""
    chains: dict[str, list[EndpointHealth]] = {}
    for row in rows:
        chains.setdefault(row.chain, []).append(row)
    return [_chain_health(name, endpoints, confirm=confirm) for name, endpoints in chains.items()]


def _chain_health(name: str, endpoints: Sequence[EndpointHealth], *, confirm: int) -> ChainHealth:
    good = tuple(dict.fromkeys(row.operator for row in endpoints if row.ok))
    all_of_them = len({row.operator for row in endpoints})
    if len(good) >= confirm:
        verdict = f"quorum: {confirm} operators confirm each other"
    elif len(good) == all_of_them and good:
        verdict = "unconfirmed: it has one operator, nobody can confirm it; add an endpoint of your own"
    elif good:
        verdict = f"no quorum: {len(good)} of the {confirm} operators that must agree answer"
    else:
        verdict = "nobody answers"
    problems = "; ".join(f"{row.operator}: {row.problem}" for row in endpoints if row.problem)
    latency = min((row.latency_s for row in endpoints if row.ok), default=None)
    return ChainHealth(name, all_of_them, good, latency, f"{verdict} ({problems})" if problems else verdict)


def doctor(
    *, chains: Mapping[str, Chain] | None = None, own_endpoints: Mapping[str, Sequence[str]] | None = None
) -> list[EndpointHealth]:
    """One row for every configured endpoint; failures are rows with the problem, never raised."""
    return asyncio.run(check_endpoints(load_chains(own_endpoints=own_endpoints) if chains is None else chains))


async def check_endpoints(chains: Mapping[str, Chain]) -> list[EndpointHealth]:
    """`doctor` for callers with an event loop."""
    parts = await asyncio.gather(*(_check(chain) for chain in chains.values()))
    return [row for part in parts for row in part]


async def _check(chain: Chain) -> list[EndpointHealth]:
    async with Pool(chain, timeout_s=10.0) as pool:
        answers = await pool.each(lambda endpoint: _probe(pool, endpoint))
        return [_row(pool, endpoint, answer) for endpoint, answer in answers.items()]


def _row(pool: Pool, endpoint: Endpoint, answer: _Probe | RpcError) -> EndpointHealth:
    problem = answer.message if isinstance(answer, RpcError) else ""  # the row names the endpoint
    block, archive = (None, None) if isinstance(answer, RpcError) else answer
    age, limit = None if block is None else pool.wall() - block.timestamp, pool.chain.max_age_s
    if age is not None and limit is not None and age > limit:
        problem = f"stale: its newest settled block is {age:.0f} s old, more than {limit:.0f} s"
    return EndpointHealth(
        chain=pool.chain.name,
        endpoint=endpoint.label,
        operator=endpoint.operator,
        ok=not problem,
        latency_s=endpoint.latency_s,
        problem=problem,
        height=None if block is None else block.number,
        age_s=age,
        archive=archive,
    )


async def _probe(pool: Pool, endpoint: Endpoint) -> _Probe:
    if family := FAMILIES.get(pool.chain.family):
        tip = await family.tip(pool, endpoint)
        return tip if tip.number else None, None  # the Internet Computer has no heights
    header = await read_header(pool, endpoint, pool.chain.finality.split("-")[0])
    try:
        await pool.call("eth_getBalance", (pool.chain.multicall, "0x1"), on=endpoint)
        archive: bool | None = True
    except RpcError as error:
        archive = False if error.kind in {Kind.MISSING_STATE, Kind.NOT_FOUND} else None
    return header, archive


def recheck(
    pins: Iterable[Pin],
    *,
    chains: Mapping[str, Chain] | None = None,
    own_endpoints: Mapping[str, Sequence[str]] | None = None,
    confirm: int = 2,
) -> dict[Pin, str]:
    """For every EVM pin: "final" when the quorum still has its hash and its height is finalized there, "orphaned"
    when another block took its place, "unknown" when nobody could say or it is not final yet. Other chains' pins
    are left out: they were final when read."""
    known = load_chains(own_endpoints=own_endpoints) if chains is None else chains
    return asyncio.run(recheck_pins(pins, known, confirm=confirm))


async def recheck_pins(pins: Iterable[Pin], chains: Mapping[str, Chain], *, confirm: int = 2) -> dict[Pin, str]:
    """`recheck` for callers with an event loop."""
    by_chain: dict[str, list[Pin]] = {}
    for pin in pins:
        if pin.chain in chains and chains[pin.chain].family == "evm":
            by_chain.setdefault(pin.chain, []).append(pin)
    parts = await asyncio.gather(*(_recheck(chains[name], group, confirm) for name, group in by_chain.items()))
    return {pin: verdict for part in parts for pin, verdict in part.items()}


async def _recheck(chain: Chain, pins: list[Pin], confirm: int) -> dict[Pin, str]:
    verdicts = dict.fromkeys(pins, UNKNOWN)
    async with Pool(chain, confirm=confirm) as pool:
        pinner = Pinner(pool)
        try:
            final = await pinner.head("finalized")
        except OnchainError:
            return verdicts
        for pin in pins:
            try:
                await pinner.verify(pin)
                verdicts[pin] = FINAL if pin.number <= final.number else UNKNOWN
            except OrphanedPin:
                verdicts[pin] = ORPHANED
            except OnchainError:
                continue
    return verdicts
