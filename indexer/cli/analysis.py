"""Commands that answer questions: beta, event, drawdown, breaks, attribution, breadth, stress, report.

Each prints tables for people, or with `--json` the same object that REST answers with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.analytics import Bar, Clock, Method
from indexer.cli.command import Answer, AsOf, IndexId, Json, instant_us, opened, progress, say, table, table_of
from indexer.studies.report.blocks import day, p_value, percent, simple, span_of
from indexer.times import DAY_US, iso, parse_instant

if TYPE_CHECKING:
    from indexer.studies.beta import IndexBeta
    from indexer.studies.breadth import BreadthStudy
    from indexer.studies.compare import BetaComparison, ConstituentBetas
    from indexer.studies.drawdowns import AnalogueTable, DrawdownStudy
    from indexer.studies.events import EventStudy, MemberTests

Subject = Annotated[str, typer.Argument(help="Index id or token, e.g. deai or btc.", show_default=True)]
Benchmarks = Annotated[
    list[str] | None, typer.Option("--benchmark", "-b", help="Benchmark, or a token such as btc; repeatable.")
]
End = Annotated[str | None, typer.Option(help="Last close to use; a date is that whole day (UTC).")]


def beta(
    index: Subject = "deai",
    benchmark: Benchmarks = None,
    *,
    sessions: Annotated[int, typer.Option(help="Window in exchange sessions; 0 takes all there are.")] = 90,
    end: End = None,
    method: Annotated[Method, typer.Option(help="Estimator; multi takes all benchmarks together.")] = Method.OLS,
    clock: Annotated[Clock, typer.Option(help="Instants; date_join is naive, to compare with.")] = Clock.AT_CLOSE,
    tau: Annotated[float, typer.Option(help="Of the quantile method.")] = 0.5,
    compare: Annotated[bool, typer.Option("--compare", help="At the close, by date join, and with Dimson.")] = False,
    constituents: Annotated[bool, typer.Option("--constituents", help="Each member's beta, shrunk.")] = False,
    bootstrap: Annotated[bool, typer.Option("--bootstrap", help="Add a stationary-bootstrap interval.")] = False,
    as_of: AsOf = None,
    as_json: Json = False,
) -> Answer:
    """Show the beta of an index or token to benchmarks, with errors.

    Example: deai beta deai -b QQQ -b NVDA --sessions 90 --end 2025-01-31
    """
    from indexer.studies.beta import benchmarks_of, flat_beta, index_beta
    from indexer.studies.compare import compare_betas, constituent_betas
    from indexer.studies.methods import Options

    with opened(as_of) as (store, _):
        names, stand_in = benchmarks_of(store, benchmark)
        if stand_in and not as_json:
            say(stand_in)
        if compare:
            ways = compare_betas(store, [index], names, sessions=sessions or None, end_us=instant_us(end))
            return Answer(ways, lambda: _show_comparison(ways), wire=True)
        if constituents:
            members = constituent_betas(store, index, names[0], sessions=sessions, end_us=instant_us(end))
            return Answer(members, lambda: _show_constituents(members), wire=True)
        estimated = partial(
            index_beta, store, index, method=method, clock=clock, sessions=sessions or None, end_us=instant_us(end),
            options=Options(tau=tau), bootstrap=bootstrap,
        )  # fmt: skip
        groups: list[list[str]] = [names] if method is Method.MULTI else [[name] for name in names]
        betas = list(map(estimated, groups))
    return Answer([{"index": index, **flat_beta(row)} for row in betas], lambda: _show_betas(betas))


def _show_betas(betas: Sequence[IndexBeta]) -> None:
    first = betas[0]
    known = [b for b in betas if b.estimate.beta is not None]
    if known:
        last = max(known, key=lambda b: b.last_us)
        say(
            f"{first.index_id}: beta {', '.join(map(_in_words, known))}; the last return ends {iso(last.last_us)}, "
            f"{last.stale_days} days before the newest level"
        )
    table_of(
        [{"b": b, "alpha": _alpha(b)} for b in betas],
        "benchmark: b.benchmark, beta: b.estimate.beta, s.e.: b.estimate.se, n: b.estimate.n, low: b.estimate.ci_low, "
        "high: b.estimate.ci_high, R²: b.estimate.r2, to: b.last_us, days old: b.stale_days, log alpha a year: alpha, "
        "from: b.first_session_us",
        title=f"{first.index_id}: {first.estimate.method} beta of log returns, {first.clock}",
    )
    for b in betas:
        if b.bootstrap:
            say(f"{b.benchmark}: bootstrap {b.bootstrap.beta_low:.3f} to {b.bootstrap.beta_high:.3f}")
        for factor in getattr(b.estimate.detail, "factors", ()):
            say(f"  {factor.name}: {factor.beta:.3f} ± {factor.se:.3f}, VIF {factor.vif:.1f}")
    show_notes(note for b in betas for note in _reasons(b))


def _reasons(b: IndexBeta) -> list[str]:
    reason = [f"{b.benchmark}: {b.estimate.reason}"] if b.estimate.reason else []
    return [*reason, *b.estimate.warnings, *b.reasons]


def _in_words(b: IndexBeta) -> str:
    error = "" if b.estimate.se is None else f" ± {b.estimate.se:.2f}"
    return f"{b.estimate.beta:.2f}{error} to {b.benchmark}"


def _alpha(b: IndexBeta) -> str:
    """Alpha with its error where the method has one: over a few months it is mostly error."""
    value, error = b.estimate.alpha_annualised, getattr(b.estimate.detail, "se_alpha", None)
    if value is None:
        return "–"
    return f"{value:.2f}" + ("" if error is None else f" ± {error * b.periods_per_year:.2f}")


def show_notes(notes: Iterable[str]) -> None:
    for note in dict.fromkeys(notes):
        say(f"note: {note}")


def _show_comparison(ways: BetaComparison) -> None:
    table_of(
        ways.rows,
        "benchmark, paired: way, beta, s.e.: se, n, R²: r2, to: last_session_us, days old: stale_days, naive, "
        "low: ci_low, high: ci_high, from: first_session_us",
        title=f"{ways.rows[0].subject}: how the pairing matters",
    )
    show_notes(row.reason for row in ways.rows if row.reason)


def _show_constituents(members: ConstituentBetas) -> None:
    table_of(
        members.rows,
        "token: symbol, weight, beta, s.e.: se, shrunk: vasicek.beta, n, to: last_session_us, days old: stale_days, "
        "missing because: reason, sub-sector: sub_sector",
        title=f"Members of {members.index_id} at {iso(members.at_us)}, beta to {members.benchmark}",
    )


def event(
    name: Annotated[str, typer.Argument(help="Event id; `list` shows them all.")] = "deepseek",
    index: Annotated[str, typer.Option(help="Index id.")] = "deai",
    factor: Annotated[
        list[str] | None, typer.Option("--factor", "-f", help="A market model: factors with commas; repeatable.")
    ] = None,
    *,
    at: Annotated[str | None, typer.Option(help="Any date or instant instead of an event.")] = None,
    until: Annotated[str | None, typer.Option(help="Its end, if it is no instant; a date is that whole day.")] = None,
    first: Annotated[int | None, typer.Option(min=-60, max=0, help="First interval of the window; -1.")] = None,
    last: Annotated[int | None, typer.Option(min=0, max=60, help="Last interval of the window; 5.")] = None,
    estimation: Annotated[int, typer.Option(min=30, help="Intervals of the estimation window.")] = 120,
    clock: Annotated[Clock, typer.Option(help="at_close, or hourly_utc with token factors.")] = Clock.AT_CLOSE,
    as_of: AsOf = None,
) -> Answer:
    """Show what an event did, by the hour and then at closes: abnormal returns of indices and of that day's members.

    Your own events go into events.toml in the data directory. Example: deai event --at 2025-02-03 -f QQQ -f QQQ,btc
    """
    from indexer.studies.catalogue import event_at, load_events
    from indexer.studies.events import ONE_FACTOR, TWO_FACTORS, study_event, windows_asked

    with opened(as_of) as (store, settings):
        events = load_events(store, settings.data_dir)
        if name == "list":
            rows = list(events.values())
            return Answer(rows, lambda: table_of(rows, "event: id, at: at_us, kind, name"), wire=True)
        study = study_event(
            store,
            index,
            event_at(parse_instant(at), until_us=instant_us(until)) if at else name,
            events=events,
            models=[part.split(",") for part in factor] if factor else [ONE_FACTOR, TWO_FACTORS],
            windows=windows_asked(first, last, estimation),
            estimation=estimation,
            clock=clock,
        )
    return Answer(study, lambda: _show_event(study), wire=True)


def _show_event(study: EventStudy) -> None:
    _show_hours(study)
    rows = [{"row": row, "window": span_of(row.first, row.last)} for row in study.indices]
    table_of(
        rows,
        "subject: row.subject, factors: row.factors, window, abnormal: row.car log%, p: row.p p, "
        "p Holm: row.p_holm p, p placebo: row.p_placebo p, low: row.car_low log%, high: row.car_high log%, "
        "return: row.raw log%, p bootstrap: row.p_bootstrap p",
        title=f"Abnormal returns, model fitted on {study.estimation} intervals before; [0] is "
        f"{iso(study.interval_start_us)} to {iso(study.interval_end_us)}",
    )
    table_of(
        rows,
        "subject: row.subject, factors: row.factors, window, largest: row.largest_ar log%, on: row.largest_at_us day, "
        "other events: row.others",
        title="The largest abnormal return in each window, and the other events in it",
    )
    show_notes(f"{row.subject}: {row.reason}" for row in study.indices if row.reason)
    for block in study.members:
        _show_members(block)
    show_notes(f"also in the windows: {other.name} ({other.id}), {other.step:+d}" for other in study.overlaps)
    show_notes(study.notes)


def _show_members(block: MemberTests) -> None:
    table_of(
        block.members,
        "member: subject, return: raw log%, abnormal: car log%, low: car_low log%, high: car_high log%, p: p p, "
        "missing because: reason",
        title=f"Members of that day, {' and '.join(block.factors)}",
    )
    tests = block.tests
    if tests.p_kolari_pynnonen is not None:
        say(
            f"mean {percent(simple(tests.mean_car))} over {tests.n}; p {p_value(tests.p_kolari_pynnonen)} by "
            f"Kolari-Pynnönen, {p_value(block.p_placebo)} by {block.n_placebo} days without an event; BMP says "
            f"{p_value(tests.p_bmp)}, and below 0.05 on {percent(block.placebo_rejects, 0, sign=False)} of them"
        )


def _show_hours(study: EventStudy) -> None:
    """The event's hours, every third and the furthest, and what was told of it beside the data."""
    path = study.path
    if path is None:
        say(f"{study.event.name}: no hourly levels about {iso(study.event.at_us)}")
    else:
        say(f"{study.event.name}. {path.statement}.")
        shown = [hour for n, hour in enumerate(path.hours, start=1) if n % 3 == 0 or hour in (path.furthest, path.last)]
        table_of(shown, "hour: time_us, level, since: change ±%")
    if study.claims:
        columns = (
            "what was told: text, told: told fig, data: measured fig, difference: difference ±%, measured as: basis"
        )
        table_of(study.claims, columns)


