"""What every result that is a table can do: columns, pandas, polars, and a short table in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from html import escape
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

FRACTION, POINTS, USD, LOG = "fraction", "index points", "USD", "log return a session"
INSTANT, NUMBER = "UTC", ""  # of columns of instants, and of numbers without a unit


def _named(names: Mapping[str, str]) -> dict[str, str]:
    """Column → unit, of unit → the names of its columns."""
    return {name: unit for unit, columns in names.items() for name in columns.split()}


UNITS = _named(
    {
        POINTS: "level latest_level",
        FRACTION: "weight weight_target drift contribution change_since_rebalance carried_weight perpetual_weight "
        "latest_carried_weight turnover r2 r2_adj confidence",
        "tokens an index": "units",
        USD: "rate",
        LOG: "alpha se_alpha residual_sd",
        "log return a year": "alpha_annualised",
        "sessions": "sessions",
        "pairs of returns": "n",
    }
)
"""The unit of each column that has one; statistics without a unit (beta, its errors, t, p) are not here."""
STUDIES: Mapping[str, tuple[str, dict[str, str]]] = {
    kind: (table, _named(names))
    for kind, table, names in (
        ("portfolio", "holdings", {INSTANT: "priced_at", USD: "value price", FRACTION: "index_weight own_return"}),
        ("beta_history", "data", {INSTANT: "time", NUMBER: "beta se low high", FRACTION: "r2", LOG: "alpha"}),
        ("scenario_record", "rows", {INSTANT: "time", FRACTION: "move expected low high actual"}),
        (
            "breaks",
            "regimes",
            {
                INSTANT: "regime_start regime_end",
                LOG: "beta_alpha beta_se_alpha beta_residual_sd",
                FRACTION: "beta_r2 beta_r2_adj beta_confidence",
                "log return a year": "beta_alpha_annualised volatility_x volatility_y",
                "pairs of returns": "beta_n",
            },
        ),
        (
            "drawdowns",
            "episodes",
            {
                INSTANT: "peak trough recovery",
                FRACTION: "depth ulcer",
                POINTS: "peak_level trough_level",
                "days": "days_down days_to_recover",
                "bars": "bars_down bars_to_recover",
            },
        ),
        ("attribution", "constituents", {FRACTION: "own_return mean_weight held carried"}),
        ("candles", "data", {INSTANT: "time", POINTS: "open high low close"}),
        ("closes", "data", {INSTANT: "time", "USD; points of an index or future": "close"}),
        ("prices", "data", {INSTANT: "time", USD: "price"}),
    )
}
"""Of each study the member that is its table, and the units of columns of that table alone."""


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
