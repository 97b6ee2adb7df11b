"""The last whole week or month of an index: levels, attribution, members, beta and drawdown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from indexer.engine.market import Status
from indexer.errors import InputError, NotEnoughDataError, NotFoundError, did_you_mean
from indexer.store.db import Store
from indexer.store.indices import read_index
from indexer.store.levels import read_levels
from indexer.store.rebalancings import read_constituents, read_rebalancings
from indexer.studies.attribution import AttributionStudy, study_attribution
from indexer.studies.beta import BENCHMARKS, index_beta
from indexer.studies.drawdowns import study_drawdowns
from indexer.studies.report import charts
from indexer.studies.report.blocks import (
    NOTHING,
    Block,
    Bullets,
    Cards,
    Document,
    Heading,
    Picture,
    Table,
    Text,
    day,
    moment,
    number,
    percent,
)
from indexer.studies.report.gather import Line
from indexer.studies.series import Series, index_series
from indexer.times import DAY_US, from_us, to_us

AGAINST = (*BENCHMARKS, "btc")
DEEPEST = 5


def period_of(period: str, newest_us: int) -> tuple[int, int]:
    """The last whole week (from Monday) or calendar month, both from 00:00 UTC, that ends at or before an instant."""
    newest = from_us(newest_us)
    midnight = datetime(newest.year, newest.month, newest.day, tzinfo=UTC)
    if period == "week":
        end = midnight - timedelta(days=midnight.weekday())
        return to_us(end - timedelta(days=7)), to_us(end)
    if period == "month":
        end = midnight.replace(day=1)
        return to_us((end - timedelta(days=1)).replace(day=1)), to_us(end)
    raise InputError(f'"{period}" is no period.{did_you_mean(period, PERIODS)} Use {" or ".join(PERIODS)}')


PERIODS = ("week", "month")


def period_document(
    store: Store, index_id: str, period: str, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Document:
    """The report on the last whole period of what the store knows.

    Raises NotFoundError for the index, InputError for the period, NotEnoughDataError where it has no two levels.
    """
    index, own = read_index(store, index_id), index_series(store, index_id)
    start_us, end_us = period_of(period, int(own.times_us[-1]))
    study = study_attribution(store, index_id, start_us=start_us, end_us=end_us)
    progress(1, 3)
    blocks: list[Block] = [Text("SIMULATED: prices of this index are invented.", "warn")] if index.simulated else []
    blocks += [*_levels(store, own, study), Heading("Who moved the index"), *_members(store, study)]
    progress(2, 3)
    blocks += [Heading("Relation to equities and BTC"), *_betas(store, index_id, own, end_us)]
    blocks += [Heading("Drawdown"), *_drawdowns(store, index_id, end_us), Heading("How it was made")]
    known = "all that is stored" if store.as_of_us is None else f"what was stored by {moment(store.as_of_us)}"
    origin = f"Index {index.id}, methodology {index.version}, hash {index.hash[:16]}."
    bounds = f"From {moment(start_us)} to {moment(end_us)}, by {known}. Percent are simple returns."
    blocks.append(Bullets((origin, bounds, *((f"{study.left_out}.",) if study.left_out else ()))))
    title = f"{index.name}, {period} to {day(end_us - DAY_US)}"
    return Document(title, f"{index.name} · {period}ly report", tuple(blocks))


def _levels(store: Store, own: Series, study: AttributionStudy) -> list[Block]:
    """What the index did: a sentence, cards, its line and a row a day."""
    inside = (own.times_us >= study.start_us) & (own.times_us <= study.end_us)
    times, values = own.times_us[inside], own.values[inside]
    if len(times) < 2:
        raise NotEnoughDataError(
            f"{own.name} has {len(times)} levels from {day(study.start_us)} to {day(study.end_us)}"
        )
    low, high = int(np.argmin(values)), int(np.argmax(values))
    ends = f"from {number(float(values[0]), 1)} to {number(float(values[-1]), 1)}"
    change, without = percent(study.published, 2), ""
    if study.impaired_steps:  # the levels of the sentence, and what the contributions below add up to
        without = f"{change} without the steps left out"
        change = percent(float(values[-1] / values[0]) - 1.0, 2)
    rows = read_levels(store, own.name, start_us=study.start_us, end_us=study.end_us + 1, step_us=DAY_US)
    changes = [None, *(rows.levels[1:] / rows.levels[:-1] - 1.0).tolist()]
    table = tuple(
        (day(at), number(level, 2), percent(change, 2), Status(status).name.lower())
        for at, level, change, status in zip(
            rows.times_us.tolist(), rows.levels.tolist(), changes, rows.status.tolist(), strict=True
        )
    )
    return [
        Text(f"{own.name} went {ends}, {change}.", "lead"),
        Cards(
            (
                ("change", change, without),
                ("high", number(float(values[high]), 1), moment(int(times[high]))),
                ("low", number(float(values[low]), 1), moment(int(times[low]))),
            )
        ),
        Heading("Levels"),
        Picture(charts.level_chart(Line(own.name, times, values)), f"Levels of {own.name}", height=260),
        Table(("00:00 UTC of", "level", "change", "status"), table),
    ]


def _members(store: Store, study: AttributionStudy) -> list[Block]:
    """Contributions, the weights at both ends, and the changes between them."""
    before, after = (_weights(store, study.index_id, at) for at in (study.start_us, study.end_us))
    rows = tuple(
        (
            row.symbol, row.sub_sector, percent(before.get(row.asset), sign=False),
            percent(after.get(row.asset), sign=False), percent(row.own_return), percent(row.contribution, 2),
        )
        for row in study.constituents
    )  # fmt: skip
    changes = read_rebalancings(store, study.index_id, start_us=study.start_us + 1, end_us=study.end_us + 1)
    words = [
        f"{row.kind} of {moment(to_us(row.effective_at))}: turnover {percent(row.turnover, sign=False)}"
        for row in changes
    ]
    return [
        Picture(
            charts.contribution_chart(study),
            "Contribution of each constituent to the index return of the period",
            height=30 + 22 * len(study.constituents),
        ),
        Table(("token", "sub-sector", "weight before", "weight after", "own return", "contribution"), rows),
        Table(("sub-sector", "contribution"), tuple((n, percent(v, 2)) for n, v in study.sub_sectors.items())),
        Text(
            "Contributions add up to the change, steps left out apart, by Cariño's factors; own returns: while held.",
            "note",
        ),
        Bullets(tuple(words) or ("No change of units in the period.",)),
    ]


def _weights(store: Store, index_id: str, at_us: int) -> dict[str, float | None]:
    return {row.asset: row.weight for row in read_constituents(store, index_id, at_us)}


def _betas(store: Store, index_id: str, own: Series, end_us: int) -> list[Block]:
    rows = []
    for name in AGAINST:
        try:
            beta = index_beta(store, index_id, name, end_us=end_us - 1, own=own)
        except (NotFoundError, NotEnoughDataError) as error:
            rows.append((name.upper(), NOTHING, NOTHING, NOTHING, NOTHING, str(error)))
            continue
        fit = beta.estimate
        band = f"{number(fit.ci_low)} … {number(fit.ci_high)}"
        rows.append(
            (
                beta.benchmark.upper(),
                number(fit.beta),
                number(fit.se),
                band,
                number(fit.r2),
                f"{fit.n} to {day(beta.last_us)}",
            )
        )
    note = (
        "Log returns between New York closes, least squares; the error is the larger of the OLS and the Newey-West one."
    )
    return [Table(("benchmark", "beta", "s.e.", "95 % interval", "R²", "sessions"), tuple(rows)), Text(note, "note")]


def _drawdowns(store: Store, index_id: str, end_us: int) -> list[Block]:
    study = study_drawdowns(store, index_id, end_us=end_us)
    deepest = sorted(study.episodes, key=lambda episode: episode.depth)[:DEEPEST]
    rows = tuple(
        (day(e.peak_us), day(e.trough_us), percent(e.depth), day(e.recovery_us) if e.recovery_us else "not yet")
        for e in deepest
    )
    return [
        Text(f"{index_id} stands {percent(study.now)} from its highest daily level."),
        Table(("peak", "trough", "depth", "regained"), rows),
        Text(
            f"The deepest pullbacks of {study.min_depth:.0%} or more since {day(study.first_us)}, daily levels.", "note"
        ),
    ]
