"""The only writer of the store: every function that changes it, gathered from the write_*.py files by noun."""

from indexer.store.write_assets import (
    ensure_benchmarks,
    ensure_listings,
    write_assets,
    write_index,
    write_methodology,
)
from indexer.store.write_bars import write_bars, write_benchmark_bars, write_levels, write_rates
from indexer.store.write_ledger import write_events, write_payload, write_quality, write_rejects, write_supplies
from indexer.store.write_live import forget_payloads, write_metrics, write_payloads
from indexer.store.write_rebalancings import write_rebalancings
from indexer.store.write_runs import finish_run, release_lease, start_run, take_lease

__all__ = [
    "ensure_benchmarks",
    "ensure_listings",
    "finish_run",
    "forget_payloads",
    "release_lease",
    "start_run",
    "take_lease",
    "write_assets",
    "write_bars",
    "write_benchmark_bars",
    "write_events",
    "write_index",
    "write_levels",
    "write_methodology",
    "write_metrics",
    "write_payload",
    "write_payloads",
    "write_quality",
    "write_rates",
    "write_rebalancings",
    "write_rejects",
    "write_supplies",
]
