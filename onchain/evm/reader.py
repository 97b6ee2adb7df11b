"""Supplies and balances of EVM tokens at one pinned block, all in one multicall.

Place in the flow: the EVM `Reader` of `snapshot`. Re-pins when the block was orphaned under the reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from onchain.errors import AllEndpointsFailed, Kind, OrphanedPin, ReadError
from onchain.evm import erc20
from onchain.evm.abi import Call, Outcome, call
from onchain.evm.multicall import Readout, read_calls
from onchain.pin import Pin, Pinner
from onchain.readings import ON_CHAIN, Read, Reading, missing
from onchain.rpc import Pool

RE_PINS = 3


async def pinned_calls(
    pinner: Pinner, calls: Sequence[Call], *, at: int | None, confirm: int = 2
) -> tuple[Pin, Readout]:
    """(the pin, the outcomes) of `calls` at the block of `at`; pins anew, up to three times, after a reorg.

    Raises OrphanedPin when the chain keeps reorganising, else what pinning and reading raise.
    """
    for attempt in range(RE_PINS):
        pin = await (pinner.head() if at is None else pinner.at(at))
        try:
            readout = await read_calls(pinner.pool, pin, calls, confirm=confirm)
            if pin.finality not in {"finalized", "safe"}:
                await pinner.verify(pin)  # a head can be replaced while it is read
            return pin, readout
        except AllEndpointsFailed as error:
            if not any(e.kind is Kind.NOT_FOUND for e in error.errors):
                raise
            try:
                await pinner.verify(pin)
            except OrphanedPin:
                if attempt == RE_PINS - 1:
                    raise
            else:
                raise error from None
        except OrphanedPin:
            if attempt == RE_PINS - 1:
                raise
    raise AssertionError("unreachable")


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
