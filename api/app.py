"""The application factory: routes, error shape, the middleware around them, OpenAPI. Nothing is built at import.

A watcher looks for a new data version, so that an update in any process reaches the cache here and those who listen.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.answers import TEXTS
from api.answers.answer import Answer
from api.answers.params import given_well
from api.answers.problems import EVERYWHERE, Problem, declared, install_handlers
from api.answers.services import Services
from api.beside import Beside
from api.compat import coingecko, mcp, openbb, prometheus, udf
from api.middleware import requests
from api.middleware.access import AllowedHosts, ReadKeys
from api.middleware.cache import Cache, CacheMiddleware
from api.middleware.keys import KeyRing
from api.middleware.limits import Limits, RateLimiter, RateLimits, RequestSizes, Turns
from api.routes import (
    administration,
    assets,
    benchmarks,
    charts,
    embeds,
    facts,
    indices,
    levels,
    operation,
    portfolio,
    statistics,
    stream,
    studies,
    tokens,
)
from api.stream import Hub, LiveFeed, watch
from api.web import files as dropped
from api.web import first_view, pages, sign_in, token_view, what_if
from api.web import routes as web
from indexer.config import Settings, program_version
from indexer.store.db import Store
from indexer.store.runs import read_version
from indexer.times import Clock, utc_now

MODULES = (
    indices, levels, stream, facts, assets, tokens, statistics, studies, portfolio, administration, benchmarks,
    coingecko, udf, prometheus, openbb, operation, charts, embeds, mcp, sign_in, dropped, pages, first_view, token_view,
    what_if, web,
)  # fmt: skip
THREADS = 12
GIVE_WAY_S = 0.001  # a computing thread holds up the event loop for so long; Python's own 5 ms add up
LOOK_FOR_MOUNTED_S = 1.0


class Application(FastAPI):
    """FastAPI inside of our middleware: its own way in costs as much as the whole answer of a cache entry."""

    def __init__(self, outside: list[Middleware], **options: Any) -> None:
        super().__init__(**options)
        self.outside: ASGIApp = super().__call__
        for middleware, args, kwargs in reversed(outside):
            self.outside = middleware(self.outside, *args, **kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.outside(scope, receive, send)


def create_app(
    store: Store, *, settings: Settings | None = None, clock: Clock = utc_now, limits: Limits | None = None
) -> FastAPI:
    """The API over an open, migrated store. `settings` default to none read from the environment.

    `clock` decides what is fresh and what may be cached for long; `limits` what one client may ask.
    """
    services = services_for(store, settings or Settings(), clock=clock, limits=limits or Limits())
    root_path = services.settings.root_path.rstrip("/")
    app = Application(
        middleware_of(services, root_path=root_path),
        title="DeAI Index",
        version=program_version(),
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
        lifespan=_lifespan,
        redirect_slashes=False,
        dependencies=[Depends(given_well)],
        responses=declared(*EVERYWHERE),
        default_response_class=Answer,
    )
    app.state.services = services
    install_handlers(app, page=pages.refusal)
    for router in (member for module in MODULES for member in vars(module).values() if isinstance(member, APIRouter)):
        app.include_router(router)
    app.routes.append(Route("/mcp", mcp.Endpoint(app), methods=["POST"]))
    describe(app, root_path=root_path)
    return app


def services_for(store: Store, settings: Settings, *, clock: Clock, limits: Limits) -> Services:
    """What the routes are given, this application's own."""
    cache = Cache()
    return Services(
        store=store,
        settings=settings,
        clock=clock,
        cache=cache,
        hub=Hub(most=limits.max_streams, most_each=limits.streams_each),
        live=LiveFeed(store, settings, clock=clock),
        keys=KeyRing(settings.data_dir / "keys.json"),
        limits=limits,
        pictures=Beside("picture", waiting=4, within_s=20.0),
        backtests=Beside("backtest", waiting=1, within_s=120.0, once=True),
        requests=requests.Requests(),
        refresh=lambda: cache.publish(read_version(store)),
    )


