"""MCP: the API's answers as tools and resources of an agent, by HTTP at `/mcp` and by stdio in `deai mcp`; its reading.

A tool is a route: OpenAPI says what it takes and gives, `mcp.toml` what the number is and what it is not. A call is
that request, put to the application in this process, so the number is REST's and a refusal the same sentence. Both eras
of the protocol (2026-07-28 and 2025-11-25) are served without sessions, by the `mcp` library; it and the client are
loaded at the first request. llms.txt, llms-full.txt, SKILL.md and server.json are made of the same catalogue.
"""

from __future__ import annotations

import json
import re
import tomllib
from asyncio import to_thread
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from api.answers.answer import Answer
from api.answers.problems import CATALOGUE as PROBLEMS
from api.middleware.cache import ask
from indexer.client.asking import query
from indexer.config import program_version
from indexer.errors import DeaiError, InputError, did_you_mean
from indexer.store.db import Store

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp_types import CallToolResult, Resource, Tool
    from starlette.types import Receive, Scope, Send


Json = dict[str, Any]
TEXTS = files(__package__)
CATALOGUE: Json = tomllib.loads(TEXTS.joinpath("mcp.toml").read_text("utf-8"))
RULES = TEXTS.joinpath("SKILL.md").read_text("utf-8").split("---\n", 2)[2].strip()
HIDDEN = ("shape", "format")  # what only changes how an answer is written
REFERENCE = re.compile(r"#/components/schemas/(\w+)")
PLACE = re.compile(r"\{(\w+)\}")
SCHEME = "deai:/"


@dataclass(frozen=True, slots=True)
class Route:
    """A route as a tool: as MCP lists it, its path with names of arguments in braces, and those that go in a body."""

    tool: Tool
    path: str
    preset: Mapping[str, Any]
    body: frozenset[str]

    async def answer(self, app: FastAPI, arguments: Mapping[str, Any]) -> CallToolResult:
        """What REST answers, as data and as the same text; a refusal is an error with its sentence."""
        from mcp_types import CallToolResult, TextContent

        properties, values = self.tool.input_schema["properties"], {**self.preset, **arguments}

        def fill(place: re.Match[str]) -> str:
            name = place[1]
            return quote(str(values.pop(name, properties[name]["default"])), safe="")

        unknown = next(iter(sorted(arguments.keys() - properties.keys())), None)
        try:
            if unknown is not None:
                there = f"{', '.join(properties) or 'it takes none'}.{did_you_mean(unknown, properties)}"
                raise InputError(f'{self.tool.name} has no argument "{unknown}": {there}')
            body = {name: values.pop(name) for name in self.body & values.keys()}
            payload = json.dumps(body).encode() if self.body else None
            path = PLACE.sub(fill, self.path)
            status, answer = await ask(app, f"{path}?{urlencode(query(**values))}", body=payload)
            if status != 200:
                raise InputError(json.loads(answer)["detail"])
            return CallToolResult(content=[TextContent(text=answer.decode())], structured_content=json.loads(answer))
        except DeaiError as error:
            return CallToolResult(content=[TextContent(text=str(error))], is_error=True)


def routes_of(document: Json) -> dict[str, Route]:
    """The tools of the catalogue by name, as an OpenAPI document describes their routes."""
    from mcp_types import Tool, ToolAnnotations

    routes: dict[str, Route] = {}
    for name, entry in CATALOGUE["tools"].items():
        path, preset = entry["path"], entry.get("preset", {})
        route = operation(path, document)
        tool = Tool(
            name=name,
            title=route["summary"],
            description=f"{entry['gives']}\n\nIt is not: {entry['is_not']}",
            input_schema=alone(input_schema(route, preset), document),
            output_schema=alone(route["responses"]["200"]["content"]["application/json"]["schema"], document),
            annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
        )
        routes[name] = Route(tool, path, preset, frozenset(body_of(route).get("properties", ())))
    return routes


def operation(path: str, document: Json) -> Json:
    """The operation of a path that has only one."""
    (route,) = document["paths"][path].values()
    return dict(route)


