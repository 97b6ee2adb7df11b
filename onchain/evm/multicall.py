"""Many contract reads at one pinned block in one request, checked to be from that block.

Place in the flow: `erc20`, `univ3`, `chainlink` and `supply` hand over `Call`s and get `Outcome`s in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from onchain.errors import Kind, ReadError, RpcError
from onchain.evm.abi import Call, Outcome, decode_aggregate3, decode_output, encode_aggregate3, selector
from onchain.rpc.endpoint import Endpoint
from onchain.rpc.pin import Pin, at_pin
from onchain.rpc.pool import Pool
from onchain.rpc.quorum import confirmed

CHUNK_CALLS = 500
CHUNK_BYTES = 160_000
KEPT_STATES = 128  # blocks of state that a node without an archive keeps
OVERRIDE_CALLS = 240  # the own reader's array holds 256, its items 512 bytes
_SMALLER = frozenset({Kind.TOO_BIG, Kind.REVERT})
_NUMBER, _TIME = selector("getBlockNumber()"), selector("getCurrentBlockTimestamp()")


@dataclass(frozen=True, slots=True)
class Readout:
    """Outcomes in the order of the calls, and the endpoints that gave exactly these."""

    outcomes: tuple[Outcome, ...]
    agreed: tuple[str, ...]


async def read_calls(pool: Pool, pin: Pin, calls: Sequence[Call], *, confirm: int | None = None) -> Readout:
    """All `calls` at the pinned block, from `confirm` endpoints that agree call by call (fewer where fewer exist).

    The pool's own `confirm` where none is given.
    A call that fails on its own (revert, short data, no code) is an Outcome with its error. Raises
    DisagreementError naming the call that differs, AllEndpointsFailed, or OrphanedPin's cause as NOT_FOUND.
    """

    old = pool.wall() - pin.timestamp > KEPT_STATES * pool.chain.block_time_s

    async def ask(endpoint: Endpoint) -> tuple[Outcome, ...]:
        outcomes = await read_on(pool, endpoint, pin, calls)
        if old:
            endpoint.served_old_state()
        return outcomes

    def differ(a: tuple[Outcome, ...], b: tuple[Outcome, ...]) -> str:
        bad = [i for i in range(len(calls)) if a[i] != b[i]]
        first = bad[0]
        return (
            f"{len(bad)} of {len(calls)} reads, first {calls[first].label} of {calls[first].target}: "
            f"{_shown(a[first])} against {_shown(b[first])}"
        )

    if not calls:
        return Readout((), pin.agreed)
    outcomes, agreed = await confirmed(
        pool, ask, what=f"multicall at block {pin.number}", count=confirm or pool.confirm, old=old, differ=differ
    )
    return Readout(outcomes, agreed)


async def read_on(pool: Pool, endpoint: Endpoint, pin: Pin, calls: Sequence[Call]) -> tuple[Outcome, ...]:
    """All `calls` at the pinned block from one endpoint. Raises RpcError when the endpoint cannot serve them."""
    await pool.ready(endpoint)
    size = CHUNK_CALLS if endpoint.canonical_multicall else OVERRIDE_CALLS
    parts = await asyncio.gather(*(_bisected(pool, endpoint, pin, chunk) for chunk in _chunks(calls, size)))
    return tuple(outcome for part in parts for outcome in part)


def _chunks(calls: Sequence[Call], size: int) -> list[Sequence[Call]]:
    """Cut by number of calls and by bytes of call data."""
    chunks: list[list[Call]] = [[]]
    used = 0
    for call in calls:
        cost = 192 + len(call.data)
        if chunks[-1] and (len(chunks[-1]) >= size or used + cost > CHUNK_BYTES):
            chunks.append([])
            used = 0
        chunks[-1].append(call)
        used += cost
    return list(chunks)


async def _bisected(pool: Pool, endpoint: Endpoint, pin: Pin, calls: Sequence[Call]) -> list[Outcome]:
    """One chunk; in halves while the node refuses the whole; the error kept for a single call it refuses alone."""
    try:
        return await _aggregate(pool, endpoint, pin, calls)
    except RpcError as error:
        if error.kind not in _SMALLER:
            raise
        if len(calls) == 1:
            return [Outcome(error=f"refused: {error.message}")]
    half = len(calls) // 2
    first = await _bisected(pool, endpoint, pin, calls[:half])
    return first + await _bisected(pool, endpoint, pin, calls[half:])


async def _aggregate(pool: Pool, endpoint: Endpoint, pin: Pin, calls: Sequence[Call]) -> list[Outcome]:
    checks = [_TIME, _NUMBER] if pool.chain.evm_block_number else [_TIME]
    target = pool.chain.multicall
    data = encode_aggregate3([(target, check) for check in checks] + [(c.target, c.data) for c in calls])
    after: tuple[object, ...] = ()
    if not endpoint.canonical_multicall:
        after = ({target: {"code": override_code()}},)
    raw = await _eth_call(pool, endpoint, pin, to=target, data=data, after=after)
    if not raw and not after:  # no Multicall3 yet at this old block
        raw = await _eth_call(pool, endpoint, pin, to=target, data=data, after=({target: {"code": override_code()}},))
    if raw is None or not raw:
        return await _one_by_one(pool, endpoint, pin, calls)
    try:
        results = decode_aggregate3(raw, len(checks) + len(calls))
    except ReadError as error:
        raise RpcError(str(error), kind=Kind.MALFORMED, endpoint=endpoint.label) from None
    _self_check(results, pin, endpoint, numbered=len(checks) == 2)
    return [_outcome(call, *result) for call, result in zip(calls, results[len(checks) :], strict=True)]


async def _eth_call(
    pool: Pool, endpoint: Endpoint, pin: Pin, *, to: str, data: bytes, after: tuple[object, ...] = ()
) -> bytes | None:
    """Returned bytes; None where the endpoint does not take the state override in `after`."""
    transaction = {"to": to, "data": "0x" + data.hex()}
    try:
        answer = await at_pin(pool, endpoint, "eth_call", before=(transaction,), pin=pin, after=after)
    except RpcError as error:
        if after and error.kind in {Kind.REJECTED, Kind.NO_METHOD, Kind.UNKNOWN}:
            return None
        raise
    return hex_bytes(answer, endpoint)


async def _one_by_one(pool: Pool, endpoint: Endpoint, pin: Pin, calls: Sequence[Call]) -> list[Outcome]:
    """The last resort: one eth_call per read, where neither Multicall3 nor a state override is to be had."""
    outcomes = []
    for call in calls:
        try:
            raw = await _eth_call(pool, endpoint, pin, to=call.target, data=call.data)
        except RpcError as error:
            if error.kind is not Kind.REVERT:
                raise
            outcomes.append(Outcome(error="reverted"))
        else:
            outcomes.append(_outcome(call, True, raw or b""))
    return outcomes


def _self_check(results: list[tuple[bool, bytes]], pin: Pin, endpoint: Endpoint, *, numbered: bool) -> None:
    """The answer must say it is from the pinned block: a node that ignored the block reference is caught here."""
    expected = [pin.timestamp, pin.number] if numbered else [pin.timestamp]
    for (success, raw), value in zip(results, expected, strict=False):
        if not success or len(raw) != 32 or int.from_bytes(raw, "big") != value:
            got = int.from_bytes(raw, "big") if len(raw) == 32 else raw.hex()
            raise RpcError(
                f"the answer is from another block: {got} where {value} was pinned",
                kind=Kind.MALFORMED,
                endpoint=endpoint.label,
            )


def _outcome(call: Call, success: bool, raw: bytes) -> Outcome:
    if not success:
        return Outcome(error="reverted", raw=raw)
    if not raw:
        return Outcome(error="returned nothing: no contract there, or no such function")
    try:
        return Outcome(value=decode_output(raw, call.returns), raw=raw)
    except ReadError as error:
        return Outcome(error=str(error), raw=raw)


def hex_bytes(answer: object, endpoint: Endpoint) -> bytes:
    """The bytes of a 0x string. Raises RpcError(MALFORMED)."""
    try:
        assert isinstance(answer, str) and answer.startswith("0x")
        return bytes.fromhex(answer[2:])
    except (AssertionError, ValueError):
        raise RpcError(f"{answer!r:.60} is not hex data", kind=Kind.MALFORMED, endpoint=endpoint.label) from None


@lru_cache(maxsize=1)
def override_code() -> str:
    """Runtime code of the project's own aggregate3 reader (aggregate3.vy), 0x hex."""
    return resources.files("onchain.evm").joinpath("aggregate3.hex").read_text(encoding="ascii").strip()


def _shown(outcome: Outcome) -> str:
    return outcome.error or repr(outcome.value)
