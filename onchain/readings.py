"""What is asked of a chain and what came back, the same for every kind of chain.

Place in the flow: `supply` rules ask for `Read`s, each chain family's reader answers with `Reading`s, `supply` adds
them up. A reading that could not be had is a reading with `amount` None and a reason, never a zero.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from onchain.errors import OnchainError

if TYPE_CHECKING:
    from onchain.rpc.pin import Pin
    from onchain.rpc.pool import Pool

ON_CHAIN, REPORTED, SCHEDULE, MISSING = "on_chain", "reported", "schedule", "missing"


@dataclass(frozen=True, slots=True)
class Read:
    """One number to read: `what` of `asset` on `chain`, held by `holder` where that applies.

    `what`: supply, balance, or a network's own figure (burnt, locked, staked, community_pool, cross_check).
    `asset`: contract address, mint, denom, canister or "native".
    """

    chain: str
    what: str
    asset: str
    decimals: int
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """The answer to one `Read`. `amount` in base units; None with `reason` when it could not be read."""

    read: Read
    amount: int | None
    status: str
    pin: Pin | None = None
    agreed: tuple[str, ...] = ()
    reason: str = ""


class Reader(Protocol):
    """A chain family's reader: every `Read` answered at one block at or before `at` (epoch seconds; None: now).

    Failures of single reads are readings with a reason; failures of the chain raise OnchainError.
    """

    async def __call__(
        self, pool: Pool, reads: Sequence[Read], *, at: int | None, confirm: int
    ) -> dict[Read, Reading]: ...


def missing(read: Read, reason: str, pin: Pin | None = None) -> Reading:
    """A reading that says why there is no number."""
    return Reading(read, None, MISSING, pin, (), reason)


def reading(read: Read, amount: int, pin: Pin | None, agreed: tuple[str, ...]) -> Reading:
    """The reading of an amount. A supply of nothing that one operator alone states is no number."""
    if amount == 0 and read.what == "supply" and len(agreed) < 2:
        return missing(read, "a supply of 0 by one operator alone: nobody confirms it", pin)
    return Reading(read, amount, ON_CHAIN, pin, agreed)


def exact(amount: object) -> int:
    """The integer of decimal text. Raises ValueError for anything else: a JSON number this large came as a float."""
    if not isinstance(amount, str) or not amount.isdecimal():
        raise ValueError(f"{amount!r} is not decimal text")
    return int(amount)


async def kept(read: Read, ask: Callable[[], Awaitable[tuple[int, tuple[str, ...]]]], pin: Pin | None) -> Reading:
    """The reading of one (amount, endpoints) question; an OnchainError becomes its reason."""
    try:
        amount, agreed = await ask()
    except OnchainError as error:
        return missing(read, str(error), pin)
    return reading(read, amount, pin, agreed)
