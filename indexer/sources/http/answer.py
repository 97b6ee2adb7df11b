"""An answer as it came (bytes, status, headers, when), and the error that it amounts to. Pure.

An answer can be wrong in ways that HTTP calls success: a web page, a limit notice, half a JSON. They are told apart
here, before any parser sees the body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final

import orjson

from indexer.errors import SourceCorrupt, SourceError, SourceLimited, SourceRefused, SourceUnavailable
from indexer.times import to_us
from onchain.errors import HIDDEN, redact
from onchain.rpc.limits import retry_after_s


class Expects(StrEnum):
    """What a good body is; the detectors refuse anything else."""

    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete answer. `url` and `headers` are already free of keys; `fetched_at` is aware UTC."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    fetched_at: datetime
    elapsed_s: float = 0.0
    attempts: int = 1

    @property
    def fetched_us(self) -> int:
        """`fetched_at` in microseconds since the epoch."""
        return to_us(self.fetched_at)

    @property
    def sha256(self) -> str:
        """The hash of the body: its name in the archive."""
        return sha256(self.body).hexdigest()


def date_of(answer: Answer) -> datetime | None:
    """What the host's clock said when it answered (its Date, and the Age of what a cache had); None without one."""
    try:
        age = int(answer.headers.get("age", "0"))
        return parsedate_to_datetime(answer.headers["date"]).astimezone(UTC) + timedelta(seconds=age)
    except (KeyError, ValueError, OverflowError):
        return None


_REFUSALS: Final = {
    401: "wants a key or a higher plan",
    403: "refuses this address or plan",
    451: "does not serve this region; another venue takes its place, or run from a region it serves",
}
_OUTRIGHT: Final = (401, 403, 451)
_BUSY: Final = {418: "has banned this address for a while", 429: "asks us to slow down"}
_LIMIT_TEXT = re.compile(r"(?i)exceeded the daily hits limit|rate limit|too many requests|get your apikey")

_CHALLENGE = re.compile(
    rb"(?i)proof.of.work|verify(ing)? (that )?you are (a )?human|checking your browser|just a moment\.\.\."
    rb"|cf-chl|captcha|crypto\.subtle|enable javascript"
)


def error_of(answer: Answer, name: str, *, expects: Expects) -> SourceError | None:
    """The error an answer amounts to, or None when it can be parsed. `name` is the source, for the message."""
    if answer.status in _BUSY:
        wait = _wait_s(answer)
        when = f" for {wait:.0f} s" if wait is not None else ""
        return SourceLimited(f"{name} {_BUSY[answer.status]}{when} (HTTP {answer.status})", retry_after_s=wait)
    if answer.status >= 500:
        return SourceUnavailable(
            f"{name} is failing (HTTP {answer.status}): {excerpt(answer)}", retry_after_s=_wait_s(answer)
        )
    if answer.status in _REFUSALS:
        text = f"{name} {_REFUSALS[answer.status]} (HTTP {answer.status}): {excerpt(answer)}"
        return SourceRefused(text, outright=answer.status in _OUTRIGHT)
    if not 200 <= answer.status < 300:
        return SourceRefused(f"{name} refused the request (HTTP {answer.status}): {excerpt(answer)}")
    return _body_error(answer, name, expects=expects)


def _body_error(answer: Answer, name: str, *, expects: Expects) -> SourceError | None:
    body = answer.body.lstrip()
    if not body:
        return SourceCorrupt(f"{name} answered 200 with an empty body")
    if body[:1] == b"<":
        return _page_error(answer, name, expects=expects)
    text = body[:300].decode("utf-8", "replace")
    if body[:1] not in b"[{" and _LIMIT_TEXT.search(text):
        return SourceLimited(f"{name} answered 200 with a limit notice: {excerpt(answer)}")
    if expects is Expects.JSON:
        try:
            orjson.loads(answer.body)
        except orjson.JSONDecodeError as cause:
            return SourceCorrupt(
                f"{name} answered 200 with JSON that breaks off or is none ({len(answer.body)} bytes, {cause})"
            )
    elif b"," not in body.split(b"\n", 1)[0]:
        return SourceCorrupt(f"{name} answered 200 with something that is not CSV: {excerpt(answer)}")
    return None


def _page_error(answer: Answer, name: str, *, expects: Expects) -> SourceError:
    """A page where data belong: a check for browsers (which no program passes), or some other page."""
    if _CHALLENGE.search(answer.body[:20_000]):
        return SourceRefused(f"{name} answered 200 with a check for browsers instead of {expects}", outright=True)
    return SourceCorrupt(f"{name} answered 200 with a web page instead of {expects}: {excerpt(answer)}")


def _wait_s(answer: Answer) -> float | None:
    return retry_after_s(answer.headers.get("retry-after"), answer.fetched_at.timestamp())


def excerpt(answer: Answer, size: int = 160) -> str:
    """The beginning of the body on one line, for messages."""
    text = answer.body[: 4 * size].decode("utf-8", "replace")
    text = " ".join(text.split())
    return text if len(text) <= size else text[: size - 1] + "…"


_SECRET_HEADER: Final = re.compile(r"(?i)key|token|secret|auth|cookie|signature")


def redact_headers(headers: Mapping[str, str], secrets: Iterable[str] = ()) -> dict[str, str]:
    """The headers with secret ones hidden by name, the others by content. Names are lower case."""
    known = tuple(secrets)
    return {
        name.lower(): HIDDEN if _SECRET_HEADER.search(name) else redact(value, known) for name, value in headers.items()
    }
