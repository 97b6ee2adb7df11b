"""Every reader of the store, gathered from the read_*.py files by noun. Readers change nothing."""

from indexer.store.read_assets import (
    MethodologyRow,
    StoredAsset,
    read_assets,
    read_benchmark,
    read_benchmarks,
    read_listings,
    read_methodologies,
    read_supplies,
)
from indexer.store.read_bars import read_bars, read_benchmark_bars, read_rates
from indexer.store.read_index import IndexRow, count_levels, read_index, read_indices, read_latest_level, read_levels
from indexer.store.read_ledger import (
    RunRow,
    count_rejects,
    read_events,
    read_quality,
    read_rejects,
    read_runs,
    read_unfinished_runs,
)
from indexer.store.read_live import (
    last_run_before,
    read_benchmark_closes,
    read_last_answers,
    read_metrics,
    read_open_quality,
    read_payloads,
    read_rates_by_method,
)
from indexer.store.read_rebalancings import read_constituents, read_memberships, read_rebalancings

__all__ = [
    "IndexRow",
    "MethodologyRow",
    "RunRow",
    "StoredAsset",
    "count_levels",
    "count_rejects",
    "last_run_before",
    "read_assets",
    "read_bars",
    "read_benchmark",
    "read_benchmark_bars",
    "read_benchmark_closes",
    "read_benchmarks",
    "read_constituents",
    "read_events",
    "read_index",
    "read_indices",
    "read_last_answers",
    "read_latest_level",
    "read_levels",
    "read_listings",
    "read_memberships",
    "read_methodologies",
    "read_metrics",
    "read_open_quality",
    "read_payloads",
    "read_quality",
    "read_rates",
    "read_rates_by_method",
    "read_rebalancings",
    "read_rejects",
    "read_runs",
    "read_supplies",
    "read_unfinished_runs",
]
