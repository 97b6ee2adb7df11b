"""Recipes for programs that are not here: what they would fetch and read is really there, in the shape they need."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import jinja2
import pytest
import yaml
from live_server import Live

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
DASHBOARD = json.loads((RECIPES / "grafana-dashboard.json").read_text("utf-8"))
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")


def fetched(url: str) -> tuple[Any, bytes]:
    with urlopen(Request(url), timeout=20) as answer:  # follows nothing of ours: an answer is direct
        return answer, answer.read()


def targets() -> list[Any]:
    return [pytest.param(panel, one, id=panel["title"]) for panel in DASHBOARD["panels"] for one in panel["targets"]]


@pytest.mark.parametrize(("panel", "target"), targets())
def test_each_grafana_panel_finds_its_columns(live: Live, panel: dict[str, Any], target: dict[str, Any]) -> None:
    values = {"host": live.url, "index": "deai", "benchmark": "QQQ", "__from": "1704067200000", "__to": "1738627200000"}
    url = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], target["url"])
    answer, body = fetched(url)
    assert answer.headers["access-control-allow-origin"] == "*"
    found = json.loads(body)
    for name in filter(None, target["root_selector"].split(".")):
        found = found[name]
    rows = found if isinstance(found, list) else [found]
    assert rows
    for column in target["columns"]:
        seen = [row[column["selector"]] for row in rows]
        assert any(value is not None for value in seen), column
        if column["type"] == "timestamp":
            assert all(ISO.fullmatch(value) for value in seen)
        if column["type"] == "number":
            assert all(value is None or isinstance(value, int | float) for value in seen)


def test_the_dashboard_can_be_imported() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    declared = {one["name"] for one in DASHBOARD["templating"]["list"]} | {"__from", "__to"}
    used = set(re.findall(r"\$\{(\w+)\}", json.dumps(DASHBOARD["panels"])))
    assert used <= declared
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        assert panel["datasource"]["type"] == "yesoreyeram-infinity-datasource"


def addresses(page: str) -> list[str]:
    text = (RECIPES / page).read_text("utf-8")
    return re.findall(r'"(https?://(?:your\.host|127\.0\.0\.1:8000)/[^"]*)"', text)


@pytest.mark.parametrize("address", addresses("sheets.md") + addresses("excel.md"))
def test_sheets_and_excel_get_what_they_can_read(live: Live, address: str) -> None:
    assert len(address) <= 2048  # WEBSERVICE
    answer, body = fetched(re.sub(r"https?://[^/]+", live.url, address))
    assert answer.status == 200
    assert answer.url.startswith(live.url)
    assert int(answer.headers["content-length"]) == len(body)  # so that a broken transfer is noticed
    text = body.decode("utf-8")
    assert not text.startswith("\ufeff")
    if "level.txt" in address:
        assert NUMBER.fullmatch(text.strip())
        assert len(text) <= 32_767
        return
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header[0] == "time"
    assert {len(row) for row in rows} == {len(header)}
    times = [row[0] for row in rows]
    assert all(ISO.fullmatch(time) for time in times)
    assert times == sorted(times)
    for row in rows:
        for cell in row[1:]:
            assert cell == "" or NUMBER.fullmatch(cell) or cell.isalpha()
            assert not cell.startswith(("=", "+", "@"))
    assert len(text.splitlines()) * len(header) < 50_000  # IMPORTDATA's cells


def test_power_query_may_ask_twice(live: Live) -> None:
    url = f"{live.url}/v1/indices/deai/levels.csv?last=365"
    (first, one), (second, two) = fetched(url), fetched(url)
    assert one == two
    assert first.headers["etag"] == second.headers["etag"]


def test_the_home_assistant_sensor_reads_the_level_and_its_attributes(live: Live) -> None:
    text = (RECIPES / "home-assistant.md").read_text("utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.S | re.M)
    rest, template = yaml.safe_load(block)["sensor"]
    _, body = fetched(re.sub(r"http://[^/]+", live.url, rest["resource"]))
    latest = json.loads(body)
    shown = jinja2.Template(rest["value_template"]).render(value_json=latest)
    assert float(shown) == round(latest["level"], 2)
    kept = {name: latest[name] for name in rest["json_attributes"]}
    assert datetime.fromisoformat(kept["fresh_until"]) > datetime.fromisoformat(kept["time"])
    day = template["sensors"]["deai_day_change"]["value_template"]
    said = jinja2.Template(day).render(state_attr=lambda _, name: kept[name])
    assert float(said) == pytest.approx(latest["change"]["d1"] * 100, abs=0.005)
