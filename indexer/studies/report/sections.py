"""The shock itself in sections: each turns studies into sentences, a picture and a table.

Sentences follow the numbers: a difference is called one only where its test says so, with its error beside it.
"""

from __future__ import annotations

from indexer.studies.events import Abnormal, MemberTests
from indexer.studies.report import charts
from indexer.studies.report.blocks import (
    NOTHING,
    Block,
    Heading,
    Picture,
    Table,
    Text,
    day,
    figure,
    join_names,
    moment,
    number,
    p_value,
    percent,
    simple,
    span_of,
)
from indexer.studies.report.gather import Gathered

SIGNIFICANT = 0.05


def headline(g: Gathered) -> str:
    """What happened by the hour, then the day's abnormal return at closes under both models."""
    qqq, both = day_of(g)
    moved = percent(g.attribution.published)
    hours = "" if g.study.path is None else f"{g.study.path.statement}. "
    if qqq.car is None or qqq.raw is None or both.car is None:
        return f"{hours}{g.index.name} moved {moved}; no model could be fitted to say how much of it was expected."
    return (
        f"{hours}{g.index.name} moved {moved} between the two closes; its beta of {number(qqq.betas[0])} to QQQ "
        f"implied {percent(simple(qqq.raw - qqq.car))}. That the difference is more than chance "
        f"{_agreement(qqq, both)} ({_tails(qqq, both)})."
    )


def aftermath(g: Gathered) -> str:
    """What the window about the event adds to the day."""
    qqq, both = window_of(g)
    span = span_of(g.study.first, g.study.last)
    if qqq.raw is None or qqq.car is None or both.car is None:
        return f"Over {span} there is no answer: {qqq.reason or both.reason}."
    return (
        f"Over the sessions {span} it moved {percent(simple(qqq.raw))}, {percent(simple(qqq.car))} beyond QQQ; "
        f"that this is more than chance {_agreement(qqq, both)} ({_tails(qqq, both)}). {_largest(g, qqq)}"
    )


def _largest(g: Gathered, row: Abnormal) -> str:
    """The day that makes a window's number, and the other news in it."""
    names = {overlap.id: f"{overlap.name} ({overlap.step:+d})" for overlap in g.study.overlaps}
    others = f" The window also holds {join_names([names[event] for event in row.others])}." if row.others else ""
    return f"Its largest day is {day(row.largest_at_us)}, {percent(simple(row.largest_ar))}.{others}"


def hours(g: Gathered) -> list[Block]:
    """The index by the hour, and what was told of the event beside the data."""
    blocks: list[Block] = []
    path = g.study.path
    if path is not None:
        shown = [hour for n, hour in enumerate(path.hours, start=1) if n % 3 == 0 or hour in (path.furthest, path.last)]
        cells = ((moment(hour.time_us), number(hour.level, 1), percent(hour.change)) for hour in shown)
        note = f"From {number(path.start_level, 1)}, {moment(path.start_us)}; simple returns since then."
        strong = tuple(place for place, hour in enumerate(shown) if hour == path.furthest)
        blocks += [Table(("hour", "level", "since the begin"), tuple(cells), strong=strong), Text(note, "note")]
    if g.study.claims:
        claims = tuple(
            (c.text, figure(c.told), figure(c.measured), percent(c.difference), c.basis) for c in g.study.claims
        )
        blocks += [
            Heading("What was told, and what the data say", level=3),
            Table(("figure", "told", "data", "difference", "measured as"), claims),
        ]
    return blocks or [Text(f"{g.index.id} has no hourly levels about the event.")]


def _tails(qqq: Abnormal, both: Abnormal) -> str:
    return (
        f"p = {p_value(qqq.p)} with QQQ, {p_value(both.p)} with QQQ and BTC; {p_value(qqq.p_holm)} and "
        f"{p_value(both.p_holm)} corrected for the number of tests (Holm); {p_value(qqq.p_placebo)} and "
        f"{p_value(both.p_placebo)} among {both.n_placebo} days without an event; {p_value(qqq.p_bootstrap)} and "
        f"{p_value(both.p_bootstrap)} by bootstrap"
    )


