"""The page on which holdings are pasted. It is written here whole, runs without scripts, and nothing of it is kept."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, Response

from api.answers.answer import NEVER
from api.answers.services import StoreDep
from api.web.overview import FLAGSHIP, change_text, in_order, tabs
from api.web.pages import filled
from indexer.errors import DeaiError
from indexer.files.holdings import parse_holdings
from indexer.store.db import Store
from indexer.studies.portfolio import PortfolioStudy, study_portfolio
from indexer.times import from_us

router = APIRouter(include_in_schema=False)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that was sent."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}


@router.get("/portfolio")
def portfolio_form(request: Request, store: StoreDep) -> Response:
    """The page before anything is pasted."""
    return _page(request, store, {})


@router.post("/portfolio")
def portfolio_page(request: Request, store: StoreDep, form: Annotated[dict[str, str], Depends(form_of)]) -> Response:
    """The page with what the holdings are, or with what is wrong with them."""
    try:
        held = parse_holdings(form.get("holdings", ""))
        study = study_portfolio(store, held, index_id=form.get("index", FLAGSHIP))
    except DeaiError as error:
        return _page(request, store, form, problem=str(error))
    return _page(request, store, form, study=study)


def _page(
    request: Request, store: Store, form: dict[str, str], *, study: PortfolioStudy | None = None, problem: str = ""
) -> Response:
    indices = in_order(store)
    body = filled(
        "portfolio.html",
        request,
        study=study,
        problem=problem,
        pasted=form.get("holdings", ""),
        chosen=form.get("index", FLAGSHIP),
        indices=[row.id for row in indices],
        simulated=any(row.simulated for row in indices if row.id == form.get("index", FLAGSHIP)),
        told=change_text,
        when=lambda us: f"{from_us(us):%Y-%m-%d %H:%M} UTC",
        tabs=tabs(store, ""),
    )
    return HTMLResponse(body, status_code=422 if problem else 200, headers={"Cache-Control": NEVER})
