"""Signing in on a page: a form takes a key once, or the owner's link is opened once; the browser keeps a cookie."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.answers.services import Services, ServicesDep
from api.middleware.access import COOKIE, identify, session_for
from api.middleware.keys import Key, Scope
from api.web.pages import filled

NEVER = {"Cache-Control": "no-store"}
USED_LINK = Markup("This link is used or too old: <code>deai keys link</code> prints a new one.")
router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
def sign_in_form(request: Request, next: str = "") -> Response:
    """The form."""
    return _form(request, next)


@router.post("/sign-in")
async def sign_in(request: Request, services: ServicesDep) -> Response:
    """Takes a key that may read, sets the cookie and goes on to the page that was wanted."""
    form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
    wanted, key = form.get("next", ""), identify(form.get("key", "").strip(), services)
    if key is None or not key.allows(Scope.READ):
        why = "This key is unknown, revoked or expired." if key is None else f"The key {key.prefix} may not read."
        return _form(request, wanted, why=why)
    return _signed_in(request, services, key, wanted)


@router.get("/owner")
def owner_link(request: Request, services: ServicesDep, link: str = "") -> Response:
    """Takes the link that the owner's terminal shows, and makes this browser the owner's."""
    owner = services.keys.owner() if services.keys.take_link(link, now=services.clock()) else None
    if owner is None:
        return _form(request, "", why=USED_LINK)
    return _signed_in(request, services, owner, "")


def _signed_in(request: Request, services: Services, key: Key, wanted: str) -> Response:
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
    page = filled("sign_in.html", request, next=_inside(request, wanted), problem=why)
    return HTMLResponse(page, status_code=401 if why else 200, headers=NEVER)


def _home(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return f"{root}/"


def _inside(request: Request, wanted: str) -> str:
    """The address to go on to if it is a path of ours, or else the page: a link must not lead elsewhere."""
    ours = wanted.startswith(_home(request)) and not wanted.startswith("//")
    return wanted if ours and wanted.isprintable() and "\\" not in wanted else _home(request)
