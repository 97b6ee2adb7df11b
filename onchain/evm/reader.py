"""Supplies and balances of EVM tokens at one pinned block, all in one multicall.

Place in the flow: the EVM `Reader` of `snapshot`. Re-pins when the block was orphaned under the reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from onchain.errors import AllEndpointsFailed, Kind, PinError, ReadError
from onchain.evm import erc20
from onchain.evm.abi import Call, Outcome, call
from onchain.evm.multicall import Readout, read_calls
from onchain.readings import ON_CHAIN, Read, Reading, missing
from onchain.rpc.pin import Pin, Pinner
from onchain.rpc.pool import Pool

RE_PINS = 3


async def pinned_calls(
    pinner: Pinner, calls: Sequence[Call], *, at: int | None, confirm: int | None = None
) -> tuple[Pin, Readout]:
    """(the pin, the outcomes) of `calls` at the block of `at`; pins anew, up to three times, after a reorg.

    Endpoints that disagree about the block are in the middle of one. Raises OrphanedPin or PinError when the chain
    keeps reorganising, else what pinning and reading raise.
    """
    for left in reversed(range(RE_PINS)):
        pin = await (pinner.head() if at is None else pinner.at(at))
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
    calls = [_call(pool, r) for r in reads] + [erc20.decimals(token) for token in tokens]
    pin, readout = await pinned_calls(pinner, calls, at=at, confirm=confirm)
    own = dict(zip(tokens, readout.outcomes[len(reads) :], strict=True))
    return {
        r: _reading(r, outcome, own.get(r.asset), pin=pin, agreed=readout.agreed)
        for r, outcome in zip(reads, readout.outcomes[: len(reads)], strict=True)
    }


def _call(pool: Pool, read: Read) -> Call:
    if read.what == "supply":
        return erc20.total_supply(read.asset)
    if read.asset == "native":
        return call(pool.chain.multicall, "getEthBalance(address)", read.holder, returns="uint256")
    return erc20.balance_of(read.asset, read.holder)


def _reading(read: Read, outcome: Outcome, decimals: Outcome | None, *, pin: Pin, agreed: tuple[str, ...]) -> Reading:
    try:
        amount = outcome.integer(f"{read.what} of {read.asset}")
        if decimals is not None:
            erc20.check_decimals(decimals, expected=read.decimals, token=read.asset)
    except ReadError as error:
        return missing(read, str(error), pin)
    return Reading(read, amount, ON_CHAIN, pin, agreed)
