"""Whole histories as files, and the newest level as one bare number for a cell."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers.answer import OPEN, Answer, FileAnswer
from api.answers.exports import MEDIA_TYPES, FileKind, export_levels
from api.answers.params import IndexId, Interval
from api.answers.problems import declared
from api.answers.services import Services, ServicesDep, StoreDep
from api.routes.indices import latest_of
from indexer.store.read import read_index
from indexer.store.read_serving import read_version

router = APIRouter(prefix="/v1/indices/{index_id}", tags=["files"])
Spacing = Annotated[Interval, Query(description="Spacing, on the grid from 00:00 UTC")]


def _binary(kind: FileKind) -> dict[str, object]:
    schema = {"type": "string", "format": "binary"}
    return {"content": {MEDIA_TYPES[kind]: {"schema": schema}}, "description": "The file"}


@router.get(
    "/levels.parquet",
    response_class=Response,
    responses={200: _binary(FileKind.PARQUET), **declared("not_found", "invalid_request")},
    summary="All levels as a Parquet file",
)
def levels_parquet(
    request: Request, services: ServicesDep, index_id: IndexId, interval: Spacing = Interval.DAY
) -> Response:
    """The whole history on a grid, with revision and publication time. Answers Range; the ETag is strong."""
    return _file(request, services, index_id, interval=interval, kind=FileKind.PARQUET)


@router.get(
    "/levels.arrow",
    response_class=Response,
    responses={200: _binary(FileKind.ARROW), **declared("not_found", "invalid_request")},
    summary="All levels as an Arrow IPC file",
)
def levels_arrow(
    request: Request, services: ServicesDep, index_id: IndexId, interval: Spacing = Interval.DAY
) -> Response:
    """The whole history on a grid, as Arrow IPC (Feather). Answers Range; the ETag is strong."""
    return _file(request, services, index_id, interval=interval, kind=FileKind.ARROW)


def _file(request: Request, services: Services, index_id: str, *, interval: Interval, kind: FileKind) -> Response:
    index = read_index(services.store, index_id)
    folder = services.settings.data_dir / "exports"
    version = read_version(services.store)
    made = export_levels(services.store, index, interval=interval, kind=kind, version=version, folder=folder)
    headers = {"ETag": made.etag, "Cache-Control": OPEN, "X-Simulated": str(index.simulated).lower()}
    if made.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    name = f"{index.id}-levels-{interval}.{kind}"
    return FileAnswer(made.path, media_type=MEDIA_TYPES[kind], filename=name, headers=headers)


@router.get(
    "/level.txt",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "1042.17"},
        **declared("not_found", "not_enough_data", "invalid_request"),
    },
    summary="The newest level as a bare number",
)
def level_txt(store: StoreDep, index_id: IndexId) -> Response:
    """One number with a point and nothing else, for a cell (WEBSERVICE, IMPORTDATA), a shell or a small display."""
    latest = latest_of(store, index_id)
    headers = {"X-Status": latest["status"], "X-Simulated": str(latest["simulated"]).lower()}
    return Answer(repr(latest["level"]).encode(), media_type="text/plain; charset=utf-8", headers=headers)
