"""Finding a block by time. Pure but for the question it is given.

Place in the flow: `pin` and the non-EVM readers use it to map an instant to a block.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable


async def height_at(
    instant: int, *, first: int, head: int, block_time_s: float, time_of: Callable[[int], Awaitable[int]]
) -> int | None:
    """Greatest height in [first, head) at or before `instant`, given instant < time_of(head); None if `first` is later.

    Starts twice as far back as the chain's usual pace says, so that a recent instant costs a handful of questions
    whatever the chain's age; goes back to `first` only when that was not far enough.
    """
    pace = (await time_of(head) - instant) / max(0.01, block_time_s)
    low = max(first, head - 2 * int(pace) - 1000)
    if await time_of(low) > instant:
        if low == first or await time_of(first) > instant:
            return None
        low = first
    return await last_at_or_before(instant, low=low, high=head, time_of=time_of)


async def last_at_or_before(instant: int, *, low: int, high: int, time_of: Callable[[int], Awaitable[int]]) -> int:
    """Greatest n in [low, high) with time_of(n) ≤ instant, given time_of(low) ≤ instant < time_of(high).

    `time_of` must not decrease. Interpolates, with a bisection every third step to bound the worst case.
    """
    low_time, high_time, step = await time_of(low), await time_of(high), 0
    while high - low > 1:
        if step % 3 == 2:
            middle = (low + high) // 2
        else:
            share = (instant - low_time) / max(1, high_time - low_time)
            middle = min(high - 1, max(low + 1, low + int(share * (high - low))))
        time = await time_of(middle)
        if time <= instant:
            low, low_time = middle, time
        else:
            high, high_time = middle, time
        step += 1
    return low
