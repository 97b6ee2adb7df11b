"""What an agent reads before it asks: llms.txt, llms-full.txt, SKILL.md and server.json, at the root of the server.

Made of the tools' catalogue and of OpenAPI when they are asked for, so there is no second text to keep in step.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers.answer import Answer
from api.answers.problems import CATALOGUE as PROBLEMS
from api.compat.mcp import CATALOGUE, RULES, TEXTS, Json, operation

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
