"""What the data lacks and where it comes from: the quality ledger and the sources."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api import schemas
from api.answers.answer import Answer
from api.answers.params import Limit
from api.answers.problems import declared
from api.answers.services import ServicesDep, StoreDep
from api.schemas.sources import SourceList
from indexer.store.read import read_quality

router = APIRouter(prefix="/v1", tags=["benchmarks"])


@router.get(
    "/quality", response_model=schemas.QualityList, responses=declared("invalid_request"), summary="The quality ledger"
)
def list_quality(
    store: StoreDep,
    open_only: Annotated[bool, Query(description="Only what is still open")] = False,
    kind: Annotated[
        str | None,
        Query(
            max_length=32,
            description="Only entries of this kind: gap, no_rate, stale, outlier, no_data, disagreement, reject, "
            "source_down, correction_deferred",
        ),
    ] = None,
    limit: Limit = 1000,
) -> Response:
    """Gaps, stale prices, disagreements, refused rows and failing sources, newest first."""
    found = read_quality(store, kind=kind, open_only=open_only)[::-1]
    data = [{**asdict(one), "detail": json.loads(one.detail)} for one in found[:limit]]
    still_open = sum(one.closed_at is None for one in found)
    return Answer({"count": len(data), "open": still_open, "data": data})


@router.get("/sources", response_model=SourceList, responses=declared(), summary="The sources")
def list_sources(services: ServicesDep) -> Response:
    """What each source gives, under which terms, and how it is now by the ledger. Asks no source; shows no key."""
    from indexer.live.status import source_states  # the HTTP client comes with it: not on the way to the first answer

    data = [asdict(one) for one in source_states(services.store, services.settings)]
    down = sum(one["state"] == "down" for one in data)
    return Answer({"count": len(data), "down": down, "data": data})
