"""The shock itself in sections: each turns studies into sentences, a picture and a table.

Sentences follow the numbers: a difference is called one only where its test says so, with its error beside it.
"""

from __future__ import annotations

import math

from indexer.studies.events import Abnormal, MemberTests
from indexer.studies.report import charts
from indexer.studies.report.blocks import Block, Picture, Table, Text
from indexer.studies.report.gather import Gathered
from indexer.studies.report.words import NOTHING, moment, number, p_value, percent, span_of

SIGNIFICANT = 0.05


def headline(g: Gathered) -> str:
    """What happened in one sentence, from the day's abnormal return under both models."""
    qqq, both = day_of(g)
    moved = percent(g.attribution.published)
    if qqq.car is None or qqq.raw is None or both.car is None:
        return f"{g.index.name} moved {moved}; no model could be fitted to say how much of it was expected."
    return (
        f"{g.index.name} moved {moved} between the two closes; its beta of {number(qqq.betas[0])} to QQQ implied "
        f"{percent(math.expm1(qqq.raw - qqq.car))}. That the difference is more than chance {_agreement(qqq, both)} "
        f"({_tails(qqq, both)})."
    )


def aftermath(g: Gathered) -> str:
    """What the window about the event adds to the day."""
    qqq, both = window_of(g)
    span = span_of(g.study.first, g.study.last)
    if qqq.raw is None or qqq.car is None or both.car is None:
        return f"Over {span} there is no answer: {qqq.reason or both.reason}."
    return (
        f"Over the sessions {span} it moved {percent(math.expm1(qqq.raw))}, {percent(qqq.car)} in logs beyond QQQ; "
        f"that this is more than chance {_agreement(qqq, both)} ({_tails(qqq, both)})."
    )


def _tails(qqq: Abnormal, both: Abnormal) -> str:
    return (
        f"p = {p_value(qqq.p)} with QQQ, {p_value(both.p)} with QQQ and BTC; {p_value(qqq.p_bootstrap)} and "
        f"{p_value(both.p_bootstrap)} by bootstrap"
    )


def _agreement(qqq: Abnormal, both: Abnormal) -> str:
    """How many of the two models' t tests and bootstraps reject at 5 %, in words."""
    tails = [p for p in (qqq.p, both.p, qqq.p_bootstrap, both.p_bootstrap) if p is not None]
    sure = sum(p < SIGNIFICANT for p in tails)
    if sure == len(tails):
        return f"is what all {sure} tests say at 5 %"
    return "cannot be shown" if sure == 0 else f"rests on {sure} of {len(tails)} tests at 5 %: weak evidence"


def day_of(g: Gathered) -> tuple[Abnormal, Abnormal]:
    """The index over the event's own interval, under one and two factors."""
    return _models(g, (0, 0))


def window_of(g: Gathered) -> tuple[Abnormal, Abnormal]:
    """The index over the window asked for, under one and two factors."""
    return _models(g, (g.study.first, g.study.last))


def _models(g: Gathered, span: tuple[int, int]) -> tuple[Abnormal, Abnormal]:
    models = [row for row in g.study.indices if row.subject == g.index.id and (row.first, row.last) == span]
    return models[0], models[-1]


def facts(g: Gathered) -> tuple[tuple[str, str, str], ...]:
    """(label, number, what it means) of the cards at the top."""
    qqq, both = day_of(g)
    wide, _ = window_of(g)
    between = "close to close"
    return (
        (g.index.id, percent(g.attribution.published), between),
        *((name, percent(move), between) for name, move in list(g.closes.items())[:2]),
        ("abnormal, QQQ", percent(qqq.car), _error(qqq)),
        ("abnormal, QQQ + BTC", percent(both.car), _error(both)),
        (f"abnormal, {span_of(wide.first, wide.last)}, QQQ", percent(wide.car), _error(wide)),
    )


def around(g: Gathered) -> list[Block]:
    """The days about the event."""
    start, end = moment(g.study.interval_start_us), moment(g.study.interval_end_us)
    return [
        Text(
            f"Tokens trade through the weekend, equities do not. Every comparison here is therefore made over exactly "
            f"the interval between two New York closes, {start} to {end}, and the index is read at those instants."
        ),
        Picture(
            charts.around_chart(g.around, at_us=g.event.at_us),
            "Index and Bitcoin by the hour, QQQ and NVIDIA at their closes, 100 where the interval begins",
            height=330,
        ),
        Text(
            "100 = the close before the event's interval. Dashed: the event. Index and BTC by the hour; QQQ and NVDA "
            "known only at their closes (dots).",
            "note",
        ),
    ]


def abnormal(g: Gathered) -> list[Block]:
    """The event study of the indices."""
    one_factor, two_factors = g.paths
    width = span_of(g.study.first, g.study.last)
    wide, wide_two = window_of(g)
    betas = [number(value) if value is not None else NOTHING for value in (*wide.betas[:1], *wide_two.betas[:2])]
    fitted = (
        f": the index moves {betas[0]} times QQQ, or {betas[1]} times QQQ and {betas[2]} times BTC"
        if len(betas) == 3
        else ""
    )
    begin = number(float(two_factors.step[0]), 0)
    return [
        Text(
            f"The market model is fitted on {wide.n_estimation} sessions that end before the event{fitted}. "
            f"What is left is abnormal. {_significance(wide, wide_two, width)}"
        ),
        Picture(
            charts.path_chart(two_factors, one_factor),
            "Cumulated abnormal return of the index from five sessions before to twenty after, with a 95 % band",
        ),
        Text(
            f"Log returns cumulated from session {begin} on; 95 % band of the forecast, n = {wide_two.n_estimation}.",
            "note",
        ),
        _left_over(g, (0, 0), name="the day itself"),
        _left_over(g, (g.study.first, g.study.last), name=f"sessions {width}"),
        Text(
            f"Log returns at the close ± standard error, which includes the forecast's; n = {wide.n_estimation}. In "
            "brackets two-sided p: Student's t, then the block bootstrap, which keeps fat tails and serial dependence.",
            "note",
        ),
    ]


