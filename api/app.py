"""The application factory: routes, error shape and the edge around them. Nothing is built at import.

Place in the flow: the last step; reads the store, changes nothing in it. A watcher looks for a new data version,
so that an update in any process drops the kept answers here and reaches those who listen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from api.answers.deps import Services
from api.answers.direct import Direct
from api.answers.histories import Histories
from api.answers.params import given_well
from api.answers.problems import install_handlers
from api.answers.reads import read_version
from api.embed import routes as embed
from api.middleware.access import ReadGuard
from api.middleware.cache import HotCache
from api.middleware.edge import Edge
from api.middleware.keys import KeyRing
from api.middleware.limits import Limits, RateLimiter
from api.openapi import describe
from api.routes import (
    admin,
    administration,
    assets,
    benchmarks,
    charts,
    events,
    files,
    health,
    indices,
    levels,
    members,
    quality,
    statistics,
    stream,
    studies,
)
from api.stream.hub import Hub
from api.stream.watch import watch
from api.web import routes as web
from api.web import sign_in
from indexer.config import Settings
from indexer.store.db import Store
from indexer.times import Clock, utc_now

ROUTERS = (
    indices,
    levels,
    files,
    stream,
    members,
    assets,
    statistics,
    events,
    studies,
    administration,
    benchmarks,
    quality,
    charts,
    embed,
    admin,
    health,
    sign_in,
    web,
)
THREADS = 12
LOOK_FOR_MOUNTED_S = 1.0


class Application(FastAPI):
    """FastAPI inside of our edge, so that what is kept is answered before FastAPI is entered."""

    edge: Edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.edge(scope, receive, send)

    async def enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """FastAPI itself."""
        await super().__call__(scope, receive, send)


def create_app(
    store: Store, *, settings: Settings | None = None, clock: Clock = utc_now, limits: Limits | None = None
) -> FastAPI:
    """The API over an open, migrated store. `settings` default to none read from the environment.

    `clock` decides what is fresh and what may be cached for long; `limits` what one client may ask.
    """
    settings = settings or Settings()
    limits = limits or Limits()
    hot = HotCache()
    keys = KeyRing(settings.data_dir / "keys.json")
    services = Services(
        store=store,
        settings=settings,
        clock=clock,
        hot=hot,
        histories=Histories(store, lambda: hot.version),
        hub=Hub(most=limits.max_streams),
        keys=keys,
        limits=limits,
        refresh=lambda: hot.publish(read_version(store)),
    )
    app = Application(
        title="DeAI Index",
        version=health.program_version(),
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
        lifespan=_lifespan,
        redirect_slashes=False,
        dependencies=[Depends(given_well)],
    )
    app.state.services = services
    root_path = settings.root_path.rstrip("/")
    limiter, guard = RateLimiter(limits, keys=keys, clock=clock), ReadGuard(services)
    app.edge = Edge(app.enter, hot=hot, limiter=limiter, guard=guard, direct=Direct(services), root_path=root_path)
    install_handlers(app)
    for module in ROUTERS:
        app.include_router(module.router)
    web.mount_static(app)
    describe(app, root_path=root_path)
    return app


def operation_id(route: APIRoute) -> str:
    """`levels-list_levels`: the tag and the function, which generated clients turn into good names."""
    return f"{route.tags[0]}-{route.name}" if route.tags else route.name


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Threads share one interpreter and the store's connections: more of them only wait for each other.
    current_default_thread_limiter().total_tokens = THREADS
    watchers: list[asyncio.Task[None]] = []
    overseer = asyncio.create_task(_oversee(app, watchers))
    try:
        yield
    finally:
        for task in (overseer, *watchers):
            task.cancel()
        await asyncio.gather(overseer, *watchers, return_exceptions=True)


async def _oversee(app: FastAPI, watchers: list[asyncio.Task[None]]) -> None:
    """Starts a watcher for this application and for each one mounted in it, now or later."""
    watched: set[int] = set()
    while True:
        for services in _with_mounted(app):
            if id(services) not in watched:
                watched.add(id(services))
                watchers.append(asyncio.create_task(watch(services)))
        await asyncio.sleep(LOOK_FOR_MOUNTED_S)


def end_streams(app: FastAPI) -> None:
    """Ends the streams of an application and of those mounted in it, so that a server can stop at once.

    Call it in the server's event loop or from a signal handler of its thread, before the server waits for its
    connections: a stream ends only with its client otherwise.
    """
    for services in _with_mounted(app):
        services.hub.close()


def _with_mounted(app: FastAPI) -> list[Services]:
    """The services of this application and of those mounted in it, whose own lifespan nobody runs."""
    found: list[Services] = [app.state.services]
    for route in app.routes:
        mounted = getattr(route, "app", None)
        if isinstance(mounted, FastAPI) and hasattr(mounted.state, "services"):
            found += _with_mounted(mounted)
    return found
