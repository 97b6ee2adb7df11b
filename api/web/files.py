"""The drop zone: what is seen in a file that is dragged onto the page, as `deai import --explain` says it.

On the owner's own machine only: the file is read here, kept for the length of the request, and nothing is written.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from api.answers.services import ServicesDep
from api.middleware.access import is_owners_own
from api.middleware.limits import DROPPED_FILES
from api.web.routes import filled
from indexer.errors import ImportFileError
from indexer.files.explain import explain_files, explanation_text
from indexer.files.recognising import ASKED
from indexer.workflow.work import registry_of

NEVER = {"Cache-Control": "no-store"}
router = APIRouter(include_in_schema=False)


async def need_owner(request: Request) -> None:
    """Refuses whoever is not at this machine, and pages of other origins."""
    if not is_owners_own(request):
        raise HTTPException(403, "Files are dropped on the machine itself: open the page as http://127.0.0.1 there")


Owner = Annotated[None, Depends(need_owner)]


@router.get("/files")
def drop_zone(request: Request, _: Owner) -> Response:
    """The page to drop files on."""
    return HTMLResponse(filled("files.html", request), headers=NEVER)


@router.post(DROPPED_FILES)
async def explain_dropped(request: Request, services: ServicesDep, _: Owner, name: str) -> Response:
    """The reports on the tables of a file; the query says what the file does not (symbol, venue, …)."""
    options = {word: request.query_params[word] for word in ASKED if request.query_params.get(word)}
    with tempfile.TemporaryDirectory(prefix="deai-") as folder:
        path = Path(folder) / (Path(name).name or "file")
        with path.open("wb") as file:
            async for piece in request.stream():
                file.write(piece)
        reports = await run_sync(_reports, services, path, options)
    return JSONResponse({"reports": reports}, headers=NEVER)


def _reports(services: ServicesDep, path: Path, options: dict[str, str]) -> list[dict[str, Any]]:
    registry = registry_of(services.settings)
    try:
        reports = explain_files([path], registry=registry, clock=services.clock, options=options)
    except ImportFileError as error:
        return [{"name": path.name, "text": str(error), "manifest": "", "readable": False}]
    return [
        {
            "name": report.name,
            "text": explanation_text(report).replace(f"{path.parent}/", ""),
            "manifest": report.manifest,
            "readable": not report.problem,
        }
        for report in reports
    ]
