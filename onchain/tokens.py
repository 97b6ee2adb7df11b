"""Supply rules as data: which ledgers count, what is escrowed, who is excluded since when and why.

Place in the flow: reads tokens.toml; `supply` turns a rule and its readings into numbers.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from importlib import resources
from typing import Any, TypeVar

from onchain.errors import ChainConfigError
from onchain.readings import Read

T = TypeVar("T")
ROLES = ("home", "mint", "rollup", "bridged", "legacy", "check")
COUNTED = ("home", "mint", "rollup")
BURN_ADDRESS = "0x000000000000000000000000000000000000dEaD"
COMPONENTS = ("burnt", "treasury", "staked", "locked", "lost", "vesting", "unclaimed")


@dataclass(frozen=True, slots=True)
class Escrow:
    """Coins held on `chain` because they live on another counted or bridged ledger."""

    chain: str
    holder: str
    source: str


@dataclass(frozen=True, slots=True)
class Leg:
    """One ledger of a token.

    role: home (counted) · mint (burn-and-mint, counted) · rollup (what exceeds the escrow is counted) ·
    bridged (lock-and-mint, only checked against its escrow) · legacy (old contract, its unmigrated rest is
    counted: supply minus escrow) · check (another counter of the same coins, only compared).
    """

    chain: str
    asset: str
    decimals: int
    role: str = "home"
    what: str = "supply"
    escrow: tuple[Escrow, ...] = ()
    ratio: float = 1.0  # successor tokens per legacy token
    note: str = ""

    def read(self) -> Read:
        return Read(self.chain, self.what, self.asset, self.decimals)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Coins that are not free float, while `valid_from` ≤ day < `valid_to`. `component` says why they are not."""

    component: str
    chain: str
    asset: str
    decimals: int
    reason: str
    source: str
    valid_from: date
    valid_to: date | None = None
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

    name: str
    amount: int
    start: date
    end: date
    source: str
    steps: int = 0
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
class Feed:
    """A Chainlink feed that prices the token: `pair` is what it must say of itself, e.g. "GRT / USD"."""

    chain: str
    address: str
    pair: str
    heartbeat_s: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """The supply rule of one token. `fixed` or `reported_reason` where no ledger can be asked."""

    symbol: str
    name: str
    decimals: int
    legs: tuple[Leg, ...] = ()
    exclude: tuple[Exclusion, ...] = ()
    vesting: tuple[Tranche, ...] = ()
    maximum: int | None = None  # whole tokens
    fixed: int | None = None  # whole tokens, by protocol
    reported_reason: str = ""
    gaps: tuple[str, ...] = ()  # what the rule knowingly does not cover
    feeds: tuple[Feed, ...] = ()


def load_tokens(*, text: str | None = None) -> dict[str, Token]:
    """All supply rules by symbol. Raises ChainConfigError naming the token and the wrong key."""
    raw = tomllib.loads(text if text is not None else _shipped())
    return {symbol: _token(symbol, table) for symbol, table in raw.items()}


def _shipped() -> str:
    return resources.files("onchain").joinpath("tokens.toml").read_text(encoding="utf-8")


def _token(symbol: str, table: dict[str, Any]) -> Token:
    given = dict(table)
    legs = tuple(_leg(symbol, item) for item in given.pop("legs", []))
    home = {leg.chain: leg for leg in reversed(legs)}
    exclude = tuple(_exclusion(symbol, item, home) for item in given.pop("exclude", []))
    exclude += tuple(_burnt(leg) for leg in legs if leg.role in COUNTED and leg.asset.startswith("0x"))
    vesting = tuple(_make(Tranche, item, f"{symbol}.vesting") for item in given.pop("vesting", []))
    given["gaps"] = tuple(given.get("gaps", ()))
    given["feeds"] = tuple(_feed(symbol, item) for item in given.get("feeds", ()))
    token = _make(Token, {"symbol": symbol, "legs": legs, "exclude": exclude, "vesting": vesting, **given}, symbol)
    if not token.legs and token.fixed is None and not token.reported_reason:
        raise ChainConfigError(f"tokens.toml [{symbol}]: give legs, fixed, or the reason why it is only reported")
    return token


def _leg(symbol: str, item: dict[str, Any]) -> Leg:
    given = dict(item)
    given["escrow"] = tuple(_make(Escrow, e, f"{symbol}.legs.escrow") for e in given.pop("escrow", []))
    leg = _make(Leg, given, f"{symbol}.legs")
    if leg.role not in ROLES:
        raise ChainConfigError(f"tokens.toml [{symbol}]: role {leg.role!r} is none of {', '.join(ROLES)}")
    return leg


def _feed(symbol: str, item: dict[str, Any]) -> Feed:
    feed = _make(Feed, item, f"{symbol}.feeds")
    if not feed.pair.endswith(" / USD"):
        raise ChainConfigError(f'tokens.toml [{symbol}]: a feed must price in USD, "{feed.pair}" does not')
    return feed


def _exclusion(symbol: str, item: dict[str, Any], home: Mapping[str, Leg]) -> Exclusion:
    leg = home.get(item.get("chain", ""))
    if leg is None:
        raise ChainConfigError(f"tokens.toml [{symbol}]: an exclusion names a chain without a leg")
    made = _make(Exclusion, {"asset": leg.asset, "decimals": leg.decimals, **item}, f"{symbol}.exclude")
    if made.component not in COMPONENTS:
        raise ChainConfigError(f"tokens.toml [{symbol}]: component {made.component!r} is none of {COMPONENTS}")
    return made


def _burnt(leg: Leg) -> Exclusion:
    why = "burn address that nobody can spend from"
    return Exclusion(
        "burnt", leg.chain, leg.asset, leg.decimals, why, "convention", date(1970, 1, 1), holder=BURN_ADDRESS
    )


def _make(kind: type[T], given: dict[str, Any], where: str) -> T:
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]  # all kinds here are dataclasses
    unknown = sorted(set(given) - known)
    if unknown:
        raise ChainConfigError(f"tokens.toml [{where}]: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    try:
        return kind(**given)
    except TypeError as error:
        raise ChainConfigError(f"tokens.toml [{where}]: {error}") from None


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
