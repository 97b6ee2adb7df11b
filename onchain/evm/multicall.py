"""Many contract reads at one pinned block in one request, checked to be from that block.

The one way past web3's contract objects, for many reads at once: `Call`s go in, `Outcome`s come back in order. eth_abi
writes and reads the words; one request carries up to 240 calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.crypto import keccak

from onchain.errors import Kind, ReadError, RpcError, malformed
from onchain.rpc.pin import Pin, at_pin, confirmed
from onchain.rpc.pool import Endpoint, Pool

WORD = 32
REVERTED = "reverted"
CHUNK_CALLS = 240  # the own reader's array holds 256, its items 512 bytes
KEPT_STATES = 128  # blocks of state that a node without an archive keeps
_SMALLER = frozenset({Kind.TOO_BIG, Kind.REVERT})


@dataclass(frozen=True, slots=True)
class Call:
    """One read of one contract. `returns` are ABI types, those of a word exactly one; None: not decoded."""

    target: str
    data: bytes
    returns: tuple[str, ...] | None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call gave: its decoded value, or why there is none. `raw` is the returned data as evidence."""

    value: object = None
    error: str = ""
    raw: bytes = b""

    def integer(self, what: str) -> int:
        """The value as int. Raises ReadError with the reason when the call failed: never a silent zero."""
        if self.error or not isinstance(self.value, int):
            raise ReadError(f"{what}: {self.error or 'not an integer'}")
        return self.value


@lru_cache(maxsize=512)
def selector(signature: str) -> bytes:
    """The four bytes of `name(type,…)`."""
    return bytes(keccak(text=signature)[:4])


def topic(signature: str) -> str:
    """The first topic of the logs of an event `Name(type,…)`."""
    return f"0x{keccak(text=signature).hex()}"


