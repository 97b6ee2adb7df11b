"""Text without keys: every URL, header and message passes here before it is shown, logged or stored."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

HIDDEN: Final = "<redacted>"

_PARAMETER = re.compile(
    r"(?i)\b((?:x[-_]cg[-_](?:demo|pro)[-_])?(?:api[-_]?key|access[-_]?token|token|secret|signature|password))"
    r"(\s*[=:]\s*)([^&\s\"',;}]+)"
)
_USERINFO = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^/@\s]+@")
_SECRET_HEADER = re.compile(r"(?i)key|token|secret|auth|cookie|signature")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with every known secret, and whatever looks like a key in a URL, replaced by `<redacted>`."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN).replace(quote(secret, safe=""), HIDDEN)
    text = _USERINFO.sub(rf"\1{HIDDEN}@", text)
    return _PARAMETER.sub(rf"\1\2{HIDDEN}", text)


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
