"""Recipes for programs that are not here: what they would fetch and read is really there, in the shape they need."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import jinja2
import numpy as np
import pytest
import yaml
from live_server import Live
from seeded import UNITS, latent

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
DASHBOARD = json.loads((RECIPES / "grafana-dashboard.json").read_text("utf-8"))
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")


def fetched(url: str) -> tuple[Any, bytes]:
    with urlopen(Request(url), timeout=20) as answer:  # follows nothing of ours: an answer is direct
        return answer, answer.read()


def levels_by_hand() -> np.ndarray:
    """The hourly levels of the seeded index, from its prices."""
    _, prices = latent()
    levels: np.ndarray = 1000.0 * (prices @ UNITS) / UNITS.sum()
    return levels


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
    moment = next(name for name in ("time", "end") if name in header)
    assert {len(row) for row in rows} == {len(header)}
    times = [row[header.index(moment)] for row in rows]
    assert all(ISO.fullmatch(time) for time in times)
    assert times == sorted(times)
    for row in rows:
        for cell in row:
            assert cell == "" or NUMBER.fullmatch(cell) or ISO.fullmatch(cell) or DATE.fullmatch(cell) or cell.isalpha()
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
    page = yaml.safe_load(block)
    (rest,), ((day,),) = page["sensor"], (form["sensor"] for form in page["template"])
    _, body = fetched(re.sub(r"http://[^/]+", live.url, rest["resource"]))
    latest = json.loads(body)
    shown = jinja2.Template(rest["value_template"]).render(value_json=latest)
    assert float(shown) == round(latest["level"], 2)
    kept = {name: latest[name] for name in rest["json_attributes"]}
    assert datetime.fromisoformat(kept["fresh_until"]) > datetime.fromisoformat(kept["time"])
    kept["change"]["d1"] = -0.0123456
    attributes = {"state_attr": lambda _, name: kept[name]}
    assert jinja2.Template(day["availability"]).render(attributes) == "True"
    assert jinja2.Template(day["state"]).render(attributes) == "-1.23", "per cent, rounded after the product"
    kept["change"]["d1"] = None
    assert jinja2.Template(day["availability"]).render(attributes) == "False"


def snippets(page: str, language: str) -> list[str]:
    text = (RECIPES / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.S | re.M)


def printed(live: Live, code: str, capsys: pytest.CaptureFixture[str]) -> str:
    exec(compile(code.replace("http://127.0.0.1:8000", live.url), "recipe", "exec"), {"__name__": "recipe"})
    return capsys.readouterr().out


def test_the_frames_recipes_give_the_right_numbers(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    volatility, beta, fall, rolling = (printed(live, code, capsys) for code in snippets("frames.md", "python"))
    levels = levels_by_hand()
    daily = levels[::24]
    assert float(volatility) == pytest.approx(np.std(daily[1:] / daily[:-1] - 1, ddof=1) * 365**0.5, rel=1e-9)
    served = json.loads(fetched(f"{live.url}/v1/indices/deai/beta?benchmark=QQQ&sessions=90")[1])
    assert float(beta) == pytest.approx(served["beta"], rel=1e-9)
    assert float(fall) == pytest.approx((levels / np.maximum.accumulate(levels) - 1).min(), rel=1e-9)
    rows = [line.split() for line in rolling.splitlines() if " 21:00:00" in line]
    assert len(rows) == 5, "the rolling beta and the level stand side by side"
    assert float(rows[-1][-1]) == pytest.approx(levels[-4], rel=1e-5)


def test_the_sheet_function_gives_the_level_and_its_changes(live: Live, tmp_path: Path) -> None:
    (code,) = snippets("sheets.md", "javascript")
    latest = json.loads(fetched(f"{live.url}/v1/indices/deai/latest")[1])
    world = f"const UrlFetchApp = {{fetch: () => ({{getContentText: () => {json.dumps(json.dumps(latest))}}})}};"
    asking = 'console.log(DEAI("deai"), DEAI("deai", "d7"), DEAI());'
    (tmp_path / "sheet.js").write_text("\n".join((world, code, asking)))
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine, so the Apps Script function was not run")
    done = subprocess.run([node, tmp_path / "sheet.js"], capture_output=True, text=True, timeout=60, check=True)
    level, change, default = (float(word) for word in done.stdout.split())
    assert (level, change, default) == (latest["level"], latest["change"]["d7"], latest["level"])


def test_r_reads_every_row_and_gives_the_beta(live: Live, tmp_path: Path) -> None:
    program = shutil.which("Rscript")
    if program is None:
        pytest.skip("no R on this machine, so its recipes were not run")
    outputs = []
    for code in snippets("r.md", "r"):
        (tmp_path / "recipe.R").write_text(code.replace("http://127.0.0.1:8000", live.url))
        command = [program, "--vanilla", tmp_path / "recipe.R"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path)
        outputs.append(done.stdout)
    levels = levels_by_hand()
    assert outputs[0].split()[0] == str(len(levels))
    served = json.loads(fetched(f"{live.url}/v1/indices/deai/beta?benchmark=QQQ&sessions=90")[1])
    assert float(outputs[1].split()[-1]) == pytest.approx(served["beta"], rel=1e-9)
    assert (tmp_path / "deai.png").read_bytes().startswith(b"\x89PNG")
