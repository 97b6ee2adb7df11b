"""Did the relation to equities change: how the pairing matters, beta over time, before and after, the verdict."""

from __future__ import annotations

from indexer.studies.breaks import BreakStudy
from indexer.studies.report import charts
from indexer.studies.report.charts import figure
from indexer.studies.report.gather import Gathered
from indexer.studies.report.words import day, number, p_value, paragraph, percent, table

WAYS = {"at_close": "at the close", "date_join": "date join (naive)", "daily_dimson": "daily bars, Dimson ±1"}
LEVELS = {None: "no", 0.10: "at 10 %", 0.05: "at 5 %", 0.01: "at 1 %"}


def relation(g: Gathered) -> str:
    """Beta over time, the pairing, before and after, and the verdict."""
    made = _paired(g) + _rolling(g)
    if not g.breaks:
        return made
    flagship = next((one for one in g.breaks if one.subject == g.index.id), g.breaks[0])
    chart = figure(
        charts.regimes_chart(g.breaks), height=60 + 44 * len(g.breaks),
        label="Beta to QQQ before and after the event for each index, with 95 % intervals",
    )  # fmt: skip
    headers = ("index", "n", "betas, p", "Chow, p", "sup-F", "rejects", "CUSUM, p", "correlation (p)")
    tests = table(headers, [_tests(one) for one in g.breaks])
    sides = f"at most {flagship.sessions} sessions on each side, at the close; the event's interval opens the second"
    note = (
        f"n = returns before and after, {sides}. Betas: difference on their own errors. Chow and sup-F test alpha and "
        "beta together under one variance, sup-F at a date it chooses itself (rejects: stability); CUSUM finds drift "
        "of the level. Correlation: before → after, at the volatility of before. The rows share tokens and are not "
        "independent; of twenty tests one rejects at 5 % by chance alone."
    )
    return (
        made + "<h3>Before and after</h3>" + paragraph(flagship.verdict, kind="verdict") + chart + tests
        + paragraph(note, kind="note")
    )  # fmt: skip


def _paired(g: Gathered) -> str:
    rows = [
        (
            r.benchmark, WAYS[r.way], str(r.n), number(r.beta), number(r.se),
            f"{number(r.ci_low)} … {number(r.ci_high)}", number(r.r2),
        )
        for r in g.comparison.rows
    ]  # fmt: skip
    lead = paragraph(_pairing(g)) + paragraph(
        f"The same index, the same benchmark, three ways to pair them, over the {g.comparison.sessions} sessions up to "
        "and with the event. A join of daily returns on their dates compares intervals that differ by hours and loses "
        "every weekend; Dimson repairs daily bars, at the price of a wider interval."
    )
    return lead + table(("benchmark", "paired", "n", "beta", "s.e.", "95 % interval", "R²"), rows)


def _rolling(g: Gathered) -> str:
    found = g.rolling
    chart = figure(
        charts.rolling_chart(found, at_us=g.event.at_us), height=260,
        label=f"Rolling beta of the index to {found.benchmark} over {found.sessions} sessions with a 95 % band",
    )  # fmt: skip
    note = (
        f"Each point: the {found.sessions} sessions that end there, at the close. Band: 95 %, the larger of the OLS "
        "and the Newey-West error. Windows overlap, so that neighbouring points are nearly the same observation. "
        "Dashed: beta 1 and the event."
    )
    title = f"Rolling beta to {found.benchmark}, {found.sessions} sessions"
    return f"<h3>{title}</h3>" + chart + paragraph(note, kind="note")


def _pairing(g: Gathered) -> str:
    """How far the naive join is off, to the first benchmark."""
    first = g.comparison.rows[0].benchmark
    by = {row.way: row for row in g.comparison.rows if row.benchmark == first}
    close, joined = by.get("at_close"), by.get("date_join")
    if close is None or joined is None or not close.beta or joined.beta is None:
        return f"No beta to {first} can be had for that window."
    off = joined.beta / close.beta - 1.0
    way = "lower" if off < 0 else "higher"
    return (
        f"At the close the beta to {first} is {number(close.beta)} ± {number(close.se)} (n = {close.n}). Joining daily "
        f"returns on their dates makes it {number(joined.beta)}, {percent(abs(off), 0, sign=False)} {way}."
    )


def _tests(one: BreakStudy) -> tuple[str, ...]:
    sides = " + ".join(str(row.beta.n) for row in one.regimes)
    return (
        one.subject,
        sides,
        p_value(one.p),
        p_value(one.chow.p),
        f"{number(one.unknown.f)} at {day(one.unknown.at_us)}",
        LEVELS[one.unknown.level],
        p_value(one.cusum_p),
        f"{number(one.shift.before)} → {number(one.shift.adjusted)} ({p_value(one.shift.p)})",
    )