def middleware_of(services: Services, *, root_path: str) -> list[Middleware]:
    """What every request passes before the routes, the outermost first."""
    limiter = RateLimiter(services.limits, keys=services.keys, clock=services.clock)
    settings = services.settings
    trusted, hosts = settings.trusted_proxies, settings.allowed_hosts
    return [
        *([Middleware(ProxyHeadersMiddleware, trusted_hosts=list(trusted))] if trusted else []),
        *([Middleware(requests.RootPath, root_path=root_path)] if root_path else []),
        Middleware(requests.RequestId),
        Middleware(requests.Counting, requests=services.requests),
        Middleware(requests.SecurityHeaders),
        Middleware(requests.Preflights, **requests.CORS),
        *([Middleware(AllowedHosts, names=hosts)] if hosts else []),
        Middleware(requests.Failures),
        Middleware(RateLimits, limiter=limiter),
        *([Middleware(ReadKeys, services=services)] if settings.read_keys else []),
        Middleware(requests.Methods),
        Middleware(requests.CacheBusters),
        Middleware(CacheMiddleware, cache=services.cache),
        Middleware(Turns, limits=services.limits),
        Middleware(RequestSizes, limits=services.limits),
    ]


def operation_id(route: APIRoute) -> str:
    """`levels-list_levels`: the tag and the function, which generated clients turn into good names."""
    return f"{route.tags[0]}-{route.name}" if route.tags else route.name


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Threads share one interpreter and the store's connections: more of them only wait for each other.
    sys.setswitchinterval(GIVE_WAY_S)
    current_default_thread_limiter().total_tokens = THREADS
    watchers: list[asyncio.Task[None]] = []
    overseer = asyncio.create_task(_oversee(app, watchers))
    try:
        yield
    finally:
        for task in (overseer, *watchers):
            task.cancel()
        await asyncio.gather(overseer, *watchers, return_exceptions=True)
        for services in _with_mounted(app):
            await asyncio.to_thread(services.live.close)
            await asyncio.to_thread(services.pictures.close)
            await asyncio.to_thread(services.backtests.close)


async def _oversee(app: FastAPI, watchers: list[asyncio.Task[None]]) -> None:
    """Starts a watcher for this application and for each one mounted in it, now or later."""
    watched: set[int] = set()
    while True:
        for services in _with_mounted(app):
            if id(services) not in watched:
                watched.add(id(services))
                renew = partial(first_view.renew, app) if services is app.state.services else None
                watchers.append(asyncio.create_task(watch(services, renew)))
        await asyncio.sleep(LOOK_FOR_MOUNTED_S)


def end_streams(app: FastAPI) -> None:
    """Ends the streams and backtests of an application and of those mounted in it, so that a server can stop at once.

    Call it in the server's event loop or from a signal handler of its thread, before the server waits for its
    connections: a stream ends only with its client otherwise.
    """
    for services in _with_mounted(app):
        services.hub.close()
        services.backtests.close()


def _with_mounted(app: FastAPI) -> list[Services]:
    """The services of this application and of those mounted in it, whose own lifespan nobody runs."""
    services: list[Services] = [app.state.services]
    for route in app.routes:
        mounted = getattr(route, "app", None)
        if isinstance(mounted, FastAPI) and hasattr(mounted.state, "services"):
            services += _with_mounted(mounted)
    return services


KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of `deai keys create`"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key"},
}


def describe(app: FastAPI, *, root_path: str) -> None:
    """Makes `app.openapi()` give the full description, built once on first use."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, root_path)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it


def _document(app: FastAPI, root_path: str) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=TEXTS["description"],
        routes=app.routes,
        tags=[{"name": name, "description": words} for name, words in TEXTS["tags"].items()],
        servers=[{"url": root_path or "/"}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    document["components"]["securitySchemes"] = KEYS
    for path, methods in document["paths"].items():
        for method in methods.values() if path.startswith("/v1/admin") else ():
            method["security"] = [{}, {"bearer": []}, {"header": []}]
    return document
