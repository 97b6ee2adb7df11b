"""How the analysis commands show a study to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from indexer.cli.output import say, table
from indexer.times import from_us, iso

if TYPE_CHECKING:
    from indexer.studies.beta import IndexBeta
    from indexer.studies.compare import BetaComparison, ConstituentBetas
    from indexer.studies.drawdowns import AnalogueTable, DrawdownStudy
    from indexer.studies.events import Abnormal, EventStudy

AS_NUMBERS = ("n", "beta", "s.e.", "low", "high", "R²")


def show_betas(made: Sequence[IndexBeta]) -> None:
    """Betas, one a line, with what is to be known about them."""
    first = made[0]
    rows = [
        (b.benchmark, e.beta, e.se, e.ci_low, e.ci_high, e.r2, _alpha(b), e.n, iso(b.first_us), iso(b.last_us))
        for b in made
        for e in [b.estimate]
    ]
    headers = ("benchmark", "beta", "s.e.", "low", "high", "R²", "alpha a year", "n", "from", "to")
    table(headers, rows, title=f"{first.index_id}: {first.estimate.method} beta of log returns, {first.clock}")
    for one in made:
        if one.bootstrap:
            say(f"{one.benchmark}: bootstrap {one.bootstrap.beta_low:.3f} to {one.bootstrap.beta_high:.3f}")
        for factor in getattr(one.estimate.detail, "factors", ()):
            say(f"  {factor.name}: {factor.beta:.3f} ± {factor.se:.3f}, VIF {factor.vif:.1f}")
    for note in dict.fromkeys(note for b in made for note in _notes(b)):
        say(f"note: {note}")


def _alpha(b: IndexBeta) -> str:
    """Alpha with its error where the method has one: over a few months it is mostly error."""
    value, error = b.estimate.alpha_annualised, getattr(b.estimate.detail, "se_alpha", None)
    if value is None:
        return "–"
    return f"{value:.2f}" + ("" if error is None else f" ± {error * b.periods_per_year:.2f}")


def _notes(b: IndexBeta) -> list[str]:
    reason = [f"{b.benchmark}: {b.estimate.reason}"] if b.estimate.reason else []
    return [*reason, *b.estimate.warnings, *b.reasons]


def show_comparison(found: BetaComparison) -> None:
    """One subject beside benchmarks, paired in several ways."""
    rows = [
        (
            r.benchmark, r.way + (" (naive)" if r.naive else ""), r.n, r.beta, r.se, r.ci_low, r.ci_high, r.r2,
            iso(r.first_us) if r.first_us else None, iso(r.last_us) if r.last_us else None,
        )
        for r in found.rows
    ]  # fmt: skip
    table(
        ("benchmark", "paired", *AS_NUMBERS, "from", "to"),
        rows,
        title=f"{found.rows[0].subject}: how the pairing matters",
    )
    for reason in dict.fromkeys(r.reason for r in found.rows if r.reason):
        say(f"note: {reason}")


def show_constituents(found: ConstituentBetas) -> None:
    """Each member's beta and the one shrunk to the cross-section."""
    rows = [
        (r.symbol, r.sub_sector, r.weight, r.n, r.beta, r.se, r.vasicek.beta if r.vasicek else None, r.reason or "")
        for r in found.rows
    ]
    headers = ("token", "sub-sector", "weight", "n", "beta", "s.e.", "shrunk", "missing because")
    table(headers, rows, title=f"Members of {found.index_id} at {iso(found.at_us)}, beta to {found.benchmark}")


def show_event(found: EventStudy) -> None:
    """The indices, then the members of that day under each model."""
    start, end = iso(found.interval_start_us), iso(found.interval_end_us)
    say(f"{found.event.name}: the interval from {start} to {end}; window [{found.first}, {found.last}]")
    rows = [_abnormal_row(one) for one in found.indices]
    headers = ("subject", "factors", "window", "return", "abnormal", "s.e.", "t", "p", "bootstrap p")
    table(headers, rows, title=f"Cumulative abnormal log returns, model fitted on {found.estimation} intervals before")
    for reason in dict.fromkeys(f"{one.subject}: {one.reason}" for one in found.indices if one.reason):
        say(f"note: {reason}")
    for block in found.members:
        tests = block.tests
        table(
            ("member", "return", "abnormal", "s.e.", "t", "p", "missing because"),
            [(m.subject, m.raw, m.car, m.car_sd, m.t, m.p, m.reason or "") for m in block.members],
            title=f"Members of that day, {' and '.join(block.factors)}",
        )
        if tests.kolari_pynnonen is not None:
            say(
                f"mean {tests.mean_car:.3f} over {tests.n}; Kolari-Pynnönen {tests.kolari_pynnonen:.2f} "
                f"(p = {tests.p_kolari_pynnonen:.3f}), without it BMP would say {tests.bmp:.2f}"
            )
    for note in found.notes:
        say(f"note: {note}")


def _abnormal_row(one: Abnormal) -> tuple[object, ...]:
    return (
        one.subject, "+".join(one.factors), f"[{one.first}, {one.last}]", one.raw, one.car, one.car_sd, one.t, one.p,
        one.p_bootstrap,
    )  # fmt: skip


def show_drawdowns(found: DrawdownStudy) -> None:
    """Episodes, then what can be said from them."""
    rows = [
        (
            iso(e.peak_us), iso(e.trough_us), iso(e.recovery_us) if e.recovery_us else "open", e.peak_level,
            e.trough_level, e.depth, e.days_down, e.days_to_recover,
        )
        for e in found.episodes
    ]  # fmt: skip
    headers = ("peak", "trough", "recovered", "from", "to", "depth", "days down", "days back")
    table(headers, rows, title=f"{found.subject}: pullbacks of {found.min_depth:.0%} or more, {found.bar} levels")
    for summary in found.recovery:
        say(summary.statement)
    unit = "day" if found.bar == "daily" else "hour"
    falls = [
        (f"{one.fall * 100:g} %", h.horizon, h.n, h.n_all, h.median, h.q25, h.q75, h.share_up)
        for one in found.after_falls
        for h in one.rows
    ]
    table(
        ("fall of", f"{unit}s after", "n", "of", "median", "q25", "q75", "share up"),
        falls,
        title=f"What followed falls within one {unit}",
    )
    say(f"note: {found.recovery[0].overlap_rule}")
    say(f"note: {found.after_falls[0].overlap_rule}")
    say(f"now {found.now:.1%} from the peak, at {from_us(found.last_us):%Y-%m-%d}")


def show_analogues(found: AnalogueTable) -> None:
    """Named episodes side by side."""
    rows = []
    for row in found.rows:
        e = row.analogue.episode
        shown = (None,) * 5 if e is None else (iso(e.peak_us), e.peak_level, iso(e.trough_us), e.trough_level, e.depth)
        rows.append((row.analogue.name, row.subject, *shown, row.high, row.analogue.reason or ""))
    headers = ("episode", "subject", "peak", "from", "trough", "to", "depth", "high in 60 d", "missing because")
    table(headers, rows)
