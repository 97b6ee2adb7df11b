"""ERC-20 reads as calls, and what real tokens do wrong with them.

Place in the flow: builds `Call`s for `multicall.read_calls`; `supply` sums what comes back.
"""

from __future__ import annotations

from dataclasses import dataclass

from onchain.errors import ReadError
from onchain.evm.abi import Call, Outcome, call, decode_output
from onchain.evm.multicall import hex_bytes, read_calls
from onchain.rpc.pin import Pin, at_pin
from onchain.rpc.pool import Pool
from onchain.rpc.quorum import confirmed

IMPLEMENTATION_SLOT = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"  # EIP-1967
BURN_ADDRESSES = (
    "0x0000000000000000000000000000000000000000",
    "0x000000000000000000000000000000000000dEaD",
)


@dataclass(frozen=True, slots=True)
class TokenMeta:
    """What a token says of itself at a block; None where it does not answer. `implementation` is its proxy's."""

    symbol: str | None
    decimals: int | None
    total_supply: int
    implementation: str | None


def total_supply(token: str) -> Call:
    """Call for totalSupply(), in base units."""
    return call(token, "totalSupply()", returns="uint256")


def balance_of(token: str, holder: str) -> Call:
    """Call for balanceOf(holder), in base units."""
    return call(token, "balanceOf(address)", holder, returns="uint256", label=f"balanceOf({holder})")


def decimals(token: str) -> Call:
    """Call for decimals(); decoded as uint256, so that a token answering 300 is seen and not cut to a byte."""
    return call(token, "decimals()", returns="uint256")


def symbol(token: str) -> Call:
    """Call for symbol(), undecoded: some tokens answer bytes32 (see `text_of`)."""
    return Call(token, call(token, "symbol()", returns="string").data, ("string",), "symbol()")


def text_of(outcome: Outcome) -> str | None:
    """A symbol or name from a string or a bytes32 answer; None when it is neither."""
    if isinstance(outcome.value, str):
        return outcome.value
    if len(outcome.raw) == 32:
        try:
            return outcome.raw.rstrip(b"\0").decode("utf-8") or None
        except UnicodeDecodeError:
            return None
    return None


async def read_meta(pool: Pool, pin: Pin, token: str) -> TokenMeta:
    """Symbol, decimals, total supply and proxy implementation at the pinned block.

    Raises ReadError when totalSupply() does not answer one word: then it is not an ERC-20.
    """
    readout = await read_calls(pool, pin, [total_supply(token), decimals(token), symbol(token)])
    supply, digits, name = readout.outcomes
    count = digits.value if isinstance(digits.value, int) and digits.value <= 77 else None
    implementation = await read_implementation(pool, pin, token)
    return TokenMeta(text_of(name), count, supply.integer(f"totalSupply() of {token}"), implementation)


async def read_implementation(pool: Pool, pin: Pin, token: str) -> str | None:
    """The EIP-1967 implementation behind a proxy at the pinned block, 0x lower case; None for no proxy."""
    slot, _ = await confirmed(
        pool,
        lambda e: at_pin(pool, e, "eth_getStorageAt", before=(token, IMPLEMENTATION_SLOT), pin=pin),
        what=f"implementation slot of {token}",
        count=pool.confirm,
    )
    raw = hex_bytes(slot, pool.endpoints[0]).rjust(32, b"\0")
    try:
        address = str(decode_output(raw, ("address",)))
    except ReadError:
        return None
    return None if address == BURN_ADDRESSES[0] else address


def checked_decimals(value: object, token: str) -> int:
    """`value` as a number of decimals. Raises ReadError beyond 77, more than a 256-bit amount has digits."""
    if not isinstance(value, int) or not 0 <= value <= 77:
        raise ReadError(f"{token} says that it has {value!r} decimals")
    return value


def check_decimals(outcome: Outcome, *, expected: int, token: str) -> None:
    """Raise ReadError when the token answers other decimals than configured; one that does not answer passes."""
    if not outcome.error and outcome.value != expected:
        raise ReadError(f"{token} has {outcome.value} decimals, {expected} are configured: fix its entry")
