"""What a source is: capabilities and requests as data (`sources.toml`), `fetch` → bytes, `parse` → records.

A new source is a table, a class with its parser, a line in `registry.py` and a subclass of the shared test battery.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated, Any, ClassVar, Final, Protocol

import orjson

from indexer.errors import ConfigError, InputError, SourceLimited
from indexer.sources.http import Answer, Expects, HttpClient
from indexer.sources.records import (
    Bars,
    BenchmarkBars,
    Instrument,
    Liquidations,
    Quote,
    Reject,
    Series,
    SupplyObservation,
)
from indexer.times import HOUR_US, INTERVAL_US, from_us, iso
from onchain.strict_toml import one_of, parse_toml, read_tables, refuse


class Dataset(StrEnum):
    """The kinds of data a source can give."""

    BARS = "bars"
    QUOTES = "quotes"
    INSTRUMENTS = "instruments"
    SUPPLY = "supply"
    BENCHMARK = "benchmark"
    FUNDING = "funding"
    OPEN_INTEREST = "open_interest"
    LIQUIDATIONS = "liquidations"
    SENTIMENT = "sentiment"
    USAGE = "usage"


class Kind(StrEnum):
    """What a source is. Aggregators contain the venues, so they never make a rate beside them."""

    VENUE = "venue"
    AGGREGATOR = "aggregator"
    MARKET = "market"  # equities, futures, macro
    DERIVATIVES = "derivatives"
    SENTIMENT = "sentiment"


class Licence(StrEnum):
    """What may be done with the data, as the provider states it. Not legal advice."""

    COMMERCIAL_OK = "commercial-ok"
    NON_COMMERCIAL = "non-commercial"
    DISPLAY_ONLY = "display-only"


class Stamp(StrEnum):
    """What the source's own time stamp means. Records always carry the close."""

    BAR_OPEN = "bar_open"
    BAR_CLOSE = "bar_close"
    INSTANT = "instant"


@dataclass(frozen=True, slots=True)
class History:
    """Limits of one interval: rows a call, and how far back it reaches (None means without a known end).

    `depth_rows` counts bars back from now (Kraken serves the last 720); `depth_days` counts days. Of the newest
    `newest` bars a call may have `newest_rows` (OKX: 300 instead of 100).
    """

    max_rows: int
    depth_days: int | None = None
    depth_rows: int | None = None
    newest: int = 0
    newest_rows: int = 0

    def earliest_us(self, interval: str, now_us: int) -> int | None:
        """The first bar close this can give when asked now, or None when there is no limit."""
        steps = []
        if self.depth_days is not None:
            steps.append(self.depth_days * INTERVAL_US["1d"])
        if self.depth_rows is not None:
            steps.append(self.depth_rows * INTERVAL_US[interval])
        return now_us - min(steps) if steps else None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Everything others may know of a source without asking it. The battery checks that it is true.

    `history` by interval holds for BARS and BENCHMARK; `fixing` says whether it may enter a reference rate.
    `key_setting` is the setting that holds its key; `key_adds` what the key brings; `loses` what the index
    lacks without this source. `requests` by dataset say how it is asked.
    """

    name: str
    title: str
    kind: Kind
    base_url: str
    datasets: frozenset[Dataset]
    stamp: Stamp
    licence: Licence
    fixing: bool = field(default=False, kw_only=True)
    docs: str
    loses: str
    history: Mapping[str, History] = field(default_factory=dict)
    limit: str = ""
    opt_in: bool = False
    extra: str = ""
    key_setting: str = ""
    key_adds: str = ""
    notes: str = ""
    requests: Mapping[str, Request] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is wanted: bars closing in (start_us, end_us] of the symbols, as the provider spells them.

    `quote` is the currency the symbol is quoted in; `contract_size` the base units of one futures contract;
    `now_us` the instant of planning, by which depth limits are counted.
    """

    dataset: Dataset
    symbols: tuple[str, ...]
    start_us: int
    end_us: int
    now_us: int
    interval: str = "1h"
    quote: str = "USD"
    contract_size: float = float("nan")

    @property
    def rows(self) -> int:
        """How many bars the ask's range holds at most."""
        return max(0, (self.end_us - self.start_us) // INTERVAL_US[self.interval])

    @property
    def symbol(self) -> str:
        """The only symbol. Raises InputError when several were asked for at once."""
        if len(self.symbols) != 1:
            raise InputError(f"{self.dataset} takes one symbol at a time, not {len(self.symbols)}")
        return self.symbols[0]


@dataclass(frozen=True, slots=True)
class Request:
    """How one dataset is asked for; `path` and `params` have places for what is asked (`_Places`).

    `split` is what a call holds: the rows that the source gives at once, `most` hours, `most` symbols, or all (none).
    `only` is the pattern of the symbols it has; `names` and `intervals` are its words for symbols and intervals. A
    parameter that comes out empty is left out.
    """

    path: str
    params: dict[str, str] = field(default_factory=dict)
    split: Annotated[str, one_of(("rows", "hours", "symbols", "none"))] = "rows"
    most: int = 1
    cost: float = 1.0
    expects: Expects = Expects.JSON
    only: str = ".*"
    names: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, str] = field(default_factory=dict)

    def parts(self, ask: Ask, history: History | None) -> list[Ask]:
        """What each call is to cover, oldest first; nothing for symbols or intervals that the source does not have."""
        if not all(re.fullmatch(self.only, symbol) for symbol in ask.symbols):
            return []
        if self.split == "none":
            return [ask]
        if self.split == "symbols":
            first = range(0, len(ask.symbols), self.most)
            return [replace(ask, symbols=ask.symbols[at : at + self.most]) for at in first]
        if self.split == "hours":
            return _pages(ask, ask.start_us, min(ask.end_us, ask.now_us), self.most * HOUR_US)
        return windows(ask, history) if history else []


