"""How pages are written: templates with {{names}} replaced, everything escaped but `Raw`, and what pages share."""

from __future__ import annotations

import html
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.responses import Response

from api.answers.answer import Answer
from api.middleware.access import COOKIE

HTML = "text/html; charset=utf-8"
TEMPLATES = Path(__file__).parent / "templates"
MIDNIGHT = re.compile(r"T00:00:00Z")
PROGRAMS = ("/v1", "/page-data", "/static/")
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
SIGN_OUT = '<form method="post" action="sign-out"><button class="quiet" type="submit">Sign out</button></form>'
HERE_MARK = ' aria-current="page"'


class Raw(str):
    """Text that is markup already."""

    __slots__ = ()


def filled(file: str, request: Request, **values: str) -> bytes:
    """A template with its {{names}} replaced; everything but `Raw` is escaped. `here` is the page's own address."""
    root: str = request.scope.get("root_path", "")
    path, query = request.url.path.removeprefix(root).lstrip("/"), request.url.query
    texts = {"base": f"{root}/", "here": f"{path}?{query}" if query else path, **values}

    def put(match: re.Match[str]) -> str:
        value = texts[match[1]]
        return value if isinstance(value, Raw) else html.escape(value)

    return PLACEHOLDER.sub(put, template(file)).encode()


def page_answer(body: bytes) -> Answer:
    """A page: asked again each time by ETag, and kept by no cache of ours, for it may depend on who asks."""
    return Answer(body, media_type=HTML, cache_control="no-cache", keep=False)


def refusal(request: Request, answer: Response) -> Response:
    """A problem as a page for a browser on its way to one of ours; for programs, and under /v1, as it is."""
    path, accept = request.scope["path"], request.headers.get("accept", "")
    if request.method != "GET" or "text/html" not in accept or path.startswith(PROGRAMS):
        return answer
    told = json.loads(bytes(answer.body))
    title, heading = f"{told['status']} {told['code']}", told["title"]
    body = filled("note.html", request, title=title, heading=heading, text=told["detail"])
    headers = {name: value for name, value in answer.headers.items() if name not in ("content-type", "content-length")}
    return Response(body, answer.status_code, headers, media_type=HTML)


@cache
def template(name: str) -> str:
    """A template's text, read once."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def level_texts(latest: dict[str, Any] | None, *, without: str) -> tuple[str, str]:
    """The newest level and its instant for people; `without` and nothing where there is none."""
    return (f"{latest['level']:,.2f}", f"{latest['time']:%Y-%m-%d %H:%M} UTC") if latest else (without, "")


def why_of(latest: dict[str, Any] | None) -> str:
    """Why the newest level is not final, as a sentence for people; nothing where it is."""
    reason = MIDNIGHT.sub("", latest["reason"]) if latest else ""
    return f"{reason[0].upper()}{reason[1:]}." if reason else ""


def sign_out(request: Request) -> Raw:
    """The button to sign out, for who has signed in."""
    return Raw(SIGN_OUT if COOKIE in request.cookies else "")


def links(places: list[tuple[str, str, bool]]) -> str:
    """Links as markup: (address, text, whether it is this page)."""
    return "".join(
        f'<a href="{html.escape(address, quote=True)}"{HERE_MARK if here else ""}>{html.escape(text)}</a>'
        for address, text, here in places
    )
