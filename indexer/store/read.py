"""Every reader of the store, gathered from the files by noun. Readers change nothing."""

from indexer.store.administration import read_events
from indexer.store.assets import read_assets, read_benchmark, read_benchmarks, read_listings
from indexer.store.bars import read_bars, read_benchmark_bars, read_benchmark_closes
from indexer.store.indices import read_index, read_indices, read_methodologies
from indexer.store.levels import count_levels, read_latest_level, read_levels
from indexer.store.metrics import read_metrics
from indexer.store.payloads import PayloadLink, kept_for_good, read_last_answers, read_payload_links, read_payloads
from indexer.store.quality import RejectGroup, read_open_quality, read_quality, read_reject_groups, read_rejects
from indexer.store.rates import read_rates, read_rates_by_method
from indexer.store.rebalancings import read_constituents, read_memberships, read_rebalancings
from indexer.store.rows import IndexRow, MethodologyRow, RunRow, StoredAsset
from indexer.store.runs import forgotten_before, last_run_before, read_runs
from indexer.store.supplies import read_supplies

__all__ = [
    "IndexRow",
    "MethodologyRow",
    "PayloadLink",
    "RejectGroup",
    "RunRow",
    "StoredAsset",
    "count_levels",
    "forgotten_before",
    "kept_for_good",
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
    "read_payload_links",
    "read_payloads",
    "read_quality",
    "read_rates",
    "read_rates_by_method",
    "read_rebalancings",
    "read_reject_groups",
    "read_rejects",
    "read_runs",
    "read_supplies",
]
