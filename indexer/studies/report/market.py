"""The market about the event: the relation to equities, pullbacks and what followed, the index inside, stress."""

from __future__ import annotations

from indexer.studies.breadth import BreadthStudy, Strength
from indexer.studies.breaks import BreakStudy
from indexer.studies.report import charts
from indexer.studies.report.blocks import bullets, paragraph, table
from indexer.studies.report.charts import figure
from indexer.studies.report.gather import BESIDE, Gathered
from indexer.studies.report.words import NOTHING, day, number, p_value, percent
from indexer.studies.stress import StressBar
from indexer.times import DAY_US

WAYS = {"at_close": "at the close", "date_join": "date join (naive)", "daily_dimson": "daily bars, Dimson ±1"}
LEVELS = {None: "no", 0.10: "at 10 %", 0.05: "at 5 %", 0.01: "at 1 %"}

# From the peak on, a trough later than this is not the event's doing alone.
SAME_STORY_DAYS = 30


def recovery(g: Gathered) -> str:
    """The analogue, what pullbacks of this index did, and what followed its falls."""
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
    headers = ("episode", "peak", "trough", "depth", "regained", "20 days on", "60 days on")
    beside = table(headers, rows) + paragraph("20 and 60 days on: counted from the peak.", kind="note")
    return "".join(said) + chart + paragraph(note, kind="note") + beside + _history(g)


def _history(g: Gathered) -> str:
    d = g.drawdowns
    own = bullets(f"{g.index.id}: {one.statement}" for one in d.recovery)
    rows = [
        (
            f"{one.fall * 100:g} % or more", f"{h.horizon} day{'s' * (h.horizon > 1)}", f"{h.n} of {h.n_all}",
            percent(h.median), f"{percent(h.q25)} … {percent(h.q75)}", percent(h.share_up, 0, sign=False),
        )
        for one in d.after_falls
        for h in one.rows
    ]  # fmt: skip
    headers = ("fall in one day", "after", "n counted", "median", "middle half", "rose")
    rules = (
        f"Daily levels at 00:00 UTC, {day(d.first_us)} to {day(d.last_us)}, n = {d.n:,}. Pullbacks: "
        f"{d.recovery[0].overlap_rule}. Falls: {d.after_falls[0].overlap_rule}."
    )
    return own + table(headers, rows) + paragraph(rules, kind="note")


def inside(g: Gathered) -> str:
    """Breadth, dispersion, concentration, strength and share before and after."""
    before, after = g.breadth
    rows: list[tuple[str, ...]] = []
    for one, two in zip(before.breadth, after.breadth, strict=True):
        rows.append((f"above their {one.window}-day mean", f"{one.above} of {one.n}", f"{two.above} of {two.n}"))
    rows += [
        ("dispersion of the day", percent(before.dispersion, sign=False), percent(after.dispersion, sign=False)),
        ("mean pairwise correlation, 60 days", number(before.correlation), number(after.correlation)),
    ]
    if before.concentration and after.concentration:
        sizes = [number(one.effective_n, 1) for one in (before.concentration, after.concentration)]
        rows.append(("effective number of members", *sizes))
    for old, new in zip(before.strength, after.strength, strict=True):
        rows.append((f"against {old.benchmark.upper()}, 20 {old.unit}", _change(old), _change(new)))
    share = f"share of its value with {', '.join(name.upper() for name in after.share.others)}"
    rows.append((share, *(percent(one.share.share, 2, sign=False) for one in g.breadth)))
    note = "Daily rates at 00:00 UTC of the members of each day; against: log change of the index over the benchmark."
    return table(("inside the index", day(before.at_us), day(after.at_us)), rows) + paragraph(
        f"{note} {_why_no_share(after)}".strip(), kind="note"
    ) + _policy(g)  # fmt: skip


def stress(g: Gathered) -> str:
    """Recorded stress day by day about the event; a sentence where there is none."""
    found = g.stress
    known = [bar for bar in found.rows if any(value is not None for value in _readings(bar))]
    if not known:
        return paragraph(
            "The store holds no liquidations, funding, open interest or fear & greed of these days, so none are shown: "
            "unknown, not zero. What the event's note quotes is its sources'."
        )
    columns = {
        "longs, $M": [_millions(bar.long_usd) for bar in found.rows],
        "shorts, $M": [_millions(bar.short_usd) for bar in found.rows],
        "long share": [percent(bar.long_share, 0, sign=False) for bar in found.rows],
        "funding": [percent(bar.funding, 3) for bar in found.rows],
        "open interest": [percent(bar.open_interest_change) for bar in found.rows],
        "fear & greed": [number(bar.fear_greed, 0) for bar in found.rows],
    }
    shown = {name: cells for name, cells in columns.items() if any(cell != NOTHING for cell in cells)}
    rows = [
        (day(bar.time_us - DAY_US), percent(bar.move), number(bar.move_z, 1), *(cells[n] for cells in shown.values()))
        for n, bar in enumerate(found.rows)
    ]
    headers = ("day", "index", "z", *shown)
    absent = f" No reading of: {', '.join(name.replace('_', ' ') for name in found.absent)}." if found.absent else ""
    note = (
        f"Days of 00:00 to 24:00 UTC; index in logs, z in standard deviations of the 90 days before; sums of the day, "
        f"levels at its end; derivatives of {found.subject.upper()}.{absent}"
    )
    return table(headers, rows) + paragraph(note, kind="note")


def _readings(bar: StressBar) -> tuple[float | None, ...]:
    return bar.long_usd, bar.short_usd, bar.funding, bar.open_interest_change, bar.fear_greed


def _millions(usd: float | None) -> str:
    return number(None if usd is None else usd / 1e6, 1)


def _change(one: Strength) -> str:
    return percent(one.change.get(20))


def _why_no_share(study: BreadthStudy) -> str:
    if study.share.share is None:
        return f"No share: {study.share.reason}."
    if not study.share.stated:
        return ""
    return f"Market values stated by others and moved by our rates since: {', '.join(study.share.stated)}."


def _policy(g: Gathered) -> str:
    policy = g.study.policy
    if policy.days_until is None or policy.low is None or policy.high is None:
        return ""
    return paragraph(
        f"The next FOMC decision was {policy.days_until:.1f} days away; the target range in force was "
        f"{percent(policy.low, 2, sign=False)} to {percent(policy.high, 2, sign=False)}."
    )


def _episode(subject: str, g: Gathered, name: str) -> str:
    row = next(row for row in g.analogues.rows if row.subject == subject and row.analogue.name == name)
    e = row.analogue.episode
    if e is None:
        return f"{name}: {row.analogue.reason}."
    back = f"regained the peak on {day(e.recovery_us)}" if e.recovery_us else "has not regained the peak"
    later = ""
    if e.days_down > SAME_STORY_DAYS:
        later = f" The trough came {e.days_down:.0f} days after the peak: other news had their share in it."
    return (
        f"{name}: {subject.upper()} fell from {number(e.peak_level, 0)} ({day(e.peak_us)}) to "
        f"{number(e.trough_level, 0)} ({day(e.trough_us)}), {percent(e.depth)}, {back} and reached "
        f"{number(row.high, 0)} on {day(row.high_us)}, its highest within 60 days of the trough.{later}"
    )


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
