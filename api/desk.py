"""What the administration routes need of the index, loaded with the first question: it costs a start 0.15 s."""

from indexer.administration.calendar import as_ical, as_rows, as_rss, entries
from indexer.administration.documents.blocks import as_html, as_text
from indexer.administration.documents.make import FOREVER_US, make_document, make_sheet
from indexer.administration.documents.sheet import as_document, as_pdf
from indexer.administration.explain import explain
from indexer.arrays import to_json
from indexer.levels.lifecycle import status_of
from indexer.methodology.actions import load_event_log
from indexer.workflow.decide import methodology_of, pro_forma, registry_for

__all__ = [
    "FOREVER_US",
    "as_document",
    "as_html",
    "as_ical",
    "as_pdf",
    "as_rows",
    "as_rss",
    "as_text",
    "entries",
    "explain",
    "load_event_log",
    "make_document",
    "make_sheet",
    "methodology_of",
    "pro_forma",
    "registry_for",
    "status_of",
    "to_json",
]
