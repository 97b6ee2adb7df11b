"""Which endpoints answer today, and whether pinned blocks are still on their chain.

Place in the flow: maintenance face; nothing here gives a supply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onchain.chains import Chain, load_chains
from onchain.endpoint import Endpoint
from onchain.errors import Kind, OnchainError, OrphanedPin, RpcError
from onchain.pin import Pin, Pinner, read_header
from onchain.rpc import Pool

FINAL, ORPHANED, UNKNOWN = "final", "orphaned", "unknown"


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """How one endpoint answered. `height` and `age_s` are of its newest settled block (EVM), `archive` whether it
    still knows the state of block 1; None where not asked. `problem` is empty for a good endpoint."""

    chain: str
    endpoint: str
    ok: bool
    latency_s: float
    problem: str = ""
    height: int | None = None
    age_s: float | None = None
    archive: bool | None = None
    canonical_multicall: bool | None = None


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
        rows = []
        for endpoint, answer in answers.items():
            good = not isinstance(answer, RpcError)
            height, time, archive = (None, None, None) if isinstance(answer, RpcError) else answer
            rows.append(
                EndpointHealth(
                    chain=chain.name,
                    endpoint=endpoint.label,
                    ok=good,
                    latency_s=endpoint.latency_s,
                    problem="" if good else str(answer),
                    height=height,
                    age_s=None if time is None else pool.wall() - time,
                    archive=archive,
                    canonical_multicall=endpoint.canonical_multicall,
                )
            )
        return rows


async def _probe(pool: Pool, endpoint: Endpoint) -> tuple[int | None, int | None, bool | None]:
    if pool.chain.family != "evm":
        return None, None, None  # the identity check was the probe
    header = await read_header(pool, endpoint, pool.chain.finality.split("-")[0])
    try:
        await pool.call("eth_getBalance", (pool.chain.multicall, "0x1"), on=endpoint)
        archive: bool | None = True
    except RpcError as error:
        archive = False if error.kind in {Kind.MISSING_STATE, Kind.NOT_FOUND} else None
    return header.number, header.timestamp, archive


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