def drawdown(
    index: Subject = "deai",
    *,
    min_depth: Annotated[float, typer.Option(min=0.01, max=0.95, help="Least depth as a fraction.")] = 0.10,
    start: Annotated[str | None, typer.Option(help="First level; a date is its 00:00 UTC.")] = None,
    end: Annotated[str | None, typer.Option(help="Last level; a date is its 00:00 UTC.")] = None,
    bar: Annotated[Bar, typer.Option(help="Levels at 00:00 UTC, or hourly.")] = Bar.DAILY,
    fall: Annotated[list[float] | None, typer.Option(help="Fall in one bar, 0.05 is 5 %; repeatable.")] = None,
    analogues: Annotated[bool, typer.Option("--analogues", help="2024-01 beside 2025-01, with btc.")] = False,
    as_of: AsOf = None,
) -> Answer:
    """Show pullbacks, how long they took to recover, and what followed falls. Example: deai drawdown btc"""
    from indexer.studies.drawdowns import FALLS, compare_episodes, study_drawdowns

    with opened(as_of) as (store, _):
        if analogues:
            beside = compare_episodes(store, list(dict.fromkeys([index, "btc"])), bar=bar)
            return Answer(beside, lambda: _show_analogues(beside), wire=True)
        start_us, end_us = instant_us(start), instant_us(end)
        study = study_drawdowns(
            store, index, min_depth=min_depth, start_us=start_us, end_us=end_us, bar=bar, falls=fall or FALLS
        )
    return Answer(study, lambda: _show_drawdowns(study), wire=True)


