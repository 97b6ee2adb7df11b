"""What OpenAPI says beyond the routes: the promise, units, licence, tags, and the one error shape."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.answers.problems import Problem

DESCRIPTION = """
The open index of decentralized-AI tokens, and its beta to tech equities.

**Stability.** `/v1` only grows: keys, parameters and routes may be added, never removed or changed in meaning.
Ignore keys you do not know. Cursors are opaque. Texts of errors may change, their `code` does not.

**Units.** Levels are index points. Weights, changes, turnover and drawdowns are fractions (0.05 is 5 %). Times are
UTC, ISO 8601. A number that does not exist is `null`, never 0 and never `NaN`. `simulated` marks invented data.
"""
KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of `deai keys create`"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key"},
}
TAGS = [
    {"name": "indices", "description": "What there is and where it stands"},
    {"name": "levels", "description": "The history of an index"},
    {"name": "stream", "description": "New levels as they are published"},
    {"name": "files", "description": "Whole histories as files, and one number for a cell"},
    {"name": "constituents", "description": "What is in an index and why"},
    {"name": "facts", "description": "What levels are computed from, as CSV"},
    {"name": "assets", "description": "Tokens: identity, supply and its source, what chains say"},
    {
        "name": "statistics",
        "description": "Beta to benchmarks, events, drawdowns, breaks, attribution, breadth, stress",
    },
    {"name": "benchmarks", "description": "Benchmarks, events and the data-quality log"},
    {"name": "charts", "description": "Pictures of an index"},
    {"name": "embeds", "description": "The index in other people's pages"},
    {"name": "administration", "description": "What each level is made of, the calendar, documents, announcements"},
    {"name": "admin", "description": "For the operator; needs a key when asked from elsewhere"},
    {"name": "operation", "description": "State of the service"},
]


def describe(app: FastAPI, *, root_path: str) -> None:
    """Makes `app.openapi()` give the full description, built once on first use."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, root_path)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it


def _document(app: FastAPI, root_path: str) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
        servers=[{"url": root_path or "/"}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    document["components"]["securitySchemes"] = KEYS
    for path, methods in document["paths"].items():
        for operation in methods.values() if path.startswith("/v1/admin") else ():
            operation["security"] = [{}, {"bearer": []}, {"header": []}]
    return document
