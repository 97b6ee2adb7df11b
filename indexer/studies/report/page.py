"""The report as a file: one HTML page with its pictures and styles inside, or a PDF of the same blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from indexer.errors import InputError
from indexer.store.db import Store
from indexer.store.drafts import draft
from indexer.studies.report import market, sections
from indexer.studies.report.blocks import Block, Bullets, Cards, Document, Heading, Text, as_html, day, moment, span_of
from indexer.studies.report.gather import Gathered, gather
from indexer.studies.report.period import period_document

SECTIONS = (
    ("By the hour", sections.hours),
    ("The days around it", sections.around),
    ("What equities do not explain", sections.abnormal),
    ("Who moved the index", sections.contributions),
    ("The tokens of that day", sections.members),
    ("Did the relation to equities change", market.relation),
    ("Pullback and recovery", market.recovery),
    ("Inside the index", market.inside),
    ("Stress", market.stress),
)


def write_report(
    store: Store,
    index_id: str,
    event_id: str = "",
    *,
    path: Path,
    period: str = "",
    data_dir: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Writes the report of an event, or of the last whole `period` (week or month); its size in bytes.

    The file appears whole or not at all. The same store gives the same file, byte for byte. Raises NotFoundError for an
    unknown index or event, NotEnoughDataError where the data do not reach, InputError for another period, or ending
    than .html or .pdf.
    """
    ending = path.suffix.lower()
    if ending not in (".html", ".pdf"):
        raise InputError(f'"{path.name}" must end in .html or .pdf')
    if period:
        report = period_document(store, index_id, period, progress=progress)
    else:
        report = document(gather(store, index_id, event_id, data_dir=data_dir, progress=progress))
    if ending == ".pdf":
        from indexer.studies.report.pdf import as_pdf

        content = as_pdf(report, pages=True)
    else:
        content = (as_html(report) + "\n").encode()
    with draft(path, folder=True) as part:
        part.write_bytes(content)
    return len(content)


def document(g: Gathered) -> Document:
    """The whole report, without any address to load from."""
    blocks: list[Block] = [Text(f"{sections.headline(g)} {sections.aftermath(g)}", "lead"), Cards(sections.facts(g))]
    if g.index.simulated:
        blocks.insert(0, Text("SIMULATED: prices of this index are invented.", "warn"))
    for title, section in SECTIONS:
        blocks += [Heading(title), *section(g)]
    title, kicker = f"{g.event.name}, {day(g.event.at_us)}", f"{g.index.name} · event report"
    return Document(title, kicker, (*blocks, *_about(g)))


def _about(g: Gathered) -> list[Block]:
    caveats = (
        "One event is one observation: intervals speak of chance under the model, not of causes.",
        f"The window {span_of(g.study.first, g.study.last)} holds other news as well, of which only the catalogue's is "
        "named; longer windows hold more.",
        "Errors of beta are the larger of the OLS and the Newey-West one, with Student quantiles; the CAR's error "
        "includes that of the forecast.",
        "sup-F critical values hold for 15 % trimming; correlations after are corrected to the volatility before "
        "(Forbes-Rigobon).",
        "Members with daily prices only are valued at their last known price and have no return at the close.",
        "Holm's p corrects for the models and windows of one index, not for the number of indices; the window "
        f"{span_of(g.study.first, g.study.last)} is the methodology's default and was not chosen by its outcome.",
        "The market model's error takes one variance for all days; an event's own is often larger. The bootstrap does "
        "not mend that, the days without an event do: their p assumes no distribution.",
        *g.missing,
    )
    origin = (
        f"Index {g.index.id}, methodology {g.index.version}, hash {g.index.hash[:16]}.",
        f"Sessions: {g.study.calendar}. Interval of the event: {moment(g.study.interval_start_us)} to "
        f"{moment(g.study.interval_end_us)}.",
        f"Newest level used: {moment(g.last_us)}. Percent are simple returns.",
    )
    sources = f"Event: {g.event.note} Sources: {'; '.join(g.event.sources)}."
    return [
        Heading("Caveats"),
        Bullets(caveats),
        Heading("How it was made"),
        Bullets((*origin, sources) if g.event.note else origin),
    ]
