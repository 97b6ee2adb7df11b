"""Supply rules as data: which networks count, what is escrowed, who is excluded since when and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from onchain.errors import ChainConfigError
from onchain.strict_toml import Day, Number, Text, Whole, one_of, parse_toml, read_table, refuse

if TYPE_CHECKING:
    from onchain.rpc.pin import Pin

ROLES = ("home", "mint", "rollup", "bridged", "legacy", "check")
COUNTED = ("home", "mint", "rollup")
BURN_ADDRESS = "0x000000000000000000000000000000000000dEaD"
COMPLETE = "complete"
GRADES = (COMPLETE, "partial", "schedule", "unverified")
COMPONENTS = ("burnt", "treasury", "staked", "locked", "lost", "vesting", "unclaimed")
Decimals = Annotated[Whole, Field(ge=0, le=36)]

ON_CHAIN, REPORTED, MISSING = "on_chain", "reported", "missing"


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


@dataclass(frozen=True, slots=True)
class Escrow:
    """Coins held on `chain` because they live on another counted or bridged network."""

    chain: Text
    holder: Text
    source: Text


@dataclass(frozen=True, slots=True)
class Leg:
    """One network of a token.

    role: home (counted) · mint (burn-and-mint, counted) · rollup (what exceeds the escrow is counted) ·
    bridged (lock-and-mint, only checked against its escrow) · legacy (old contract, its unmigrated rest is
    counted: supply minus escrow) · check (another counter of the same coins, only compared).
    """

    chain: Text
    asset: Text
    decimals: Decimals
    role: Annotated[str, one_of(ROLES)] = "home"
    what: str = "supply"
    escrow: tuple[Escrow, ...] = ()
    ratio: Annotated[Number, Field(gt=0)] = 1.0  # successor tokens per legacy token
    note: str = ""

    def read(self) -> Read:
        return Read(self.chain, self.what, self.asset, self.decimals)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Coins that are not free float, while `valid_from` ≤ day < `valid_to`. `component` says why they are not."""

    component: Annotated[str, one_of(COMPONENTS)]
    chain: Text
    asset: Text
    decimals: Decimals
    reason: Text
    source: Text
    valid_from: Day
    valid_to: Day | None = None
    what: str = "balance"
    holder: str = ""

    def read(self) -> Read:
        return Read(self.chain, self.what, self.asset, self.decimals, self.holder)

    def holds_at(self, instant: int) -> bool:
        day = datetime.fromtimestamp(instant, UTC).date()
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True, slots=True)
class Tranche:
    """A vesting schedule: `amount` whole tokens, released linearly from `start` to `end` (or in `steps`).

    `holder` names the contract that keeps the tranche, if it is known; then its balance is read.
    """

    name: Text
    amount: Whole
    start: Day
    end: Day
    source: Text
    steps: Annotated[Whole, Field(ge=0)] = 0
    holder: str = ""

    def locked(self, instant: int) -> float:
        """Share still locked at `instant` (epoch seconds), 1 before the start, 0 from the end on."""
        start, end = _midnight(self.start), _midnight(self.end)
        if instant < start:
            return 1.0
        if instant >= end:
            return 0.0
        passed = (instant - start) / (end - start)
        return 1.0 - (int(passed * self.steps) / self.steps if self.steps else passed)


@dataclass(frozen=True, slots=True)
class Usage:
    """A figure of the network's use that its chain states: the metric's name, what is read for it, and the source."""

    metric: Text
    chain: Text
    what: Text
    source: Text
    asset: Text = "native"
    decimals: Decimals = 0
    holder: str = ""

    def read(self) -> Read:
        return Read(self.chain, self.what, self.asset, self.decimals, self.holder)


@dataclass(frozen=True, slots=True)
class EventSum:
    """A figure of a day that a contract's logs state: how many of `event` there were, or the sum of a `word` (32 bytes)
    of their data, less those of the event `less`. Events are written `Name(type,…)`."""

    metric: Text
    chain: Text
    address: Text
    event: Text
    source: Text
    less: str = ""
    word: Annotated[Whole, Field(ge=0)] | None = None
    decimals: Decimals = 0

    def read(self) -> Read:
        return Read(self.chain, self.event, self.address, self.decimals, self.metric)


def _in_usd(pair: str) -> str:
    if not pair.endswith(" / USD"):
        raise ValueError(f'"{pair}" does not price in USD; a feed must')
    return pair