def _agreement(qqq: Abnormal, both: Abnormal) -> str:
    """How many of the two models' tests reject at 5 %, in words: corrected ones, placebos and bootstraps."""
    tails = [p for row in (qqq, both) for p in (row.p_holm, row.p_placebo, row.p_bootstrap) if p is not None]
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
        ("abnormal, QQQ", percent(simple(qqq.car)), _error(qqq)),
        ("abnormal, QQQ + BTC", percent(simple(both.car)), _error(both)),
        (f"abnormal, {span_of(wide.first, wide.last)}, QQQ", percent(simple(wide.car)), _error(wide)),
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
            f"Simple returns from session {begin} on; 95 % band of the forecast, n = {wide_two.n_estimation}.",
            "note",
        ),
        _left_over(g, (0, 0), name="the day itself"),
        _left_over(g, (g.study.first, g.study.last), name=f"sessions {width}"),
        Text(
            f"Simple returns at the close with 95 % intervals of the forecast; n = {wide.n_estimation}. In "
            "brackets two-sided p: Student's t; Holm's for all models and windows of an index; the share of days "
            f"without an event with as large a t, of which Student's calls {_rejects(wide)} significant at 5 %; the "
            "block bootstrap.",
            "note",
        ),
    ]


def members(g: Gathered) -> list[Block]:
    """The tokens of that day, each alone and all together."""
    block = g.study.members[-1]
    without = [f"{row.subject.upper()}: {row.reason}" for row in block.members if row.reason]
    note = (
        f"Returns beyond {' and '.join(name.upper() for name in block.factors)} over "
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
        f"{percent(simple(tests.mean_car))}. Taken as independent: BMP t = {number(tests.bmp)}, p "
        f"{_equals(tests.p_bmp)}. They share the day; their residuals correlate at {number(tests.mean_correlation)}. "
        f"Corrected for that (Kolari-Pynnönen) t = {number(tests.kolari_pynnonen)}, p "
        f"{_equals(tests.p_kolari_pynnonen)}: {verdict}{ranks}. Among {block.n_placebo} days without an event, "
        f"{percent(block.placebo_rejects, 0, sign=False)} of which BMP calls significant, p {_equals(block.p_placebo)}."
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
    values = f"{percent(simple(one_factor.car))} against QQQ (p = {p_value(one_factor.p)})"
    values += f" and {percent(simple(two_factors.car))} against QQQ and BTC (p = {p_value(two_factors.p)})"
    return f"Over {width} it is {values}; that it differs from zero {_agreement(one_factor, two_factors)}."


def _left_over(g: Gathered, span: tuple[int, int], *, name: str) -> Table:
    """What each model leaves of every index over one window."""
    by_subject: dict[str, list[Abnormal]] = {}
    for row in g.study.indices:
        if (row.first, row.last) == span:
            by_subject.setdefault(row.subject, []).append(row)
    rows = tuple(
        (subject, percent(simple(models[0].raw)), *(_left(model) for model in models), _busiest(models[0]))
        for subject, models in by_subject.items()
    )
    strong = tuple(place for place, subject in enumerate(by_subject) if subject == g.index.id)
    return Table((name, "return", "beyond QQQ", "beyond QQQ + BTC", "largest day, QQQ"), rows, strong=strong)


def _busiest(row: Abnormal) -> str:
    return NOTHING if row.largest_ar is None else f"{day(row.largest_at_us)}, {percent(simple(row.largest_ar))}"


def _rejects(row: Abnormal) -> str:
    return percent(row.placebo_rejects, sign=False)


def _left(row: Abnormal) -> str:
    if row.car is None:
        return NOTHING
    tails = "; ".join(p_value(p) for p in (row.p, row.p_holm, row.p_placebo, row.p_bootstrap))
    return f"{percent(simple(row.car))}, {interval(row)} ({tails})"


def interval(row: Abnormal) -> str:
    """The 95 % interval of an abnormal return, as simple returns: `−8 … +15 %`."""
    return f"{percent(simple(row.car_low), 0).removesuffix(' %')} … {percent(simple(row.car_high), 0)}"


def _error(row: Abnormal) -> str:
    if row.car is None:
        return row.reason or "no answer"
    return f"{interval(row)}, p = {p_value(row.p)}, Holm {p_value(row.p_holm)}, placebo {p_value(row.p_placebo)}"


def _equals(p: float | None) -> str:
    """`= 0.13` or `< 0.001`."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
