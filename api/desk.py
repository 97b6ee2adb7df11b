"""What the administration routes need of the index, loaded with the first question: it costs a start 0.15 s."""

from indexer.administration.calendar import as_ical, as_rows, as_rss, entries
from indexer.administration.decide import methodology_of, pro_forma, registry_for
from indexer.administration.documents.blocks import as_html, as_text
from indexer.administration.documents.make import FOREVER_US, make_document, make_sheet
from indexer.administration.documents.sheet import as_document, as_pdf
from indexer.administration.event_log import load_event_log
from indexer.administration.explain import explain
from indexer.administration.lifecycle import status_of
from indexer.administration.plain_form import plain

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
    "plain",
    "pro_forma",
    "registry_for",
    "status_of",
]
