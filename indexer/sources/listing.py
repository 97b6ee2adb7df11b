"""When a symbol was listed: the first bar a source has, found in a few calls by bisection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from indexer.http import HttpClient
from indexer.sources.base import Ask, Call, Dataset, Source
from indexer.times import DAY_US

FIRST_YEAR_US = 1_483_228_800_000_000  # 2017-01-01: before any venue's history of these assets


async def first_bar_us(
    source: Source, symbol: str, http: HttpClient, *, now_us: int, quote: str = "USD", since_us: int = FIRST_YEAR_US
) -> int | None:
    """The close of the source's first daily bar of a symbol, or None when it has none.

    Takes for granted that a symbol once listed has bars in every later window; about three calls for a venue of
    1,000 rows a call. For a source of limited depth it is only the first bar still served.
    Raises what `fetch` and `parse` raise, e.g. SourceRefused for a symbol the source does not know.
    """
    ask = Ask(Dataset.BARS, (symbol,), since_us // DAY_US * DAY_US, now_us, now_us, "1d", quote)
    calls = source.calls(ask)

    async def first_of(call: Call) -> int | None:
        bars = source.parse(call, await source.fetch(call, http)).bars
        return int(bars.time_us[0]) if bars is not None and len(bars) else None

    return await _bisect(calls, first_of)


async def _bisect(calls: tuple[Call, ...], first_of: Callable[[Call], Awaitable[int | None]]) -> int | None:
    """The first bar of the earliest window that has any."""
    low, high = 0, len(calls)  # windows before `low` are empty; `high` and later have bars, or there are none
    found: int | None = None
    while low < high:
        middle = (low + high) // 2
        here = await first_of(calls[middle])
        if here is None:
            low = middle + 1
        else:
            found, high = here, middle
    return found
