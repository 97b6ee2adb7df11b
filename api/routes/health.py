"""Whether the process answers, and whether the store does."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from api import schemas
from api.answers.encode import to_json
from api.answers.problems import declared
from api.answers.services import ServicesDep
from api.routes.indices import latest_of
from indexer.errors import NotEnoughDataError
from indexer.store.read import read_indices

router = APIRouter(tags=["operation"])


@router.get("/healthz", response_model=schemas.Health, responses=declared(), summary="The process answers")
def healthz() -> Response:
    """Says that the process is alive; asks nothing of the store."""
    return _plain({"status": "ok", "version": program_version()})


@router.get("/readyz", response_model=schemas.Readiness, responses=declared(), summary="The store answers")
def readyz(services: ServicesDep) -> Response:
    """503 when the store does not answer. Else each index with its newest level, and whether it is fresh."""
    now = services.clock()
    indices: list[dict[str, Any]] = []
    for row in read_indices(services.store):
        try:
            latest = latest_of(services.store, row.id)
        except NotEnoughDataError:
            indices.append({"id": row.id, "latest": None, "fresh": False})
        else:
            indices.append({"id": row.id, "latest": latest["time"], "fresh": now <= latest["fresh_until"]})
    kind = "sqlite" if services.store.is_sqlite else "postgresql"
    return _plain({"status": "ok", "store": kind, "indices": indices})


def program_version() -> str:
    """The version of this distribution."""
    try:
        return version("deai-index")
    except PackageNotFoundError:
        return "0"


def _plain(value: dict[str, Any]) -> Response:
    return Response(to_json(value), media_type="application/json", headers={"Cache-Control": "no-store"})
