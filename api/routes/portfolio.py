"""Somebody's own holdings beside an index. They come in the body of the request, and nothing of them is kept."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api.answers.answer import NEVER
from api.answers.params import InstantUs
from api.answers.problems import declared
from api.answers.schemas import of_index
from api.answers.services import StoreDep
from api.routes.statistics import Until, names_in, study_answer
from indexer.files.holdings import MOST, parse_holdings
from indexer.studies.portfolio import PortfolioStudy, study_portfolio

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
