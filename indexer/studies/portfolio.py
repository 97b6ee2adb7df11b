"""Somebody's own holdings beside an index: value, overlap, what earned what, and betas with their errors.

The amounts of now are held through the whole window, at reference rates: a price that is missing is the last known
one, as indices carry it, and after a week there is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, I64, finite
from indexer.errors import NotEnoughDataError, did_you_mean
from indexer.files.holdings import Holding
from indexer.methodology.load import FLAGSHIP
from indexer.store.assets import read_assets
from indexer.store.db import Store
from indexer.store.rebalancings import read_constituents
from indexer.store.rows import ConstituentRow, StoredAsset
from indexer.studies.beta import DEFAULT_SESSIONS, benchmarks_of, past, windowed_beta
from indexer.studies.compare import BetaRow, beta_numbers
from indexer.studies.series import (
    FOREVER_US,
    Series,
    benchmark_series,
    index_series,
    last_known,
    make_frame,
    session_instants,
    token_series,
    values_at,
)
from indexer.times import HOUR_US, iso

LONGEST_CARRY_US = 168 * HOUR_US
HELD_THROUGH = "today's holdings, held through the window"
# TAO-USD, tao/usdt and $TAO mean TAO.
PAIR = re.compile(r"\$?(.+?)(?:[-/:_ ](?:USD[TC]?|EUR|PERP))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HeldToken:
    """One token of the holdings. `symbols` are its names there, `amount` is in units of `asset`, in USD the rest.

    `contribution` is its part of the portfolio's return over the window, `own_return` its own.
    """

    asset: str
    symbols: tuple[str, ...]
    amount: float
    price: float
    priced_at_us: int
    value: float
    weight: float
    index_weight: float
    contribution: float
    own_return: float


@dataclass(frozen=True, slots=True)
class UnpricedHolding:
    """What is held and in no figure here, and why."""

    symbol: str
    amount: float
    reason: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """Shares of value: `shared` is the sum of the smaller weight of each token.

    `in_index` is how much of the portfolio is in tokens of the index, `of_index` how much of the index in its tokens.
    """

    shared: float
    in_index: float
    of_index: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioBeta(BetaRow):
    """The portfolio's beta at closes to a benchmark or to the index itself."""

    benchmark: str


@dataclass(frozen=True, slots=True)
class PortfolioPoint:
    """The holdings' value in USD at a close, and the index's level there; None where one is not known."""

    time_us: int
    value: float | None
    level: float | None