def body_of(route: Json) -> Json:
    """The schema of an operation's body, empty where it takes none."""
    return dict(route["requestBody"]["content"]["application/json"]["schema"]) if "requestBody" in route else {}


def input_schema(route: Json, preset: Mapping[str, Any]) -> Json:
    """The arguments of a tool: parameters and body of its route. What the path needs has its example for a default."""
    body, parameters = body_of(route), route.get("parameters", [])
    properties: Json = {}
    for parameter in parameters:
        name, schema = parameter["name"], parameter["schema"]
        if name in preset:
            schema = {**schema, "default": preset[name]}
        elif parameter["in"] == "path":
            schema = {**schema, "default": schema["examples"][0]}
        if name not in HIDDEN:
            properties[name] = {**schema, "description": parameter["description"]}
    needed = [item["name"] for item in parameters if item["required"] and "default" not in properties[item["name"]]]
    properties |= body.get("properties", {})
    needed += body.get("required", [])
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def alone(schema: Json, document: Json) -> Json:
    """A schema that stands alone: what it refers to in the document is within it."""
    models = document["components"]["schemas"]
    if "$ref" in schema:
        schema = models[REFERENCE.sub(r"\1", schema["$ref"])]
    definitions: Json = {}
    wanted = [schema]
    while wanted:
        for name in REFERENCE.findall(json.dumps(wanted.pop())):
            if name not in definitions:
                definitions[name] = models[name]
                wanted.append(models[name])
    text = REFERENCE.sub(r"#/$defs/\1", json.dumps({**schema, "$defs": definitions}))
    whole: Json = json.loads(text, object_hook=_untitled)
    return whole


def _untitled(schema: Json) -> Json:
    """A schema without its title, which only repeats a name; a field that is called so stays."""
    return {key: value for key, value in schema.items() if key != "title" or not isinstance(value, str)}


async def resources_of(app: FastAPI) -> list[Resource]:
    """The resources of the catalogue, those of an index once for each."""
    from mcp_types import Resource

    indices = [row["id"] for row in json.loads(await _read(app, "/v1/indices"))["data"]]
    addresses = [
        (path.format(index_id=index_id), entry)
        for path, entry in CATALOGUE["resources"].items()
        for index_id in (indices if PLACE.search(path) else [""])
    ]
    return [Resource(uri=SCHEME + address, name=address, **entry) for address, entry in addresses]


async def _read(app: FastAPI, path: str) -> str:
    from mcp.shared.exceptions import MCPError
    from mcp_types import INTERNAL_ERROR

    status, body = await ask(app, path)
    if status != 200:  # the library would say of it that the server failed
        raise MCPError(INTERNAL_ERROR, json.loads(body)["detail"])
    return body.decode()


