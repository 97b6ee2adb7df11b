"""Text without keys: every URL, header and message passes here before it is shown, logged or stored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

HIDDEN: Final = "<redacted>"
SECRET_CHARS: Final = 8  # shorter parts of a path are words of the service

_PARAMETER = re.compile(
    r"(?i)\b((?:x[-_]cg[-_](?:demo|pro)[-_])?(?:api[-_]?key|access[-_]?token|token|secret|signature|password))"
    r"(\s*[=:]\s*)([^&\s\"',;}]+)"
)
_USERINFO = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^/@\s]+@")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with every known secret, and whatever looks like a key in a URL, replaced by `<redacted>`."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN).replace(quote(secret, safe=""), HIDDEN)
    text = _USERINFO.sub(rf"\1{HIDDEN}@", text)
    return _PARAMETER.sub(rf"\1\2{HIDDEN}", text)


def redact_url(url: str) -> str:
    """A node's URL without what may be a key: user info, path and query become `…`; scheme, host and port stay."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    hidden = "/…" if parts.path.strip("/") or parts.query or parts.username else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{hidden}"


def redact_parts(text: str, url: str) -> str:
    """`text` without the parts of `url` that may be a key, should an answer repeat them, even cut off."""
    parts = urlsplit(url)
    secrets = [parts.username, parts.password, *parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    for secret in secrets:
        if secret and len(secret) >= SECRET_CHARS:
            text = re.sub(re.escape(secret[:SECRET_CHARS]) + r"[\w.~%-]*", "…", text)
    return text
