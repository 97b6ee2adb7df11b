"""One error shape for every way out: `application/problem+json` (RFC 9457) with a stable `code`.

The catalogue below is the whole list: the handlers, OpenAPI and the page behind each `type` are made from it.
Nothing of a stack trace leaves the process; `trace_id` is the request id under which it was logged.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.answers import TEXTS
from api.answers.encode import json_bytes
from indexer.errors import DeaiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import Scope

log = logging.getLogger("deai.api")
MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: its HTTP status, its title and what the caller should do."""

    status: int
    title: str
    advice: str


CATALOGUE = {code: Kind(*words) for code, words in TEXTS["problems"].items()}
# Where a status has several codes, the first is what the framework means by it.
BY_STATUS = {kind.status: code for code, kind in reversed(CATALOGUE.items())}


class ParameterProblem(BaseModel):
    """One parameter that does not hold."""

    pointer: str = Field(description="Where: query/<name>, path/<name>, header/<name> or body/…")
    detail: str = Field(description="What is wrong with it and what is accepted")


class Problem(BaseModel):
    """The one error shape (RFC 9457). `code` is stable; texts may change."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "/problems/not_found",
                "title": "No such thing",
                "status": 404,
                "detail": 'No index "deia". Did you mean "deai"?',
                "instance": "/v1/indices/deia",
                "code": "not_found",
                "trace_id": "5f1d7a0c9b3e4a52",
            }
        }
    )
    type: str = Field(description="Address of a page that explains this kind of problem")
    title: str
    status: int
    detail: str = Field(description="What happened, where, and what to do")
    instance: str = Field(description="Path of the request")
    code: str = Field(description="Stable machine-readable kind")
    trace_id: str = Field(description="The request id; quote it when reporting")
    errors: list[ParameterProblem] | None = Field(None, description="Each parameter that does not hold (422)")


def problem(
    scope: Scope,
    code: str,
    *,
    detail: str,
    errors: Sequence[Mapping[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
    status: int | None = None,
) -> Response:
    """The response for one problem. `status` overrides the catalogue's for odd HTTP statuses."""
    kind = CATALOGUE[code]
    body: dict[str, Any] = {
        "type": f"{scope.get('root_path', '')}/problems/{code}",
        "title": kind.title,
        "status": status or kind.status,
        "detail": detail,
        "instance": scope.get("path", ""),
        "code": code,
        "trace_id": scope.get("state", {}).get("request_id", ""),
    }
    if errors:
        body["errors"] = list(errors)
    headers = {"Cache-Control": "no-store", **(headers or {})}
    return Response(json_bytes(body), status_code=body["status"], headers=headers, media_type=MEDIA_TYPE)


EVERYWHERE = ("invalid_request", "unauthorized", "uri_too_long", "too_many_requests", "internal", "store_error")


def declared(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of routes that may answer with these problems."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        kind = CATALOGUE[code]
        responses[kind.status] = {"description": kind.title, "content": {MEDIA_TYPE: {"schema": PROBLEM_REF}}}
    return responses


PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}


def install_handlers(app: FastAPI, *, page: Callable[[Request, Response], Response]) -> None:
    """Sends every error of the app through `problem`; what nobody expected, the middleware `Failures` logs.

    Programs get it as JSON, a browser that is on its way to a page of ours what `page` makes of it.
    """

    def shown(handler: Callable[[Request, Exception], Response]) -> Callable[[Request, Exception], Response]:
        return lambda request, error: page(request, handler(request, error))

    app.add_exception_handler(DeaiError, shown(_on_ours))
    app.add_exception_handler(RequestValidationError, shown(_on_validation))
    app.add_exception_handler(HTTPException, shown(_on_http))
    app.add_exception_handler(ClientDisconnect, _on_gone)
    app.add_exception_handler(Exception, _on_any)


def code_of(error: DeaiError) -> str:
    """The code of one of our errors in the catalogue, or that of the kind it belongs to."""
    codes = (getattr(kind, "code", "") for kind in type(error).__mro__)
    return next((code for code in codes if code in CATALOGUE), "internal")


def internal(scope: Scope) -> Response:
    """The response for a failure of ours: nothing of what happened but where the log has it."""
    return problem(scope, "internal", detail="The server failed on this request; the log has it under the trace id")


def _on_any(request: Request, error: Exception) -> Response:
    return internal(request.scope)


def _on_gone(request: Request, error: Exception) -> Response:
    trace_id = request.scope.get("state", {}).get("request_id", "")
    log.info("request %s: the client left before its body was here: %s", trace_id, request.url.path)
    return problem(request.scope, "bad_request", detail="The body ended before its end")  # which nobody reads


def _on_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, DeaiError)
    return problem(request.scope, code_of(error), detail=str(error))


def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem(request.scope, "invalid_request", detail=refusal_of(error)[1], errors=_parameters(error))


def refusal_of(error: DeaiError | RequestValidationError) -> tuple[int, str]:
    """The status and the sentence that an error is answered with, for protocols with an error shape of their own."""
    if isinstance(error, DeaiError):
        return CATALOGUE[code_of(error)].status, str(error)
    detail = "; ".join(f"{item['pointer']}: {item['detail']}" for item in _parameters(error))
    return CATALOGUE["invalid_request"].status, detail


def _parameters(error: RequestValidationError) -> list[dict[str, str]]:
    return [{"pointer": "/".join(map(str, item["loc"])), "detail": _reason(item)} for item in error.errors()]


def _reason(item: Mapping[str, Any]) -> str:
    reason = item.get("ctx", {}).get("error")
    return str(reason) if reason is not None else str(item["msg"])


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    code = BY_STATUS.get(status, "internal" if status >= 500 else "bad_request")
    detail = str(error.detail)
    if status == 404 and detail == "Not Found":
        detail = f"Nothing is served at {request.url.path}; the API begins at /v1/indices, the reference is /docs"
        if request.url.path.endswith("/"):
            detail += ". Addresses here do not end with a slash"
    if status == 405:
        detail = f"{request.method} is not allowed at {request.url.path}"
    return problem(request.scope, code, detail=detail, headers=error.headers, status=status)
