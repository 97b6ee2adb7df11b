"""Answers that are not 200 → errors of ours: the `code` of a problem decides, the text is the server's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from indexer.errors import (
    BusyError,
    DeaiError,
    InputError,
    NotEnoughDataError,
    NotFoundError,
    SourceCorrupt,
    SourceError,
    SourceRefused,
    SourceUnavailable,
    StoreError,
    VerificationError,
)

MEDIA_TYPE = "application/problem+json"
KINDS: dict[str, type[DeaiError]] = {
    "bad_request": InputError,
    "invalid_request": InputError,
    "invalid_input": InputError,
    "method_not_allowed": InputError,
    "not_acceptable": InputError,
    "body_too_large": InputError,
    "uri_too_long": InputError,
    "range_not_satisfiable": InputError,
    "unauthorized": SourceRefused,
    "forbidden": SourceRefused,
    "not_found": NotFoundError,
    "gone": NotFoundError,
    "not_enough_data": NotEnoughDataError,
    "too_many_requests": SourceUnavailable,
    "internal": SourceError,
    "not_implemented": SourceError,
    "source_error": SourceError,
    "store_error": StoreError,
    "busy": BusyError,
    "verification_failed": VerificationError,
}
PASSING = (429, 502, 503, 504)


def refusal(*, url: str, status: int, headers: Mapping[str, str], body: bytes) -> DeaiError:
    """The error that an answer means; `retryable` says whether asking again may help."""
    kind = headers.get("content-type", "").partition(";")[0]
    if kind == MEDIA_TYPE:
        error = _problem(body)
        if error is not None:
            return _passing(error, status, headers)
    if status in PASSING:
        error = SourceUnavailable(f"{url} answered {status}; it may be starting or overloaded")
        return _passing(error, status, headers)
    if status in (401, 403):
        return SourceRefused(f"{url} answered {status}: something before the API wants to know who you are")
    if 300 <= status < 400:
        return InputError(
            f'{url} sends on to "{headers.get("location", "")}"; give that address, redirects are not followed'
        )
    return SourceCorrupt(
        f"{url} answered {status} with {kind or 'no type'}, not like this API; give its root, e.g. http://127.0.0.1:8000"
    )


def _problem(body: bytes) -> DeaiError | None:
    try:
        problem: Any = orjson.loads(body)
        code, detail, trace = problem["code"], str(problem["detail"]), str(problem.get("trace_id", ""))
    except (ValueError, TypeError, KeyError):
        return None
    known = KINDS.get(code, SourceError)
    ours = issubclass(known, SourceError | StoreError | VerificationError) and known is not SourceRefused
    return known(f"{detail} (trace id {trace})" if ours and trace else detail)


def _passing(error: DeaiError, status: int, headers: Mapping[str, str]) -> DeaiError:
    error.retryable = error.retryable or status in PASSING
    wait = headers.get("retry-after", "")
    if isinstance(error, SourceUnavailable) and wait.isdigit():
        error.retry_after_s = float(wait)
    return error
