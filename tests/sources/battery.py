"""The test battery every source passes by naming itself: subclass `SourceBattery`, set `name` and `samples`.

It checks that capabilities are true, that recorded answers parse, and that nothing a provider may send (cut,
altered, emptied, HTML, doubled, shuffled, other units, future bars) becomes an invented number or a crash.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import orjson
import pytest

from indexer.errors import SourceError
from indexer.sources.base import Ask, Call, Dataset, Kind, Parsed, RestSource
from indexer.sources.http import LIMITS, Answer
from indexer.sources.http.answer import error_of
from indexer.sources.records import Bars, BenchmarkBars
from indexer.sources.registry import REGISTRY
from indexer.times import DAY_US, HOUR_US, INTERVAL_US, from_us, parse_instant

RECORDED = Path(__file__).parents[2] / ".." / "shared" / "data" / "responses"
NOW = parse_instant("2025-01-27T00:00:00Z")


@dataclass(frozen=True)
class Sample:
    """One answer of a provider: recorded (a file under shared/data/responses) or written from its documentation.

    `count` is how many records of its kind it holds; `check` looks at the values.
    """

    dataset: Dataset
    symbols: tuple[str, ...]
    start: str
    end: str
    fetched: str
    count: int
    interval: str = "1h"
    quote: str = "USD"
    recorded: str = ""
    documented: bytes = b""
    contract_size: float = float("nan")
    check: Callable[[Parsed], None] | None = None

    @property
    def origin(self) -> str:
        return f"recorded {self.recorded}" if self.recorded else "written from the documentation"

    def body(self) -> bytes:
        if not self.recorded:
            return self.documented
        path = RECORDED / self.recorded
        if not path.exists():
            pytest.skip(f"the recorded answer is not here: {path}")
        return path.read_bytes()

    def ask(self) -> Ask:
        start, end, now = (parse_instant(text) for text in (self.start, self.end, self.fetched))
        return Ask(self.dataset, self.symbols, start, end, now, self.interval, self.quote, self.contract_size)

    def answer(self, body: bytes | None = None, *, fetched: str | None = None) -> Answer:
        at = datetime.fromisoformat(fetched or self.fetched)
        return Answer("http://test/", 200, {}, self.body() if body is None else body, at)


def assert_honest(parsed: Parsed, ask: Ask, fetched_us: int) -> None:
    """What must hold of any records, whatever the answer was."""
    for part in (parsed.bars, parsed.benchmark, *parsed.series, parsed.liquidations):
        if part is None:
            continue
        times = part.time_us
        assert times.dtype == np.int64
        assert (times > ask.start_us).all()
        assert (times <= min(ask.end_us, fetched_us)).all(), "a bar that had not closed, or was not asked for"
        if part is not parsed.liquidations:
            assert (np.diff(times) > 0).all()
    for bars in (parsed.bars, parsed.benchmark):
        if isinstance(bars, Bars | BenchmarkBars):
            assert np.isfinite(bars.close).all()
            assert (bars.close > 0).all() or (isinstance(bars, BenchmarkBars) and bars.price_basis == "percent_a_year")
    for quote in parsed.quotes:
        assert quote.symbol in ask.symbols
        assert np.isfinite(quote.price)
        assert quote.price > 0
        assert quote.observed_us is None or quote.observed_us <= fetched_us
    for supply in parsed.supplies:
        assert supply.symbol in ask.symbols
        assert np.isfinite(supply.tokens)
        assert supply.tokens > 0


ODD_BODIES = (
    *(b"", b"null", b"[]", b"{}", b"[[]]", b"[null]", b'"x"', b"<html>"),
    *(b"NaN", b'{"data":[{}]}', b"a,b\n", b"\xff\xfe"),
)


class SourceBattery:
    """Subclass with the source's name and its samples; pytest runs every test below for it."""

    name: ClassVar[str] = ""
    samples: ClassVar[tuple[Sample, ...]] = ()

    @pytest.fixture
    def source(self) -> RestSource:
        return REGISTRY[self.name]()

    def call(self, source: RestSource, sample: Sample) -> Call:
        """The call whose answer the sample is: as the source plans it, with the sample's whole range."""
        ask = sample.ask()
        planned = source.calls(ask)
        assert planned, f"{self.name} plans no call for {ask}"
        return replace(planned[-1], ask=ask)

    def test_capabilities_are_complete(self, source: RestSource) -> None:
        about = source.capabilities
        assert about.name == self.name
        assert about.docs.startswith("https://")
        assert about.loses
        assert about.title
        assert source.limit in LIMITS or about.extra
        assert about.base_url.startswith("https://") or about.extra
        if about.kind is not Kind.VENUE:
            assert not about.fixing, "aggregators contain the venues; counting both counts twice"
        if about.key_setting:
            assert about.key_adds

    def test_every_dataset_it_claims_has_a_sample_and_a_call(self, source: RestSource) -> None:
        assert {sample.dataset for sample in self.samples} == source.capabilities.datasets

    def test_other_datasets_give_no_call(self, source: RestSource) -> None:
        for dataset in set(Dataset) - source.capabilities.datasets:
            assert source.calls(Ask(dataset, ("x",), NOW - DAY_US, NOW, NOW)) == ()

    def test_planned_calls_cover_the_ask_once_and_keep_to_the_limits(self, source: RestSource) -> None:
        about = source.capabilities
        for dataset in about.datasets & {Dataset.BARS, Dataset.BENCHMARK}:
            for interval, history in about.history.items():
                start = NOW - 3 * history.max_rows * INTERVAL_US[interval] - 5 * INTERVAL_US[interval]
                calls = source.calls(Ask(dataset, ("SYM",), start, NOW, NOW, interval))
                edges = [(call.ask.start_us, call.ask.end_us) for call in calls]
                assert edges[-1][1] == NOW
                assert all(end == begin for (_, end), (begin, _) in pairwise(edges))
                newest = NOW // INTERVAL_US[interval] * INTERVAL_US[interval] - history.newest * INTERVAL_US[interval]
                for call in calls:
                    most = history.newest_rows if history.newest and call.ask.start_us >= newest else history.max_rows
                    assert 0 < call.ask.rows <= most
                earliest = history.earliest_us(interval, NOW)
                if earliest is None:
                    assert edges[0][0] == start // INTERVAL_US[interval] * INTERVAL_US[interval]
                else:
                    assert edges[0][0] >= earliest

    def test_a_call_holds_no_key(self) -> None:
        source = REGISTRY[self.name](key="s3cr3t")
        for sample in self.samples:
            assert "s3cr3t" not in repr([*source.calls(sample.ask()), source])

    def test_its_answers_parse(self, source: RestSource, sample: Sample) -> None:
        call = self.call(source, sample)
        answer = sample.answer()
        assert error_of(answer, self.name, expects=call.expects) is None, sample.origin
        parsed = source.parse(call, answer)
        assert parsed.count == sample.count, (sample.origin, parsed.rejects[:3])
        assert_honest(parsed, call.ask, answer.fetched_us)
        if sample.check:
            sample.check(parsed)

    def test_parsing_is_repeatable(self, source: RestSource, sample: Sample) -> None:
        call = self.call(source, sample)
        first, second = (source.parse(call, sample.answer()) for _ in range(2))
        assert first.count == second.count
        if first.bars is not None and second.bars is not None:
            np.testing.assert_array_equal(first.bars.close, second.bars.close)

    def test_nothing_is_true_before_it_happened(self, source: RestSource, sample: Sample) -> None:
        """Asked at an earlier moment, an answer gives only what had closed by then."""
        call = self.call(source, sample)
        end, start = call.ask.end_us, call.ask.start_us
        moment = from_us(start + (end - start) // 2 + 7_000_000)
        answer = replace(sample.answer(), fetched_at=moment)
        parsed = survive(source, call, answer)
        if parsed is not None:
            assert_honest(parsed, call.ask, answer.fetched_us)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b"{}",
            b"[[]]",
            b"[null]",
            b'"x"',
            b"<html>",
            b"NaN",
            b'{"data":[{}]}',
            b"a,b\n",
            b"\xff\xfe",
        ],
        ids=repr,
    )
    def test_odd_bodies_are_errors_or_nothing(self, source: RestSource, sample: Sample, body: bytes) -> None:
        parsed = survive(source, self.call(source, sample), sample.answer(body))
        assert parsed is None or parsed.count == 0

    def test_cut_bodies_never_become_more_than_they_say(self, source: RestSource, sample: Sample) -> None:
        body = sample.body()
        call = self.call(source, sample)
        for at in np.linspace(0, len(body) - 2, 25).astype(int).tolist():
            parsed = survive(source, call, sample.answer(body[:at]))
            if parsed is not None:
                assert parsed.count <= sample.count
                assert_honest(parsed, call.ask, sample.answer(b"").fetched_us)

    def test_any_altered_value_is_refused_or_harmless(self, source: RestSource, sample: Sample) -> None:
        if sample.body().lstrip()[:1] not in (b"[", b"{"):
            pytest.skip("not JSON")
        call = self.call(source, sample)
        for body in altered(sample.body(), limit=250 if len(sample.body()) < 10_000 else 30):
            parsed = survive(source, call, sample.answer(body))
            if parsed is not None:
                assert_honest(parsed, call.ask, sample.answer(body).fetched_us)


