"""Signing in on a page where reads need a key: a form takes the key once, the browser keeps a cookie for it."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope as ASGIScope

from api.answers.deps import ServicesDep
from api.middleware.access import identify
from api.middleware.keys import Scope
from api.middleware.sessions import COOKIE, session_for
from api.web.pages import Raw, filled

PAGES = ("/indices/", "/events/")
NEVER = {"Cache-Control": "no-store"}
router = APIRouter(include_in_schema=False)


def sign_in_instead(scope: ASGIScope, path: str) -> Response | None:
    """For a person's browser on a page that needs a key: the way to the form. None for programs and for data."""
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
    if b"text/html" not in accepted or scope["method"] not in ("GET", "HEAD"):
        return None
    if path != "/" and not path.startswith(PAGES):
        return None
    query = scope["query_string"].decode("latin-1")
    wanted = quote(f"{scope['path']}?{query}" if query else scope["path"], safe="")
    return RedirectResponse(f"{scope.get('root_path', '')}/sign-in?next={wanted}", status_code=303, headers=NEVER)


@router.get("/sign-in")
def sign_in_form(request: Request, next: str = "") -> Response:
    """The form."""
    return _form(request, next)


@router.post("/sign-in")
async def sign_in(request: Request, services: ServicesDep) -> Response:
    """Takes a key that may read, sets the cookie and goes on to the page that was wanted."""
    given = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
    wanted, key = given.get("next", ""), identify(given.get("key", "").strip(), services)
    if key is None or not key.allows(Scope.READ):
        why = "This key is unknown, revoked or expired." if key is None else f"The key {key.prefix} may not read."
        return _form(request, wanted, why=why)
    text, seconds = session_for(key, now=services.clock())
    answer = RedirectResponse(_inside(request, wanted), status_code=303, headers=NEVER)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, text, max_age=seconds, path=_home(request), secure=secure, httponly=True, samesite="lax")
    return answer


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    """Forgets the cookie."""
    answer = RedirectResponse(f"{_home(request)}sign-in", status_code=303, headers=NEVER)
    answer.delete_cookie(COOKIE, path=_home(request))
    return answer


def _form(request: Request, wanted: str, *, why: str = "") -> Response:
    said = Raw(f'<p class="problem" role="alert">{why}</p>') if why else ""
    page = filled("sign_in.html", request, next=_inside(request, wanted), problem=said)
    return HTMLResponse(page, status_code=401 if why else 200, headers=NEVER)


def _home(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return f"{root}/"


def _inside(request: Request, wanted: str) -> str:
    """The address to go on to if it is a path of ours, or else the page: a link must not lead elsewhere."""
    ours = wanted.startswith(_home(request)) and not wanted.startswith("//")
    return wanted if ours and wanted.isprintable() and "\\" not in wanted else _home(request)
