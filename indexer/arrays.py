"""Names of numpy arrays by element type (docstrings state the shapes), and `to_json` of the records holding them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike as ArrayLike  # noqa: PLC0414 - offered here too
from numpy.typing import NDArray

from indexer.times import iso

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I8 = NDArray[np.int8]
U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]

INSTANT = "_us"


def finite(value: float) -> float | None:
    """The number, None where there is none: NaN or an infinity."""
    return float(value) if math.isfinite(value) else None


def wire_name(field: str) -> str:
    """The name of a record's field on the wire: `at_us` is `at`, `index_id` is `index`."""
    return "index" if field == "index_id" else field.removesuffix(INSTANT)


def to_json(value: object, *, wire: bool = False) -> Any:
    """The value as JSON can say it: objects, lists, ISO 8601 instants, hexadecimal bytes; NaN and infinities are null.

    With `wire`, fields have their names on the wire, and those that end in `_us` (Unix microseconds) are instants.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
        if not wire:
            return {name: to_json(item) for name, item in fields}
        return {
            wire_name(name): _instants(item) if name.endswith(INSTANT) else to_json(item, wire=True)
            for name, item in fields
        }
    if isinstance(value, Mapping):
        return {str(key): to_json(item, wire=wire) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return to_json(value.tolist(), wire=wire)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [to_json(item, wire=wire) for item in value]
    return _scalar(value)


def _instants(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, np.ndarray | list | tuple):
        return [iso(int(us)) for us in value]
    return iso(int(value))


def _scalar(value: object) -> str | float | None:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, datetime | date):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, str | int) else str(value)