@cache
def _shipped() -> dict[str, Capabilities]:
    text = resources.files("indexer.sources").joinpath("sources.toml").read_text(encoding="utf-8")
    problems: list[str] = []
    tables = parse_toml(text, source="sources.toml", error=ConfigError)
    entries = [{"name": name, **table} for name, table in tables.items()]
    records = read_tables(Capabilities, entries, problems, word="source", name="name")
    refuse(problems, source="sources.toml", error=ConfigError)
    return {about.name: about for about in records}


class _Instant(int):
    """An instant (us) as `{start:ms+1}` writes it: in seconds (s) or milliseconds (ms), as ISO text (iso) or its day
    (date), so many of these later or earlier."""

    def __format__(self, form: str) -> str:
        unit, _, shift = re.split(r"((?=[+-])|$)", form, maxsplit=1)
        if unit == "iso":
            return iso(self)
        if unit == "date":
            return (from_us(self) + timedelta(days=int(shift or 0))).date().isoformat()
        return str(int(self) // {"s": 1_000_000, "ms": 1000}[unit] + int(shift or 0))


@dataclass(frozen=True, slots=True)
class _Places:
    """What the places of a request stand for: start and end, the first close and the last open between them, …"""

    source: RestSource
    request: Request
    ask: Ask

    def __getitem__(self, place: str) -> object:
        ask, step = self.ask, INTERVAL_US[self.ask.interval]
        instants = {
            "start": ask.start_us, "end": ask.end_us, "first": ask.start_us + step, "last": ask.end_us - step,
        }  # fmt: skip
        if place in instants:
            return _Instant(instants[place])
        if place == "symbol":
            return self.request.names.get(ask.symbol, ask.symbol)
        if place == "interval":
            return self.request.intervals.get(ask.interval, ask.interval)
        several = {"symbols": ",".join(ask.symbols), "list": orjson.dumps(ask.symbols).decode()}
        return several[place] if place in several else self.source.place(place, ask)


@dataclass(frozen=True, slots=True)
class Mapped:
    """One asset as one source knows it: `symbol` is the source's identifier, `quote` what it is priced in."""

    asset: str
    source: str
    symbol: str
    quote: str = "USD"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, planned: where, with what, and for which part of the ask. Holds no key."""

    source: str
    path: str
    params: Mapping[str, str]
    ask: Ask
    cost: float = 1.0
    expects: Expects = Expects.JSON


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """What an answer held. `open_rows` counts bars left out because they had not closed yet."""

    bars: Bars | None = None
    benchmark: BenchmarkBars | None = None
    quotes: tuple[Quote, ...] = ()
    instruments: tuple[Instrument, ...] = ()
    supplies: tuple[SupplyObservation, ...] = ()
    series: tuple[Series, ...] = ()
    liquidations: Liquidations | None = None
    rejects: tuple[Reject, ...] = ()
    open_rows: int = 0

    @property
    def count(self) -> int:
        """How many records of any kind the answer gave."""
        columns = (self.bars, self.benchmark, self.liquidations, *self.series)
        singles = (self.quotes, self.supplies, self.instruments)
        return sum(len(part) for part in (*columns, *singles) if part is not None)


class Answering(Protocol):
    """What can be asked. `parse` is pure: the same bytes give the same records, today and in a replay."""

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        """The requests that cover the ask, within the source's limits. Empty when none can."""
        ...

    async def fetch(self, call: Call, http: HttpClient) -> Answer:
        """The answer to one planned call. Raises SourceUnavailable, SourceRefused or SourceCorrupt."""
        ...

    def parse(self, call: Call, answer: Answer) -> Parsed:
        """The records in an answer. Raises SourceCorrupt or SourceRefused when the body is an error."""
        ...


class Source(Answering, Protocol):
    """One upstream, with what others may know of it without asking."""

    @property
    def capabilities(self) -> Capabilities: ...


@dataclass(frozen=True)
class RestSource(ABC):
    """Shared by all sources over plain HTTP. `base_url` replaces the provider's (a mirror, a test server)."""

    base_url: str = ""
    key: str = field(default="", repr=False)

    about: ClassVar[Capabilities]

    def __init_subclass__(cls, *, name: str = "", **options: Any) -> None:
        """A source by its table in `sources.toml`."""
        super().__init_subclass__(**options)
        if name:
            cls.about = _shipped()[name]

    @property
    def capabilities(self) -> Capabilities:
        return self.about

    @property
    def limit(self) -> str:
        """The name of the bucket and breaker used; a key may change it."""
        return self.about.limit or self.about.name

    def request(self, ask: Ask) -> Request | None:
        """How this is asked for; None where it is not."""
        return self.about.requests.get(ask.dataset)

    def place(self, name: str, ask: Ask) -> object:
        """What a place of its own in a request stands for."""
        raise KeyError(name)

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        """One call for each part of the ask, oldest first, each within the source's limits; () when none can."""
        request = self.request(ask)
        return tuple(map(self._call, request.parts(ask, self.about.history.get(ask.interval)))) if request else ()

    def _call(self, ask: Ask) -> Call:
        request = self.request(ask)
        assert request is not None  # of the whole ask there is one
        places = _Places(self, request, ask)
        params = {name: text.format_map(places) for name, text in request.params.items()}
        filled = {name: text for name, text in params.items() if text}
        return Call(self.about.name, request.path.format_map(places), filled, ask, request.cost, request.expects)

    @abstractmethod
    def parse(self, call: Call, answer: Answer) -> Parsed: ...

    def headers(self) -> dict[str, str]:
        """Extra request headers, the key among them where the source takes one."""
        return {}

    async def fetch(self, call: Call, http: HttpClient) -> Answer:
        return await http.get(
            (self.base_url or self.about.base_url) + call.path,
            name=self.limit,
            params=call.params,
            headers=self.headers(),
            expects=call.expects,
            cost=call.cost,
        )


def windows(ask: Ask, history: History) -> list[Ask]:
    """The ask cut to what a source can give at once: by depth (counted from now) and by rows a call.

    Window edges lie on the interval's grid, so that no bar is asked for twice or missed. Pure.
    """
    step = INTERVAL_US[ask.interval]
    start = ask.start_us // step * step
    end = -(-min(ask.end_us, ask.now_us) // step) * step
    earliest = history.earliest_us(ask.interval, ask.now_us)
    if earliest is not None:
        start = max(start, -(-earliest // step) * step)
    edge = max(start, ask.now_us // step * step - history.newest * step) if history.newest else end
    older = _pages(ask, start, min(edge, end), history.max_rows * step)
    return older + _pages(ask, edge, end, history.newest_rows * step)


def _pages(ask: Ask, start_us: int, end_us: int, span_us: int) -> list[Ask]:
    starts = range(start_us, end_us, span_us or 1)
    return [replace(ask, start_us=at, end_us=min(at + span_us, end_us)) for at in starts]


def contract_key(symbol: str) -> str:
    """The identifier in the form in which equal ones are equal: hexadecimal addresses without case.

    Base58 addresses (Solana) and provider ids keep theirs, because there case tells addresses apart.
    """
    chain, colon, address = symbol.rpartition(":")
    if address[:2].lower() == "0x":
        return f"{chain.lower()}{colon}{address.lower()}"
    return symbol


def same_contract(one: str, other: str) -> bool:
    """Whether two identifiers name the same contract."""
    return contract_key(one) == contract_key(other)


def limit_of(source: Answering, name: str) -> str:
    """The name of the rate limit that a source of this name is asked within."""
    return source.limit if isinstance(source, RestSource) else name


LIMIT_ATTEMPTS: Final = 3


async def ask_once(source: Answering, call: Call, http: HttpClient) -> tuple[Answer, Parsed]:
    """The answer to a planned call and its records; a rate limit written inside the answer is waited for.

    Raises SourceUnavailable, SourceRefused or SourceCorrupt.
    """
    for attempt in range(1, LIMIT_ATTEMPTS + 1):
        answer = await source.fetch(call, http)
        try:
            return answer, source.parse(call, answer)
        except SourceLimited as error:
            http.limited(limit_of(source, call.source), error)
            if attempt == LIMIT_ATTEMPTS:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")
