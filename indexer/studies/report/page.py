"""The report as a file: one HTML page with its pictures and styles inside, or a PDF printed from it by a browser."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from indexer.errors import ConfigError, InputError
from indexer.store.db import Store
from indexer.studies.report import market, sections
from indexer.studies.report.blocks import Block, Bullets, Cards, Document, Heading, Text, as_html
from indexer.studies.report.gather import Gathered, gather
from indexer.studies.report.words import day, moment, span_of

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PRINT_TIMEOUT_S = 120
SECTIONS = (
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
    event_id: str,
    *,
    path: Path,
    data_dir: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Writes the report and gives its size in bytes; the file appears whole or not at all.

    The same store gives the same HTML, byte for byte. Raises NotFoundError for an unknown index or event,
    NotEnoughDataError where the event lies outside the data, InputError for another ending than .html or .pdf, and
    ConfigError for a PDF without a browser.
    """
    ending = path.suffix.lower()
    if ending not in (".html", ".pdf"):
        raise InputError(f'"{path.name}" must end in .html or .pdf')
    browser = _browser() if ending == ".pdf" else None
    page = render(gather(store, index_id, event_id, data_dir=data_dir, progress=progress))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = Path(folder) / "report.html"
        draft.write_text(page, encoding="utf-8")
        if browser is not None:
            draft = _printed(browser, draft)
        draft.replace(path)
    return path.stat().st_size


def render(g: Gathered) -> str:
    """The whole page as HTML text, without any address to load from."""
    blocks: list[Block] = [Text(f"{sections.headline(g)} {sections.aftermath(g)}", "lead"), Cards(sections.facts(g))]
    if g.index.simulated:
        blocks.insert(0, Text("SIMULATED: prices of this index are invented.", "warn"))
    for title, section in SECTIONS:
        blocks += [Heading(title), *section(g)]
    title, kicker = f"{g.event.name}, {day(g.event.at_us)}", f"{g.index.name} · event report"
    return as_html(Document(title, kicker, (*blocks, *_about(g)))) + "\n"


def _about(g: Gathered) -> list[Block]:
    caveats = (
        "One event is one observation: intervals speak of chance under the model, not of causes.",
        f"The window {span_of(g.study.first, g.study.last)} holds other news as well, such as any FOMC "
        "decision in it; longer windows hold more.",
        "Errors of beta are the larger of the OLS and the Newey-West one, with Student quantiles; the CAR's error "
        "includes that of the forecast.",
        "sup-F critical values hold for 15 % trimming; correlations after are corrected to the volatility before "
        "(Forbes-Rigobon).",
        "Members with daily prices only are valued at their last known price and have no return at the close.",
        "p values are not corrected for the number of models, windows and indices shown; the window "
        f"{span_of(g.study.first, g.study.last)} is the methodology's default and was not chosen by its outcome.",
        "The market model's error takes one variance for all days; an event's own is often larger. The bootstrap does "
        "not mend that.",
        *g.missing,
    )
    origin = (
        f"Index {g.index.id}, methodology {g.index.version}, hash {g.index.hash[:16]}.",
        f"Sessions: {g.study.calendar}. Interval of the event: {moment(g.study.interval_start_us)} to "
        f"{moment(g.study.interval_end_us)}.",
        f"Newest level used: {moment(g.last_us)}. Returns are log returns except where a move between closes is given.",
    )
    sources = f"Event: {g.event.note} Sources: {'; '.join(g.event.sources)}."
    return [
        Heading("Caveats"),
        Bullets(caveats),
        Heading("How it was made"),
        Bullets((*origin, sources) if g.event.note else origin),
    ]


def _browser() -> str:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise ConfigError(
            f"a PDF is printed by a browser and none of {', '.join(BROWSERS)} is on the PATH; "
            "write .html instead, or print that page to PDF yourself"
        )
    return browser


def _printed(browser: str, page: Path) -> Path:
    """The page printed to PDF, with a profile of its own that is thrown away."""
    printed = page.with_suffix(".pdf")
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
        f"--user-data-dir={page.parent / 'profile'}", f"--print-to-pdf={printed}", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=PRINT_TIMEOUT_S, check=False)
    if done.returncode or not printed.exists():
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise ConfigError(f"{browser} could not print the page ({last[0][:200]}); write .html instead")
    return printed