@dataclass(frozen=True, slots=True)
class PortfolioStudy:
    """`value`, weights and overlap at `at_us`, in USD and fractions; all else over closes, as `title` says.

    These are from `start_us` to `end_us`. `total` and `index_return` are simple returns over them. `unpriced` is in no
    figure.
    """

    index_id: str
    title: str
    at_us: int
    value: float
    overlap: Overlap
    holdings: tuple[HeldToken, ...]
    unpriced: tuple[UnpricedHolding, ...]
    start_us: int
    end_us: int
    total: float
    index_return: float | None
    betas: tuple[PortfolioBeta, ...]
    path: tuple[PortfolioPoint, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Token:
    """A token that has a price: how much of it, under which names, its rates, and the last of them at the instant."""

    series: Series
    amount: float
    symbols: tuple[str, ...]
    price: float
    priced_at_us: int


def study_portfolio(
    store: Store,
    holdings: Sequence[Holding],
    *,
    index_id: str = FLAGSHIP,
    benchmarks: Sequence[str] = (),
    sessions: int | None = None,
    since_us: int | None = None,
    end_us: int | None = None,
) -> PortfolioStudy:
    """The holdings at the newest level of an index up to `end_us`, and over the sessions before it.

    The window is the last `sessions` (90 where nothing is said), or all since the holdings are as they are (`since`).
    Raises NotFoundError for an unknown index or benchmark, NotEnoughDataError where no token or too few closes have
    a price.
    """
    index = index_series(store, index_id)
    at_us = min(index.newest_us or 0, (past(end_us) or FOREVER_US) - 1)
    tokens, unpriced = _tokens(store, holdings, index_id=index_id, at_us=at_us)
    closes, prices, late = _priced(store, tokens, sessions, since_us=since_us, at_us=at_us)
    values, levels = prices @ np.array([token.amount for token in tokens]), values_at(index, closes)
    held = _held(tokens, prices[[0, -1]], read_constituents(store, index_id, at_us))
    own = Series("portfolio", "portfolio", closes, values, "value of the holdings")
    names, stand_in = benchmarks_of(store, benchmarks)
    others = [benchmark_series(store, name) for name in names]
    title = HELD_THROUGH if since_us is None or closes[0] < since_us else f"holdings as of {iso(since_us)}"
    return PortfolioStudy(
        index_id, title, at_us,
        value=sum(row.value for row in held),
        overlap=_overlap(held),
        holdings=tuple(sorted(held, key=lambda row: -row.value)),
        unpriced=tuple(unpriced),
        start_us=int(closes[0]),
        end_us=int(closes[-1]),
        total=float(values[-1] / values[0] - 1.0),
        index_return=finite(levels[-1] / levels[0] - 1.0),
        betas=tuple(_beta(store, own, other) for other in [*others, index]),
        path=tuple(map(PortfolioPoint, closes.tolist(), map(finite, values), map(finite, levels))),
        notes=tuple(note for note in (stand_in, late) if note),
    )  # fmt: skip


def _tokens(
    store: Store, holdings: Sequence[Holding], *, index_id: str, at_us: int
) -> tuple[list[_Token], list[UnpricedHolding]]:
    """The tokens that have a price, each once whatever it is called; and what has none, with the reason."""
    assets = read_assets(store)
    amounts: dict[str, list[tuple[Holding, float]]] = {}
    unpriced = []
    for holding in holdings:
        asset = _asset(assets, holding.symbol)
        if asset is None:
            names = [word for known in assets for word in (known.symbol, known.slug)]
            hint = did_you_mean(holding.symbol.upper(), names)
            reason = f"{holding.symbol} is no token that this store knows.{hint}"
            unpriced.append(UnpricedHolding(holding.symbol, holding.amount, reason))
            continue
        line = asset.line or asset.slug
        ratio = 1.0 if line == asset.slug else asset.line_ratio  # a predecessor's tokens in units of what it became
        amounts.setdefault(line, []).append((holding, holding.amount * ratio))
    tokens = []
    for slug, parts in amounts.items():
        try:
            series = token_series(store, slug, rules_of=index_id)
            price, age = (float(column[0]) for column in last_known(series, np.array([at_us])))
            if not age <= LONGEST_CARRY_US:
                last = f" after {iso(at_us - int(age))}" if np.isfinite(age) else ""
                raise NotEnoughDataError(f"{slug} has no reference rate{last} up to {iso(at_us)}")
        except NotEnoughDataError as error:
            unpriced += [UnpricedHolding(holding.symbol, holding.amount, str(error)) for holding, _ in parts]
            continue
        symbols = tuple(dict.fromkeys(holding.symbol for holding, _ in parts))
        amount = sum(amount for _, amount in parts)
        tokens.append(_Token(series, amount, symbols, price, at_us - int(age)))
    if not tokens:
        raise NotEnoughDataError(f"no price for any of it: {'; '.join(row.reason for row in unpriced)}")
    return tokens, unpriced


def _asset(assets: Sequence[StoredAsset], name: str) -> StoredAsset | None:
    """The asset of a symbol, a slug or a name, or of the pair it is quoted in."""
    match = PAIR.fullmatch(name.strip())
    words = (name.casefold(), match[1].casefold() if match else "")
    labels = ({asset.symbol.casefold(): asset for asset in assets}, {asset.slug.casefold(): asset for asset in assets},
              {asset.name.casefold(): asset for asset in assets})  # fmt: skip
    return next((label[word] for word in words for label in labels if word in label), None)


def _priced(
    store: Store, tokens: Sequence[_Token], sessions: int | None, *, since_us: int | None, at_us: int
) -> tuple[I64, F64, str]:
    """The window's closes (T,), each token's price there (T, N), and why the window begins later than it was asked for.

    It begins and ends at a close at which every token has a price; between them a row may have NaN.
    """
    until = session_instants(store)
    until = until[until <= at_us]
    closes = until[-(sessions or DEFAULT_SESSIONS) - 1 :]
    if sessions is None and since_us is not None:
        closes = until[until >= since_us]
    columns = [last_known(token.series, closes) for token in tokens]
    prices = np.column_stack([np.where(age <= LONGEST_CARRY_US, price, np.nan) for price, age in columns])
    known = np.flatnonzero(np.isfinite(prices).all(axis=1))
    if len(known) < 2:
        raise NotEnoughDataError(f"{len(known)} closes of the window have a price of every token; 2 are needed")
    late = f"the window begins at {iso(int(closes[known[0]]))}: before it a token has no price" if known[0] else ""
    span = slice(known[0], known[-1] + 1)
    return closes[span], prices[span], late


def _overlap(held: Sequence[HeldToken]) -> Overlap:
    return Overlap(
        sum(min(row.weight, row.index_weight) for row in held),
        sum(row.weight for row in held if row.index_weight),
        sum(row.index_weight for row in held),
    )


def _held(tokens: Sequence[_Token], ends: F64, members: Sequence[ConstituentRow]) -> list[HeldToken]:
    """The tokens with what each is worth and earned; `ends` (2, N) are the prices at both ends of the window."""
    start, end = ends
    weights = {row.asset: row.weight or 0.0 for row in members}
    values = np.array([token.amount * token.price for token in tokens])
    before = float(np.array([token.amount for token in tokens]) @ start)
    return [
        HeldToken(
            token.series.name, token.symbols, token.amount, token.price, token.priced_at_us,
            value=float(values[n]),
            weight=float(values[n] / values.sum()),
            index_weight=weights.get(token.series.name, 0.0),
            contribution=float(token.amount * (end[n] - start[n]) / before),
            own_return=float(end[n] / start[n] - 1.0),
        )
        for n, token in enumerate(tokens)
    ]  # fmt: skip


def _beta(store: Store, own: Series, other: Series) -> PortfolioBeta:
    try:
        fit = windowed_beta(make_frame(store, own, [other]), sessions=None)
    except NotEnoughDataError as error:
        return PortfolioBeta(benchmark=other.name, reason=str(error))
    return PortfolioBeta(benchmark=other.name, **beta_numbers(fit))
