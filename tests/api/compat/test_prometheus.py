"""/metrics as prometheus-client and promtool read it, and what is shipped to be used with it: alerts, a dashboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from live_server import Live
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from seeded import HOURS, NOW, START

from api.compat.prometheus import METRICS

RECIPES = Path(__file__).parents[3] / "docs" / "recipes"
ALERTS = RECIPES / "prometheus-alerts.yml"
DASHBOARD = json.loads((RECIPES / "grafana-server.json").read_text("utf-8"))
Samples = dict[tuple[str, tuple[str, ...]], float]


def promtool(*arguments: str | Path, stdin: str = "") -> None:
    """Runs promtool, or skips where there is none; a complaint fails the test."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on this machine (Debian: prometheus), so only prometheus-client read the metrics")
    done = subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@pytest.fixture(scope="module")
def text(live: Live) -> str:
    """What a scrape gives after one good and one refused request."""
    for path in ("/v1/indices", "/v1/indices/none"):
        httpx.get(live.url + path)
    answer = httpx.get(f"{live.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"
    return answer.text


@pytest.fixture(scope="module")
def samples(text: str) -> Samples:
    families = list(text_string_to_metric_families(text))
    return {(one.name, tuple(one.labels.values())): one.value for family in families for one in family.samples}


def test_every_metric_is_there_and_promtool_finds_nothing(text: str) -> None:
    families = {family.name for family in text_string_to_metric_families(text)}
    assert families == {f"deai_{name}".removesuffix("_total") for name in METRICS}
    promtool("check", "metrics", stdin=text)


def test_where_an_index_stands(samples: Samples, live: Live) -> None:
    latest = httpx.get(f"{live.url}/v1/indices/deai/latest").json()
    newest = START / 1e6 + HOURS * 3600
    assert samples["deai_index_level", ("deai",)] == latest["level"]
    assert samples["deai_index_level_timestamp_seconds", ("deai",)] == newest
    assert samples["deai_index_age_seconds", ("deai",)] == NOW.timestamp() - newest
    assert samples["deai_index_status", ("deai", latest["status"])] == 1
    assert sum(value for (name, key), value in samples.items() if name == "deai_index_status" and key[0] == "deai") == 1
    assert samples["deai_index_info", ("demo", "true")] == 1
    assert samples["deai_index_info", ("empty", "false")] == 0
    assert ("deai_index_level", ("empty",)) not in samples  # nothing is made up for an index without levels


def test_jobs_quality_and_requests(samples: Samples) -> None:
    assert samples["deai_job_outcome", ("test", "done")] == 1
    assert samples["deai_job_last_success_timestamp_seconds", ("test",)] == NOW.timestamp()
    assert samples["deai_quality_open", ("gap",)] == 1
    assert samples["deai_http_requests_total", ("GET", "200")] >= 1
    assert samples["deai_http_requests_total", ("GET", "404")] >= 1


def test_openmetrics_where_it_is_asked_for(live: Live) -> None:
    answer = httpx.get(f"{live.url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert {family.name for family in parse_openmetrics(answer.text)} >= {"deai_index_level", "deai_http_requests"}


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\bdeai_\w+", expression))


def test_alert_rules_hold() -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"] for rule in group["rules"]]
    assert set.union(*(names_in(rule["expr"]) for rule in rules)) <= {f"deai_{name}" for name in METRICS}
    promtool("check", "rules", ALERTS)


def test_an_overdue_level_and_a_failed_job_raise_alarms(tmp_path: Path) -> None:
    series = [
        {"series": 'deai_index_fresh_until_timestamp_seconds{index="deai"}', "values": "600x20"},
        {"series": 'deai_job_outcome{kind="fixing",outcome="failed"}', "values": "0x5 1x90"},
    ]
    expected = [
        ("5m", "DeaiLevelOverdue", 0),
        ("16m", "DeaiLevelOverdue", 1),
        ("20m", "DeaiJobFailing", 0),
        ("70m", "DeaiJobFailing", 1),
    ]
    labels = {"DeaiLevelOverdue": {"index": "deai", "severity": "page"}}
    labels["DeaiJobFailing"] = {"kind": "fixing", "outcome": "failed", "severity": "warn"}
    texts = {
        "DeaiLevelOverdue": "deai: no new level although one is overdue; treat the number as stale",
        "DeaiJobFailing": "the newest fixing run failed and no later one was done; /v1/admin/runs says why",
    }
    cases = [
        {
            "eval_time": at,
            "alertname": name,
            "exp_alerts": [{"exp_labels": labels[name], "exp_annotations": {"summary": texts[name]}}] * count,
        }
        for at, name, count in expected
    ]
    test = {
        "rule_files": [str(ALERTS)],
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": cases}],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    promtool("test", "rules", tmp_path / "test.yml")


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_is_there(panel: dict[str, Any]) -> None:
    assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for place in (panel, *panel["targets"]):
        assert place["datasource"] == {"type": "prometheus", "uid": "${source}"}  # numeric ids are off in Grafana 13
    for target in panel["targets"]:
        assert names_in(target["expr"]) <= {f"deai_{name}" for name in METRICS}
        labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        (name,) = {name.removeprefix("deai_") for name in names_in(target["expr"])} - {"http_request_seconds_total"}
        assert labels <= set(METRICS[name][1]), "a legend of labels that the metric has"