def _show_drawdowns(study: DrawdownStudy) -> None:
    say(f"{study.subject}: {study.now:.1%} from its peak, at {day(study.last_us)}")
    table_of(
        study.episodes,
        "peak: peak_us, trough: trough_us, recovered: recovery_us, depth, days down: days_down, "
        "days back: days_to_recover, from: peak_level, to: trough_level",
        title=f"{study.subject}: pullbacks of {study.min_depth:.0%} or more, {study.bar} levels; – is still open",
    )
    for summary in study.recovery:
        say(summary.statement)
    unit = "day" if study.bar == "daily" else "hour"
    for falls in study.after_falls:
        table_of(
            falls.rows,
            f"{unit}s after: horizon, n, of: n_all, median, q25, q75, share up: share_up",
            title=f"What followed falls of {falls.fall * 100:g} % within one {unit}",
        )
    show_notes(study.left_out.splitlines())
    show_notes([study.recovery[0].overlap_rule, study.after_falls[0].overlap_rule])


def _show_analogues(beside: AnalogueTable) -> None:
    table_of(
        beside.rows,
        "episode: analogue.name, subject, peak: analogue.episode.peak_us, from: analogue.episode.peak_level, "
        "trough: analogue.episode.trough_us, to: analogue.episode.trough_level, depth: analogue.episode.depth, "
        "high in 60 d: high, missing because: analogue.reason",
    )


