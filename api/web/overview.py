"""The start page of a store with several indices: where each stands, as a table that needs no script to be read.

A script sorts it and fills in the betas, which take longer than the rest.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import Response

from api.answers.answer import Answer
from api.answers.services import ServicesDep, StoreDep
from api.routes.indices import latest_or_none
from api.web.first_view import LATE_DAYS, QQQ, SESSIONS, lag_days, rows_of
from api.web.pages import Raw, filled, links, page_answer, sign_out, why_of
from indexer.analytics.align import Clock
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
    """An index as a row shows it; `latest` is None while it has no levels."""

    index: IndexRow
    latest: dict[str, Any] | None
    spark: NDArray[np.float64]


@router.get("/indices")
def overview_page(request: Request, services: ServicesDep) -> Response:
    """All indices with level, changes, the last three months, status and members."""
    store = services.store
    rows = services.cache.read_once("overview", lambda: [_read(store, row) for row in in_order(store)])
    body = filled(
        "overview.html",
        request,
        rows=Raw("".join(_row(row, now=services.clock()) for row in rows)),
        heads=Raw("".join(f'<th scope="col" class="{_kind(span)}">{label}</th>' for span, label in CHANGES.items())),
        count=str(len(rows)),
        tabs=Raw(tabs(store, "")),
        sign_out=sign_out(request),
    )
    return page_answer(body)


@router.get("/page-data/overview")
def overview_betas(services: ServicesDep, store: StoreDep) -> Response:
    """The beta of each index to QQQ: at closes, or by UTC days where the last closes are late."""
    betas = {}
    for index in in_order(store):
        lag = partial(lag_days, services, index.id, [QQQ])
        late = lag(Clock.AT_CLOSE) > LATE_DAYS and lag(Clock.DAILY_UTC) < lag(Clock.AT_CLOSE)
        clock = Clock.DAILY_UTC if late else Clock.AT_CLOSE
        betas[index.id] = {**rows_of(services, index.id, [QQQ], sessions=SESSIONS, clock=clock)[0], "clock": clock}
    return Answer(betas, cache_control="no-cache")


def in_order(store: Store) -> list[IndexRow]:
    """The indices, the flagship first."""
    return sorted(read_indices(store), key=lambda row: (row.id != FLAGSHIP, row.id))


def short_name(index: IndexRow) -> str:
    """`Agents` for the DeAI Agents Index; what a user's own index is called as it is."""
    return OWN_NAME.sub("", index.name).strip() or "DeAI" if index.name.startswith("DeAI ") else index.name


def tabs(store: Store, current: str) -> str:
    """Links to the indices by name."""
    return links([(f"indices/{row.id}", short_name(row), row.id == current) for row in in_order(store)])


def _read(store: Store, index: IndexRow) -> Overview:
    latest = latest_or_none(store, index.id)
    if latest is None:
        return Overview(index, None, np.empty(0))
    since = to_us(latest["time"]) - SPARK_DAYS * DAY_US
    return Overview(index, latest, read_levels(store, index.id, start_us=since, step_us=DAY_US).levels)


def _row(row: Overview, *, now: datetime) -> str:
    """A row of the table; `data-value` is what a column is sorted by."""
    index, latest = row.index, row.latest
    name = f'<a href="indices/{html.escape(index.id)}"><strong>{html.escape(index.name)}</strong></a>'
    if latest is None:
        text = "No levels yet."
        return (
            f'<tr><td class="text">{name}<small>{text}</small></td>' + f"<td>{DASH}</td>" * (len(CHANGES) + 5) + "</tr>"
        )
    why = why_of(latest)
    text = f"<small>{html.escape(index.description)}</small>"
    if why:
        text = (
            f'<small class="warn" title="{html.escape(why)}">{html.escape(why.partition(": ")[0].rstrip("."))}.</small>'
        )
    simulated = ' <span class="pill" data-status="carried">simulated</span>' if index.simulated else ""
    late = now > latest["fresh_until"]
    stale = f"<small>of {latest['time']:%Y-%m-%d}</small>" if late else ""
    mark, status = ("stale", f"{latest['status']}, stale") if late else (latest["status"], latest["status"])
    cells = [
        f'<td class="text" data-value="{html.escape(index.name)}">{name}{simulated}{text}</td>',
        f'<td data-value="{latest["level"]}"><strong>{latest["level"]:,.2f}</strong>{stale}</td>',
        *(_change(latest["change"][span], span) for span in CHANGES),
        f"<td>{sparkline(row.spark)}</td>",
        f'<td class="optional" data-value="{latest["constituents"] or 0}">{latest["constituents"] or DASH}</td>',
        f'<td class="optional" data-beta="{html.escape(index.id)}">…</td>',
        f'<td class="text optional"><span class="pill" data-status="{mark}">{status}</span></td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _kind(span: str) -> str:
    return "optional" if span in LONGER else ""


def _change(value: float | None, span: str) -> str:
    if value is None:
        return f'<td class="{_kind(span)}">{DASH}</td>'
    text = f"{value:+.1%}".replace("-", MINUS).replace("%", "\u202f%") if round(value, 3) else "0.0\u202f%"
    tone = "up" if round(value, 3) > 0 else "down" if round(value, 3) < 0 else ""
    return f'<td class="{tone} {_kind(span)}" data-value="{value}">{text}</td>'


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
    return (
        f'<svg class="spark {tone}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{label}"><polyline points="{points}"/></svg>'
    )