def server_over(app: FastAPI) -> Server:
    """The server over the API of this process."""
    import mcp_types as types
    from mcp.server.lowlevel import Server
    from mcp.shared.exceptions import MCPError

    routes = routes_of(app.openapi())

    async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[route.tool for route in routes.values()])

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name not in routes:
            text = f'There is no tool "{params.name}".{did_you_mean(params.name, routes)}'
            raise MCPError(types.INVALID_PARAMS, text)
        return await routes[params.name].answer(app, params.arguments or {})

    async def list_resources(context: Any, params: Any) -> types.ListResourcesResult:
        return types.ListResourcesResult(resources=await resources_of(app))

    async def read_resource(context: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        resource = next((item for item in await resources_of(app) if item.uri == params.uri), None)
        if resource is None:
            raise MCPError(types.INVALID_PARAMS, f'There is no resource "{params.uri}"; the list names those there are')
        text = await _read(app, resource.name)
        content = types.TextResourceContents(uri=resource.uri, mime_type=resource.mime_type, text=text)
        return types.ReadResourceResult(contents=[content])

    return Server(
        "deai-index",
        title="DeAI Index",
        version=program_version(),
        instructions=RULES,
        get_tool_input_schema=lambda name: routes[name].tool.input_schema if name in routes else None,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_read_resource=read_resource,
    )


async def serve_stdio(store: Store) -> None:
    """Answers an agent on stdin and stdout from an open store, until it leaves."""
    from mcp.server.stdio import stdio_server

    from api.local import open_local

    server = server_over(open_local(store).app)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


class Endpoint:
    """`/mcp` of an application, each request complete in itself. Who may ask, and how often, was judged before."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.server: Server | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.server is None:
            self.server = await to_thread(server_over, self.app)
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        manager = StreamableHTTPSessionManager(self.server, stateless=True, json_response=True)
        async with manager.run():
            await manager.handle_request(scope, receive, send)


router = APIRouter(include_in_schema=False)
TEXT, MARKDOWN = "text/plain; charset=utf-8", "text/markdown; charset=utf-8"


@router.get("/llms.txt")
def llms_txt(request: Request) -> Response:
    """What this is, the rules of reading it, and where each question is answered."""
    return Answer(overview(request).encode(), media_type=TEXT)


@router.get("/llms-full.txt")
def llms_full_txt(request: Request) -> Response:
    """The same with every address, its parameters, and every kind of refusal."""
    document: Json = request.app.openapi()
    addresses = [
        described(f"{method.upper()} {path}", operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if not path.startswith("/v1/admin")
    ]
    refusals = [f"- `{code}` ({kind.status}): {kind.title}. {kind.advice}" for code, kind in PROBLEMS.items()]
    parts = [overview(request), "## Every address", *addresses, "## Refusals", "\n".join(refusals)]
    return Answer(("\n\n".join(parts) + "\n").encode(), media_type=TEXT)


@router.get("/SKILL.md")
def skill_md() -> Response:
    """The skill as agents load it from a folder."""
    return Answer(TEXTS.joinpath("SKILL.md").read_bytes(), media_type=MARKDOWN)


@router.get("/server.json")
def server_json(request: Request) -> Response:
    """How MCP registries describe a server, with the address of this one."""
    entry: Json = json.loads(TEXTS.joinpath("server.json").read_bytes())
    entry["remotes"] = [{"type": "streamable-http", "url": f"{str(request.base_url).rstrip('/')}/mcp"}]
    return Answer(entry, keep=False)  # it names the host that was asked


def overview(request: Request) -> str:
    """The text of llms.txt: title, summary, rules, then links."""
    root: str = request.scope.get("root_path", "")
    document: Json = request.app.openapi()
    tools = [
        f"- [{name}]({root}{address(entry['path'], document)}): {entry['gives']} It is not: {entry['is_not']}"
        for name, entry in CATALOGUE["tools"].items()
    ]
    links = [
        f"- [MCP]({root}/mcp): the questions below as tools, by streamable HTTP; `deai mcp` is the same by stdio",
        f"- [Every address]({root}/llms-full.txt): this text with all addresses and parameters",
        f"- [OpenAPI]({root}/openapi.json): the same for programs",
        f"- [SKILL.md]({root}/SKILL.md): the rules above as a skill",
    ]
    summary = document["info"]["description"].split("\n\n")[0].strip().replace("**", "")
    about = [f"# {document['info']['title']}", f"> {summary}", RULES.partition("\n\n")[2]]
    return "\n\n".join([*about, "## Where", "\n".join(links), "## Questions", "\n".join(tools)])


def address(path: str, document: Json) -> str:
    """A path with the examples of its names."""
    parameters = operation(path, document).get("parameters", ())
    examples = {item["name"]: item["schema"]["examples"][0] for item in parameters if item["in"] == "path"}
    return path.format(**examples)


def described(title: str, operation: Json) -> str:
    """An address in Markdown: what it gives, and each parameter with its meaning and default."""
    lines = [f"### {title}", "", f"{operation['summary']}. {operation.get('description', '')}".strip(), ""]
    for parameter in operation.get("parameters", ()):
        schema: dict[str, Any] = parameter["schema"]
        default = f" Default: {schema['default']}." if schema.get("default") is not None else ""
        lines.append(f"- `{parameter['name']}`: {parameter.get('description', '')}.{default}")
    return "\n".join(lines).strip()