def breaks(
    index: Subject = "deai",
    benchmark: Benchmarks = None,
    *,
    event: Annotated[str, typer.Option(help="Event that parts before and after.")] = "deepseek",
    at: Annotated[str | None, typer.Option(help="An instant instead of an event.")] = None,
    sessions: Annotated[int, typer.Option(min=30, help="Returns on each side, at most.")] = 250,
    as_of: AsOf = None,
) -> Answer:
    """Show whether the relation to a benchmark changed: Chow, sup-F, CUSUM, betas, correlations, and a verdict.

    Example: deai breaks deai -b QQQ --event deepseek
    """
    from indexer.studies.beta import BENCHMARKS
    from indexer.studies.breaks import study_breaks
    from indexer.studies.catalogue import find_event, load_events

    names = benchmark or BENCHMARKS
    with opened(as_of) as (store, settings):
        at_us = parse_instant(at) if at else find_event(load_events(store, settings.data_dir), event).at_us
        studies = [study_breaks(store, index, name, at_us=at_us, sessions=sessions) for name in names]

    def text() -> None:
        for study in studies:
            say(study.verdict)
            table_of(
                study.regimes,
                "regime: regime.name, n: beta.n, beta: beta.beta, s.e.: beta.se, correlation, "
                f"vol {study.benchmark}: volatility_x, vol {study.subject}: volatility_y",
                title=f"{study.subject} and {study.benchmark}, parted at {iso(study.at_us)}",
            )

    return Answer(studies, text, wire=True)


def attribution(
    index: IndexId = "deai",
    *,
    start: Annotated[str, typer.Option(help="From the last level at or before it; a date is its 00:00 UTC.")],
    end: Annotated[str, typer.Option(help="To the last level at or before it; a date is its 00:00 UTC.")],
    as_of: AsOf = None,
) -> Answer:
    """Show who moved the index: contributions that add up to its return.

    Example: deai attribution deai --start 2025-01-24T21:00Z --end 2025-01-27T21:00Z
    """
    from indexer.studies.attribution import study_attribution

    with opened(as_of) as (store, _):
        study = study_attribution(store, index, start_us=parse_instant(start), end_us=parse_instant(end))

    def text() -> None:
        table_of(
            study.constituents,
            "token: symbol, sub-sector: sub_sector, contribution, own return: own_return, mean weight: mean_weight",
            title=f"{index} {study.total:+.2%} from {iso(study.start_us)} to {iso(study.end_us)}",
        )
        table(("sub-sector", "contribution"), list(study.sub_sectors.items()))
        show_notes(study.left_out.splitlines())

    return Answer(study, text, wire=True)


