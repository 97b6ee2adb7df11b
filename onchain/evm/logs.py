"""Scanning event logs over any number of blocks: adaptive ranges, fail-over, completeness, reorgs, checkpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from onchain.errors import AllEndpointsFailed, Kind, ReadError, RpcError, ScanError, malformed
from onchain.rpc.pin import Header, Pin, confirmed, read_header
from onchain.rpc.pool import Endpoint, Pool
from onchain.rpc.wire import range_hint

TARGET_LOGS = 5_000
_PERHAPS_TOO_BIG = frozenset({Kind.SLOW, Kind.REJECTED, Kind.UNKNOWN})  # a single block tells


@dataclass(slots=True)
class RangeSize:
    """The next range is `step` blocks, at most `ceiling`. `named` is a limit the endpoint stated: kept for good.

    Without a stated limit the ceiling falls to the last good size after two refusals, and is tried again twice as
    high only after `patience` calm ranges, each time more rarely: no doubling into the same wall every other request.
    """

    step: int = 10_000
    ceiling: int = 100_000
    named: int | None = None
    good: int = 0  # largest size that was served since the last change of the ceiling
    refusals: int = 0
    calm: int = 0
    patience: int = 16

    def succeeded(self, size: int, logs: int) -> None:
        """A range of `size` blocks came back whole with `logs` entries."""
        self.good = max(self.good, size)
        if logs > TARGET_LOGS:
            self.step = max(1, size // 2)
        elif logs < TARGET_LOGS // 2:
            if self.step < self.ceiling:
                self.step = min(2 * self.step, self.ceiling)
            elif self.named is None and self.refusals:
                self.calm += 1
                if self.calm >= self.patience:
                    self.ceiling *= 2
                    self.step, self.calm, self.patience = self.ceiling, 0, self.patience * 2

    def refused(self, first: int, size: int, message: str) -> None:
        """A range of `size` blocks from `first` was too big. Raises ScanError for a single block: never dropped."""
        if size <= 1:
            raise ScanError(f"block {first} alone is too big for the endpoint: {message}")
        blocks, last = range_hint(message)
        if blocks is not None and blocks < size:
            self.named = self.ceiling = blocks
            self.step = blocks
        elif last is not None and first <= last < first + size - 1:
            self.step = last - first + 1
        else:
            self.refusals += 1
            self.step = size // 2
            if self.refusals >= 2:
                self.ceiling = self.good if 0 < self.good < size else size // 2
                self.step = min(self.step, self.ceiling)
        self.calm = 0
        self.good = min(self.good, self.step)


KEPT_ENDS = 256


@dataclass(frozen=True, slots=True)
class Chunk:
    """Raw logs of blocks first…last inclusive, in chain order. `last_hash` proves which chain they are from."""

    first: int
    last: int
    last_hash: str
    logs: list[dict[str, object]]
    endpoint: str
    checked: bool  # a second operator gave exactly these


@dataclass(frozen=True, slots=True)
class Rollback:
    """Blocks above `to_block` left the chain: delete what was stored above it; the scan goes on from there."""

    to_block: int


@dataclass(slots=True)
class Checkpoint:
    """Where a scan stands; plain data, to be stored with the rows. `ends` are (block, hash) of scanned chunks.

    `dataclasses.asdict` gives it as JSON-ready data, pydantic's `TypeAdapter(Checkpoint)` takes that back.
    """

    next_block: int
    start: int = -1
    ends: list[tuple[int, str]] = field(default_factory=list)
    ranges: dict[str, RangeSize] = field(default_factory=dict)
    logs: int = 0

    def __post_init__(self) -> None:
        self.start = self.next_block if self.start < 0 else self.start

    def note(self, chunk: Chunk) -> None:
        self.next_block = chunk.last + 1
        self.logs += len(chunk.logs)
        self.ends = [*self.ends, (chunk.last, chunk.last_hash)][-KEPT_ENDS:]


@dataclass(frozen=True, slots=True)
class _Part:
    endpoint: Endpoint
    low: Header
    high: Header
    logs: list[dict[str, object]]

    @property
    def identity(self) -> tuple[object, ...]:
        """What two endpoints must give alike: the last block and every log's block, place, data and topics."""
        return (
            self.high.hash,
            *((log.get("blockHash"), log.get("logIndex"), log.get("data"), *_topics(log)) for log in self.logs),
        )


