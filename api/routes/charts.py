"""Pictures: level, drawdown or rolling beta as SVG, PNG, or the Vega-Lite specification they are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.answers.answer import Answer, as_file
from api.answers.params import IndexId
from api.answers.problems import declared
from api.answers.services import StoreDep
from api.charts import ChartKind, ChartRange, Look, Theme, chart_series, chart_spec, to_png, to_svg
from indexer.store.db import Store
from indexer.store.indices import read_index

router = APIRouter(prefix="/charts", tags=["charts"])
SVG = "image/svg+xml"
ERRORS = declared("not_found", "not_enough_data")
TITLES = {ChartKind.LEVEL: "{name} · {level:,.2f}", ChartKind.DRAWDOWN: "{name} · drawdown"}


@dataclass(frozen=True, slots=True)
class ChartQuery:
    """What to draw and how."""

    kind: ChartKind
    span: ChartRange
    benchmark: str
    sessions: int
    look: Look


async def chart_query(
    *,
    kind: Annotated[ChartKind, Query(description="What to draw")] = ChartKind.LEVEL,
    range: Annotated[ChartRange, Query(description="How far back from the newest level")] = ChartRange.YEAR,
    theme: Annotated[Theme, Query(description="Colours")] = Theme.LIGHT,
    width: Annotated[int, Query(ge=200, le=1600, description="Pixels")] = 720,
    height: Annotated[int, Query(ge=120, le=1200, description="Pixels")] = 360,
    title: Annotated[bool, Query(description="With the name and level above it")] = True,
    benchmark: Annotated[str, Query(max_length=32, description="For kind=beta")] = "QQQ",
    sessions: Annotated[int, Query(ge=20, le=2500, description="Window for kind=beta")] = 90,
) -> ChartQuery:
    """The chart that was asked for."""
    return ChartQuery(kind, range, benchmark, sessions, Look(width, height, theme, title))


Asked = Annotated[ChartQuery, Depends(chart_query)]


def spec_of(store: Store, index_id: str, asked: ChartQuery) -> dict[str, Any]:
    """The specification of a chart of an index, data included."""
    index = read_index(store, index_id)
    series = chart_series(
        store, index, kind=asked.kind, span=asked.span, benchmark=asked.benchmark, sessions=asked.sessions
    )
    beta = f"{{name}} · beta to {asked.benchmark}, {asked.sessions} sessions"
    title = TITLES.get(asked.kind, beta).format(name=index.name, level=series.newest)
    return chart_spec(series, kind=asked.kind, title=title, simulated=index.simulated, look=asked.look)


@router.get(
    "/{index_id}.svg",
    response_class=Response,
    responses=as_file(SVG, description="The picture") | ERRORS,
    summary="A chart as SVG",
)
def chart_svg(store: StoreDep, index_id: IndexId, asked: Asked) -> Response:
    """A chart that scales, for pages and documents; says "as of", and "SIMULATED" where that is so."""
    return Answer(to_svg(spec_of(store, index_id, asked)), media_type=SVG)


@router.get(
    "/{index_id}.png",
    response_class=Response,
    responses=as_file("image/png", description="The picture", binary=True) | ERRORS,
    summary="A chart as PNG",
)
def chart_png(
    store: StoreDep,
    index_id: IndexId,
    asked: Asked,
    scale: Annotated[float, Query(ge=0.5, le=3, description="Pixels of the picture to one of the chart")] = 1.0,
) -> Response:
    """A chart as a picture, for mails and messages."""
    png = to_png(spec_of(store, index_id, asked), scale=scale)
    return Answer(png, media_type="image/png", compress=False)


@router.get("/{index_id}.vl.json", response_class=Response, responses=ERRORS, summary="A chart as Vega-Lite")
def chart_vega(store: StoreDep, index_id: IndexId, asked: Asked) -> Response:
    """The specification itself, data included: `vegaEmbed("#chart", url)` or `altair.Chart.from_dict`."""
    return Answer(spec_of(store, index_id, asked))
