"""Whom to believe: a block that endpoints agree on, and answers that they give alike.

A `Pin` is number, hash, time stamp and finality that two operators' endpoints state. Every EVM reading starts with
one and names its hash, so a node that is behind or on another fork cannot answer from elsewhere. `confirmed` compares
any other answer, so that one lying node cannot decide a number. Endpoints of one operator are one voice.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from onchain.errors import AllEndpointsFailed, DisagreementError, Kind, OrphanedPin, PinError, RpcError, malformed
from onchain.rpc.pool import Endpoint, Pool
from onchain.rpc.wire import parsing

_HASH = re.compile(r"0x[0-9a-f]{64}\Z")
_BEHIND = re.compile(r"latest-(\d+)\Z")


@dataclass(frozen=True, slots=True)
class Header:
    """What a block says of itself; `timestamp` is epoch seconds."""

    number: int
    hash: str
    parent: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Pin:
    """One fixed block. `timestamp` is epoch seconds; `agreed`: the redacted endpoints that gave this hash."""

    chain: str
    number: int
    hash: str
    timestamp: int
    finality: str
    agreed: tuple[str, ...] = ()


def parse_header(result: object, *, endpoint: str = "") -> Header:
    """The header of an eth_getBlockBy… result. Raises RpcError(MALFORMED) naming the field that does not hold."""
    with parsing("the block header", endpoint):
        assert isinstance(result, dict)
        header = Header(
            number=int(result["number"], 16),
            hash=str(result["hash"]).lower(),
            parent=str(result["parentHash"]).lower(),
            timestamp=int(result["timestamp"], 16),
        )
    if not _HASH.match(header.hash) or not _HASH.match(header.parent):
        raise malformed(f"the block hash {header.hash!r} is not 32 bytes", endpoint)
    return header


async def read_header(pool: Pool, endpoint: Endpoint, block: int | str) -> Header:
    """Header of a number or tag as `endpoint` sees it. A node that answers another number is MALFORMED."""
    name = hex(block) if isinstance(block, int) else block
    answer = await pool.call("eth_getBlockByNumber", (name, False), on=endpoint)
    header = parse_header(answer, endpoint=endpoint.label)
    if isinstance(block, int) and header.number != block:
        raise malformed(f"asked for block {block}, got {header.number}", endpoint.label)
    return header


class Pinner:
    """Gives pins of one EVM chain; remembers headers of settled blocks and the pin of every instant asked for.

    `quorum` operators (the pool's own `confirm` by default) must agree, or all of them where fewer are configured.
    Fewer answers raise PinError.
    """

    def __init__(self, pool: Pool, *, quorum: int | None = None) -> None:
        self.pool = pool
        self.need = pool.quorum(quorum or pool.confirm)
        self._headers: dict[int, Header] = {}
        self._by_time: dict[tuple[int, str], Pin] = {}

    async def head(self, level: str | None = None) -> Pin:
        """The newest block of `level` (finalized, safe, latest, latest-N) that the quorum agrees on.

        Raises PinError when too few answer, when they disagree, or when the block is older than the chain's
        `max_age_s` (every endpoint is stale).
        """
        level = level or self.pool.chain.finality
        answers = await self.pool.each(lambda endpoint: self._tip(endpoint, level))
        tips = {e: h for e, h in answers.items() if isinstance(h, Header)}
        highest: dict[str, int] = {}
        for endpoint, tip in tips.items():
            highest[endpoint.operator] = max(tip.number, highest.get(endpoint.operator, 0))
        if len(highest) < self.need:
            raise PinError(self._too_few(level, answers, len(highest)))
        heights = sorted(highest.values(), reverse=True)
        seen = ""
        for height in dict.fromkeys(heights[self.need - 1 :]):
            holders = [e for e, tip in tips.items() if tip.number >= height]
            pin, seen = await self._vote(height, level, holders, known=tips)
            if pin is not None:
                check_age(self.pool, pin)
                return pin
        raise PinError(f"{self.pool.chain.name}: endpoints disagree about the {level} block: {seen}")

    async def at(self, instant: int, level: str | None = None) -> Pin:
        """The last block with timestamp ≤ `instant` (epoch seconds), once a later settled block proves it.

        Found by interpolation over settled blocks of one endpoint, then confirmed, with its successor, by the
        quorum. Raises PinError while the instant is not settled yet or before the chain began.
        """
        level = level or self.pool.chain.finality
        if (instant, level) in self._by_time:
            return self._by_time[instant, level]
        head = await self.head(level)
        if head.timestamp <= instant:
            raise PinError(
                f"{self.pool.chain.name}: instant {instant} is not settled yet; the {level} block {head.number} "
                f"is at {head.timestamp}; ask again later"
            )
        number = await self._search(instant, head)
        pin, after = await self.block(number, level), await self.block(number + 1, level)
        if not pin.timestamp <= instant < after.timestamp:
            raise PinError(
                f"{self.pool.chain.name}: block {number} is at {pin.timestamp} and its successor at "
                f"{after.timestamp}: not around {instant}; the endpoint that was searched is wrong"
            )
        self._by_time[instant, level] = pin
        return pin

    async def settled(self, at: int | None) -> Pin:
        """The pin of an instant, or the newest one."""
        return await (self.head() if at is None else self.at(at))

    async def block(self, number: int, level: str) -> Pin:
        """The block of this number, recorded as of finality `level`. Raises PinError when no quorum has it."""
        pin, seen = await self._vote(number, level, list(self.pool.endpoints))
        if pin is None:
            raise PinError(f"{self.pool.chain.name}: fewer than {self.need} operators agree on block {number}: {seen}")
        return pin

    async def verify(self, pin: Pin) -> None:
        """Raise OrphanedPin when the quorum has another hash at this height, PinError when too few agree to tell.

        Silence is no proof: endpoints that are down or disagree do not withdraw a block.
        """
        now, seen = await self._vote(pin.number, pin.finality, list(self.pool.endpoints))
        if now is None:
            raise PinError(
                f"{pin.chain}: whether block {pin.number} {pin.hash[:10]}… is still on the chain cannot be told "
                f"({seen}); ask again later"
            )
        if now.hash != pin.hash:
            self._headers.clear()
            self._by_time.clear()
            raise OrphanedPin(
                f"{pin.chain}: block {pin.number} {pin.hash[:10]}… left the chain ({seen}); pin and read again"
            )

    # -- inside -------------------------------------------------------------------------------------------

    async def _tip(self, endpoint: Endpoint, level: str) -> Header:
        if lag := _BEHIND.match(level):
            latest = await read_header(self.pool, endpoint, "latest")
            return await read_header(self.pool, endpoint, max(0, latest.number - int(lag[1])))
        return await read_header(self.pool, endpoint, level)

    async def _vote(
        self, number: int, level: str, among: list[Endpoint], *, known: dict[Endpoint, Header] | None = None
    ) -> tuple[Pin | None, str]:
        """(the pin that the quorum agrees on, or None; what each said). The minority loses trust."""

        async def ask(endpoint: Endpoint) -> Header:
            tip = (known or {}).get(endpoint)
            if tip is not None and tip.number == number:
                return tip
            return await read_header(self.pool, endpoint, number)

        answers = await self.pool.each(ask, among=among)
        groups: defaultdict[Header, list[Endpoint]] = defaultdict(list)
        for endpoint, header in answers.items():
            if isinstance(header, Header):
                groups[header].append(endpoint)
        answered = [f"{e.label} {h.hash[:10]}…@{h.timestamp}" for h, es in groups.items() for e in es]
        answered += [str(a) for a in answers.values() if isinstance(a, RpcError)]
        seen = ", ".join(answered)
        ranked = sorted(groups.items(), key=lambda item: len(voices(item[1])), reverse=True)
        if not ranked or len(voices(ranked[0][1])) < self.need:
            return None, seen
        if len(ranked) > 1 and len(voices(ranked[1][1])) == len(voices(ranked[0][1])):
            return None, seen
        header, holders = ranked[0]
        for _, others in ranked[1:]:
            for endpoint in others:
                endpoint.distrust()
        self._headers[number] = header
        return Pin(self.pool.chain.name, number, header.hash, header.timestamp, level, voices(holders)), seen

    async def _search(self, instant: int, head: Pin) -> int:
        """Number of the last block at or before `instant` as the best endpoint sees it."""

        async def time_of(number: int) -> int:
            return head.timestamp if number == head.number else (await self._header(number)).timestamp

        pace = self.pool.chain.block_time_s
        number = await height_at(instant, first=0, head=head.number, block_time_s=pace, time_of=time_of)
        if number is None:
            first = await time_of(0)
            raise PinError(f"{self.pool.chain.name}: instant {instant} is before its first block at {first}")
        return number

    async def _header(self, number: int) -> Header:
        if number not in self._headers:
            self._headers[number] = await self.pool.on_any(
                lambda endpoint: read_header(self.pool, endpoint, number), what="eth_getBlockByNumber"
            )
        return self._headers[number]

    def _too_few(self, level: str, answers: dict[Endpoint, Header | RpcError], count: int) -> str:
        reasons = "; ".join(str(error) for error in answers.values() if isinstance(error, RpcError))
        return (
            f"{self.pool.chain.name}: {count} of {self.need} needed operators gave a {level} block "
            f"({reasons}); add an endpoint or lower the quorum"
        )


def check_age(pool: Pool, pin: Pin) -> None:
    """Raise PinError for a newest block that is older than the chain's `max_age_s`."""
    limit, age = pool.chain.max_age_s, pool.wall() - pin.timestamp
    if limit is not None and age > limit:
        raise PinError(
            f"{pin.chain}: the {pin.finality} block {pin.number} is {age:.0f} s old, more than {limit:.0f} s; "
            "every endpoint is stale: check them or add another"
        )


async def at_pin(
    pool: Pool, endpoint: Endpoint, method: str, *, before: tuple[object, ...], pin: Pin, after: tuple[object, ...] = ()
) -> object:
    """Result of a state read at the pinned block: by hash (EIP-1898), or by number and the hash checked after.

    Raises RpcError(NOT_FOUND) when the endpoint has another block at that height.
    """
    if endpoint.by_hash is not False:
        block = {"blockHash": pin.hash, "requireCanonical": True}
        try:
            value = await pool.call(method, (*before, block, *after), on=endpoint)
        except RpcError as error:
            if endpoint.by_hash or error.kind not in {Kind.REJECTED, Kind.UNKNOWN}:
                raise
        else:
            endpoint.by_hash = True
            return value
    value = await pool.call(method, (*before, hex(pin.number), *after), on=endpoint)
    header = await read_header(pool, endpoint, pin.number)
    if header.hash != pin.hash:
        raise RpcError(
            f"{method}: block {pin.number} is {header.hash[:10]}… there, pinned {pin.hash[:10]}…",
            kind=Kind.NOT_FOUND,
            endpoint=endpoint.label,
        )
    endpoint.by_hash = False
    return value


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


T = TypeVar("T")


def voices(endpoints: Iterable[Endpoint]) -> tuple[str, ...]:
    """The names of these endpoints, one for each operator."""
    return tuple({endpoint.operator: endpoint.label for endpoint in reversed(list(endpoints))}.values())[::-1]


async def confirmed(
    pool: Pool,
    ask: Callable[[Endpoint], Awaitable[T]],
    *,
    what: str,
    count: int = 2,
    differ: Callable[[T, T], str] = lambda a, b: f"{a!r} against {b!r}",
    old: bool = False,
    same: Callable[[T, T], bool] = lambda a, b: a == b,
    known: Sequence[tuple[Endpoint, T]] = (),
) -> tuple[T, tuple[str, ...]]:
    """(the answer that `count` operators gave alike, their redacted names); one only where no other exists.

    A third operator is asked when two differ; the outvoted one loses trust. Raises DisagreementError with both
    answers when nobody can decide, AllEndpointsFailed when too few answer. `same` may allow a drift where nodes
    cannot be pinned to one block; `known` are answers that are there already.
    """
    need, answers = pool.quorum(count), list(known)
    while True:
        for _, value in answers[-1:]:  # one answer an operator
            alike = [e for e, other in answers if same(other, value)]
            if len(alike) >= need:
                for endpoint, _ in answers:
                    if endpoint not in alike:
                        endpoint.distrust()
                return value, tuple(e.label for e in alike)
        heard = {e.operator for e, _ in answers}
        others = [e for e in pool.endpoints if e.operator in heard]
        try:
            answers.append(await pool.on_any(lambda e: _with(e, ask), what=what, exclude=others, old=old))
        except (AllEndpointsFailed, RpcError) as error:
            if all(same(other, answers[0][1]) for _, other in answers):  # too few, but none against another
                raise
            (first, a), (second, b) = answers[:2]
            raise DisagreementError(
                f"{pool.chain.name}: {what} differs between {first.label} and {second.label}: {differ(a, b)}; "
                "add a third endpoint to decide"
            ) from error


async def agreed_pin(pool: Pool, ask: Callable[[Endpoint], Awaitable[Pin]], *, what: str, count: int) -> Pin:
    """The block that `count` endpoints describe alike, with their names in `agreed`. Raises like `confirmed`."""
    pin, labels = await confirmed(pool, ask, what=what, count=count)
    return replace(pin, agreed=labels)


async def _with(endpoint: Endpoint, ask: Callable[[Endpoint], Awaitable[T]]) -> tuple[Endpoint, T]:
    return endpoint, await ask(endpoint)
