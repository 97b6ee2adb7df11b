"""The drop zone: what is seen in a file that is dragged onto the page, as `deai import --explain` says it; its import.

For the owner only. A file is kept for the length of the request; a process of its own imports it, so that the
server's memory stays as it was.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from api.answers.services import ServicesDep
from api.middleware.access import is_owner
from api.web.pages import filled
from indexer.arrays import to_json
from indexer.errors import InputError
from indexer.files.explain import explain_files, explanation_text
from indexer.files.recognising import ASKED, OPTIONS
from indexer.workflow.work import imported_beside, registry_of

MOST_NAME = 255  # bytes, as file systems have it
NEVER = {"Cache-Control": "no-store"}
router = APIRouter(include_in_schema=False)
importing = asyncio.Lock()  # one at a time: each takes a process


async def need_owner(request: Request, services: ServicesDep) -> None:
    """Refuses whoever is not the owner, and pages of other origins."""
    if not is_owner(request, services):
        raise HTTPException(403, "Files are dropped by the owner only: open the link that `deai keys link` prints")


Owner = Annotated[None, Depends(need_owner)]


@router.get("/files")
def drop_zone(request: Request, _: Owner) -> Response:
    """The page to drop files on."""
    return HTMLResponse(filled("files.html", request, options=" ".join(OPTIONS)), headers=NEVER)


@router.post("/files/explain")
async def explain_dropped(request: Request, services: ServicesDep, _: Owner, name: str) -> Response:
    """The reports on the tables of a file; the query says what the file does not (symbol, venue, …)."""
    async with dropped(request, name) as (path, options):
        reports = await run_sync(_reports, services, path, options)
    return JSONResponse({"reports": reports}, headers=NEVER)


@router.post("/files/import")
async def import_dropped(request: Request, services: ServicesDep, _: Owner, name: str) -> Response:
    """What an import of the file gave, and what the indices became."""
    async with importing, dropped(request, name) as (path, options):
        report = await run_sync(partial(imported_beside, services.settings, [path], options=options))
    await run_sync(services.refresh)
    return JSONResponse(to_json(report), headers=NEVER)


@asynccontextmanager
async def dropped(request: Request, name: str) -> AsyncIterator[tuple[Path, dict[str, str]]]:
    """The file of a request's body under its own name, and what the query says of it, until the block ends."""
    options = {word: request.query_params[word] for word in OPTIONS if request.query_params.get(word)}
    with tempfile.TemporaryDirectory(prefix="deai-") as folder:
        path = Path(folder) / plain_name(name)
        with path.open("wb") as file:
            async for piece in request.stream():
                file.write(piece)
        yield path, options


def plain_name(name: str) -> str:
    """The name of a dropped file without folders. Raises InputError for one that no file can have."""
    plain = Path(name).name or "file"
    if plain == ".." or not plain.isprintable() or len(plain.encode()) > MOST_NAME:
        raise InputError(f'"{plain[:40]}" cannot be the name of a file; rename it to at most {MOST_NAME} bytes')
    return plain


def _reports(services: ServicesDep, path: Path, options: dict[str, str]) -> list[dict[str, Any]]:
    registry = registry_of(services.settings)
    reports = explain_files([path], registry=registry, clock=services.clock, options=options)
    return [
        {
            "name": report.name,
            "text": explanation_text(report).replace(f"{path.parent}/", ""),
            "manifest": report.manifest,
            "readable": not report.problem,
            "sheet": report.sheet,
            "asked": {name: ASKED[name] for name in report.asked},
        }
        for report in reports
    ]
