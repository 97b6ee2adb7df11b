"""Which encoding the client asked for: `?format=` first, then Accept; JSON when it does not matter."""

from __future__ import annotations

from starlette.requests import Request

from api.answers.params import TableFormat


def wants_csv(request: Request, format: TableFormat | None) -> bool:
    """Whether this table goes out as CSV."""
    if format is not None:
        return format is TableFormat.CSV
    accept = request.headers.get("accept", "")
    return "text/csv" in accept and "application/json" not in accept
