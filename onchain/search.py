"""Finding a block by time. Pure but for the question it is given.

Place in the flow: `pin` and the non-EVM readers use it to map an instant to a block.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable


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
