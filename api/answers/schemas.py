"""What goes over the wire, as models: OpenAPI is made from them and the tests hold every answer to them.

A frozen dataclass that is answered needs no model of its own: `wire_model` makes it, so the two cannot drift apart.
The client's records (`indexer.client.models`) are such.
Levels are index points, weights and changes are fractions (0.05 is 5 %), times are UTC in ISO 8601. A number that
does not exist is null. Clients should ignore keys they do not know: keys may be added, never removed.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import cache, lru_cache
from typing import Any, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from api.answers import TEXTS
from indexer.arrays import INSTANT, wire_name
from indexer.client import models

# What fields of models made from dataclasses mean, for OpenAPI: by model and field, or by field in every model.
TERMS: dict[str, str] = TEXTS["terms"]


class Wire(BaseModel):
    """Base of the answers: unknown keys are a mistake of ours and fail the tests."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class OfIndex(Wire):
    """Every answer about one index says which, and whether it is simulated."""

    index: str = Field(description=TERMS["index"], examples=["deai"])
    simulated: bool = Field(description=TERMS["simulated"])


@lru_cache(maxsize=256)
def wire_model(result: type, name: str = "", without: tuple[str, ...] = ()) -> type[Wire]:
    """The model of a frozen dataclass under its own name or another, with its docstring as description.

    A field that ends in `_us` is an instant and loses the ending, `index_id` is `index`, `detail` is an object; an
    array is a list; a float may be null, but of the client's records, which say so themselves. Text in `Annotated` says
    what a field means, an enumeration there its words. `without` names fields that are not answered.
    """
    exact = result.__module__ == models.__name__
    hints = typing.get_type_hints(result, include_extras=True)
    kinds: dict[str, Any] = {}
    for field in dataclasses.fields(result):
        if field.name not in without:
            hint = hints[field.name]
            kind = _type(hint, instant=field.name.endswith(INSTANT), exact=exact)
            texts = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, str)]
            kinds[wire_name(field.name)] = typing.Annotated[kind, Field(description=texts[0])] if texts else kind
    if kinds.get("detail") is str:
        kinds["detail"] = dict[str, Any]
    return made_of(name or result.__name__, kinds, doc=result.__doc__, record=result.__name__)


def made_of(
    name: str, kinds: Mapping[str, Any], *, base: type[Wire] = Wire, doc: str | None = None, record: str = ""
) -> type[Wire]:
    """The model with fields of these types, described as `TERMS` says of the model, of its record, or of all."""
    fields: dict[str, Any] = {}
    for key, kind in kinds.items():
        meanings = (TERMS[term] for term in (f"{name}.{key}", f"{record}.{key}", key) if term in TERMS)
        described = typing.get_origin(kind) is typing.Annotated
        fields[key] = kind if described else (kind, Field(description=next(meanings, None)))
    return cast("type[Wire]", create_model(name, __base__=base, __doc__=doc, **fields))


@cache
def of_index(result: type) -> type[Wire]:
    """The model of an answer: `index`, `simulated`, and the result's own fields beside them."""
    kinds = {"index": str, "simulated": bool}
    return made_of(f"{result.__name__}Answer", kinds, base=wire_model(result), doc=result.__doc__)


def list_of(name: str, item: type[Wire], *, base: type[Wire] = Wire, **more: Any) -> type[Wire]:
    """The model of a list: how many there are, the items, and what else is told beside them."""
    return made_of(name, {"count": int, **more, "data": list[item]}, base=base, doc=item.__doc__)  # type: ignore[valid-type]


def columns_of(point: type[Wire], *, name: str) -> type[Wire]:
    """The model of the same rows as one list for each column."""
    kinds = {key: list[field.annotation] for key, field in point.model_fields.items()}  # type: ignore[name-defined]
    return made_of(name, kinds, doc=f"{point.__doc__} One list for each column.")


def to_wire(row: Any, model: type[Wire], **more: Any) -> dict[str, Any]:
    """A row of the store in the form of its model; `more` is what the row lacks or says in another form.

    A row's `detail` is JSON.
    """
    body = {wire_name(field.name): getattr(row, field.name) for field in dataclasses.fields(row)} | more
    if isinstance(body.get("detail"), str):
        body["detail"] = json.loads(body["detail"])
    return {name: body[name] for name in model.model_fields}


def _type(hint: Any, *, instant: bool = False, exact: bool = False) -> Any:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        words = next((mark for mark in parts[1:] if isinstance(mark, type) and issubclass(mark, Enum)), parts[0])
        return _type(words, instant=instant, exact=exact)
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(_type(part, instant=instant, exact=exact) for part in parts)]  # noqa: UP007 - made
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return dict[str, _type(parts[1], exact=exact)]  # type: ignore[misc]  # a type made at run time
    if origin is tuple or origin is list:
        return list[_type(parts[0], instant=instant, exact=exact)]  # type: ignore[misc]
    if origin is np.ndarray:
        return list[_type(float, instant=instant)]  # type: ignore[misc]
    return _scalar(hint, instant=instant, exact=exact)


def _scalar(hint: Any, *, instant: bool, exact: bool) -> Any:
    if instant:
        return datetime if hint is not types.NoneType else None
    if dataclasses.is_dataclass(hint):
        return wire_model(hint)  # type: ignore[arg-type]  # a class, not an instance
    return float | None if hint is float and not exact else hint
