"""What goes over the wire, as models: OpenAPI is made from them and the tests hold every answer to them.

A frozen dataclass that is answered needs no model of its own: `wire_model` makes it, so the two cannot drift apart.
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
from enum import StrEnum
from functools import lru_cache
from typing import Any, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from indexer.arrays import INSTANT, wire_name

# What fields of models made from dataclasses mean, for OpenAPI: by model and field, or by field in every model.
TERMS: dict[str, str] = {
    "index": "Id of the index",
    "simulated": "True for a simulated index: its prices are invented, it is for trying the software only",
    "carried_weight": "Share of the index value whose price was carried",
    "perpetual_weight": "Share of the index value whose price is of perpetual futures, there being no spot bar",
    "supply_age_days": "Age of the supplies that the weights rest on, by weight; null unless all are known",
    "units": "Index shares held",
    "Explanation.level_exact": "Value over divisor, before rounding",
    "Explanation.inputs_hold": "Whether hashing the inputs shown gives the inputs hash",
    "ExplainedConstituent.price": "USD for a unit of the line's token",
    "ExplainedConstituent.contribution": "To the return since the previous level; they add up to it",
    "Quote.verdict": "used, outlier, stale, …; not used for bars that the rate did not look at",
    "Explanation.challenges": "Always empty: challenges were withdrawn, /explain answers a doubt about a level",
    "IndexStatus.state": "proposed, active, suspended, terminated",
    "IndexStatus.open_challenges": "Always 0: challenges were withdrawn, /explain answers a doubt about a level",
    "OverrideItem.approved_by": "Who agreed, of decisions while two people were needed; null since one decides",
    "CalendarEntry.exchange": "New York on that day: open, half-day or closed",
    "QualityItem.detail": "What was seen; `text` says it in words",
    "QualityList.open": "How many are open, in all",
    "RunItem.outcome": "running, done, failed or interrupted",
    "Beta.benchmarks": "All of them, for method multi; `beta` is that of the first",
    "first_session": "Where the first return ends",
    "last_session": "Where the last return ends",
    "stale_days": "Calendar days from last_session to the newest level",
    "Beta.first_time": "Close that the first return starts from",
    "Beta.n": "Pairs of returns used",
    "Beta.se": "Larger of se_ols and se_hac; carries the interval, t and p",
    "Beta.se_hac": "Newey-West with hac_lag lags",
    "Beta.p": "Two-sided, against beta = 0",
    "Beta.alpha": "Per session",
    "Beta.blume": "2/3 beta + 1/3",
    "Beta.bootstrap": "When asked for by bootstrap=true",
    "Beta.detail": "What only this method gives; null for ols, which is flat",
    "Alignment.naive": "True when the two sides' intervals do not match",
    "Alignment.pairs_dropped": "Intervals inside the window without a pair",
}


class LevelStatus(StrEnum):
    """How good a number is: final, indicative or degraded as three, two or one venue price 90 % of the weight; carried
    when a price is an older one; impaired when too much is, or too few are held; suspended when there are no levels;
    provisional while a fresh store is filled for the first time: it will be computed again."""

    FINAL = "final"
    INDICATIVE = "indicative"
    DEGRADED = "degraded"
    CARRIED = "carried"
    SUSPENDED = "suspended"
    IMPAIRED = "impaired"
    PROVISIONAL = "provisional"


class Wire(BaseModel):
    """Base of the answers: unknown keys are a mistake of ours and fail the tests."""

    model_config = ConfigDict(extra="forbid")


class OfIndex(Wire):
    """Every answer about one index says which, and whether it is simulated."""

    index: str = Field(description=TERMS["index"], examples=["deai"])
    simulated: bool = Field(description=TERMS["simulated"])


@lru_cache(maxsize=256)
def wire_model(result: type, name: str = "", without: tuple[str, ...] = ()) -> type[Wire]:
    """The model of a frozen dataclass under its own name or another, with its docstring as description.

    A field that ends in `_us` is an instant and loses the ending, `index_id` is `index`, `detail` is an object; a
    float may be null; an array is a list. `without` names fields that are not answered.
    """
    hints = typing.get_type_hints(result)
    kinds = {
        wire_name(field.name): _type(hints[field.name], instant=field.name.endswith(INSTANT))
        for field in dataclasses.fields(result)
        if field.name not in without
    }
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
        fields[key] = (kind, Field(description=next(meanings, None)))
    return cast("type[Wire]", create_model(name, __base__=base, __doc__=doc, **fields))


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


def _type(hint: Any, *, instant: bool = False) -> Any:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(_type(part, instant=instant) for part in parts)]  # noqa: UP007 - made from a list
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return dict[str, _type(parts[1])]  # type: ignore[misc]  # a type made at run time
    if origin is tuple or origin is list:
        return list[_type(parts[0], instant=instant)]  # type: ignore[misc]
    return list[_scalar(float, instant=instant)] if _is_array(hint) else _scalar(hint, instant=instant)  # type: ignore[misc]


def _is_array(hint: Any) -> bool:
    return hint is np.ndarray or typing.get_origin(hint) is np.ndarray


def _scalar(hint: Any, *, instant: bool) -> Any:
    if instant:
        return datetime if hint is not types.NoneType else None
    if dataclasses.is_dataclass(hint):
        return wire_model(hint)  # type: ignore[arg-type]  # a class, not an instance
    return float | None if hint is float else hint
