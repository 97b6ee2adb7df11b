"""A server asked as a browser asks that shows a page of another site: what a workspace or a chart would stumble on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from indexer.client.asking import LOOPBACK, USER_AGENT
from indexer.errors import InputError

TIMEOUT_S = 10.0
ASKED = "x-api-key"  # the header that makes a browser ask first, by a preflight


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a browser needs: whether it holds, and what to do where it does not, or to know where it does."""

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class _Page:
    """A page of `origin` that reads the server at `base`."""

    http: httpx2.Client
    base: httpx2.URL
    origin: str

    def get(self, path: str) -> httpx2.Response:
        return self.http.get(f"{self.base}{path}", headers={"origin": self.origin})

    def json(self, path: str) -> Any:
        """The JSON at a path. Raises ValueError for another answer."""
        answer = self.get(path)
        if answer.status_code != 200:
            where = answer.headers.get("location")
            raise ValueError(f"{answer.url} answers {answer.status_code}" + (f"; give {where}" if where else ""))
        return answer.json()


def examine_url(url: str, *, origin: str) -> list[Check]:
    """Every check of a server's address, in the order that a browser comes to them.

    The rest is not asked where it cannot be reached. Raises InputError for what is no address.
    """
    try:
        base = httpx2.URL(url.rstrip("/"))
    except httpx2.InvalidURL:
        base = httpx2.URL()
    if base.scheme not in ("http", "https") or not base.host:
        raise InputError(f'"{url}" is no address; give http://host:port or https://host/path')
    trust_env = base.host not in LOOPBACK  # a proxy cannot reach what is on this machine
    with httpx2.Client(timeout=TIMEOUT_S, headers={"user-agent": USER_AGENT}, trust_env=trust_env) as http:
        page, checks = _Page(http, base, origin), []
        for name, check in CHECKS.items():
            try:
                checks.append(Check(name, *check(page)))
            except (httpx2.HTTPError, ValueError, LookupError, TypeError) as error:
                checks.append(Check(name, False, str(error) or type(error).__name__))
                if name == "reached":
                    break
        return checks


def _reached(page: _Page) -> tuple[bool, str]:
    body = page.json("/healthz")
    return body["status"] == "ok", f"version {body['version']}"


def _scheme(page: _Page) -> tuple[bool, str]:
    if page.base.host in LOOPBACK:
        return True, "on this machine: Chrome asks the user before a page of another site may read it"
    why = f"a page on https may not read http://{page.base.host}: serve it by https"
    return (True, "https") if page.base.scheme == "https" else (False, why)


def _cors(page: _Page) -> tuple[bool, str]:
    allowed = page.get("/v1/indices").headers.get_list("access-control-allow-origin")
    if len(allowed) > 1 or "," in "".join(allowed):
        return False, f"Access-Control-Allow-Origin comes twice ({', '.join(allowed)}): the proxy must not add its own"
    if allowed and allowed[0] in ("*", page.origin):
        return True, allowed[0]
    return False, f"no Access-Control-Allow-Origin for {page.origin}: a proxy takes the header away"


def _preflight(page: _Page) -> tuple[bool, str]:
    wanted = {"access-control-request-method": "GET", "access-control-request-headers": ASKED, "origin": page.origin}
    answer = page.http.request("OPTIONS", f"{page.base}/v1/indices", headers=wanted)
    allowed = answer.headers.get("access-control-allow-headers", "").lower()
    if answer.is_success and (ASKED in allowed or "*" in allowed):
        return True, f"{ASKED} may be sent"
    return False, f"OPTIONS is answered {answer.status_code}: the proxy must pass it on, without a key"


def _path(page: _Page) -> tuple[bool, str]:
    path = page.base.path.rstrip("/")
    named = str(page.json("/openapi.json")["servers"][0]["url"]).rstrip("/")
    if named == path:
        return True, path or "/"
    return False, f'the server believes to be at "{named or "/"}": set DEAI_ROOT_PATH={path or "/"}'


def _tools(page: _Page) -> tuple[bool, str]:
    widgets, apps, feed = (page.json(path) for path in ("/widgets.json", "/apps.json", "/udf/config"))
    texts = f"{len(widgets)} widgets and {len(apps)} app at the root of the address, charts at /udf"
    return bool(widgets and apps and feed["supports_search"]), texts


# What is asked, in this order; each says whether it holds and what there is to know or do.
CHECKS: Mapping[str, Callable[[_Page], tuple[bool, str]]] = {
    "reached": _reached,
    "https": _scheme,
    "CORS": _cors,
    "preflight": _preflight,
    "sub-path": _path,
    "OpenBB, TradingView": _tools,
}
