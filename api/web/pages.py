"""How pages are written: Jinja templates over one frame (base.html), everything escaped; their scripts and styles.

Scripts and styles are each one answer: a script carries what it imports. Made from the sources when they are first
asked for, without Node; sent compressed, asked again by ETag.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.answers.answer import Answer
from api.middleware import path_of, requests
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
PROGRAMS = (*requests.PROGRAMS, "/page-data", "/static/")
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


STATIC = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w.]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
UNREAD = re.compile(r"^ *//.*\n|^ +", re.MULTILINE)  # comments of whole lines, indentation
router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
def static_file(name: str) -> Response:
    """A script with all it imports, a style or a picture."""
    if name not in names():
        raise HTTPException(404)
    return Answer(content_of(name), media_type=TYPES[Path(name).suffix], cache_control="no-cache")


@cache
def names() -> frozenset[str]:
    """What may be asked for."""
    return frozenset(path.name for path in STATIC.iterdir())


@cache
def content_of(name: str) -> bytes:
    """A file as it is sent: scripts bundled, all else as it stands."""
    return bundle(name).encode() if name.endswith(".js") else (STATIC / name).read_bytes()


def bundle(name: str) -> str:
    """A script and the modules it imports, each in a scope of its own, those needed by others first."""
    order: dict[str, str] = {}
    _collect(name, order)
    if len(order) == 1:
        return (STATIC / name).read_text(encoding="utf-8")
    return "".join(order.values())


def _collect(name: str, order: dict[str, str]) -> None:
    text = (STATIC / name).read_text(encoding="utf-8")
    for _, other in IMPORT.findall(text):
        if other not in order:
            _collect(other, order)
    exported = EXPORT.findall(text)
    body = IMPORT.sub(lambda line: f"const {{{line[1].replace(' as ', ': ')}}} = {_variable(line[2])};\n", text)
    body = UNREAD.sub("", EXPORT.sub("", body))
    order[name] = f"const {_variable(name)} = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();\n"


def _variable(name: str) -> str:
    return f"module_{Path(name).stem}"
