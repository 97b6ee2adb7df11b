"""The studies on the wire: each model is made from the frozen result it carries, so the two cannot drift apart.

A field that ends in `_us` is an instant and loses the ending; a float may be null; an array is a list.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from pydantic import create_model

from api.schemas.base import Wire
from indexer.arrays import INSTANT, wire_name


@lru_cache(maxsize=256)
def wire_model(result: type) -> type[Wire]:
    """The model of a frozen dataclass, with its docstring as description."""
    hints = typing.get_type_hints(result)
    fields: dict[str, Any] = {
        wire_name(field.name): (_type(hints[field.name], instant=field.name.endswith(INSTANT)), ...)
        for field in dataclasses.fields(result)
    }
    return typing.cast("type[Wire]", create_model(result.__name__, __base__=Wire, __doc__=result.__doc__, **fields))


def of_index(result: type, **more: Any) -> type[Wire]:
    """The model of an answer: `index`, `simulated`, and the result's own fields beside them."""
    inner = wire_model(result)
    fields: dict[str, Any] = {"index": (str, ...), "simulated": (bool, ...), **more}
    made = create_model(f"{result.__name__}Answer", __base__=inner, __doc__=result.__doc__, **fields)
    return typing.cast("type[Wire]", made)


def _type(hint: Any, *, instant: bool = False) -> Any:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        made = [_type(part, instant=instant) for part in parts]
        return typing.Union[tuple(made)]  # noqa: UP007 - built from a list
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
