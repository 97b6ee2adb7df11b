"""schemathesis over the whole description, with every check on: answers are what the description allows.

Only the stream is left out, because it never ends. Bounded: a fixed seed, few examples, one process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fastapi.testclient import TestClient
from live_server import Live

HERE = Path(__file__).parent
COMMAND = ["run", "--checks", "all", "--max-examples", "4", "--seed", "1", "--no-color", "--request-timeout", "20"]
COMMAND += ["--generation-database", "none", "--exclude-path-regex", "stream$"]


def test_schemathesis_finds_nothing(live: Live, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
        "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}",
        "NO_PROXY": "127.0.0.1",
    }
    run = subprocess.run(
        [str(Path(sys.executable).with_name("st")), *COMMAND, f"{live.url}/openapi.json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]


def test_every_operation_is_named_described_and_declares_its_errors(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    names: list[str] = []
    described = {tag["name"] for tag in document["tags"]}  # the reference page is grouped by them
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            names.append(operation["operationId"])
            assert operation["summary"], where
            assert operation["description"], where
            assert operation["tags"][0] in described, where
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), f"{where}: {parameter['name']}"
            for status, answer in operation["responses"].items():
                if status.startswith(("4", "5")):
                    assert list(answer["content"]) == ["application/problem+json"], f"{where}: {status}"
            assert {"422", "429", "500", "503"} <= set(operation["responses"]), where
    assert len(set(names)) == len(names)
    assert "levels-list_levels" in names


def test_every_field_of_an_answer_that_is_not_obvious_has_a_meaning(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("Latest", "Levels", "Constituent", "Beta", "Problem"):
        assert schemas[name]["description"], name
    assert schemas["Latest"]["properties"]["fresh_until"]["description"]
    assert schemas["Constituent"]["properties"]["contribution"]["description"]


def test_the_promise_is_in_the_description(client: TestClient) -> None:
    said = client.get("/openapi.json").json()["info"]["description"]
    assert "`/v1` only grows" in said
    assert "Ignore keys you do not know" in said
