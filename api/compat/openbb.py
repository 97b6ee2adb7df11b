"""OpenBB Workspace: its widgets and an app over the indices, each widget a query-only address of one of our answers.

`widgets.json` and `apps.json` must be at the root of the address that a user adds; the widgets stand in openbb.toml.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers.answer import NEVER, Answer
from api.answers.params import AskedId
from api.answers.problems import MEDIA_TYPE
from api.answers.services import Services, ServicesDep, StoreDep
from api.compat import title_of
from api.middleware.cache import ask
from api.routes.indices import latest_of
from indexer.errors import NotFoundError
from indexer.store.assets import read_benchmarks
from indexer.store.indices import read_indices

router = APIRouter(include_in_schema=False)
BETAS = ("QQQ", "NVDA", "SMH")
CHART, OURS = "advanced_charting", ("at", "columns", "table", "answer", "rows")
SHIPPED = tomllib.loads(Path(__file__).with_name("openbb.toml").read_text(encoding="utf-8"))


@router.get("/widgets.json")
def list_widgets(store: StoreDep) -> Response:
    """Every widget by its id, with a choice of the indices that there are."""
    choice = [{"label": title_of(row), "value": row.id} for row in read_indices(store)]
    first = choice[0]["value"] if choice else ""
    asked = {"paramName": "index", "label": "Index", "description": "Id of an index", "type": "text"}
    params = [{**asked, "value": first, "options": choice}]
    return Answer({name: _widget(widget, params) for name, widget in SHIPPED["widgets"].items()})


@router.get("/apps.json")
def list_apps(store: StoreDep) -> Response:
    """The one app: all widgets, with the index chosen once for those that have one."""
    widgets, group = SHIPPED["widgets"], "Index"
    layout = [
        {"i": name, **dict(zip("xywh", widget["at"], strict=True)), "groups": [group] * (widget["type"] != CHART)}
        for name, widget in widgets.items()
    ]
    grouped = [place["i"] for place in layout if place["groups"]]
    first = next((row.id for row in read_indices(store)), "")
    groups = [{"name": group, "type": "param", "paramName": "index", "widgetIds": grouped, "defaultValue": first}]
    tabs = {"overview": {"id": "overview", "name": "Overview", "layout": layout}}
    return Answer([{**SHIPPED["app"], "tabs": tabs, "groups": groups}])


def _widget(widget: dict[str, Any], params: list[dict[str, Any]]) -> dict[str, Any]:
    """A widget as Workspace reads it."""
    plain = {name: value for name, value in widget.items() if name not in OURS}
    body = {**SHIPPED["common"], **plain, "gridData": dict(zip("wh", widget["at"][2:], strict=True))}
    if widget["type"] == CHART:
        return {**body, "data": {"defaultSymbol": params[0]["value"].upper()}}
    if widget["type"] != "table":
        return {**body, "params": params}
    columns = [
        {"field": field, "headerName": field.replace("_", " ").capitalize(), "formatterFn": form or "none"}
        for field, _, form in (column.partition(":") for column in widget["columns"])
    ]
    table = {"showAll": True, "enableCharts": True, "columnsDefs": columns, **widget.get("table", {})}
    return {**body, "params": params, "data": {"table": table}}


@router.get("/openbb/level")
def get_level(store: StoreDep, index: AskedId) -> Response:
    """Level, change of a week and status as metrics, changes in per cent."""
    latest = latest_of(store, index)
    day, week = (None if latest["change"][span] is None else f"{latest['change'][span]:+.2%}" for span in ("d1", "d7"))
    name = latest["name"] + " (simulated)" * latest["simulated"]
    level = {"label": name, "value": f"{latest['level']:,.2f}", "delta": day}
    return Answer([level, {"label": "7 days", "value": week}, {"label": "Status", "value": latest["status"]}])


@router.get("/openbb/{widget}")
async def get_widget(request: Request, services: ServicesDep, widget: str, index: AskedId) -> Response:
    """The rows of a table, flat, with the columns that its widget has; or the text of one, as one string."""
    found = SHIPPED["widgets"].get(widget, {})
    if "answer" not in found:
        there = ", ".join(name for name, other in SHIPPED["widgets"].items() if "answer" in other)
        raise NotFoundError(f'no widget "{widget}"; there are {there}')
    root, betas = request.scope.get("root_path", ""), await run_sync(_betas, services)
    status, body = await ask(request.app, f"{root}/v1/{found['answer'].format(index=index, betas=betas)}", root=root)
    if status != 200:
        return Response(body, status, {"Cache-Control": NEVER}, MEDIA_TYPE)
    if found["type"] != "table":
        return Answer(body.decode())
    answer = json.loads(body)
    names = [column.partition(":")[0] for column in found["columns"]]
    flat = [{**(row.get("detail") or {}), **row} for row in answer[found.get("rows", "data")]]
    more = {"simulated": True} if answer.get("simulated") else {}
    return Answer([{**{name: row.get(name) for name in names}, **more} for row in flat])


def _betas(services: Services) -> str:
    return ",".join(row.symbol for row in read_benchmarks(services.store) if row.symbol in BETAS)
