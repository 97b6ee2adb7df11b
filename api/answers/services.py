"""What the routes are given: the open store, the settings, the clock, and this application's own cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.answers.params import AsOf
from api.beside import Beside
from api.middleware.cache import Cache
from api.middleware.keys import KeyRing
from api.middleware.limits import Limits
from api.middleware.requests import Requests
from api.stream import Hub, LiveFeed
from indexer.config import Settings
from indexer.store.db import Store
from indexer.times import Clock


@dataclass(frozen=True, slots=True)
class Services:
    """One application's means. Nothing of it is global: two applications may live in one process."""

    store: Store
    settings: Settings
    clock: Clock
    cache: Cache
    hub: Hub
    live: LiveFeed
    keys: KeyRing
    limits: Limits
    pictures: Beside
    backtests: Beside
    requests: Requests
    refresh: Callable[[], object]


# Coroutines, though they await nothing: a plain function is sent to a thread and back, which costs more than it does.
async def services_of(request: Request) -> Services:
    """The services of the application that serves this request."""
    services: Services = request.app.state.services
    return services


async def store_of(request: Request) -> Store:
    """The store of the application that serves this request."""
    store: Store = request.app.state.services.store
    return store


async def known_store(request: Request, as_of: AsOf = None) -> Store:
    """The store as it was known at the instant that the request asks for."""
    return (await store_of(request)).as_known(as_of)


ServicesDep = Annotated[Services, Depends(services_of)]
StoreDep = Annotated[Store, Depends(store_of)]
KnownStore = Annotated[Store, Depends(known_store)]
