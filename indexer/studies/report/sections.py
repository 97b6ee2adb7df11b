"""The shock itself in sections: each turns studies into sentences, a picture and a table.

Sentences follow the numbers: a difference is called one only where its test says so, with its error beside it.
"""

from __future__ import annotations

import math

from indexer.studies.events import Abnormal, MemberTests
from indexer.studies.report import charts
from indexer.studies.report.blocks import paragraph, table
from indexer.studies.report.charts import figure
from indexer.studies.report.gather import Gathered
from indexer.studies.report.words import moment, number, p_value, percent, span_of

SIGNIFICANT = 0.05


def headline(g: Gathered) -> str:
    """What happened in one sentence, from the day's abnormal return under both models."""
    one, two = day_of(g)
    moved = percent(g.attribution.published)
    if one.car is None or one.raw is None or two.car is None:
        return f"{g.index.name} moved {moved}; no model could be fitted to say how much of it was expected."
    return (
        f"{g.index.name} moved {moved} between the two closes; its beta of {number(one.betas[0])} to QQQ implied "
        f"{percent(math.expm1(one.raw - one.car))}. That the difference is more than chance {_agreement(one, two)} "
        f"({_tails(one, two)})."
    )


def aftermath(g: Gathered) -> str:
    """What the window about the event adds to the day."""
    one, two = window_of(g)
    span = span_of(g.study.first, g.study.last)
    if one.raw is None or one.car is None or two.car is None:
        return f"Over {span} there is no answer: {one.reason or two.reason}."
    return (
        f"Over the sessions {span} it moved {percent(math.expm1(one.raw))}, {percent(one.car)} in logs beyond QQQ; "
        f"that this is more than chance {_agreement(one, two)} ({_tails(one, two)})."
    )


def _tails(one: Abnormal, two: Abnormal) -> str:
    return (
        f"p = {p_value(one.p)} with QQQ, {p_value(two.p)} with QQQ and BTC; {p_value(one.p_bootstrap)} and "
        f"{p_value(two.p_bootstrap)} by bootstrap"
    )


def _agreement(one: Abnormal, two: Abnormal) -> str:
    """How many of the two models' t tests and bootstraps reject at 5 %, in words."""
    tails = [p for p in (one.p, two.p, one.p_bootstrap, two.p_bootstrap) if p is not None]
    sure = sum(p < SIGNIFICANT for p in tails)
    if sure == len(tails):
        return f"is what all {sure} tests say at 5 %"
    return "cannot be shown" if sure == 0 else f"rests on {sure} of {len(tails)} tests at 5 %: weak evidence"


def day_of(g: Gathered) -> tuple[Abnormal, Abnormal]:
    """The index over the event's own interval, under one and two factors."""
    mine = [one for one in g.study.indices if one.subject == g.index.id and (one.first, one.last) == (0, 0)]
    return mine[0], mine[-1]


def window_of(g: Gathered) -> tuple[Abnormal, Abnormal]:
    """The index over the window asked for, under one and two factors."""
    span = (g.study.first, g.study.last)
    mine = [one for one in g.study.indices if one.subject == g.index.id and (one.first, one.last) == span]
    return mine[0], mine[-1]


def facts(g: Gathered) -> list[tuple[str, str, str]]:
    """(label, number, what it means) of the cards at the top."""
    one, two = day_of(g)
    wide, _ = window_of(g)
    between = "close to close"
    return [
        (g.index.id, percent(g.attribution.published), between),
        *((name, percent(move), between) for name, move in list(g.closes.items())[:2]),
        ("abnormal, QQQ", percent(one.car), _error(one)),
        ("abnormal, QQQ + BTC", percent(two.car), _error(two)),
        (f"abnormal, {span_of(wide.first, wide.last)}, QQQ", percent(wide.car), _error(wide)),
    ]


def around(g: Gathered) -> str:
    """The days about the event."""
    start, end = moment(g.study.interval_start_us), moment(g.study.interval_end_us)
    said = paragraph(
        f"Tokens trade through the weekend, equities do not. Every comparison here is therefore made over exactly the "
        f"interval between two New York closes, {start} to {end}, and the index is read at those instants."
    )
    chart = figure(
        charts.around_chart(g.around, at_us=g.event.at_us),
        label="Index and Bitcoin by the hour, QQQ and NVIDIA at their closes, 100 where the interval begins",
        height=330,
    )
    note = (
        "100 = the close before the event's interval. Dashed: the event. Index and BTC by the hour; QQQ and NVDA known "
        "only at their closes (dots)."
    )
    return said + chart + paragraph(note, kind="note")


def abnormal(g: Gathered) -> str:
    """The event study of the indices."""
    one, two = g.paths
    width = span_of(g.study.first, g.study.last)
    wide, wide_two = window_of(g)
    betas = [number(value) if value is not None else "–" for value in (*wide.betas[:1], *wide_two.betas[:2])]
    fitted = (
        f": the index moves {betas[0]} times QQQ, or {betas[1]} times QQQ and {betas[2]} times BTC"
        if len(betas) == 3
        else ""
    )
    said = paragraph(
        f"The market model is fitted on {wide.n_estimation} sessions that end before the event{fitted}. "
        f"What is left is abnormal. {_significance(wide, wide_two, width)}"
    )
    chart = figure(
        charts.path_chart(two, one), height=300,
        label="Cumulated abnormal return of the index from five sessions before to twenty after, with a 95 % band",
    )  # fmt: skip
    begin = number(float(two.step[0]), 0)
    note = f"Log returns cumulated from session {begin} on; 95 % band of the forecast, n = {wide_two.n_estimation}."
    tables = "".join(
        _left_over(g, span, name=name)
        for span, name in (((0, 0), "the day itself"), ((g.study.first, g.study.last), f"sessions {width}"))
    )
    key = (
        f"Log returns at the close ± standard error, which includes the forecast's; n = {wide.n_estimation}. In "
        "brackets two-sided p: Student's t, then the block bootstrap, which keeps fat tails and serial dependence."
    )
    return said + chart + paragraph(note, kind="note") + tables + paragraph(key, kind="note")


