"""What every result that is a table can do: columns, pandas, polars, and a short table in a notebook."""

from __future__ import annotations

import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

INSTANT, NUMBER = "UTC", ""  # of columns of instants, and of numbers without a unit
TABLES: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("units.toml").read_text(encoding="utf-8"))


def units_of(table: str) -> dict[str, str]:
    """Column → unit (or INSTANT, or NUMBER), of a table of units.toml or of `every`."""
    units = TABLES[table].items()
    return {name: unit for unit, columns in units if unit != "rows" for name in columns.split()}


UNITS = units_of("every")


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
        """A pandas frame; a first column of instants is its UTC index. `attrs` are its labels and `units`."""
        import pandas

        columns = self.columns()
        frame = pandas.DataFrame({name: _pandas_column(values) for name, values in columns.items()})
        frame.attrs.update(self.labels() | {"units": self.units()})
        first = next(iter(columns), "")
        return frame.set_index(first) if _are_instants(columns.get(first)) else frame

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
        marks = [f"{name} {value}" for name, value in self.labels().items() if not isinstance(value, list | dict)]
        frame = self.to_pandas()
        html: str = frame._repr_html_()  # type: ignore[operator]  # pandas' own, which notebooks call
        return f"<p>{escape(' · '.join([*marks, f'{len(frame):,} rows']))}</p>{html}"


@dataclass(frozen=True, slots=True)
class Study(Frame):
    """An answer with a table: its `rows`, and all that is said beside them in `facts`, which are a frame's `attrs`.

    `measures` are the units of its columns (or INSTANT, or NUMBER); they name the columns of a table without rows.
    """

    facts: dict[str, Any]
    rows: list[dict[str, Any]] = field(repr=False)
    measures: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def columns(self) -> dict[str, Any]:
        """One column for each key of the rows; an object in a row is spread as `beta_n`; null is NaT and NaN."""
        rows = [_spread(row) for row in self.rows]
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in (rows[0] if rows else self.measures)}
        for name in columns.keys() & self.measures.keys():
            if self.measures[name] == INSTANT:
                times = [time and time.removesuffix("Z") for time in columns[name]]
                columns[name] = np.array(times, "datetime64[us]")
            else:
                columns[name] = np.array(columns[name], np.float64)
        return columns

    def labels(self) -> dict[str, Any]:
        """The facts."""
        return self.facts

    def units(self) -> dict[str, str]:
        """Column → unit, for the columns that have one."""
        known = {**super(Study, self).units(), **self.measures}
        return {name: known[name] for name in self.columns() if known.get(name, NUMBER) not in (INSTANT, NUMBER)}


def _spread(row: Mapping[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, value in row.items():
        cells |= {f"{name}_{part}": cell for part, cell in value.items()} if isinstance(value, dict) else {name: value}
    return cells


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
