"""A study's frozen result as plain data that JSON can say: the same for REST and for the command line.

Fields that end in `_us` lose the ending and become ISO 8601 texts, `index_id` is `index`; NaN becomes null; keys of
mappings become texts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from indexer.times import iso

ENDING = "_us"


def wire_name(field: str) -> str:
    """The name of a field on the wire: `at_us` is `at`, `index_id` is `index`."""
    return "index" if field == "index_id" else field.removesuffix(ENDING)


def to_plain(value: object) -> Any:
    """Dicts, lists, texts, numbers and None, in the order of the fields."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            wire_name(field.name): _instants(item) if field.name.endswith(ENDING) else to_plain(item)
            for field in dataclasses.fields(value)
            for item in [getattr(value, field.name)]
        }
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"{type(value).__name__} has no plain form")


def _instants(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, np.ndarray | list | tuple):
        return [iso(int(us)) for us in value]
    return iso(int(value))