def members(g: Gathered) -> str:
    """The tokens of that day, each alone and all together."""
    block = g.study.members[-1]
    chart = figure(
        charts.members_chart(block), height=36 + 24 * block.tests.n,
        label="Abnormal return of each member over the window with its 95 % interval",
    )  # fmt: skip
    left = [f"{m.subject.upper()}: {m.reason}" for m in block.members if m.reason]
    note = (
        f"Log returns beyond {' and '.join(name.upper() for name in block.factors)} over "
        f"{span_of(g.study.first, g.study.last)}, 95 % intervals. Members that the index held when the interval began."
        + (f" Without an answer: {'; '.join(left)}." if left else "")
    )
    return _together(g, block) + chart + paragraph(note, kind="note")


def _together(g: Gathered, block: MemberTests) -> str:
    tests = block.tests
    if tests.kolari_pynnonen is None or tests.mean_correlation is None or tests.mean_car is None:
        return paragraph(f"No test over the members: {tests.reason or 'their residuals have no common rows'}.")
    sure = tests.p_kolari_pynnonen is not None and tests.p_kolari_pynnonen < SIGNIFICANT
    verdict = "a common move beyond QQQ and BTC" if sure else "no common move beyond QQQ and BTC can be shown"
    ranks = "" if block.rank_p is None else f" (Corrado's rank test: p = {p_value(block.rank_p)})"
    return paragraph(
        f"Over {span_of(g.study.first, g.study.last)} the mean abnormal return of {tests.n} members is "
        f"{percent(tests.mean_car)}. Taken as independent: BMP t = {number(tests.bmp)}, p {_eq(tests.p_bmp)}. They "
        f"share the day, and their residuals correlate at {number(tests.mean_correlation)}. "
        f"Corrected for that (Kolari-Pynnönen) t = {number(tests.kolari_pynnonen)}, p "
        f"{_eq(tests.p_kolari_pynnonen)}: {verdict}{ranks}."
    )


def contributions(g: Gathered) -> str:
    """Attribution of the interval."""
    a = g.attribution
    best = max(a.constituents, key=lambda c: c.contribution)
    worst = min(a.constituents, key=lambda c: c.contribution)
    said = paragraph(
        f"Contributions add up to the index return of {percent(a.total, 2)}. The lowest is {worst.symbol} with "
        f"{percent(worst.contribution, 2)} (its own move {percent(worst.own_return)}), the highest {best.symbol} with "
        f"{percent(best.contribution, 2)} ({percent(best.own_return)})."
    )
    chart = figure(
        charts.contribution_chart(a), height=30 + 22 * len(a.constituents),
        label="Contribution of each constituent to the index return of the interval",
    )  # fmt: skip
    note = f"Simple returns over {a.steps} steps between the two closes, linked by Cariño's factors."
    rows = [(name, percent(value, 2)) for name, value in a.sub_sectors.items()]
    return said + chart + paragraph(note, kind="note") + table(("sub-sector", "contribution"), rows)


def _significance(one: Abnormal, two: Abnormal, width: str) -> str:
    if one.p is None or two.p is None:
        return f"Over {width} there is no answer: {one.reason or two.reason}."
    values = f"{percent(one.car)} against QQQ (p = {p_value(one.p)})"
    values += f" and {percent(two.car)} against QQQ and BTC (p = {p_value(two.p)})"
    return f"Over {width} it is {values}; that it differs from zero {_agreement(one, two)}."


def _left_over(g: Gathered, span: tuple[int, int], *, name: str) -> str:
    """What each model leaves of every index over one window, as a table."""
    found = [one for one in g.study.indices if (one.first, one.last) == span]
    rows = []
    for subject in dict.fromkeys(one.subject for one in found):
        mine = [one for one in found if one.subject == subject]
        rows.append((subject, percent(mine[0].raw), *(_left(one) for one in mine)))
    strong = [n for n, row in enumerate(rows) if row[0] == g.index.id]
    return table((name, "return", "beyond QQQ", "beyond QQQ + BTC"), rows, strong=strong)


def _left(one: Abnormal) -> str:
    if one.car is None or one.car_sd is None:
        return "–"
    tails = f"{p_value(one.p)}; {p_value(one.p_bootstrap)}"
    return f"{percent(one.car).removesuffix(' %')} ± {percent(one.car_sd, sign=False)} ({tails})"


def _error(one: Abnormal) -> str:
    if one.car is None:
        return one.reason or "no answer"
    return f"± {percent(one.car_sd, sign=False)}, p = {p_value(one.p)}, n = {one.n_estimation}"


def _eq(p: float | None) -> str:
    """`= 0.13` or `< 0.001`."""
    said = p_value(p)
    return said if said.startswith("<") else f"= {said}"
