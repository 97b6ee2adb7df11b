"""The npm package, and the client that another generator makes of our OpenAPI: both read a running server."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from generated_tools import TEMPLATES, fetch, node_tools, python_tools, run
from live_server import Live

pytestmark = pytest.mark.generated
GENERATOR = "openapi-python-client==0.29.1"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def description(live: Live, tmp_path: Path) -> Path:
    """Our OpenAPI in a file."""
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(live.app.openapi()))
    return file


def test_the_npm_package_is_built_installed_compiles_and_reads(live: Live, tmp_path: Path) -> None:
    tools = node_tools()
    build = [sys.executable, ROOT / "packages" / "build.py", tmp_path, "--only", "npm", "--tools"]
    run([*build, tools / "node_modules"], folder=tmp_path)
    (built,) = tmp_path.glob("deai-index-*.tgz")
    for name in ("main.ts", "tsconfig.json"):
        shutil.copy(TEMPLATES / name, tmp_path)
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1"]
    fetch(["npm", "install", *quiet, "--cache", str(tools / "npm"), str(built)], folder=tmp_path, what="openapi-fetch")
    run([tools / "node_modules" / ".bin" / "tsc", "-p", "."], folder=tmp_path)
    said = json.loads(run(["node", "out/main.js", live.url], folder=tmp_path))
    assert (said["index"], said["status"], said["count"]) == ("deai", "final", 9601)
    assert said["last"] == said["level"]
    assert said["csv"][0] == "time,level,status,carried_weight,perpetual_weight,constituents"
    assert said["beta"] == pytest.approx(1.45, abs=0.1)
    assert said["n"] == 90
    assert said["names"] == ["alpha", "beta", "gamma", "delta"]
    assert (said["code"], said["status_code"]) == ("not_found", 404)
    assert said["failing"].startswith('No index "deia"')
    element = tmp_path / "node_modules" / "deai-index" / "element.js"
    assert element.read_bytes() == (ROOT / "api" / "web" / "static" / "widget.js").read_bytes()


PROGRAM = """
import json, sys
from deai_index_client import Client
from deai_index_client.api.levels import levels_list_levels
from deai_index_client.api.indices import indices_get_latest, indices_list_indices
from deai_index_client.api.statistics import statistics_get_beta
from deai_index_client.models import Interval, Latest, Problem

client = Client(base_url=sys.argv[1])
latest = indices_get_latest.sync("deai", client=client)
assert isinstance(latest, Latest)
levels, cursor = [], None
while True:
    more = {} if cursor is None else {"cursor": cursor}
    page = levels_list_levels.sync("deai", client=client, interval=Interval.VALUE_2, limit=4000, **more)
    levels += [row.level for row in page.data]
    cursor = page.next_
    if cursor is None:
        break
beta = statistics_get_beta.sync("deai", client=client, benchmark="QQQ")
refused = indices_get_latest.sync_detailed("deia", client=client)
assert isinstance(refused.parsed, Problem)
print(json.dumps({
    "interval": Interval.VALUE_2.value,
    "time": latest.time.isoformat(),
    "level": latest.level,
    "count": len(levels),
    "last": levels[-1],
    "beta": beta.beta,
    "code": refused.parsed.code,
    "status_code": refused.status_code,
    "indices": [one.id for one in indices_list_indices.sync(client=client).data],
}))
"""


def test_a_python_client_of_a_generator_reads(live: Live, description: Path, tmp_path: Path) -> None:
    programs = python_tools(GENERATOR)
    made = tmp_path / "made"
    said = run(
        [
            programs / "openapi-python-client",
            "generate",
            "--path",
            description,
            "--output-path",
            made,
            "--meta",
            "none",
        ],
        folder=tmp_path,
    )
    assert "WARNING" not in said.upper()
    made.rename(tmp_path / "deai_index_client")
    (tmp_path / "program.py").write_text(PROGRAM)
    found = json.loads(run([programs / "python", "-W", "error", "program.py", live.url], folder=tmp_path))
    assert found["interval"] == "1h"
    assert found["time"] == "2025-02-04T00:00:00+00:00"
    assert found["count"] == 9601
    assert found["last"] == found["level"]
    assert found["beta"] == pytest.approx(1.45, abs=0.1)
    assert (found["code"], found["status_code"]) == ("not_found", 404)
    assert found["indices"] == ["deai", "demo", "empty"]


def test_a_tool_that_cannot_be_had_skips_and_says_so(tmp_path: Path) -> None:
    failing = [sys.executable, "-c", "raise SystemExit('no route to the packages')"]
    said = r"this tool could not be fetched \(no route to the packages\), so no client was generated"
    with pytest.raises(pytest.skip.Exception, match=said):
        fetch(failing, folder=tmp_path, what="this tool")
