"""What live sources add, on both databases: metrics, links to answers, open entries, rates by method, last runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from indexer.errors import InputError, NotFoundError
from indexer.store.archive import forget_payloads, read_last_answers, read_payloads, write_payloads
from indexer.store.assets import ensure_benchmarks, write_assets
from indexer.store.bars import read_benchmark_closes, read_metrics, write_benchmark_bars, write_metrics
from indexer.store.db import Store
from indexer.store.quality import read_open_quality, write_quality
from indexer.store.rates import read_rates, write_rates
from indexer.store.rows import AssetRow, BenchmarkColumns, BenchmarkRow, MetricSeries, PayloadRow, QualityRow, Written
from indexer.store.runs import finish_run, last_run_before, start_run

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOURS = np.arange(1, 6, dtype=np.int64) * 3_600_000_000


def a_run(store: Store, key: str = "k", kind: str = "stress", due: datetime | None = None) -> int:
    run = start_run(store, kind=kind, key=key, now=NOW, due_at=due)
    assert run is not None
    return run


def series(values: list[float], *, subject: str = "fet", source: str = "okx") -> MetricSeries:
    return MetricSeries(subject, "funding_rate", source, HOURS[: len(values)], np.array(values))


def test_metrics_are_kept_by_source_and_corrected_as_revisions(store: Store) -> None:
    run = a_run(store)
    both = [series([1.0, 2.0, 3.0]), series([9.0], source="bybit")]
    assert write_metrics(store, run, both) == Written(new=4)
    assert write_metrics(store, run, both) == Written(unchanged=4)
    assert write_metrics(store, run, [series([1.0, 2.5, 3.0, 4.0])]) == Written(new=1, revised=1, unchanged=2)
    bybit, okx = read_metrics(store, subject="fet", name="funding_rate")
    assert (bybit.source, bybit.value.tolist()) == ("bybit", [9.0])
    assert okx.value.tolist() == [1.0, 2.5, 3.0, 4.0]
    (part,) = read_metrics(store, since_us=int(HOURS[1]), until_us=int(HOURS[3]))
    assert part.time_us.tolist() == HOURS[1:3].tolist()
    assert read_metrics(store, subject="near") == []


def test_a_metric_that_is_no_number_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="metric fet funding_rate of okx: values must be finite"):
        write_metrics(store, a_run(store), [series([1.0, float("nan")])])
    with pytest.raises(NotFoundError, match="metric: no run 99"):
        write_metrics(store, 99, [series([1.0])])


def test_answers_are_linked_once_and_forgotten_after_their_time(store: Store) -> None:
    run = a_run(store)
    rows = [PayloadRow(f"{n:064x}", "okx", "u", NOW - timedelta(days=n), n) for n in range(4)]
    write_payloads(store, run, [*rows, rows[0]])
    write_payloads(store, run, rows[:1])
    write_payloads(store, run, [])
    assert read_payloads(store, run) == rows
    assert read_last_answers(store) == {"okx": NOW}
    assert forget_payloads(store, before=NOW - timedelta(days=1, hours=12)) == 2
    assert read_payloads(store, run) == rows[:2]


def test_open_entries_by_kind(store: Store) -> None:
    run = a_run(store)
    rows = [QualityRow("gap", "fet/1h", NOW), QualityRow("stale", "okx/fet", NOW), QualityRow("gap", "x", NOW, NOW)]
    write_quality(store, run, rows)
    assert read_open_quality(store) == rows[:2]
    assert read_open_quality(store, ("stale", "outlier")) == rows[1:2]


def test_rates_by_method_are_the_last_of_that_method(store: Store) -> None:
    run = a_run(store)
    ids = write_assets(store, [AssetRow("fet", "F", "FET", "eth", "0x1", 18, "agents", "core", "fet")])

    def rates(method: str, values: list[float]) -> None:
        count = len(values)
        write_rates(
            store,
            run,
            asset_id=np.full(count, ids["fet"]),
            time_us=HOURS[:count],
            rate=np.array(values),
            status=np.zeros(count, dtype=np.int8),
            method=method,
            verdicts=[f'{{"{method}":"used"}}'] * count,
        )

    rates("bars/1", [1.0, 2.0, 3.0])
    rates("fixing/1", [1.5, 2.5])
    rates("fixing/1", [1.6])
    rates("override/1", [7.0])
    found = read_rates(store, methods=("fixing/1", "fixing/2"), evidence=True)
    assert found.rate.tolist() == [1.6, 2.5]
    assert found.verdicts == ['{"fixing/1":"used"}'] * 2
    assert len(read_rates(store, methods=("nothing/1",)).rate) == 0


def test_the_last_run_before_an_instant_that_did_its_own_work(store: Store) -> None:
    for hour, detail in ((9, {"n": 9}), (10, {"n": 10}), (11, {"caught_up_by": "fixing:12"})):
        due = NOW.replace(hour=hour)
        finish_run(store, a_run(store, f"f{hour}", "fixing", due), now=NOW, detail=detail)
    a_run(store, "f12", "fixing", NOW)
    for before, expected in ((NOW + timedelta(hours=1), 10), (NOW.replace(hour=10), 9)):
        found = last_run_before(store, "fixing", before)
        assert found is not None
        assert found.detail == {"n": expected}
    assert last_run_before(store, "fixing", NOW.replace(hour=9)) is None


def test_benchmark_closes_are_the_latest_revisions(store: Store) -> None:
    run = a_run(store)
    ids = ensure_benchmarks(store, [BenchmarkRow("QQQ", "Q", "etf")])
    for adjusted in (float("nan"), 0.9):
        write_benchmark_bars(
            store,
            run,
            BenchmarkColumns(
                np.array([ids["QQQ"]]), HOURS[:1], np.array([1.0]), np.array([adjusted]), np.array([5.0]), ["x"], ["y"]
            ),
        )
    times, close, adjusted_close = read_benchmark_closes(store, "QQQ", interval="1d")
    assert (times.tolist(), close.tolist(), adjusted_close.tolist()) == (HOURS[:1].tolist(), [1.0], [0.9])
    assert len(read_benchmark_closes(store, "QQQ", interval="1h")[0]) == 0
