"""Reading a chain that is not EVM: its newest settled block or that of an instant, then one figure after the other.

A kind of chain is one file with one `Family`, which says how a node is asked; what is the same for all stands here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from onchain.errors import AllEndpointsFailed, Kind, OnchainError, PinError, ReadError
from onchain.rpc.pin import Pin, agreed_pin, check_age, confirmed, height_at
from onchain.rpc.pool import Endpoint, Pool
from onchain.tokens import Read, Reading, missing, reading

TOLERANCE_S = 900
Amount = int | Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Family:
    """How nodes of one kind are asked: `tip` for their newest block, `figure` for the amount of a read at a pin.

    A figure that has parts is their amounts by name; its reading is their sum, with a reading of each, held by the
    part's name. `block` gives the block of a height; without it nodes state their newest block only, and an instant
    over 15 minutes away is refused. Pins are `lag` heights behind the newest block, so that a second endpoint has
    them; up to `skips` heights in a row may have no block. Answers that no block holds may `drift` by this share.
    """

    tip: Callable[[Pool, Endpoint], Awaitable[Pin]]
    figure: Callable[[Pool, Endpoint, Read, Pin], Awaitable[Amount]]
    block: Callable[[Pool, Endpoint, int], Awaitable[Pin]] | None = None
    lag: int = 0
    skips: int = 1
    drift: float = 0.0

    async def read(self, pool: Pool, reads: Sequence[Read], *, at: int | None, confirm: int) -> dict[Read, Reading]:
        """The `Reader`: every read at the last settled block at or before `at`, or the newest.

        Raises PinError for an instant that is not settled yet or that endpoints are too stale for, ReadError where
        nodes keep no history.
        """
        pin = await pool.on_any(partial(self.tip, pool), what="newest block")
        if at is None or self.block is None:
            check_age(pool, pin)
        if self.block is not None:
            pin = await self._settled(pool, self.block, pin, at=at, confirm=confirm)
        elif at is not None and abs(pin.timestamp - at) > TOLERANCE_S:
            raise ReadError(
                f"{pool.chain.name}: nodes state their newest block only: {pin.number} is at {pin.timestamp}, "
                f"{abs(pin.timestamp - at)} s from the instant asked for; use an imported value"
            )
        readings: dict[Read, Reading] = {}
        for read in reads:
            readings |= await self._readings(pool, read, pin, confirm=confirm)
        return readings

    async def _settled(
        self,
        pool: Pool,
        block: Callable[[Pool, Endpoint, int], Awaitable[Pin]],
        tip: Pin,
        *,
        at: int | None,
        confirm: int,
    ) -> Pin:
        """The block of `at` as `confirm` endpoints describe it."""
        known = {tip.number: tip}

        async def last_below(height: int) -> Pin:
            """The block at a height, or the last one below it where heights were skipped."""
            for lower in range(height, max(-1, height - self.skips), -1):
                try:
                    if lower not in known:
                        known[lower] = await pool.on_any(lambda e: block(pool, e, lower), what=f"block {lower}")  # noqa: B023 - awaited at once
                except AllEndpointsFailed as error:
                    if error.kind is not Kind.NOT_FOUND or self.skips == 1:
                        raise
                    continue
                known[height] = known[lower]
                return known[lower]
            raise PinError(f"{pool.chain.name}: no block among {self.skips} heights below {height}")

        async def time_of(height: int) -> int:
            return (await last_below(height)).timestamp

        pace, number = pool.chain.block_time_s, max(1, tip.number - self.lag)
        if at is not None:
            if tip.timestamp - int(self.lag * pace) <= at:
                raise PinError(f"{pool.chain.name}: instant {at} is not final yet (newest block {tip.number})")
            found = await height_at(at, first=1, head=tip.number, block_time_s=pace, time_of=time_of)
            if found is None:
                raise PinError(f"{pool.chain.name}: instant {at} is before its first block")
            number = found
        if self.skips > 1:
            number = (await last_below(number)).number
        return await agreed_pin(pool, lambda e: block(pool, e, number), what=f"block {number}", count=confirm)

    async def _readings(self, pool: Pool, read: Read, pin: Pin, *, confirm: int) -> dict[Read, Reading]:
        """The reading of one figure, with those of its parts; what fails is its reason."""
        try:
            amount, agreed = await confirmed(
                pool,
                lambda e: self.figure(pool, e, read, pin),
                what=f"{read.what} of {read.asset} at {pin.number}",
                count=confirm,
                same=self._alike,
            )
        except OnchainError as error:
            return {read: missing(read, str(error), pin)}
        if isinstance(amount, int):
            return {read: reading(read, amount, pin, agreed)}
        parts = {replace(read, holder=name): part for name, part in amount.items()}
        return {part: reading(part, units, pin, agreed) for part, units in {read: sum(parts.values()), **parts}.items()}

    def _alike(self, first: Amount, second: Amount) -> bool:
        if isinstance(first, int) and isinstance(second, int):
            return abs(first - second) <= self.drift * max(first, second)
        return first == second