def members(g: Gathered) -> list[Block]:
    """The tokens of that day, each alone and all together."""
    block = g.study.members[-1]
    without = [f"{row.subject.upper()}: {row.reason}" for row in block.members if row.reason]
    note = (
        f"Log returns beyond {' and '.join(name.upper() for name in block.factors)} over "
        f"{span_of(g.study.first, g.study.last)}, 95 % intervals. Members that the index held when the interval began."
        + (f" Without an answer: {'; '.join(without)}." if without else "")
    )
    label = "Abnormal return of each member over the window with its 95 % interval"
    picture = Picture(charts.members_chart(block), label, height=36 + 24 * block.tests.n)
    return [Text(_together(g, block)), picture, Text(note, "note")]


def _together(g: Gathered, block: MemberTests) -> str:
    tests = block.tests
    if tests.kolari_pynnonen is None or tests.mean_correlation is None or tests.mean_car is None:
        return f"No test over the members: {tests.reason or 'their residuals have no common rows'}."
    sure = tests.p_kolari_pynnonen is not None and tests.p_kolari_pynnonen < SIGNIFICANT
    verdict = "a common move beyond QQQ and BTC" if sure else "no common move beyond QQQ and BTC can be shown"
    ranks = "" if block.rank_p is None else f" (Corrado's rank test: p = {p_value(block.rank_p)})"
    return (
        f"Over {span_of(g.study.first, g.study.last)} the mean abnormal return of {tests.n} members is "
        f"{percent(tests.mean_car)}. Taken as independent: BMP t = {number(tests.bmp)}, p {_equals(tests.p_bmp)}. They "
        f"share the day, and their residuals correlate at {number(tests.mean_correlation)}. "
        f"Corrected for that (Kolari-Pynnönen) t = {number(tests.kolari_pynnonen)}, p "
        f"{_equals(tests.p_kolari_pynnonen)}: {verdict}{ranks}."
    )


def contributions(g: Gathered) -> list[Block]:
    """Attribution of the interval."""
    study = g.attribution
    best = max(study.constituents, key=lambda row: row.contribution)
    worst = min(study.constituents, key=lambda row: row.contribution)
    sectors = tuple((name, percent(value, 2)) for name, value in study.sub_sectors.items())
    return [
        Text(
            f"Contributions add up to the index return of {percent(study.total, 2)}. The lowest is {worst.symbol} with "
            f"{percent(worst.contribution, 2)} (its own move {percent(worst.own_return)}), the highest {best.symbol} "
            f"with {percent(best.contribution, 2)} ({percent(best.own_return)})."
        ),
        Picture(
            charts.contribution_chart(study),
            "Contribution of each constituent to the index return of the interval",
            height=30 + 22 * len(study.constituents),
        ),
        Text(f"Simple returns over {study.steps} steps between the two closes, linked by Cariño's factors.", "note"),
        Table(("sub-sector", "contribution"), sectors),
    ]


def _significance(one_factor: Abnormal, two_factors: Abnormal, width: str) -> str:
    if one_factor.p is None or two_factors.p is None:
        return f"Over {width} there is no answer: {one_factor.reason or two_factors.reason}."
    values = f"{percent(one_factor.car)} against QQQ (p = {p_value(one_factor.p)})"
    values += f" and {percent(two_factors.car)} against QQQ and BTC (p = {p_value(two_factors.p)})"
    return f"Over {width} it is {values}; that it differs from zero {_agreement(one_factor, two_factors)}."


def _left_over(g: Gathered, span: tuple[int, int], *, name: str) -> Table:
    """What each model leaves of every index over one window."""
    by_subject: dict[str, list[Abnormal]] = {}
    for row in g.study.indices:
        if (row.first, row.last) == span:
            by_subject.setdefault(row.subject, []).append(row)
    rows = tuple(
        (subject, percent(models[0].raw), *(_left(model) for model in models)) for subject, models in by_subject.items()
    )
    strong = tuple(place for place, subject in enumerate(by_subject) if subject == g.index.id)
    return Table((name, "return", "beyond QQQ", "beyond QQQ + BTC"), rows, strong=strong)


def _left(row: Abnormal) -> str:
    if row.car is None or row.car_sd is None:
        return NOTHING
    tails = f"{p_value(row.p)}; {p_value(row.p_bootstrap)}"
    return f"{percent(row.car).removesuffix(' %')} ± {percent(row.car_sd, sign=False)} ({tails})"


def _error(row: Abnormal) -> str:
    if row.car is None:
        return row.reason or "no answer"
    return f"± {percent(row.car_sd, sign=False)}, p = {p_value(row.p)}, n = {row.n_estimation}"


def _equals(p: float | None) -> str:
    """`= 0.13` or `< 0.001`."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
