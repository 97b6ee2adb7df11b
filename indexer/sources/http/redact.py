"""Headers and log lines of the HTTP library without keys."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping

from onchain.rpc.redact import HIDDEN, redact

_SECRET_HEADER = re.compile(r"(?i)key|token|secret|auth|cookie|signature")


def redact_headers(headers: Mapping[str, str], secrets: Iterable[str] = ()) -> dict[str, str]:
    """The headers with secret ones hidden by name, the others by content. Names are lower case."""
    known = tuple(secrets)
    return {
        name.lower(): HIDDEN if _SECRET_HEADER.search(name) else redact(value, known) for name, value in headers.items()
    }


class RedactingFilter(logging.Filter):
    """Takes the secrets out of a logger's messages; the HTTP library logs whole URLs."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage(), self._secrets), ()
        return True
