"""MCP at `/mcp` and by `deai mcp`: real clients list and call every tool, and get what REST answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from generated_tools import TEMPLATES, node_tools, run
from live_server import Live
from mcp import MCPError, StdioServerParameters
from mcp.client import Client
from seeded import NOW, seeded_store

from api.app import create_app
from api.compat.mcp import CATALOGUE
from api.middleware.keys import KeyRing, Scope
from api.middleware.limits import Limits
from indexer.config import Settings
from indexer.store.db import Store

COMMAND = ["-c", "from indexer.cli import main; main()", "mcp"]
DEAI = "/v1/indices/deai"
NEEDS_MORE = {"/mcp", "/v1/portfolio", f"{DEAI}/attribution", f"{DEAI}/scenario", f"{DEAI}/events/deepseek"}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "study_event": {"factors": "QQQ"},
    "explain_move": {"start": "2025-01-01", "end": "2025-01-20"},
    "run_scenario": {"move": -0.05, "sessions": 90},
    "measure_portfolio": {"holdings": [{"symbol": "ALP", "amount": 12.5}, {"symbol": "XYZ", "amount": 1}]},
}


def by_rest(url: str, tool: str) -> Any:
    """What REST answers to the same question."""
    entry = CATALOGUE["tools"][tool]
    path = entry["path"].format(index_id="deai", event="deepseek")
    if "holdings" in ARGUMENTS.get(tool, {}):
        return httpx.post(url + path, json=ARGUMENTS[tool]).json()
    return httpx.get(url + path, params={**entry.get("preset", {}), **ARGUMENTS.get(tool, {})}).json()


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_every_tool_gives_what_rest_gives_in_both_eras(live: Live, mode: str, version: str) -> None:
    async with Client(f"{live.url}/mcp", mode=mode) as client:
        assert client.protocol_version == version
        assert "index points" in (client.instructions or "")
        tools = (await client.list_tools()).tools
        assert 8 <= len(tools) <= 12
        for tool in tools:
            assert "It is not: " in (tool.description or "")
            assert tool.annotations is not None and tool.annotations.read_only_hint
            answer = await client.call_tool(tool.name, ARGUMENTS.get(tool.name, {}))  # checked against its schema
            assert answer.structured_content == by_rest(live.url, tool.name), tool.name
            assert json.loads(answer.content[0].text) == answer.structured_content
        levels = next(tool for tool in tools if tool.name == "get_level").output_schema
        assert levels is not None and levels["properties"]["level"]["description"] == "Index points"


async def test_resources_are_the_catalogue_and_the_rules(live: Live) -> None:
    async with Client(f"{live.url}/mcp") as client:
        resources = (await client.list_resources()).resources
        assert {"deai://v1/indices", "deai://v1/events", "deai://v1/benchmarks"} <= {item.uri for item in resources}
        rules = await client.read_resource("deai://v1/indices/demo/methodology.toml")
        assert 'id = "demo"' in rules.contents[0].text
        with pytest.raises(MCPError, match="There is no resource"):
            await client.read_resource("deai://v1/admin/runs")


async def test_a_refusal_is_a_sentence_for_the_agent(live: Live) -> None:
    async with Client(f"{live.url}/mcp") as client:
        for tool, arguments, sentence in (
            ("get_level", {"index_id": "deia"}, 'No index "deia". Did you mean "deai"?'),
            ("get_level", {"index_id": "empty"}, 'Index "empty" has no levels yet'),
            ("get_level", {"index_id": "../../healthz"}, "Nothing is served at "),
            ("get_beta", {"benchmrk": "NVDA"}, 'get_beta has no argument "benchmrk": index_id, as_of, benchmark, '),
            ("get_beta", {"sessions": 3}, "query/sessions: Input should be greater than or equal to 20"),
            ("explain_move", {"start": "2025-01-01"}, "query/end: Field required"),
            ("measure_portfolio", {"holdings": []}, "holdings"),
        ):
            answer = await client.call_tool(tool, arguments)
            assert answer.is_error, tool
            assert sentence in answer.content[0].text
        with pytest.raises(MCPError, match=r'no tool "get_levl"\. Did you mean "get_level"\?'):
            await client.call_tool("get_levl", {})


async def test_stdio_answers_from_the_store_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    seeded_store(tmp_path / "var" / "deai.sqlite").close()
    async with Client(
        StdioServerParameters(command=sys.executable, args=COMMAND, cwd=tmp_path, env=dict(os.environ))
    ) as client:
        level = await client.call_tool("get_level", {"index_id": "demo"})
        assert (level.structured_content["index"], level.structured_content["simulated"]) == ("demo", True)


@pytest.mark.generated
def test_npm_clients_list_and_call_every_tool(live: Live, tmp_path: Path) -> None:
    shutil.copy(TEMPLATES / "mcp.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(node_tools() / "node_modules")
    clients = json.loads(run(["node", "mcp.mjs", f"{live.url}/mcp", json.dumps(ARGUMENTS)], folder=tmp_path))
    answers = {tool: by_rest(live.url, tool) for tool in CATALOGUE["tools"]}
    for name, version in (("client", "2026-07-28"), ("sdk", "2025-11-25")):
        assert clients[name]["version"] == version
        assert clients[name]["answers"] == answers
        assert "base_level" in clients[name]["rules"]


def ask(client: TestClient, **headers: str) -> httpx.Response:
    """A tool call of the older era: one POST."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_level", "arguments": {}}}
    return client.post("/mcp", json=call, headers={"accept": "application/json, text/event-stream", **headers})


