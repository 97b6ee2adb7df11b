"""The market about the event: the relation to equities, pullbacks and what followed, the index inside, stress."""

from __future__ import annotations

from indexer.studies.breadth import BreadthStudy
from indexer.studies.breaks import BreakStudy
from indexer.studies.drawdowns import AnalogueRow
from indexer.studies.report import charts
from indexer.studies.report.blocks import (
    NOTHING,
    Block,
    Bullets,
    Heading,
    Picture,
    Table,
    Text,
    day,
    number,
    p_value,
    percent,
    simple,
)
from indexer.studies.report.gather import BESIDE, Gathered
from indexer.studies.stress import StressBar
from indexer.times import DAY_US

WAYS = {"at_close": "at the close", "date_join": "date join (naive)", "daily_dimson": "daily bars, Dimson ±1"}
LEVELS = {None: "no", 0.10: "at 10 %", 0.05: "at 5 %", 0.01: "at 1 %"}

# From the peak on, a trough later than this is not the event's doing alone.
SAME_STORY_DAYS = 30


def recovery(g: Gathered) -> list[Block]:
    """The analogue, what pullbacks of this index did, and what followed its falls."""
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
    return [
        *(Text(_episode(row)) for row in g.analogues.rows if row.subject == BESIDE),
        Picture(
            charts.analogue_chart(g.analogue_lines),
            "Index and Bitcoin after the peaks of January 2024 and January 2025, in percent of the peak",
            height=330,
        ),
        Text(
            "100 = the hourly peak of each episode; logarithmic scale. Two episodes are an illustration, not evidence.",
            "note",
        ),
        Table(("episode", "peak", "trough", "depth", "regained", "20 days on", "60 days on"), tuple(rows)),
        Text("20 and 60 days on: counted from the peak.", "note"),
        *_history(g),
    ]


def _history(g: Gathered) -> list[Block]:
    d = g.drawdowns
    rows = tuple(
        (
            f"{falls.fall * 100:g} % or more", f"{h.horizon} day{'s' * (h.horizon > 1)}", f"{h.n} of {h.n_all}",
            percent(h.median), f"{percent(h.q25)} … {percent(h.q75)}", percent(h.share_up, 0, sign=False),
        )
        for falls in d.after_falls
        for h in falls.rows
    )  # fmt: skip
    rules = (
        f"Daily levels at 00:00 UTC, {day(d.first_us)} to {day(d.last_us)}, n = {d.n:,}. Pullbacks: "
        f"{d.recovery[0].overlap_rule}. Falls: {d.after_falls[0].overlap_rule}."
    )
    return [
        Bullets(tuple(f"{g.index.id}: {size.statement}" for size in d.recovery)),
        Table(("fall in one day", "after", "n counted", "median", "middle half", "rose"), rows),
        Text(rules, "note"),
    ]


def inside(g: Gathered) -> list[Block]:
    """Breadth, dispersion, concentration, strength and share before and after."""
    before, after = g.breadth
    rows: list[tuple[str, ...]] = []
    for old, new in zip(before.breadth, after.breadth, strict=True):
        rows.append((f"above their {old.window}-day mean", f"{old.above} of {old.n}", f"{new.above} of {new.n}"))
    rows += [
        ("dispersion of the day", *(percent(side.dispersion, sign=False) for side in g.breadth)),
        ("mean pairwise correlation, 60 days", *(number(side.correlation) for side in g.breadth)),
    ]
    sizes = [number(side.concentration.effective_n, 1) for side in g.breadth if side.concentration]
    if len(sizes) == len(g.breadth):
        rows.append(("effective number of members", *sizes))
    for earlier, later in zip(before.strength, after.strength, strict=True):
        changes = (percent(simple(strength.change.get(20))) for strength in (earlier, later))
        rows.append((f"against {earlier.benchmark.upper()}, 20 {earlier.unit}", *changes))
    share = f"share of its value with {', '.join(name.upper() for name in after.share.others)}"
    rows.append((share, *(percent(side.share.share, 2, sign=False) for side in g.breadth)))
    note = "Daily rates at 00:00 UTC of the members of each day; against: change of the index over the benchmark."
    return [
        Table(("inside the index", day(before.at_us), day(after.at_us)), tuple(rows)),
        Text(f"{note} {_why_no_share(after)}".strip(), "note"),
        *_policy(g),
    ]


def stress(g: Gathered) -> list[Block]:
    """Recorded stress day by day about the event; a sentence where there is none."""
    bars = g.stress.rows
    if all(value is None for bar in bars for value in _readings(bar)):
        return [
            Text(
                "The store holds no liquidations, funding, open interest or fear & greed of these days, so none are "
                "shown: unknown, not zero. What the event's note quotes is its sources'."
            )
        ]
    columns = {
        "longs, $M": [_millions(bar.long_usd) for bar in bars],
        "shorts, $M": [_millions(bar.short_usd) for bar in bars],
        "long share": [percent(bar.long_share, 0, sign=False) for bar in bars],
        "funding": [percent(bar.funding, 3) for bar in bars],
        "open interest": [percent(bar.open_interest_change) for bar in bars],
        "fear & greed": [number(bar.fear_greed, 0) for bar in bars],
    }
    known = {name: cells for name, cells in columns.items() if any(cell != NOTHING for cell in cells)}
    rows = tuple(
        (
            day(bar.time_us - DAY_US),
            percent(simple(bar.move)),
            number(bar.move_z, 1),
            *(cells[n] for cells in known.values()),
        )
        for n, bar in enumerate(bars)
    )
    missing = ", ".join(name.replace("_", " ") for name in g.stress.absent)
    note = (
        f"Days of 00:00 to 24:00 UTC; z in standard deviations of the 90 days before; sums of the day, "
        f"levels at its end; derivatives of {g.stress.subject.upper()}."
    )
    note += f" No reading of: {missing}." if missing else ""
    return [Table(("day", "index", "z", *known), rows), Text(note, "note")]


