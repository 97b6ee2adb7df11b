"""How the service and its data are: health, readiness, runs, the cache, the data-quality log and the sources."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.answers.answer import Answer
from api.answers.encode import json_bytes
from api.answers.params import Limit
from api.answers.problems import declared
from api.answers.schemas import Wire, list_of, made_of, to_wire, wire_model
from api.answers.services import ServicesDep, StoreDep
from api.middleware.access import Admin
from api.routes.indices import fresh_until
from indexer.alerts.rules import Rule, load_alerts
from indexer.config import program_version
from indexer.live.standing import SourceStatus, Standing, clock_doubt, standing_of
from indexer.store.administration import read_alert_messages, read_alert_states
from indexer.store.indices import read_indices
from indexer.store.levels import newest_instants
from indexer.store.quality import read_quality
from indexer.store.rows import QualityRow, RunRow
from indexer.store.runs import read_runs
from indexer.store.tables import AlertMessage, AlertState
from indexer.times import from_us

router = APIRouter(tags=["operation"])
admin = APIRouter(prefix="/v1/admin", tags=["admin"])
quality = APIRouter(prefix="/v1", tags=["benchmarks"])
ERRORS = declared("unauthorized", "forbidden")
MostRuns = Annotated[int, Query(ge=1, le=1000, description="Newest so many")]


Health = made_of("Health", {"status": str, "version": str}, doc="The process answers.")
IndexReadiness = made_of(
    "IndexReadiness",
    {"id": str, "latest": datetime | None, "fresh": bool},
    doc="Whether an index has levels, and whether the newest is fresh.",
)


class Readiness(Wire):
    """The store answers; each index says whether it has levels and whether they are fresh."""

    status: str
    store: str = Field(description="sqlite or postgresql")
    clock_suspect: str = Field(description="Why the machine's clock is doubted and no scheduled work done; or empty")
    indices: list[IndexReadiness]  # type: ignore[valid-type]  # made above


Dropped = made_of("Dropped", {"dropped": int, "by": str}, doc="How many answers were forgotten, and at whose wish.")
DownSource = made_of(
    "DownSource",
    {"source": str, "loses": str, "said": str},
    doc="A source that is down: what the index lacks without it, and what it said.",
)
AlertList = list_of("AlertList", wire_model(Rule, "AlertRule"), standing=list[AlertState], messages=list[AlertMessage])
Filling = made_of(
    "Filling",
    {"share": float, "down": list[DownSource]},  # type: ignore[valid-type]  # made above
    base=wire_model(Standing),
    doc=Standing.__doc__,
)
SourceItem = wire_model(SourceStatus, "SourceItem")
SourceList = list_of("SourceList", SourceItem, down=Annotated[int, Field(description="Those in use that are down")])
RunItem = wire_model(RunRow, "RunItem")
RunList = list_of("RunList", RunItem)
QualityItem = wire_model(QualityRow, "QualityItem")
QualityList = list_of("QualityList", QualityItem, open=int)


@router.get("/healthz", response_model=Health, summary="The process answers")
async def healthz() -> Response:
    """Says that the process is alive; asks nothing of the store, and waits for no thread."""
    return _never_kept({"status": "ok", "version": program_version()})


@router.get("/readyz", response_model=Readiness, summary="The store answers")
def readyz(services: ServicesDep) -> Response:
    """503 when the store does not answer. Else each index with its newest level, and whether it is fresh."""
    now, store = services.clock(), services.store
    newest = services.cache.read_once(
        "newest", lambda: [(row.id, newest_instants(store, row.id)) for row in read_indices(store)]
    )
    indices = [
        {"id": index_id, "latest": from_us(times[-1]), "fresh": now <= fresh_until(times)}
        if times
        else {"id": index_id, "latest": None, "fresh": False}
        for index_id, times in newest
    ]
    kind = "sqlite" if services.store.is_sqlite else "postgresql"
    doubt = clock_doubt(store, now=now)
    return _never_kept({"status": "ok", "store": kind, "clock_suspect": doubt, "indices": indices})


def _never_kept(value: dict[str, Any]) -> Response:
    return Response(json_bytes(value), media_type="application/json", headers={"Cache-Control": "no-store"})


@admin.get("/runs", response_model=RunList, responses=ERRORS, summary="The run log")
def list_runs(services: ServicesDep, who: Admin, limit: MostRuns = 50) -> Response:
    """What was imported, computed and scheduled, newest first, with outcomes."""
    rows = [asdict(row) for row in read_runs(services.store, limit=limit)]
    return _never_kept({"count": len(rows), "data": rows})


@admin.delete("/cache", response_model=Dropped, responses=ERRORS, summary="Drop the cache")
async def drop_cache(services: ServicesDep, who: Admin) -> Response:
    """Forgets every kept answer; the next request reads the store. Says how many there were, and who asked."""
    version, dropped = services.cache.version, len(services.cache.answers)
    services.cache.publish(None)
    services.cache.publish(version)
    return _never_kept({"dropped": dropped, "by": who})


@quality.get("/alerts", response_model=AlertList, responses=ERRORS, summary="The alerts")
def list_alerts(services: ServicesDep, who: Admin, limit: MostRuns = 50) -> Response:
    """The owner's rules, where they stand, and the newest messages with what became of them. No target's address."""
    rules = [asdict(rule) for rule in load_alerts(services.settings.alerts_file).rules]
    standing = [state.model_dump() for state in read_alert_states(services.store).values()]
    messages = [message.model_dump() for message in read_alert_messages(services.store, limit=limit)]
    return _never_kept({"count": len(rules), "data": rules, "standing": standing, "messages": messages})


@quality.get("/status", response_model=Filling, summary="How far the history is")
def get_filling(services: ServicesDep) -> Response:
    """What is being fetched and how much of it is there, in numbers and in one sentence; and what is down.

    Until a fresh store's first filling is complete, its levels are provisional.
    """
    from indexer.live.health import source_states  # the HTTP client comes with it: not on the way to the first answer

    standing = standing_of(services.store, now=services.clock())
    down = [source for source in source_states(services.store, services.settings) if source.state == "down"]
    losses = [{"source": source.name, "loses": source.loses, "said": source.said} for source in down]
    return _never_kept({**asdict(standing), "down": losses})


@quality.get("/quality", response_model=QualityList, summary="The data-quality log")
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
    entries = read_quality(store, kind=kind, open_only=open_only)[::-1]
    still_open = sum(entry.closed_at is None for entry in entries)
    rows = [to_wire(entry, QualityItem) for entry in entries[:limit]]
    return Answer({"count": len(rows), "open": still_open, "data": rows})


@quality.get("/sources", response_model=SourceList, summary="The sources")
def list_sources(services: ServicesDep) -> Response:
    """What each source gives, under which terms, and how it is now by the log. Asks no source; shows no key."""
    from indexer.live.health import source_states  # the HTTP client comes with it: not on the way to the first answer

    states = source_states(services.store, services.settings)
    down = sum(source.state == "down" for source in states)
    return _never_kept({"count": len(states), "down": down, "data": [asdict(source) for source in states]})