def address_bytes(address: str) -> bytes:
    """The 20 bytes of a 0x address. Raises ReadError for anything else."""
    try:
        raw = bytes.fromhex(address.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 20:
        raise ReadError(f"{address!r} is not a 20-byte address")
    return raw


def call(target: str, signature: str, *args: object, returns: str | tuple[str, ...], label: str = "") -> Call:
    """A `Call` of `name(type,…)`. Raises ReadError for arguments that are not of those types."""
    kinds = signature[signature.index("(") + 1 : -1]
    try:
        data = selector(signature) + encode(kinds.split(",") if kinds else [], args)
    except (EncodingError, ValueError) as error:
        raise ReadError(f"{signature} of {target} cannot be asked of {args!r}: {error}") from None
    return Call(target, data, (returns,) if isinstance(returns, str) else returns, label or signature)


def decode_output(raw: bytes, returns: tuple[str, ...]) -> object:
    """The single value, or the tuple, of returned data. Raises ReadError unless the length is exactly right."""
    if all(_is_word(kind) for kind in returns) and len(raw) != WORD * len(returns):
        raise ReadError(f"returned {len(raw)} bytes where {WORD * len(returns)} were expected")
    try:
        values = decode(returns, raw)
    except (DecodingError, ValueError, OverflowError) as error:
        raise ReadError(f"returned data does not decode as {','.join(returns)}: {error}") from None
    return values[0] if len(values) == 1 else values


def _is_word(kind: str) -> bool:
    return kind not in {"string", "bytes"} and not kind.endswith(("]", ")"))


def encode_aggregate3(calls: Sequence[tuple[str, bytes]]) -> bytes:
    """Calldata of `aggregate3((address,bool,bytes)[])` with failures allowed."""
    rows = [(address_bytes(target), True, data) for target, data in calls]
    return selector("aggregate3((address,bool,bytes)[])") + encode(["(address,bool,bytes)[]"], [rows])


def decode_aggregate3(raw: bytes, count: int) -> tuple[tuple[bool, bytes], ...]:
    """(success, returned data) of each call. Raises ReadError when the layout or the count does not hold.

    The layout is checked before anything is decoded: results that share bytes would make an answer of megabytes a
    memory of gigabytes.
    """
    _check_layout(raw, count)
    try:
        (results,) = decode(["(bool,bytes)[]"], raw)
    except (DecodingError, ValueError, OverflowError) as error:
        raise ReadError(f"aggregate3 returned {len(raw)} bytes that do not decode: {error}") from None
    return tuple(results)


def _check_layout(raw: bytes, count: int) -> None:
    """Raises ReadError unless `raw` holds `count` results one behind the other."""

    def word(at: int) -> int:
        return int.from_bytes(raw[at : at + WORD], "big") if at + WORD <= len(raw) else -1

    start = word(0) + WORD  # of the array's offsets, which count from there
    if word(start - WORD) != count:
        text = f"aggregate3 returned {max(word(start - WORD), 0)} results in {len(raw)} bytes where {count} were asked"
        raise ReadError(text)
    free = WORD * count
    for n in range(count):
        offset = word(start + WORD * n)
        size = word(start + offset + 2 * WORD)
        if offset < free or size < 0 or start + offset + 3 * WORD + size > len(raw):
            raise ReadError(f"aggregate3 result {n} of {count} does not lie behind the one before it in the answer")
        free = offset + 3 * WORD + size


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
        chunks = (calls[first : first + CHUNK_CALLS] for first in range(0, len(calls), CHUNK_CALLS))
        parts = await asyncio.gather(*(_bisected(pool, endpoint, pin, chunk) for chunk in chunks))
        if old:
            endpoint.served_old_state()
        return tuple(outcome for part in parts for outcome in part)

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
    raw: bytes | None = b""
    if pin.number > endpoint.bare_to:
        raw = await _eth_call(pool, endpoint, pin, to=target, data=data)
    if not raw:  # no Multicall3 there at this block, nor before it
        endpoint.bare_to = max(endpoint.bare_to, pin.number)
        raw = await _eth_call(pool, endpoint, pin, to=target, data=data, after=({target: {"code": override_code()}},))
    if not raw:
        return await _one_by_one(pool, endpoint, pin, calls)
    try:
        results = decode_aggregate3(raw, len(checks) + len(calls))
    except ReadError as error:
        raise malformed(str(error), endpoint.label) from None
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
            data = error.data if isinstance(error.data, str) and error.data.startswith("0x") else "0x"
            outcomes.append(Outcome(error=REVERTED, raw=hex_bytes(data, endpoint)))
        else:
            outcomes.append(_outcome(call, True, raw or b""))
    return outcomes


def _self_check(results: Sequence[tuple[bool, bytes]], pin: Pin, endpoint: Endpoint, *, numbered: bool) -> None:
    """The answer must say it is from the pinned block: a node that ignored the block reference is caught here."""
    expected = [pin.timestamp, pin.number] if numbered else [pin.timestamp]
    for (success, raw), value in zip(results, expected, strict=False):
        if not success or len(raw) != 32 or int.from_bytes(raw, "big") != value:
            got = int.from_bytes(raw, "big") if len(raw) == 32 else raw.hex()
            raise malformed(f"the answer is from another block: {got} where {value} was pinned", endpoint.label)


def _outcome(call: Call, success: bool, raw: bytes) -> Outcome:
    if not success:
        return Outcome(error=REVERTED, raw=raw)
    if call.returns is None:
        return Outcome(value=raw, raw=raw)
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
        raise malformed(f"{answer!r:.60} is not hex data", endpoint.label) from None


@lru_cache(maxsize=1)
def override_code() -> str:
    """Runtime code of the project's own aggregate3 reader (aggregate3.vy), 0x hex."""
    return resources.files("onchain.evm").joinpath("aggregate3.hex").read_text(encoding="ascii").strip()


def _shown(outcome: Outcome) -> str:
    return outcome.error or repr(outcome.value)
