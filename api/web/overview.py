"""The start page of a store with several indices: where each stands, as a table that needs no script to be read.

A script sorts it and fills in the betas, which take longer than the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from markupsafe import Markup
from numpy.typing import NDArray
from starlette.responses import Response

from api.answers.answer import Answer
from api.answers.services import ServicesDep, StoreDep
from api.routes.indices import latest_or_none
from api.web.first_view import QQQ, SESSIONS, rows_of, usual_clock
from api.web.pages import Tab, filled, page_answer, why_of
from indexer.store.db import Store
from indexer.store.indices import read_indices
from indexer.store.levels import read_levels
from indexer.store.rows import IndexRow
from indexer.times import DAY_US, to_us

FLAGSHIP = "deai"
SPARK_DAYS = 90
WIDTH, HEIGHT = 120, 32
CHANGES = {"d1": "24 h", "d7": "7 d", "d30": "30 d", "d365": "1 y"}
LONGER = ("d7", "d30", "d365")  # left out on a phone
MINUS, DASH = "\u2212", "–"
OWN_NAME = re.compile(r"^DeAI |\bIndex\b")
router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Overview:
    """An index as a row shows it; `latest` is None while it has no levels, `why` empty where it is final."""

    index: IndexRow
    latest: dict[str, Any] | None
    why: str = ""
    spark: str = DASH


@router.get("/indices")
def overview_page(request: Request, services: ServicesDep) -> Response:
    """All indices with level, changes, the last three months, status and members."""
    store = services.store
    rows = services.cache.read_once("overview", lambda: [_read(store, row) for row in in_order(store)])
    body = filled(
        "overview.html",
        request,
        rows=rows,
        now=services.clock(),
        changes=CHANGES,
        longer=LONGER,
        told=change_text,
        tabs=tabs(store, ""),
    )
    return page_answer(body)


@router.get("/page-data/overview")
def overview_betas(services: ServicesDep, store: StoreDep) -> Response:
    """The beta of each index to QQQ: at closes, or by UTC days where the last closes are late."""
    betas = {}
    for index in in_order(store):
        clock = usual_clock(services, index.id, [QQQ])
        betas[index.id] = {**rows_of(services, index.id, [QQQ], sessions=SESSIONS, clock=clock)[0], "clock": clock}
    return Answer(betas, cache_control="no-cache")


def in_order(store: Store) -> list[IndexRow]:
    """The indices, the flagship first."""
    return sorted(read_indices(store), key=lambda row: (row.id != FLAGSHIP, row.id))


def short_name(index: IndexRow) -> str:
    """`Agents` for the DeAI Agents Index; what a user's own index is called as it is."""
    return OWN_NAME.sub("", index.name).strip() or "DeAI" if index.name.startswith("DeAI ") else index.name


def tabs(store: Store, current: str) -> list[Tab]:
    """Links to the indices by name."""
    return [(f"indices/{row.id}", short_name(row), row.id == current) for row in in_order(store)]


def _read(store: Store, index: IndexRow) -> Overview:
    latest = latest_or_none(store, index.id)
    if latest is None:
        return Overview(index, None)
    since = to_us(latest["time"]) - SPARK_DAYS * DAY_US
    levels = read_levels(store, index.id, start_us=since, step_us=DAY_US).levels
    return Overview(index, latest, why_of(latest), sparkline(levels))


def change_text(value: float | None) -> tuple[str, str]:
    """Which way a change goes, and the change in per cent for people."""
    if value is None:
        return "", DASH
    if not round(value, 3):
        return "", "0.0\u202f%"
    return "up" if value > 0 else "down", f"{value:+.1%}".replace("-", MINUS).replace("%", "\u202f%")


def sparkline(values: NDArray[np.float64]) -> str:
    """The values as a small line that says by its colour whether the last is above the first."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return DASH
    low, high = float(values.min()), float(values.max())
    x = np.linspace(1, WIDTH - 1, len(values))
    y = HEIGHT - 2 - (values - low) / ((high - low) or 1.0) * (HEIGHT - 4)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    tone = "up" if values[-1] >= values[0] else "down"
    label = f"{len(values)} days: {values[-1] / values[0] - 1:+.1%}"
    return Markup(
        f'<svg class="spark {tone}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{label}"><polyline points="{points}"/></svg>'
    )