def _readings(bar: StressBar) -> tuple[float | None, ...]:
    return bar.long_usd, bar.short_usd, bar.funding, bar.open_interest_change, bar.fear_greed


def _millions(usd: float | None) -> str:
    return number(None if usd is None else usd / 1e6, 1)


def _why_no_share(study: BreadthStudy) -> str:
    if study.share.share is None:
        return f"No share: {study.share.reason}."
    if not study.share.stated:
        return ""
    return f"Market values stated by others and moved by our rates since: {', '.join(study.share.stated)}."


def _policy(g: Gathered) -> list[Block]:
    policy = g.study.policy
    if policy.days_until is None or policy.low is None or policy.high is None:
        return []
    return [
        Text(
            f"The next FOMC decision was {policy.days_until:.1f} days away; the target range in force was "
            f"{percent(policy.low, 2, sign=False)} to {percent(policy.high, 2, sign=False)}."
        )
    ]


def _episode(row: AnalogueRow) -> str:
    e, name = row.analogue.episode, row.analogue.name
    if e is None:
        return f"{name}: {row.analogue.reason}."
    back = f"regained the peak on {day(e.recovery_us)}" if e.recovery_us else "has not regained the peak"
    later = ""
    if e.days_down > SAME_STORY_DAYS:
        later = f" The trough came {e.days_down:.0f} days after the peak: other news had their share in it."
    return (
        f"{name}: {row.subject.upper()} fell from {number(e.peak_level, 0)} ({day(e.peak_us)}) to "
        f"{number(e.trough_level, 0)} ({day(e.trough_us)}), {percent(e.depth)}, {back} and reached "
        f"{number(row.high, 0)} on {day(row.high_us)}, its highest within 60 days of the trough.{later}"
    )


def relation(g: Gathered) -> list[Block]:
    """Beta over time, the pairing, before and after, and the verdict."""
    beta = [*_paired(g), *_rolling(g)]
    if not g.breaks:
        return beta
    flagship = next((study for study in g.breaks if study.subject == g.index.id), g.breaks[0])
    note = (
        f"n = returns before and after, at most {flagship.sessions} sessions on each side, at the close; the event's "
        "interval opens the second. Betas: difference on their own errors. Chow and sup-F test alpha and "
        "beta together under one variance, sup-F at a date it chooses itself (rejects: stability); CUSUM finds drift "
        "of the level. Correlation: before → after, at the volatility of before. The rows share tokens and are not "
        "independent; of twenty tests one rejects at 5 % by chance alone."
    )
    headers = ("index", "n", "betas, p", "Chow, p", "sup-F", "rejects", "CUSUM, p", "correlation (p)")
    return [
        *beta,
        Heading("Before and after", level=3),
        Text(flagship.verdict, "verdict"),
        Picture(
            charts.regimes_chart(g.breaks),
            "Beta to QQQ before and after the event for each index, with 95 % intervals",
            height=60 + 44 * len(g.breaks),
        ),
        Table(headers, tuple(_tests(study) for study in g.breaks)),
        Text(note, "note"),
    ]


def _paired(g: Gathered) -> list[Block]:
    rows = tuple(
        (
            r.benchmark, WAYS[r.way], str(r.n), number(r.beta), number(r.se),
            f"{number(r.ci_low)} … {number(r.ci_high)}", number(r.r2),
        )
        for r in g.comparison.rows
    )  # fmt: skip
    return [
        Text(_pairing(g)),
        Text(
            f"The same index, the same benchmark, three ways to pair them, over the {g.comparison.sessions} sessions "
            "up to and with the event. A join of daily returns on their dates compares intervals that differ by hours "
            "and loses every weekend; Dimson repairs daily bars, at the price of a wider interval."
        ),
        Table(("benchmark", "paired", "n", "beta", "s.e.", "95 % interval", "R²"), rows),
    ]


def _rolling(g: Gathered) -> list[Block]:
    history = g.rolling
    return [
        Heading(f"Rolling beta to {history.benchmark}, {history.sessions} sessions", level=3),
        Picture(
            charts.rolling_chart(history, at_us=g.event.at_us),
            f"Rolling beta of the index to {history.benchmark} over {history.sessions} sessions with a 95 % band",
            height=260,
        ),
        Text(
            f"Each point: the {history.sessions} sessions that end there, at the close. Band: 95 %, the larger of the "
            "OLS and the Newey-West error. Windows overlap, so that neighbouring points are nearly the same "
            "observation. Dashed: beta 1 and the event.",
            "note",
        ),
    ]


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


def _tests(study: BreakStudy) -> tuple[str, ...]:
    sides = " + ".join(str(row.beta.n) for row in study.regimes)
    return (
        study.subject,
        sides,
        p_value(study.p),
        p_value(study.chow.p),
        f"{number(study.unknown.f)} at {day(study.unknown.at_us)}",
        LEVELS[study.unknown.level],
        p_value(study.cusum_p),
        f"{number(study.shift.before)} → {number(study.shift.adjusted)} ({p_value(study.shift.p)})",
    )
