"""How pages are written: Jinja templates over one frame (base.html), everything escaped, and what pages share."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from api.answers.answer import Answer
from api.middleware import path_of, security
from api.middleware.access import COOKIE

HTML = "text/html; charset=utf-8"
FOLDER = Path(__file__).parent / "templates"
TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
    auto_reload=False,
)
MIDNIGHT = re.compile(r"T00:00:00Z")
PROGRAMS = (*security.PROGRAMS, "/page-data", "/static/")
Tab = tuple[str, str, bool]  # address, text, whether it is this page


def filled(file: str, request: Request, **values: Any) -> bytes:
    """A template with its values, all escaped but `Markup`; `base` is where we are mounted, `here` the page's own

    address, `tabs` the links at its head.
    """
    root: str = request.scope.get("root_path", "")
    path, query = request.url.path.removeprefix(root).lstrip("/"), request.url.query
    here = f"{path}?{query}" if query else path
    page = TEMPLATES.get_template(file)
    return page.render(base=f"{root}/", here=here, signed_in=COOKIE in request.cookies, **values).encode()


def page_answer(body: bytes) -> Answer:
    """A page: asked again each time by ETag, and kept by no cache of ours, for it may depend on who asks."""
    return Answer(body, media_type=HTML, cache_control="no-cache", keep=False)


def refusal(request: Request, answer: Response) -> Response:
    """A problem as a page for a browser on its way to one of ours; for programs, and where only they ask, as it is."""
    path, accept = path_of(request.scope), request.headers.get("accept", "")
    if request.method != "GET" or "text/html" not in accept or path.startswith(PROGRAMS):
        return answer
    told = json.loads(bytes(answer.body))
    title, heading = f"{told['status']} {told['code']}", told["title"]
    body = filled("note.html", request, title=title, heading=heading, text=told["detail"])
    headers = {name: value for name, value in answer.headers.items() if name not in ("content-type", "content-length")}
    return Response(body, answer.status_code, headers, media_type=HTML)


def level_texts(latest: dict[str, Any] | None, *, without: str) -> tuple[str, str]:
    """The newest level and its instant for people; `without` and nothing where there is none."""
    return (f"{latest['level']:,.2f}", f"{latest['time']:%Y-%m-%d %H:%M} UTC") if latest else (without, "")


def why_of(latest: dict[str, Any] | None) -> str:
    """Why the newest level is not final, as a sentence for people; nothing where it is."""
    reason = MIDNIGHT.sub("", latest["reason"]) if latest else ""
    return f"{reason[0].upper()}{reason[1:]}." if reason else ""
