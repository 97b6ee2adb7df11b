"""Which tables are sealed, and by which columns. Pure.

What a run wrote is sealed by the run (`RUNS`); tables of things that belong to no run are sealed whole (`STATES`).
A seal's `about` is a table and, where its columns have become more since, the number of their list: what was sealed by
an earlier list (`EARLIER`) stays provable by it. Not sealed are `lease` (who works now) and what Alembic keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import SQLModel

from indexer.store.columnar import table_of
from indexer.store.tables import (
    Announcement,
    Asset,
    Bar,
    Benchmark,
    BenchmarkBar,
    Challenge,
    Event,
    IndexInfo,
    Level,
    Listing,
    Membership,
    MethodologyVersion,
    Metric,
    Override,
    Payload,
    QualityEntry,
    Rate,
    Rebalancing,
    RebalancingItem,
    Reject,
    ReviewNote,
    Run,
    Supply,
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A table that is sealed: the columns that name a row, and the others, in the order of the digest.

    Of a whole table that only `grows`, no row may change or go. `number` is that of the list of columns.
    """

    model: type[SQLModel]
    key: tuple[str, ...]
    values: tuple[str, ...]
    grows: bool = False
    number: int = 1

    @property
    def name(self) -> str:
        """The table's name."""
        return table_of(self.model).name

    @property
    def about(self) -> str:
        """What seals by this list of columns are about."""
        return self.name if self.number == 1 else f"{self.name}.{self.number}"


def _list(number: int) -> tuple[Sealed, ...]:
    """The tables of runs by a list of columns: 1 was in use before perpetual weights were stored, 2 since."""
    second = number > 1

    def also(*names: str) -> tuple[str, ...]:
        return names if second else ()

    return (
        Sealed(
            Run, ("run_id",),
            ("kind", "key", *also("due_at"), "started_at", *also("finished_at"), "outcome", "detail"), number=number,
        ),
        Sealed(
            Supply,
            ("asset_id", "kind", "source", "observed_at", "revision"),
            ("origin", "amount", "chain", "block_number", "block_hash", "finality", *also("id")),
            number=number,
        ),
        Sealed(
            Rate, ("asset_id", "time", "revision"), ("rate", "status", "method", "verdicts", *also("flags")),
            number=number,
        ),
        Sealed(
            Membership,
            ("index_id", "asset_id", "valid_from", "revision"),
            ("valid_to", "reason_in", "reason_out", "withdrawn", *also("id")),
            number=number,
        ),
        Sealed(
            Level,
            ("index_id", "time", "revision"),
            (
                "level", "status", "carried_weight", *also("perpetual_weight", "constituents"), "methodology_id",
                "published_at", "inputs_hash", "prev_hash", "hash",
            ),
            number=number,
        ),
        Sealed(
            RebalancingItem,
            ("rebalancing_id", "asset_id"),
            (
                "units_before", "units_after", "weight_drifted", "weight_target", "price", "supply", "supply_source",
                "free_float_cap_usd", "median_adv_usd", "rank", "reason",
                *also("supply_observed_at", "supply_stale_at"),
            ),
            number=number,
        ),
        Sealed(Payload, ("sha256",), ("source", "url", "fetched_at", "bytes", *also("id")), number=number),
        Sealed(
            Announcement,
            ("key",),
            ("kind", "index_id", "published_at", "effective_at", "title", "detail", *also("id")),
            number=number,
        ),
    )  # fmt: skip


SAME = (
    Sealed(Bar, ("listing_id", "time", "revision"), ("open", "high", "low", "close", "volume_base", "volume_usd")),
    Sealed(
        BenchmarkBar,
        ("benchmark_id", "interval", "time", "revision"),
        ("close", "adjusted_close", "volume", "price_basis", "source"),
    ),
    Sealed(
        Rebalancing,
        ("index_id", "effective_at", "kind", "revision"),
        ("id", "reference_at", "withdrawn", "methodology_id", "level", "divisor_before", "divisor_after", "turnover"),
    ),
)  # fmt: skip
NEW = (
    Sealed(Metric, ("subject", "name", "source", "time", "revision"), ("value",), number=2),
    Sealed(Reject, ("file_sha256", "line", "reason"), ("file", "row", "id"), number=2),
)
RUNS = (*_list(2), *SAME, *NEW)
EARLIER = (*_list(1), *SAME)
RUN, EARLIER_RUN = RUNS[0], EARLIER[0]

STATES = (
    Sealed(
        Asset,
        ("slug",),
        ("id", "name", "symbol", "chain", "contract", "decimals", "sub_sector", "status", "line", "line_ratio"),
    ),
    Sealed(
        Listing, ("id",), ("asset_id", "venue", "source", "symbol", "interval", "quote", "price_basis", "stamp"),
        grows=True,
    ),
    Sealed(Benchmark, ("symbol",), ("id", "name", "kind", "calendar"), grows=True),
    Sealed(MethodologyVersion, ("index_id", "hash"), ("id", "version", "text", "loaded_at"), grows=True),
    Sealed(IndexInfo, ("id",), ("name", "description", "simulated", "state", "methodology_id")),
    Sealed(
        Override,
        ("id",),
        (
            "kind", "index_id", "asset", "starts_at", "expires_at", "detail", "reason", "proposed_by", "proposed_at",
            "approved_by", "approved_at", "withdrawn_by", "withdrawn_at",
        ),
    ),
    Sealed(
        Challenge,
        ("id",),
        (
            "index_id", "time", "revision", "reason", "opened_by", "opened_at", "closed_at", "outcome", "frozen",
            "sha256",
        ),
        grows=True,
    ),
    Sealed(Event, ("slug",), ("id", "kind", "time", "title", "source", "detail"), grows=True),
    Sealed(
        ReviewNote, ("index_id", "kind", "start_at", "revision"), ("withdrawn", "end_at", "reference_at", "reason"),
        grows=True, number=2,
    ),
    Sealed(QualityEntry, ("kind", "subject", "opened_at"), ("id", "closed_at", "detail")),
)  # fmt: skip