def stress(
    index: IndexId = "deai",
    *,
    start: Annotated[str, typer.Option(help="Bars that end after it; a date is its 00:00 UTC.")],
    end: Annotated[str, typer.Option(help="Bars that end at or before it; a date is its 00:00 UTC.")],
    subject: Annotated[str, typer.Option(help="Whose derivatives: the slug of a token.")] = "btc",
    bar: Annotated[Bar, typer.Option(help="Spacing of the bars.")] = Bar.DAILY,
    as_of: AsOf = None,
) -> Answer:
    """Show liquidations, funding, open interest and fear & greed beside the index.

    Example: deai stress deai --start 2026-11-20 --end 2026-11-24 --bar hourly
    """
    from indexer.studies.stress import stored_stress, study_stress

    first, last = parse_instant(start), parse_instant(end)
    with opened(as_of) as (store, _):
        readings = stored_stress(store, subject, since_us=first - 2 * DAY_US, until_us=last + 1)
        study = study_stress(store, index, readings, start_us=first, end_us=last, subject=subject, bar=bar)

    def text() -> None:
        table_of(
            study.rows,
            "bar ends: time_us, level, move, z: move_z, long USD: long_usd, short USD: short_usd, "
            "long share: long_share, funding, OI: open_interest_change, fear/greed: fear_greed",
            title=f"{index} and the derivatives of {subject}",
        )
        if study.absent:
            say(f"no source has told: {', '.join(study.absent)} (unknown, not zero)")
        show_notes(study.left_out.splitlines())

    return Answer(study, text, wire=True)


def breadth(
    index: IndexId = "deai",
    *,
    at: Annotated[str | None, typer.Option(help="Instant; the newest level's when not given.")] = None,
    as_of: AsOf = None,
) -> Answer:
    """Show the market inside the index: breadth, dispersion, correlation, concentration, relative strength."""
    from indexer.studies.breadth import study_breadth

    with opened(as_of) as (store, _):
        study = study_breadth(store, index, at_us=instant_us(at))
    return Answer(study, lambda: _show_breadth(study), wire=True)


def _show_breadth(study: BreadthStudy) -> None:
    say(f"{study.index_id} at {iso(study.at_us)}, {study.members} members")
    table_of(study.breadth, "days: window, above their mean: above, of: n, share")
    figures = {
        "dispersion of the day": study.dispersion,
        "median dispersion, 60 days": study.dispersion_median,
        "mean pairwise correlation, 60 days": study.correlation,
        "effective number": study.concentration and study.concentration.effective_n,
        "largest weight": study.concentration and study.concentration.largest,
        "share of the universe": study.share.share,
    }
    table(("measure", "value"), list(figures.items()))
    show_notes(study.left_out.splitlines())
    strength = [(row.benchmark, row.unit, *row.change.values()) for row in study.strength]
    table(("against", "in", "5", "20", "60"), strength, title="Relative strength, log change")
    if study.share.reason:
        say(f"note: no share of the universe: {study.share.reason}")
    else:
        say(f"note: the universe is the members and {', '.join(study.share.others)}, by market value")
    show_notes(
        f"no supply known, market value as stated, moved by our rate since: {asset}" for asset in study.share.stated
    )


def report(
    name: Annotated[str, typer.Argument(help="Which report: an event id.")] = "deepseek",
    index: Annotated[str, typer.Option(help="Index id.")] = "deai",
    *,
    period: Annotated[str, typer.Option(help="week or month: of the last whole one instead of an event.")] = "",
    out: Annotated[Path | None, typer.Option(help="File to write, .html or .pdf; NAME.html when not given.")] = None,
    as_of: AsOf = None,
) -> Answer:
    """Write one self-contained page that tells an event, or a week or month, from the data, with intervals.

    Example: deai report deepseek --out deepseek.html
    """
    from indexer.studies.report.page import write_report

    title = period or name
    path = out or Path(f"{title}.html")
    with opened(as_of) as (store, settings), progress("computing and drawing") as tick:
        size = write_report(store, index, name, period=period, path=path, data_dir=settings.data_dir, progress=tick)
    payload = {"report": title, "index": index, "file": str(path), "bytes": size}
    return Answer(payload, f"{path}: {size / 1024:,.0f} KB, opens without a network")


COMMANDS = (beta, event, drawdown, breaks, attribution, breadth, stress, report)
