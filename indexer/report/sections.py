"""The story in sections: each turns studies into sentences, a picture and a table. Sentences follow the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from indexer.report import charts
from indexer.report.draw import figure
from indexer.report.gather import BESIDE, Gathered
from indexer.report.words import bullets, day, moment, number, p_value, paragraph, percent, table
from indexer.studies.breaks import BreakStudy
from indexer.studies.events import Abnormal

SIGNIFICANT = 0.05


def headline(g: Gathered) -> str:
    """What happened in one sentence, from the day's abnormal return."""
    one, _ = day_of(g)
    moved = percent(g.attribution.published)
    if one.car is None or one.raw is None or one.p is None:
        return f"{g.index.name} moved {moved}; no model could be fitted to say how much of it was expected."
    expected = percent(one.raw - one.car)
    if one.p >= SIGNIFICANT:
        return (
            f"{g.index.name} moved {moved} between the two closes. Its own beta to QQQ would have made it {expected}: "
            "the day itself was no more than the equity shock explains."
        )
    way = "more" if one.car < 0 else "less"
    return f"{g.index.name} moved {moved}, {way} than the {expected} that its beta to QQQ explains."


def aftermath(g: Gathered) -> str:
    """What the window about the event adds to the day."""
    one, two = window_of(g)
    span = span_of(g.study.first, g.study.last)
    if one.raw is None or one.car is None or two.car is None or one.p is None or two.p is None:
        return f"Over {span} there is no answer: {one.reason or two.reason}."
    said = f"Over the sessions {span} it moved {percent(one.raw)} in logs, {percent(one.car)} of it beyond QQQ"
    verdicts = {True: "more than chance", False: "not more than chance"}
    sure, sure_two = (p < SIGNIFICANT for p in (one.p, two.p))
    if sure == sure_two:
        return f"{said}: {verdicts[sure]}, with or without BTC as a second factor."
    return f"{said}: {verdicts[sure]} by that measure, {verdicts[sure_two]} once BTC is a second factor."


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
    between = "between the closes"
    return [
        (g.index.id, percent(g.attribution.published), between),
        *((name, percent(move), between) for name, move in list(g.closes.items())[:2]),
        ("abnormal, QQQ", percent(one.car), f"± {percent(one.car_sd, sign=False)}, p = {p_value(one.p)}"),
        ("abnormal, QQQ + BTC", percent(two.car), f"± {percent(two.car_sd, sign=False)}, p = {p_value(two.p)}"),
        (
            f"abnormal, {span_of(wide.first, wide.last)}",
            percent(wide.car),
            f"QQQ, ± {percent(wide.car_sd, sign=False)}",
        ),
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
    note = "100 = the close before the event's interval. Dashed: the event. QQQ and NVDA are joined close to close."
    return said + chart + paragraph(note, kind="note")


def abnormal(g: Gathered) -> str:
    """The event study of the indices."""
    one, two = g.paths
    width = span_of(g.study.first, g.study.last)
    wide, wide_two = window_of(g)
    said = paragraph(
        f"The market model is fitted on {wide.n_estimation} sessions that end before the event: the index moves "
        f"{number(wide.betas[0])} times QQQ, or {number(wide_two.betas[0])} times QQQ and "
        f"{number(wide_two.betas[-1])} times BTC. What is left is abnormal. {_significance(wide, wide_two, width)}"
    )
    chart = figure(
        charts.path_chart(two, one), height=300,
        label="Cumulated abnormal return of the index from five sessions before to twenty after, with a 95 % band",
    )  # fmt: skip
    begin = number(float(two.step[0]), 0)
    note = (
        f"Solid, with its 95 % forecast band: the log return from session {begin} on that QQQ and BTC do not explain. "
        "Dashed: the plain log return."
    )
    tables = "".join(
        _left_over(g, span, name=name)
        for span, name in (((0, 0), "the day itself"), ((g.study.first, g.study.last), f"sessions {width}"))
    )
    key = "Log returns ± standard error; p, two-sided, in brackets."
    return said + chart + paragraph(note, kind="note") + tables + paragraph(key, kind="note")


def members(g: Gathered) -> str:
    """The tokens of that day and what moved the index."""
    block = g.study.members[-1]
    tests = block.tests
    said = ""
    if tests.kolari_pynnonen is not None and tests.mean_correlation is not None and tests.mean_car is not None:
        verdict = "do" if (tests.p_kolari_pynnonen or 1.0) < SIGNIFICANT else "do not"
        said = paragraph(
            f"Over {span_of(g.study.first, g.study.last)} the mean abnormal return of {tests.n} members is "
            f"{percent(tests.mean_car)}. Taken as independent they would reject chance easily (BMP t = "
            f"{number(tests.bmp)}). They are not: their residuals correlate {number(tests.mean_correlation)}. "
            f"Corrected for that (Kolari-Pynnönen) t = {number(tests.kolari_pynnonen)}, p = "
            f"{p_value(tests.p_kolari_pynnonen)}: together they {verdict} show more than QQQ and BTC explain."
        )
    chart = figure(
        charts.members_chart(block), height=30 + 24 * tests.n,
        label="Abnormal return of each member over the window with its 95 % interval",
    )  # fmt: skip
    left = [f"{m.subject.upper()}: {m.reason}" for m in block.members if m.reason]
    note = "Members that the index held when the interval began. " + (
        f"Without an answer: {'; '.join(left)}." if left else ""
    )
    return said + chart + paragraph(note, kind="note")


def contributions(g: Gathered) -> str:
    """Attribution of the interval."""
    a = g.attribution
    best = max(a.constituents, key=lambda c: c.contribution)
    worst = min(a.constituents, key=lambda c: c.contribution)
    said = paragraph(
        f"Contributions add up to the index return of {percent(a.total, 2)}. {worst.symbol} took "
        f"{percent(worst.contribution, 2)} (its own move {percent(worst.own_return)}), {best.symbol} gave "
        f"{percent(best.contribution, 2)} ({percent(best.own_return)})."
    )
    chart = figure(
        charts.contribution_chart(a), height=30 + 22 * len(a.constituents),
        label="Contribution of each constituent to the index return of the interval",
    )  # fmt: skip
    rows = [(name, percent(value, 2)) for name, value in a.sub_sectors.items()]
    return said + chart + table(("sub-sector", "contribution"), rows)


def relation(g: Gathered) -> str:
    """Beta over time, the pairing, before and after, and the verdict."""
    rolling = figure(
        charts.rolling_chart(g.rolling, at_us=g.event.at_us), height=260,
        label="Rolling beta of the index to QQQ over 90 sessions with a 95 % band",
    )  # fmt: skip
    rows = [
        (
            r.benchmark, WAYS[r.way], str(r.n), number(r.beta), number(r.se),
            f"{number(r.ci_low)} … {number(r.ci_high)}", number(r.r2),
        )
        for r in g.comparison.rows
    ]  # fmt: skip
    paired = table(("benchmark", "paired", "n", "beta", "s.e.", "95 % interval", "R²"), rows)
    lead = paragraph(_pairing(g)) + paragraph(
        "The same index, the same benchmark, three ways to pair them, over the 250 sessions up to the event. A join of "
        "daily returns on their dates compares intervals that differ by hours and loses every weekend."
    )
    if not g.breaks:
        return lead + paired + rolling
    flagship = next((one for one in g.breaks if one.subject == g.index.id), g.breaks[0])
    verdict = paragraph(flagship.verdict, kind="verdict")
    chart = figure(
        charts.regimes_chart(g.breaks), height=60 + 44 * len(g.breaks),
        label="Beta to QQQ before and after the event for each index, with 95 % intervals",
    )  # fmt: skip
    body = [_tests(one) for one in g.breaks]
    headers = ("index", "betas, p", "Chow, p", "sup-F", "stability", "CUSUM, p", "correlation, corrected")
    return (
        lead + paired + "<h3>Rolling beta to QQQ, 90 sessions</h3>" + rolling + "<h3>Before and after</h3>" + verdict
        + chart + table(headers, body)
    )  # fmt: skip


def recovery(g: Gathered) -> str:
    """The analogue and what pullbacks of this index did."""
    said = [paragraph(_episode(row.subject, g, row.analogue.name)) for row in g.analogues.rows if row.subject == BESIDE]
    chart = figure(
        charts.analogue_chart(g.analogue_lines), height=330,
        label="Index and Bitcoin after the peaks of January 2024 and January 2025, in percent of the peak",
    )  # fmt: skip
    note = "100 = the hourly peak of each episode; logarithmic scale. Two episodes are an illustration, not evidence."
    rows = []
    for row in g.analogues.rows:
        e = row.analogue.episode
        if e is None:
            continue
        rows.append(
            (
                f"{row.subject}, {row.analogue.name[:7]}",
                f"{number(e.peak_level, 0)} on {day(e.peak_us)}",
                f"{number(e.trough_level, 0)} on {day(e.trough_us)}",
                percent(e.depth),
                day(e.recovery_us) if e.recovery_us else "not yet",
                *(percent(row.analogue.after_peak.get(days)) for days in (20, 60)),
            )
        )
    headers = ("episode", "peak", "trough", "depth", "regained", "in 20 days", "in 60 days")
    own = bullets([f"{g.index.id}: {one.statement}" for one in g.drawdowns.recovery])
    return "".join(said) + chart + paragraph(note, kind="note") + table(headers, rows) + own


def inside(g: Gathered) -> str:
    """Breadth before and after."""
    rows: list[tuple[str, ...]] = []
    before, after = g.breadth
    for one, two in zip(before.breadth, after.breadth, strict=True):
        rows.append((f"above their {one.window}-day mean", f"{one.above} of {one.n}", f"{two.above} of {two.n}"))
    pairs: Sequence[tuple[str, float | None, float | None]] = (
        ("dispersion of the day", before.dispersion, after.dispersion),
        ("mean pairwise correlation, 60 days", before.correlation, after.correlation),
    )
    rows += [(name, number(a, 3), number(b, 3)) for name, a, b in pairs]
    if before.concentration and after.concentration:
        sizes = [number(one.effective_n, 1) for one in (before.concentration, after.concentration)]
        rows.append(("effective number of members", *sizes))
    policy = g.study.policy
    said = ""
    if policy.days_until is not None and policy.low is not None and policy.high is not None:
        said = paragraph(
            f"The next FOMC decision was {policy.days_until:.1f} days away; the target range in force was "
            f"{percent(policy.low, 2, sign=False)} to {percent(policy.high, 2, sign=False)}."
        )
    return table(("inside the index", day(before.at_us), day(after.at_us)), rows) + said


WAYS = {"at_close": "at the close", "date_join": "date join (naive)", "daily_dimson": "daily bars, Dimson ±1"}
LEVELS = {None: "not rejected", 0.10: "rejected at 10 %", 0.05: "rejected at 5 %", 0.01: "rejected at 1 %"}


def _pairing(g: Gathered) -> str:
    """How far the naive join is off, to the first benchmark."""
    first = g.comparison.rows[0].benchmark
    by = {row.way: row.beta for row in g.comparison.rows if row.benchmark == first}
    close, joined = by.get("at_close"), by.get("date_join")
    if not close or joined is None:
        return f"No beta to {first} can be had for that window."
    off = joined / close - 1.0
    way = "lower" if off < 0 else "higher"
    return (
        f"At the close the beta to {first} is {number(close)}. Joining daily returns on their dates makes it "
        f"{number(joined)}, {percent(abs(off), 0, sign=False)} {way}."
    )


def _tests(one: BreakStudy) -> tuple[str, ...]:
    return (
        one.subject,
        p_value(one.p),
        p_value(one.chow.p),
        f"{number(one.unknown.f)} at {day(one.unknown.at_us)}",
        LEVELS[one.unknown.level],
        p_value(one.cusum_p),
        f"{number(one.shift.before)} → {number(one.shift.adjusted)}",
    )


def _significance(one: Abnormal, two: Abnormal, width: str) -> str:
    if one.p is None or two.p is None:
        return f"Over {width} there is no answer: {one.reason or two.reason}."
    sure = [p < SIGNIFICANT for p in (one.p, two.p)]
    values = f"{percent(one.car)} against QQQ (p = {p_value(one.p)})"
    values += f" and {percent(two.car)} against QQQ and BTC (p = {p_value(two.p)})"
    if all(sure):
        return f"Over {width} it is {values}: more than either model explains."
    if any(sure):
        return f"Over {width} it is {values}: the models disagree about whether that is more than chance."
    return f"Over {width} it is {values}: large, but within what these models call chance."


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
    return f"{percent(one.car).removesuffix(' %')} ± {percent(one.car_sd, sign=False)} ({p_value(one.p)})"


def span_of(first: int, last: int) -> str:
    """`[−1, +5]`."""
    return f"[{first}, +{last}]".replace("-", "−") if last > 0 else f"[{first}, {last}]".replace("-", "−")


def _episode(subject: str, g: Gathered, name: str) -> str:
    row = next(row for row in g.analogues.rows if row.subject == subject and row.analogue.name == name)
    e = row.analogue.episode
    if e is None:
        return f"{name}: {row.analogue.reason}."
    back = f"regained the peak on {day(e.recovery_us)}" if e.recovery_us else "has not regained the peak"
    return (
        f"{name}: {subject.upper()} fell from {number(e.peak_level, 0)} ({day(e.peak_us)}) to "
        f"{number(e.trough_level, 0)} ({day(e.trough_us)}), {percent(e.depth)}, {back} and reached "
        f"{number(row.high, 0)} on {day(row.high_us)}, its highest within 60 days of the trough."
    )
