"""Which tables are sealed, by which columns, and how a row of each is named to a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

INT, FLOAT, MAYBE, TEXT, BYTES = "int64", "float64", "maybe", "text", "bytes"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A table: its source (with `run_id` among the columns), key columns and the others, each with its kind."""

    name: str
    key: Mapping[str, str]
    values: Mapping[str, str]
    source: str = ""

    @property
    def columns(self) -> dict[str, str]:
        """Key columns first."""
        return {**self.key, **self.values}

    @property
    def rows_from(self) -> str:
        """What to select from."""
        return self.source or self.name


SEALED = (
    Sealed(
        "run",
        {"run_id": INT},
        {"kind": TEXT, "key": TEXT, "started_at": INT, "outcome": TEXT, "detail": TEXT},
        source="(SELECT id AS run_id, kind, key, started_at, outcome, detail FROM run) AS run",
    ),
    Sealed(
        "bar",
        {"listing_id": INT, "time": INT, "revision": INT},
        {
            "open": MAYBE, "high": MAYBE, "low": MAYBE, "close": FLOAT, "volume_base": MAYBE, "volume_usd": MAYBE,
        },
    ),
    Sealed(
        "benchmark_bar",
        {"benchmark_id": INT, "interval": TEXT, "time": INT, "revision": INT},
        {"close": FLOAT, "adjusted_close": MAYBE, "volume": MAYBE, "price_basis": TEXT, "source": TEXT},
    ),
    Sealed(
        "supply",
        {"asset_id": INT, "kind": TEXT, "source": TEXT, "observed_at": INT, "revision": INT},
        {
            "origin": TEXT, "amount": TEXT, "chain": TEXT, "block_number": INT, "block_hash": TEXT, "finality": TEXT,
        },
    ),
    Sealed(
        "rate",
        {"asset_id": INT, "time": INT, "revision": INT},
        {"rate": FLOAT, "status": INT, "method": TEXT, "verdicts": TEXT},
    ),
    Sealed(
        "rebalancing",
        {"index_id": TEXT, "effective_at": INT, "kind": TEXT, "revision": INT},
        {
            "id": INT, "reference_at": INT, "withdrawn": INT, "methodology_id": INT, "level": FLOAT,
            "divisor_before": FLOAT, "divisor_after": FLOAT, "turnover": FLOAT,
        },
    ),
    Sealed(
        "rebalancing_item",
        {"rebalancing_id": INT, "asset_id": INT},
        {
            "units_before": FLOAT, "units_after": FLOAT, "weight_drifted": FLOAT, "weight_target": FLOAT,
            "price": MAYBE, "supply": MAYBE, "supply_source": TEXT, "free_float_cap_usd": MAYBE,
            "median_adv_usd": MAYBE, "rank": INT, "reason": TEXT,
        },
        source="(SELECT i.*, r.run_id FROM rebalancing_item i JOIN rebalancing r ON r.id = i.rebalancing_id) AS items",
    ),
    Sealed(
        "membership",
        {"index_id": TEXT, "asset_id": INT, "valid_from": INT, "revision": INT},
        {"valid_to": INT, "reason_in": TEXT, "reason_out": TEXT, "withdrawn": INT},
    ),
    Sealed(
        "level",
        {"index_id": TEXT, "time": INT, "revision": INT},
        {
            "level": FLOAT, "status": INT, "carried_weight": FLOAT, "methodology_id": INT, "published_at": INT,
            "inputs_hash": BYTES, "prev_hash": BYTES, "hash": BYTES,
        },
    ),
    Sealed(
        "payload",
        {"sha256": TEXT},
        {"source": TEXT, "url": TEXT, "fetched_at": INT, "bytes": INT},
    ),
    Sealed(
        "announcement",
        {"key": TEXT},
        {"kind": TEXT, "index_id": TEXT, "published_at": INT, "effective_at": INT, "title": TEXT, "detail": TEXT},
    ),
)  # fmt: skip
INSTANTS = ("time", "observed_at", "effective_at", "valid_from")
