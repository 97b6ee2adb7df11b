"""Reading the same thing from two endpoints and comparing, so that one lying node cannot decide a number.

Place in the flow: between `rpc.Pool` and the readers; a reader says what to ask, this says who to believe.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from onchain.errors import AllEndpointsFailed, DisagreementError
from onchain.rpc.endpoint import Endpoint
from onchain.rpc.pool import Pool

if TYPE_CHECKING:
    from onchain.rpc.pin import Pin

T = TypeVar("T")


async def confirmed(
    pool: Pool,
    ask: Callable[[Endpoint], Awaitable[T]],
    *,
    what: str,
    count: int = 2,
    differ: Callable[[T, T], str] = lambda a, b: f"{a!r} against {b!r}",
    old: bool = False,
    same: Callable[[T, T], bool] = lambda a, b: a == b,
) -> tuple[T, tuple[str, ...]]:
    """(the answer that `count` endpoints gave alike, their redacted names); one endpoint only where one exists.

    A third endpoint is asked when two differ; the outvoted one loses trust. Raises DisagreementError with both
    answers when nobody can decide, AllEndpointsFailed when too few answer. `same` may allow a drift where nodes
    cannot be pinned to one block.
    """
    need = min(count, max(1, len(pool.endpoints)))
    answers: list[tuple[Endpoint, T]] = []
    while True:
        try:
            endpoint, value = await pool.on_any(
                lambda e: _with(e, ask), what=what, exclude=[e for e, _ in answers], old=old
            )
        except AllEndpointsFailed as error:
            if len(answers) < 2:
                raise
            (first, a), (second, b) = answers[0], answers[1]
            raise DisagreementError(
                f"{pool.chain.name}: {what} differs between {first.label} and {second.label}: {differ(a, b)}; "
                "add a third endpoint to decide"
            ) from error
        answers.append((endpoint, value))
        alike = [e for e, other in answers if same(other, value)]
        if len(alike) >= need:
            for other_endpoint, other in answers:
                if not same(other, value):
                    other_endpoint.distrust()
            return value, tuple(e.label for e in alike)


async def agreed_pin(pool: Pool, ask: Callable[[Endpoint], Awaitable[Pin]], *, what: str, count: int) -> Pin:
    """The block that `count` endpoints describe alike, with their names in `agreed`. Raises like `confirmed`."""
    pin, labels = await confirmed(pool, ask, what=what, count=count)
    return replace(pin, agreed=labels)


async def _with(endpoint: Endpoint, ask: Callable[[Endpoint], Awaitable[T]]) -> tuple[Endpoint, T]:
    return endpoint, await ask(endpoint)
