"""Somebody's own holdings beside an index, by REST and on a page. They come in the body; nothing of them is kept."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import HTMLResponse, Response

from api.answers.answer import NEVER
from api.answers.params import InstantUs
from api.answers.problems import declared
from api.answers.schemas import of_index
from api.answers.services import StoreDep
from api.routes.statistics import Until, names_in, study_answer
from api.web.pages import filled
from api.web.routes import FLAGSHIP, change_text, in_order, tabs
from indexer.errors import DeaiError
from indexer.files.holdings import MOST, parse_holdings
from indexer.store.db import Store
from indexer.studies.portfolio import PortfolioStudy, study_portfolio
from indexer.times import from_us

router = APIRouter(
    prefix="/v1/portfolio", tags=["statistics"], responses=declared("not_found", "not_enough_data", "body_too_large")
)
ROW = {
    "type": "object",
    "required": ["symbol", "amount"],
    "properties": {
        "symbol": {"type": "string", "pattern": r"^[A-Za-z0-9$][A-Za-z0-9 .:/_-]{0,63}$"},
        "amount": {"type": "number", "exclusiveMinimum": 0, "maximum": 1e18},
    },
    "additionalProperties": False,
}
ROWS = {"type": "array", "minItems": 1, "maxItems": MOST, "items": ROW}
# Text is taken too; as a second type of body it would change the types of generated clients.
BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "object", "required": ["holdings"], "properties": {"holdings": ROWS}},
            "example": {"holdings": [{"symbol": "TAO", "amount": 12.5}, {"symbol": "FET", "amount": 1000}]},
        }
    },
}


async def text_of(request: Request) -> str:
    """The body as text; it is parsed in the route's thread, off the event loop."""
    return (await request.body()).decode("utf-8", "replace")


@router.post(
    "", response_model=of_index(PortfolioStudy), openapi_extra={"requestBody": BODY}, summary="Your own holdings"
)
def study_holdings(
    store: StoreDep,
    text: Annotated[str, Depends(text_of)],
    *,
    index: Annotated[str, Query(max_length=64, description="Index to hold them against")] = "deai",
    benchmarks: Annotated[
        str, Query(max_length=200, description="Benchmarks or tokens, by commas; QQQ,NVDA if not given")
    ] = "",
    sessions: Annotated[
        int | None, Query(ge=20, le=2500, description="Exchange sessions in the window; 90, or all after `since`")
    ] = None,
    since: Annotated[InstantUs | None, Query(description="Since when the holdings are as they are")] = None,
    end: Until = None,
) -> Response:
    """Value, overlap with the index, what earned what, and betas with their errors, of holdings that are not kept.

    The body is JSON, or text as pasted: lines such as `TAO 12.5`, CSV with a header, TOML. Before `since` the answer
    is what today's holdings would have done, and its `title` says so. What has no price is named in `unpriced`.
    """
    holdings = parse_holdings(text)
    study = study_portfolio(
        store, holdings, index_id=index, benchmarks=names_in(benchmarks), sessions=sessions, since_us=since, end_us=end
    )
    return study_answer(store, index, study, cache_control=NEVER)


page = APIRouter(include_in_schema=False)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that was sent."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}


@page.get("/portfolio")
def portfolio_form(request: Request, store: StoreDep) -> Response:
    """The page before anything is pasted."""
    return _page(request, store, {})


@page.post("/portfolio")
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
