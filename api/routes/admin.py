"""What only the operator may see or do: the ledger of runs, and dropping what is kept."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from api import schemas
from api.answers.encode import to_json
from api.answers.problems import declared
from api.answers.services import ServicesDep
from api.middleware.access import Admin
from indexer.store.read import read_runs

router = APIRouter(prefix="/v1/admin", tags=["admin"])
ERRORS = declared("unauthorized", "forbidden")
MostRuns = Annotated[int, Query(ge=1, le=1000, description="Newest so many")]


@router.get("/runs", response_model=schemas.RunList, responses=ERRORS, summary="The ledger of runs")
def list_runs(services: ServicesDep, who: Admin, limit: MostRuns = 50) -> Response:
    """What was imported, computed and scheduled, newest first, with outcomes."""
    rows = read_runs(services.store, limit=limit)
    names = ("id", "kind", "key", "due_at", "started_at", "finished_at", "outcome", "detail")
    data = [{name: getattr(row, name) for name in names} for row in rows]
    return _plain({"count": len(data), "data": data})


@router.delete("/cache", response_model=schemas.Dropped, responses=ERRORS, summary="Drop kept answers")
async def drop_cache(services: ServicesDep, who: Admin) -> Response:
    """Forgets every kept answer; the next request reads the store. Says how many there were, and who asked."""
    version, dropped = services.cache.version, len(services.cache.answers)
    services.cache.publish(None)
    services.cache.publish(version)
    return _plain({"dropped": dropped, "by": who})


def _plain(value: dict[str, Any]) -> Response:
    return Response(to_json(value), media_type="application/json", headers={"Cache-Control": "no-store"})
