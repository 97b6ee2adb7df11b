"""OpenBB Workspace's two files and every widget behind them, asked as its page asks: by a preflight, then with a key.

The page itself is hosted and cannot be reached from a test: the shapes are those of its reference.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from live_server import Live
from seeded import SLUGS

TYPES = {"metric", "table", "markdown", "advanced_charting"}
FORMATS = {"int", "none", "percent", "normalized", "normalizedPercent", "dateToYear"}
NAMES = ("level", "udf", "constituents", "history", "beta", "drawdowns", "quality", "methodology")


@pytest.fixture(scope="module")
def widgets(live: Live) -> dict[str, Any]:
    body: dict[str, Any] = httpx.get(f"{live.url}/widgets.json").json()
    return body


def asked(live: Live, widget: dict[str, Any], **params: str) -> httpx.Response:
    """The answer to a widget's question as the hosted page puts it: another origin, a header of its own."""
    url = f"{live.url}/{widget['endpoint'].lstrip('/')}"
    headers = {"Origin": "https://pro.openbb.co", "Access-Control-Request-Headers": "x-api-key"}
    preflight = httpx.options(url, headers={**headers, "Access-Control-Request-Method": "GET"})
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, "*")
    assert "x-api-key" in preflight.headers["access-control-allow-headers"].lower()
    answer = httpx.get(url, params=params, headers={"Origin": "https://pro.openbb.co", "Accept": "text/csv, */*"})
    assert answer.headers["access-control-allow-origin"] == "*"
    return answer


def test_every_widget_has_what_the_reference_demands(widgets: dict[str, Any]) -> None:
    assert set(widgets) == set(NAMES)
    for widget in widgets.values():
        assert widget["type"] in TYPES
        assert all(isinstance(widget[key], str) and widget[key] for key in ("name", "description", "endpoint"))
        assert "{" not in widget["endpoint"], "path parameters do not fit"
        assert 0 < widget["gridData"]["w"] <= 40
        assert 0 < widget["gridData"]["h"] <= 100
        for parameter in widget.get("params", ()):
            values = [option["value"] for option in parameter["options"]]
            assert (parameter["paramName"], parameter["value"], values) == ("index", "deai", ["deai", "demo", "empty"])


@pytest.mark.parametrize("name", NAMES)
def test_a_widget_is_answered_in_its_shape(live: Live, widgets: dict[str, Any], name: str) -> None:
    widget = widgets[name]
    if widget["type"] == "advanced_charting":
        config = asked(live, {"endpoint": f"{widget['endpoint']}/config"}).json()
        assert config["supports_search"]
        symbol = asked(
            live, {"endpoint": f"{widget['endpoint']}/symbols"}, symbol=widget["data"]["defaultSymbol"]
        ).json()
        assert symbol["ticker"] == "deai"
        return
    body = asked(live, widget, index="deai").json()
    if widget["type"] == "markdown":
        assert isinstance(body, str)
        assert "deai index" in body
        return
    assert body
    for row in body:
        assert not any(isinstance(value, dict | list) for value in row.values()), "rows are flat"
    if widget["type"] == "metric":
        assert all({"label", "value"} <= set(row) for row in body)
        return
    columns = widget["data"]["table"]["columnsDefs"]
    assert {column["formatterFn"] for column in columns} <= FORMATS
    for column in columns:
        assert column["field"] in body[0]
    shown = {field for row in body for field, value in row.items() if value is not None}
    assert len(shown) >= 3, "a table of nothing"


def test_numbers_are_those_of_the_api(live: Live, widgets: dict[str, Any]) -> None:
    rows = asked(live, widgets["constituents"], index="deai").json()
    served = httpx.get(f"{live.url}/v1/indices/deai/constituents").json()["data"]
    assert [(row["symbol"], row["weight"]) for row in rows] == [(row["symbol"], row["weight"]) for row in served]
    assert len(rows) == len(SLUGS)
    level, week, status = asked(live, widgets["level"], index="demo").json()
    latest = httpx.get(f"{live.url}/v1/indices/demo/latest").json()
    assert level == {
        "label": "demo index (simulated)",
        "value": f"{latest['level']:,.2f}",
        "delta": f"{latest['change']['d1']:+.2%}",
    }
    assert (week["value"], status["value"]) == (f"{latest['change']['d7']:+.2%}", latest["status"])
    assert all(row["simulated"] for row in asked(live, widgets["history"], index="demo").json())


def test_an_error_has_the_detail_that_is_shown(live: Live, widgets: dict[str, Any]) -> None:
    answer = asked(live, widgets["level"], index="empty")
    assert answer.status_code == 409
    assert "no levels yet" in answer.json()["detail"]


def test_the_app_lays_out_widgets_that_there_are(live: Live, widgets: dict[str, Any]) -> None:
    (app,) = httpx.get(f"{live.url}/apps.json").json()
    (tab,) = app["tabs"].values()
    places = tab["layout"]
    assert [place["i"] for place in places] == list(widgets)
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(set(cells)) == len(cells), "no widget lies on another"
    assert max(x for x, _ in cells) < 40
    (group,) = app["groups"]
    assert group["widgetIds"] == [name for name in NAMES if "params" in widgets[name]]
    assert (group["type"], group["paramName"], group["defaultValue"]) == ("param", "index", "deai")