def survive(source: RestSource, call: Call, answer: Answer) -> Parsed | None:
    """The parsed answer, or None when it was refused as the error tree says; anything else fails the test."""
    try:
        return source.parse(call, answer)
    except SourceError as error:
        assert len(str(error)) > 10
        return None


STRANGE = (None, "NaN", "inf", "", -1, 0, 1e300, "x", [], {}, True, 99_999_999_999_999)


def altered(body: bytes, *, limit: int) -> Iterator[bytes]:
    """The body with one value at a time replaced by something strange, over all places or a fixed sample of them."""
    value = orjson.loads(body)
    places = list(_places(value, ()))
    random.Random(5).shuffle(places)
    for number, path in enumerate(places[:limit]):
        for strange in (STRANGE[number % len(STRANGE)], STRANGE[(number * 7 + 3) % len(STRANGE)]):
            yield orjson.dumps(_put(value, path, strange))


def _places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield (*path, key)
        yield from _places(child, (*path, key))


def _put(value: Any, path: tuple[Any, ...], strange: Any) -> Any:
    if not path:
        return strange
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _put(value[path[0]], path[1:], strange)
    return copy


def rows_battery(
    source: RestSource, interval: str, write: Callable[[list[list[float]]], bytes], *, unit_us: int
) -> None:
    """The faults of rows, for sources that send candles: `write` puts [stamp, o, h, l, c, volume] rows in order."""
    step = INTERVAL_US[interval]
    start = NOW - 100 * step
    ask = Ask(Dataset.BARS, ("SYM",), start, NOW, NOW, interval)
    call = replace(source.calls(ask)[-1], ask=ask)
    clean = [[float((start + n * step) // unit_us), 10.0, 10.2, 9.8, 10.0 + n / 1000, 5.0] for n in range(100)]

    def parse(rows: list[list[float]], at: int = NOW + HOUR_US) -> Parsed:
        return source.parse(call, Answer("http://test/", 200, {}, write(rows), from_us(at)))

    good = parse(clean).bars
    assert good is not None
    assert len(good) == 100
    assert good.time_us[0] == start + step, "records carry the close"

    def same(rows: list[list[float]], missing: tuple[int, ...] = ()) -> Parsed:
        parsed = parse(rows)
        assert parsed.bars is not None
        keep = np.delete(np.arange(100), missing)
        np.testing.assert_array_equal(parsed.bars.time_us, good.time_us[keep])
        np.testing.assert_array_equal(parsed.bars.close, good.close[keep])
        return parsed

    shuffled = clean + clean[10:30]
    random.Random(1).shuffle(shuffled)
    same(shuffled)  # duplicated and shuffled rows
    two = [*clean, [clean[50][0], 10.0, 12.0, 9.0, 11.0, 5.0]]
    assert "contradicting rows for one bar" in {r.reason for r in same(two, (50,)).rejects}
    future = [*clean, [float((NOW + 48 * HOUR_US) // step * step // unit_us), 20.0, 20.0, 20.0, 20.0, 5.0]]
    assert "stamp lies in the future" in {r.reason for r in same(future).rejects}
    spike = [row if n != 40 else [row[0], row[1], 1000.0, row[3], 1000.0, row[5]] for n, row in enumerate(clean)]
    assert "price jumps by more than tenfold and back" in {r.reason for r in same(spike, (40,)).rejects}
    bad = [row if n != 7 else [row[0], row[1], row[2], row[3], -1.0, row[5]] for n, row in enumerate(clean)]
    assert "close is not a finite positive number" in {r.reason for r in same(bad, (7,)).rejects}
    torn = [row if n != 7 else [row[0], row[1], 9.9, row[3], row[4], row[5]] for n, row in enumerate(clean)]
    assert "high and low do not enclose open and close" in {r.reason for r in same(torn, (7,)).rejects}
    off = [row if n != 7 else [row[0] + step / unit_us / 3, *row[1:]] for n, row in enumerate(clean)]
    assert "stamp is off the interval's grid" in {r.reason for r in same(off, (7,)).rejects}
    same(clean[:30] + clean[33:], (30, 31, 32))  # absent rows are gaps, not filled
    early = parse(clean, at=NOW - step // 2)
    assert early.bars is not None
    assert (len(early.bars), early.open_rows) == (99, 1)
    other = [[row[0] / 1000 if unit_us == 1000 else row[0] * 1000, *row[1:]] for row in clean]
    with pytest.raises(SourceError, match="are not in the promised unit"):
        parse(other)