@dataclass(frozen=True, slots=True)
class Feed:
    """A Chainlink feed that prices the token: `pair` is what it must say of itself, e.g. "GRT / USD"."""

    chain: Text
    address: Text
    pair: Annotated[Text, AfterValidator(_in_usd)]
    heartbeat_s: Annotated[Whole, Field(gt=0)]
    source: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """The supply rule of one token. `fixed` or `reported_reason` where no network can be asked.

    `grade`: how far a free float by this rule can be trusted. complete: every holder that is known not to be free is
    excluded · partial: some are not (`gaps`) · schedule: unlocks by a published schedule, not what was given out ·
    unverified: no endpoint is known to answer it. Only a complete float goes before a provider's figure.
    """

    symbol: Text
    name: Text
    decimals: Decimals
    grade: Annotated[str, one_of(GRADES)] = "unverified"
    legs: tuple[Leg, ...] = ()
    exclude: tuple[Exclusion, ...] = ()
    vesting: tuple[Tranche, ...] = ()
    maximum: Whole | None = None  # whole tokens
    fixed: Whole | None = None  # whole tokens, by protocol
    reported_reason: str = ""
    gaps: tuple[str, ...] = ()  # what the rule knowingly does not cover
    feeds: tuple[Feed, ...] = ()
    usage: tuple[Usage, ...] = ()
    events: tuple[EventSum, ...] = ()

    @property
    def scale(self) -> int:
        """The decimals in which every network's amounts are whole."""
        return max([self.decimals, *(leg.decimals for leg in self.legs)])


def load_tokens(*, text: str | None = None) -> dict[str, Token]:
    """All supply rules by symbol. Raises ChainConfigError with every problem, each with its token and key."""
    raw = parse_toml(text if text is not None else _shipped(), source="tokens.toml", error=ChainConfigError)
    problems: list[str] = []
    tokens = {symbol: _token(symbol, table, problems) for symbol, table in raw.items()}
    refuse(problems, source="tokens.toml", error=ChainConfigError)
    return {symbol: token for symbol, token in tokens.items() if token is not None}


def rules_of(symbols: Sequence[str] | None, tokens: Mapping[str, Token] | None = None) -> list[Token]:
    """The rules of these symbols among `tokens` (the shipped ones), or all. Raises ChainConfigError for one unknown."""
    known = load_tokens() if tokens is None else tokens
    for symbol in symbols or ():
        if symbol not in known:
            raise ChainConfigError(f'no supply rule for "{symbol}"; known: {", ".join(sorted(known))}')
    return [known[symbol] for symbol in (known if symbols is None else symbols)]


def _shipped() -> str:
    return resources.files("onchain").joinpath("tokens.toml").read_text(encoding="utf-8")


def _token(symbol: str, table: Mapping[str, Any], problems: list[str]) -> Token | None:
    home = {leg.get("chain"): leg for leg in reversed(_entries(table, "legs"))}
    exclude = []
    for n, rule in enumerate(_entries(table, "exclude"), 1):
        leg = home.get(rule.get("chain"))
        if leg is None:
            problems.append(f'{symbol}.exclude[{n}].chain: there is no leg on "{rule.get("chain")}"; add it to legs')
        else:  # an exclusion is of its chain's leg unless it says otherwise
            exclude.append({key: leg[key] for key in ("asset", "decimals") if key in leg} | rule)
    filled = {"symbol": symbol} | ({"exclude": exclude} if exclude else {})
    token = read_table(Token, {**table, **filled}, problems, at=symbol)
    if token is None:
        return None
    if not token.legs and token.fixed is None and not token.reported_reason:
        problems.append(f"{symbol}: give legs, fixed, or the reason why it is only reported")
    burnt = (_burnt(leg) for leg in token.legs if leg.role in COUNTED and leg.asset.startswith("0x"))
    return replace(token, exclude=(*token.exclude, *burnt))


def _entries(table: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The entries of an array of tables; none where something else stands there, which `read_table` then says."""
    entries = table.get(key)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _burnt(leg: Leg) -> Exclusion:
    why = "burn address that nobody can spend from"
    return Exclusion(
        "burnt", leg.chain, leg.asset, leg.decimals, why, "convention", date(1970, 1, 1), holder=BURN_ADDRESS
    )


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
