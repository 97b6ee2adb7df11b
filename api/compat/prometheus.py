"""What Prometheus scrapes: where each index stands, the sources, the jobs, the data-quality log, and the requests.

Gauges of now; history is for the API. Instants are seconds since 1970, and an age is the server's clock less one.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers.answer import NEVER
from api.answers.services import Services, ServicesDep
from api.routes.indices import latest_or_none
from indexer.config import program_version
from indexer.engine.market import STATUS_NAMES
from indexer.live.standing import SourceState, standing_of
from indexer.store.indices import read_indices
from indexer.store.quality import read_open_quality
from indexer.store.runs import DONE, newest_by_kind

if TYPE_CHECKING:
    from prometheus_client import Metric

router = APIRouter(include_in_schema=False)
Rows = list[tuple[tuple[str, ...], float]]
METRICS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


@router.get("/metrics")
def get_metrics(request: Request, services: ServicesDep) -> Response:
    """All metrics in the text format, or in OpenMetrics where Accept asks for it."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry()
    registry.register(_Facts(services))
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), media_type=media_type, headers={"Cache-Control": NEVER})


@dataclass(frozen=True, eq=False)
class _Facts:
    """A collector of what the store and this process know at the time of a scrape."""

    services: Services

    def collect(self) -> Iterator[Metric]:
        """Every metric with its values."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        services = self.services
        values: dict[str, Rows] = {"build_info": [((program_version(),), 1.0)]}
        values |= _of_indices(services) | _of_sources(services) | _of_jobs(services) | _of_process(services)
        for name, (meaning, labels) in METRICS.items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(f"deai_{name}", meaning, labels=labels)
            for key, value in values[name]:
                family.add_metric(key, value)
            yield family


def _of_indices(services: Services) -> dict[str, Rows]:
    now, rows = services.clock().timestamp(), read_indices(services.store)
    read = partial(latest_or_none, services.store)
    newest = services.cache.read_once("newest levels", lambda: {row.id: read(row.id) for row in rows})
    known = {(index,): latest for index, latest in newest.items() if latest is not None}
    times = {key: latest["time"].timestamp() for key, latest in known.items()}
    return {
        "index_info": [((row.id, str(row.simulated).lower()), float((row.id,) in known)) for row in rows],
        "index_level": [(key, latest["level"]) for key, latest in known.items()],
        "index_level_timestamp_seconds": list(times.items()),
        "index_age_seconds": [(key, now - time) for key, time in times.items()],
        "index_fresh_until_timestamp_seconds": [(key, row["fresh_until"].timestamp()) for key, row in known.items()],
        "index_constituents": [(key, latest["constituents"] or 0) for key, latest in known.items()],
        "index_carried_weight_ratio": [(key, latest["carried_weight"]) for key, latest in known.items()],
        "index_status": [
            ((*key, word), float(latest["status"] == word)) for key, latest in known.items() for word in STATUS_NAMES
        ],
    }


def _of_sources(services: Services) -> dict[str, Rows]:
    from indexer.live.health import source_states  # the HTTP client comes with it: not on the way to the first answer

    used = [row for row in source_states(services.store, services.settings) if row.in_use]
    answers = {(row.name,): row.last_answer for row in used}
    return {
        "source_up": [((row.name,), float(row.state is not SourceState.DOWN)) for row in used],
        "source_troubles": [((row.name,), row.troubles) for row in used],
        "source_last_answer_timestamp_seconds": [(key, at.timestamp()) for key, at in answers.items() if at],
    }


def _of_jobs(services: Services) -> dict[str, Rows]:
    newest, done = newest_by_kind(services.store), newest_by_kind(services.store, outcome=DONE)
    ends = {(kind,): (run.started_at, run.finished_at) for kind, run in done.items()}
    return {
        "job_outcome": [((kind, run.outcome), 1.0) for kind, run in newest.items()],
        "job_last_success_timestamp_seconds": [(key, end.timestamp()) for key, (_, end) in ends.items() if end],
        "job_duration_seconds": [(key, (end - begin).total_seconds()) for key, (begin, end) in ends.items() if end],
    }


def _of_process(services: Services) -> dict[str, Rows]:
    standing, cache, requests = standing_of(services.store, now=services.clock()), services.cache, services.requests
    entries = Counter(row.kind for row in read_open_quality(services.store))
    return {
        "quality_open": [((kind,), count) for kind, count in sorted(entries.items())],
        "provisional": [((), float(standing.provisional))],
        "clock_suspect": [((), float(standing.clock_suspect != ""))],
        "cache_answers": [((), len(cache.answers))],
        "cache_bytes": [((), cache.bytes)],
        "http_requests_total": sorted(requests.count.items()),
        "http_request_seconds_total": sorted(requests.seconds.items()),
    }