class LogScan:
    """Scan of one filter up to a pin. `async for item in scan.run()` gives Chunks and, after a reorg, Rollbacks.

    The next chunk is fetched while the caller works on this one. `checkpoint` moves on only when the caller asks for
    the next item, so stopping in between loses nothing. Where the pool asks for more than one voice, every chunk is
    asked of a second operator, and where they differ of a third.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        addresses: Sequence[str],
        topics: Sequence[str | Sequence[str] | None],
        upto: Pin,
        checkpoint: Checkpoint,
    ) -> None:
        self.pool, self.upto, self.checkpoint = pool, upto, checkpoint
        self._filter = {"address": list(addresses), "topics": list(topics)}
        self._heads: dict[Endpoint, int] = {}
        self._asked: dict[str, int] = {}

    async def run(self) -> AsyncIterator[Chunk | Rollback]:
        """Chunks in order without a gap up to the pin.

        Raises ScanError, AllEndpointsFailed; DisagreementError when operators gave other logs and none can decide.
        """
        ahead: asyncio.Task[_Part] | None = None
        try:
            if (back := await self._common()) is not None:
                yield back
            while self.checkpoint.next_block <= self.upto.number:
                part = await (ahead or self._fetch(self.checkpoint.next_block))
                ahead = None
                ends = self.checkpoint.ends
                if ends and part.low.parent != ends[-1][1]:
                    if (back := await self._common()) is None:
                        raise ScanError(f"block {part.low.number} does not follow block {ends[-1][0]} as scanned")
                    yield back
                    continue
                if part.high.number < self.upto.number:
                    ahead = asyncio.create_task(self._fetch(part.high.number + 1))
                    await asyncio.sleep(0)  # lets the request leave before the caller works on this chunk
                chunk = await self._chunk(part)
                yield chunk
                self.checkpoint.note(chunk)
            self._check_end()
        finally:
            if ahead is not None:
                ahead.cancel()

    async def logs(self) -> list[dict[str, object]]:
        """All logs up to the pin. Raises ReadError too, where two operators must agree and a second serves none."""
        chunks: list[Chunk] = []
        async for item in self.run():
            chunks = [*chunks, item] if isinstance(item, Chunk) else [c for c in chunks if c.last <= item.to_block]
        if self.pool.quorum(self.pool.confirm) > 1 and not all(chunk.checked for chunk in chunks):
            raise ReadError(f"{self.pool.chain.name}: no second operator serves these logs; add one, or confirm=1")
        return [log for chunk in chunks for log in chunk.logs]

    # -- inside -------------------------------------------------------------------------------------------

    async def _fetch(self, first: int) -> _Part:
        """The next logs with their edge headers; smaller ranges until an endpoint serves one."""
        while True:
            try:
                part = await self.pool.on_any(lambda e: self._ask(e, first, self._last(e, first)), what="eth_getLogs")
            except RpcError as error:
                if error.kind is not Kind.TOO_BIG:
                    raise
                self._size_of(error.endpoint).refused(first, self._asked[error.endpoint], error.message)
            else:
                size = part.high.number - first + 1
                self._size_of(part.endpoint.label).succeeded(size, len(part.logs))
                return part

    async def _ask(self, endpoint: Endpoint, first: int, last: int) -> _Part:
        await self._must_have(endpoint, last)
        self._asked[endpoint.label] = last - first + 1
        logs = await self._logs(endpoint, first, last)
        low = await read_header(self.pool, endpoint, first)
        high = low if last == first else await read_header(self.pool, endpoint, last)
        _check_logs(logs, low, high, endpoint)
        return _Part(endpoint, low, high, logs)

    async def _logs(self, endpoint: Endpoint, first: int, last: int) -> list[dict[str, object]]:
        """The logs of a range. One that is refused in unknown words, or not answered in time, is taken for too big."""
        asked = {**self._filter, "fromBlock": hex(first), "toBlock": hex(last)}
        try:
            logs = await self.pool.call("eth_getLogs", (asked,), on=endpoint)
        except RpcError as error:
            if error.kind not in _PERHAPS_TOO_BIG or last == first:
                raise
            endpoint.breaker.succeeded()
            raise RpcError(error.message, kind=Kind.TOO_BIG, endpoint=endpoint.label) from None
        if not isinstance(logs, list):
            raise malformed("eth_getLogs did not answer a list", endpoint.label)
        return logs

    def _size_of(self, label: str) -> RangeSize:
        return self.checkpoint.ranges.setdefault(label, RangeSize())

    def _last(self, endpoint: Endpoint, first: int) -> int:
        return min(first + self._size_of(endpoint.label).step - 1, self.upto.number)

    async def _must_have(self, endpoint: Endpoint, block: int) -> None:
        """A node behind the range would answer it with HTTP 200 and fewer logs: it must have the block itself."""
        if self._heads.get(endpoint, -1) < block:
            self._heads[endpoint] = (await read_header(self.pool, endpoint, "latest")).number
        if self._heads[endpoint] < block:
            text = f"its head {self._heads[endpoint]} is behind block {block}"
            raise RpcError(text, kind=Kind.NOT_FOUND, endpoint=endpoint.label)

    async def _chunk(self, part: _Part) -> Chunk:
        """The chunk as a second operator gives it too, where two must agree; a third decides where they differ."""
        first, last, whole = part.low.number, part.high.number, part
        agreed: tuple[str, ...] = ()
        with suppress(AllEndpointsFailed, RpcError):  # nobody else can serve it: told by `checked`
            whole, agreed = await confirmed(
                self.pool,
                lambda e: self._in_pieces(e, first, last),
                what=f"eth_getLogs of blocks {first}-{last}",
                count=min(2, self.pool.confirm),
                differ=lambda a, b: f"{len(a.logs)} logs against {len(b.logs)}",
                same=lambda a, b: a.identity == b.identity,
                known=[(part.endpoint, part)],
            )
        return Chunk(first, last, whole.high.hash, whole.logs, part.endpoint.label, len(agreed) > 1)

    async def _in_pieces(self, endpoint: Endpoint, first: int, last: int) -> _Part:
        """The same range from one endpoint, in halves where the whole is too big for it."""
        try:
            return await self._ask(endpoint, first, last)
        except RpcError as error:
            if error.kind is not Kind.TOO_BIG or first == last:
                raise
        middle = (first + last) // 2
        low = await self._in_pieces(endpoint, first, middle)
        high = await self._in_pieces(endpoint, middle + 1, last)
        return _Part(endpoint, low.low, high.high, [*low.logs, *high.logs])

    async def _common(self) -> Rollback | None:
        """Roll the checkpoint back to the last scanned block that is still on the chain; None if nothing left it."""
        ends = self.checkpoint.ends
        canonical = list(ends)
        while canonical:
            number, known = canonical[-1]
            if (await self._header(number)).hash == known:
                break
            canonical.pop()
        if len(canonical) == len(ends):
            return None
        if not canonical and len(ends) >= KEPT_ENDS:
            raise ScanError(f"the reorg is deeper than the {KEPT_ENDS} kept chunk ends: scan anew from the start")
        to_block = canonical[-1][0] if canonical else self.checkpoint.start - 1
        self.checkpoint.ends, self.checkpoint.next_block = canonical, to_block + 1
        return Rollback(to_block)

    async def _header(self, number: int) -> Header:
        return await self.pool.on_any(lambda e: read_header(self.pool, e, number), what="eth_getBlockByNumber")

    def _check_end(self) -> None:
        ends = self.checkpoint.ends
        if ends and ends[-1][0] == self.upto.number and ends[-1][1] != self.upto.hash:
            raise ScanError(f"block {self.upto.number} is not the pinned one: pin and scan again")


def _topics(log: dict[str, object]) -> Sequence[object]:
    topics = log.get("topics")
    return topics if isinstance(topics, list) else ()


def _check_logs(logs: list[dict[str, object]], low: Header, high: Header, endpoint: Endpoint) -> None:
    """Logs must lie inside the range, be in order, and those of the edge blocks carry the headers' hashes."""
    edges = {hex(low.number): low.hash, hex(high.number): high.hash}
    block, index, name = low.number, -1, ""
    for log in logs:
        try:
            number, at = str(log["blockNumber"]), int(str(log["logIndex"]), 16)
            if type(log["topics"]) is not list or type(log["data"]) is not str or type(log["address"]) is not str:
                raise TypeError
            if number != name:
                after, name = int(number, 16), number
                if after < block or after > high.number or edges.get(number, log["blockHash"]) != log["blockHash"]:
                    raise RpcError(
                        f"log of block {after} is from a fork or outside {low.number}-{high.number}",
                        kind=Kind.NOT_FOUND,
                        endpoint=endpoint.label,
                    )
                block, index = after, -1
            if at <= index or log.get("removed"):
                raise malformed(f"log {at} of block {block} is out of order or removed", endpoint.label)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise malformed("a log does not parse", endpoint.label) from None
        index = at