def test_keys_hosts_and_quotas_hold_as_for_rest(store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, read_keys=True, allowed_hosts=("index.example.org",))
    client = TestClient(
        create_app(
            store, settings=settings, clock=lambda: NOW, limits=Limits(requests=4, window_s=3600, count_loopback=True)
        )
    )
    keys = KeyRing(tmp_path / "keys.json")
    _, reader = keys.create("agent", (Scope.READ,), now=NOW)
    _, embedder = keys.create("page", (Scope.EMBED,), now=NOW)
    own = {"host": "index.example.org"}
    assert ask(client).json()["code"] == "bad_request"
    assert ask(client, **own).json()["code"] == "unauthorized"
    assert ask(client, **own, authorization=f"Bearer {embedder}").json()["code"] == "unauthorized"
    answers = [ask(client, **own, authorization=f"Bearer {reader}") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]  # a call counts once
    assert answers[0].json()["result"]["structuredContent"]["index"] == "deai"
    assert client.get("/llms.txt", headers=own).status_code == 200


def test_what_agents_read_first_leads_on(live: Live) -> None:
    with httpx.Client(base_url=live.url) as client:
        overview = client.get("/llms.txt").text
        for name in CATALOGUE["tools"]:
            assert f"- [{name}](/v1/" in overview
        for address in re.findall(r"\]\((/[^)]*)\)", overview):
            if address not in NEEDS_MORE:
                assert client.get(address).status_code == 200, address
        everything = client.get("/llms-full.txt").text
        assert everything.startswith(overview.rstrip())
        assert "### GET /v1/assets/{symbol}/prices" in everything
        assert "- `not_enough_data` (409)" in everything
        entry = client.get("/server.json", headers={"host": "index.example.org"}).json()
        version = client.get("/healthz").json()["version"]
        assert {entry["version"], entry["packages"][0]["version"]} == {version}
        assert f"mcp-name: {entry['name']}" in (Path(__file__).parents[3] / "README.md").read_text("utf-8")
        assert entry["remotes"] == [{"type": "streamable-http", "url": "http://index.example.org/mcp"}]
        assert client.get("/SKILL.md").text.startswith("---\nname: deai-index\n")
        assert client.get("/mcp").json()["code"] == "method_not_allowed"
