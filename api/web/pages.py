"""Templates of pages: {{names}} replaced, everything escaped but `Raw`."""

from __future__ import annotations

import html
import re
from functools import cache
from pathlib import Path

from starlette.requests import Request

HTML = "text/html; charset=utf-8"
HERE = Path(__file__).parent
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


class Raw(str):
    """Text that is markup already."""

    __slots__ = ()


def filled(file: str, request: Request, **values: str) -> bytes:
    """A template with its {{names}} replaced; everything but `Raw` is escaped."""
    root: str = request.scope.get("root_path", "")
    texts = {"base": f"{root}/", **values}

    def put(match: re.Match[str]) -> str:
        value = texts[match[1]]
        return value if isinstance(value, Raw) else html.escape(value)

    return PLACEHOLDER.sub(put, template(file)).encode()


@cache
def template(name: str) -> str:
    """A template's text, read once."""
    return (HERE / "templates" / name).read_text(encoding="utf-8")
