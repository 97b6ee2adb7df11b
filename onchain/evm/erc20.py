"""ERC-20 tokens: supplies and balances at one pinned block, and what real tokens do wrong with them.

`read` is the EVM `Reader` of `snapshot`. It pins anew when the block was orphaned under the reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onchain.errors import AllEndpointsFailed, Kind, PinError, ReadError
from onchain.evm.multicall import Call, Outcome, Readout, call, read_calls
from onchain.rpc.pin import Pin, Pinner
from onchain.rpc.pool import Pool
from onchain.tokens import Read, Reading, missing, reading

RE_PINS = 3
_GETTERS: dict[str, tuple[list[str], str]] = {
    "name": ([], "string"),
    "symbol": ([], "string"),
    "decimals": ([], "uint8"),
    "totalSupply": ([], "uint256"),
    "balanceOf": (["holder"], "uint256"),
    "allowance": (["holder", "spender"], "uint256"),
}
_TRANSFER = [("sender", "address", True), ("receiver", "address", True), ("value", "uint256", False)]
ERC20_ABI: list[dict[str, Any]] = [
    *(
        {
            "type": "function",
            "name": name,
            "stateMutability": "view",
            "inputs": [{"name": argument, "type": "address"} for argument in arguments],
            "outputs": [{"name": "", "type": kind}],
        }
        for name, (arguments, kind) in _GETTERS.items()
    ),
    {
        "type": "event",
        "name": "Transfer",
        "anonymous": False,
        "inputs": [{"name": name, "type": kind, "indexed": indexed} for name, kind, indexed in _TRANSFER],
    },
]
ZERO_ADDRESS = "0x0000000000000000000000000000000000000000"


def total_supply(token: str) -> Call:
    """Call for totalSupply(), in base units."""
    return call(token, "totalSupply()", returns="uint256")


def balance_of(token: str, holder: str) -> Call:
    """Call for balanceOf(holder), in base units."""
    return call(token, "balanceOf(address)", holder, returns="uint256", label=f"balanceOf({holder})")


def decimals(token: str) -> Call:
    """Call for decimals(); decoded as uint256, so that a token answering 300 is seen and not cut to a byte."""
    return call(token, "decimals()", returns="uint256")


def checked_decimals(value: object, token: str) -> int:
    """`value` as a number of decimals. Raises ReadError beyond 77, more than a 256-bit amount has digits."""
    if not isinstance(value, int) or not 0 <= value <= 77:
        raise ReadError(f"{token} says that it has {value!r} decimals")
    return value


def check_decimals(outcome: Outcome, *, expected: int, token: str) -> None:
    """Raise ReadError when the token answers other decimals than configured; one that does not answer passes."""
    if not outcome.error and outcome.value != expected:
        raise ReadError(f"{token} has {outcome.value} decimals, {expected} are configured: fix its entry")


async def pinned_calls(
    pinner: Pinner, calls: Sequence[Call], *, at: int | None, confirm: int | None = None
) -> tuple[Pin, Readout]:
    """(the pin, the outcomes) of `calls` at the block of `at`; pins anew, up to three times, after a reorg.

    Endpoints that disagree about the block are in the middle of one. Raises OrphanedPin or PinError when the chain
    keeps reorganising, else what pinning and reading raise.
    """
    for left in reversed(range(RE_PINS)):
        pin = await pinner.settled(at)
        try:
            return pin, await _read_at(pinner, pin, calls, confirm=confirm)
        except PinError:
            if not left:
                raise
    raise AssertionError("unreachable")


async def _read_at(pinner: Pinner, pin: Pin, calls: Sequence[Call], *, confirm: int | None) -> Readout:
    """The outcomes at `pin`. Raises PinError when it left the chain, or may have, while it was read."""
    try:
        readout = await read_calls(pinner.pool, pin, calls, confirm=confirm)
    except AllEndpointsFailed as error:
        if any(e.kind is Kind.NOT_FOUND for e in error.errors):
            await pinner.verify(pin)
        raise
    if pin.finality not in {"finalized", "safe"}:
        await pinner.verify(pin)  # a head can be replaced while it is read
    return readout


async def read(pool: Pool, reads: Sequence[Read], *, at: int | None, confirm: int) -> dict[Read, Reading]:
    """Every supply and balance of `reads`, with the configured decimals checked against the token's own."""
    pinner = Pinner(pool, quorum=confirm)
    tokens = list(dict.fromkeys(r.asset for r in reads if r.asset != "native"))
    calls = [_call(pool, r) for r in reads] + [decimals(token) for token in tokens]
    pin, readout = await pinned_calls(pinner, calls, at=at, confirm=confirm)
    own = dict(zip(tokens, readout.outcomes[len(reads) :], strict=True))
    return {
        r: _reading(r, outcome, own.get(r.asset), pin=pin, agreed=readout.agreed)
        for r, outcome in zip(reads, readout.outcomes[: len(reads)], strict=True)
    }


def _call(pool: Pool, read: Read) -> Call:
    if read.what == "supply":
        return total_supply(read.asset)
    if read.asset == "native":
        return call(pool.chain.multicall, "getEthBalance(address)", read.holder, returns="uint256")
    return balance_of(read.asset, read.holder)


def _reading(read: Read, outcome: Outcome, decimals: Outcome | None, *, pin: Pin, agreed: tuple[str, ...]) -> Reading:
    try:
        amount = outcome.integer(f"{read.what} of {read.asset}")
        if decimals is not None:
            check_decimals(decimals, expected=read.decimals, token=read.asset)
    except ReadError as error:
        return missing(read, str(error), pin)
    return reading(read, amount, pin, agreed)
