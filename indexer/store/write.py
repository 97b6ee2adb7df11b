"""The only writers of the store, gathered from the files by noun."""

from indexer.store.assets import ensure_benchmarks, ensure_listings, write_assets, write_registry
from indexer.store.bars import write_bars, write_benchmark_bars
from indexer.store.indices import write_index, write_methodology
from indexer.store.levels import write_levels
from indexer.store.metrics import write_metrics
from indexer.store.payloads import forget_payloads, write_payloads
from indexer.store.quality import write_quality, write_rejects
from indexer.store.rates import write_rates
from indexer.store.rebalancings import write_rebalancings
from indexer.store.runs import finish_run, release_lease, start_run, take_lease
from indexer.store.supplies import write_supplies

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
    "write_index",
    "write_levels",
    "write_methodology",
    "write_metrics",
    "write_payloads",
    "write_quality",
    "write_rates",
    "write_rebalancings",
    "write_registry",
    "write_rejects",
    "write_supplies",
]
