"""What every result that is a table can do: columns, pandas, polars, and a short table in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from html import escape
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

FRACTION, POINTS, USD, LOG = "fraction", "index points", "USD", "log return a session"
UNITS = {
    **dict.fromkeys(("level", "latest_level"), POINTS),
    **dict.fromkeys(("weight", "weight_target", "drift", "contribution", "change_since_rebalance"), FRACTION),
    **dict.fromkeys(
        ("carried_weight", "perpetual_weight", "latest_carried_weight", "turnover", "r2", "r2_adj", "confidence"),
        FRACTION,
    ),
    "units": "tokens an index",
    "rate": USD,
    "alpha": LOG,
    "se_alpha": LOG,
    "residual_sd": LOG,
    "alpha_annualised": "log return a year",
    "sessions": "sessions",
    "n": "pairs of returns",
}
"""The unit of each column that has one; statistics without a unit (beta, its errors, t, p) are not here."""


class Frame(ABC):
    """A table. Those who inherit say what its columns are; `time` is the index of a series in pandas."""

    __slots__ = ()

    @abstractmethod
    def columns(self) -> dict[str, Any]:
        """One array or list for each column, by name, in order. Instants are datetime64[us] in UTC."""

    def labels(self) -> dict[str, Any]:
        """What holds for the whole table: which index, and whether it is simulated."""
        return {name: value for name in ("index", "simulated") if (value := getattr(self, name, None)) is not None}

    def units(self) -> dict[str, str]:
        """Column → unit, for the columns that have one."""
        return {name: UNITS[name] for name in self.columns() if name in UNITS}

    def to_pandas(self) -> pd.DataFrame:
        """A pandas frame with a UTC index `time`, where it has times; `attrs` are its labels and `units`."""
        import pandas

        columns = {name: _pandas_column(values) for name, values in self.columns().items()}
        frame = pandas.DataFrame(columns)
        frame.attrs.update(self.labels() | {"units": self.units()})
        return frame.set_index("time") if next(iter(columns), "") == "time" else frame

    def to_polars(self) -> pl.DataFrame:
        """A polars frame; instants are Datetime in UTC. Raises ModuleNotFoundError that says what to install."""
        try:
            import polars
        except ModuleNotFoundError:
            raise ModuleNotFoundError("to_polars needs polars, which is not here: pip install polars") from None
        frame = polars.DataFrame({name: _plain(values) for name, values in self.columns().items()})
        instants = [name for name, values in self.columns().items() if _are_instants(values)]
        return frame.with_columns(polars.col(name).dt.replace_time_zone("UTC") for name in instants)

    def _repr_html_(self) -> str:
        marks = [f"{name} {value}" for name, value in self.labels().items()]
        frame = self.to_pandas()
        html: str = frame._repr_html_()  # type: ignore[operator]  # pandas' own, which notebooks call
        return f"<p>{escape(' · '.join([*marks, f'{len(frame):,} rows']))}</p>{html}"


def instants(times_us: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Microseconds since the epoch as datetime64[us]."""
    return times_us.astype("datetime64[us]")


def columns_of(rows: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    """Columns of records; instants as datetime64[us] with NaT where there is none, other values as they are.

    A record within a record is spread: `latest` becomes `latest_time`, `latest_level`, …
    """
    columns: dict[str, Any] = {}
    for name in names:
        values = [getattr(row, name) for row in rows]
        known = [value for value in values if value is not None]
        if known and is_dataclass(known[0]):
            parts = [part.name for part in fields(known[0])]
            within = [SimpleNamespace(**dict.fromkeys(parts)) if value is None else value for value in values]
            columns |= {f"{name}_{part}": column for part, column in columns_of(within, parts).items()}
        elif known and all(isinstance(value, datetime) for value in known):
            values = [None if value is None else value.replace(tzinfo=None) for value in values]
            columns[name] = np.array(values, "datetime64[us]")
        elif known and all(isinstance(value, float) for value in known):
            columns[name] = np.array(values, np.float64)
        else:
            columns[name] = values
    return columns


def _are_instants(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind == "M"


def _pandas_column(values: Any) -> Any:
    import pandas

    return pandas.DatetimeIndex(values, tz="UTC") if _are_instants(values) else _plain(values)


def _plain(values: Any) -> Any:
    # Mappings and records inside a cell stay whole; frames would spread them over rows.
    if isinstance(values, list):
        return [str(value) if isinstance(value, Mapping | tuple) else value for value in values]
    return values
