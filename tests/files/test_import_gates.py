"""The gates as properties: rows in any order give the same, a spike is judged by both neighbours and nothing else."""

from __future__ import annotations

from datetime import datetime
from random import Random

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from indexer.files.gates import SPIKE_FACTOR, Verdicts, find_spikes, gate_sequence
from indexer.files.stamps import NO_TIME, instants
from indexer.times import parse_instant

rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 5), st.sampled_from([1.0, 2.0, np.nan])), min_size=1, max_size=30
)


def _naive_spikes(series: list[int], close: list[float]) -> list[bool]:
    found = [False] * len(close)
    for i in range(1, len(close) - 1):
        if series[i - 1] == series[i] == series[i + 1]:
            ratios = (close[i] / close[i - 1], close[i] / close[i + 1])
            found[i] = min(ratios) > SPIKE_FACTOR or max(ratios) < 1 / SPIKE_FACTOR
    return found


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.01, 0.1, 1.0, 7.0, 60.0, 4000.0])), max_size=12))
def test_spikes_against_the_rule_written_out(pairs: list[tuple[int, float]]) -> None:
    pairs.sort(key=lambda pair: pair[0])
    series, close = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = find_spikes(np.array(series, dtype=np.int64), np.array(close, dtype=np.float64))
    assert found.tolist() == _naive_spikes(series, close)


@given(hnp.arrays(np.float64, st.integers(3, 40), elements=st.floats(0.01, 100)), st.integers(1, 38))
def test_one_spike_in_a_calm_series_is_found_alone(noise: NDArray[np.float64], at: int) -> None:
    close = 10.0 + noise / 50  # all within 20 %
    at = min(at, len(close) - 2)
    close[at] *= 100.0
    assert np.flatnonzero(find_spikes(np.zeros(len(close), dtype=np.int64), close)).tolist() == [at]


@given(rows)
def test_every_row_is_taken_repeated_or_rejected(found: list[tuple[int, int, float]]) -> None:
    series, time, value = (np.array(column) for column in zip(*found, strict=True))
    verdicts = Verdicts(len(found))
    lines = np.arange(len(found), dtype=np.int64)
    close = np.ones(len(found))
    result = gate_sequence(verdicts, series, time, close, compared=[value], lines=lines)
    assert len(result.order) + result.duplicates + len(verdicts.reasons) == len(found)
    keys = [(int(series[row]), int(time[row])) for row in result.order]
    assert keys == sorted(set(keys))
    by_key: dict[tuple[int, int], set[str]] = {}
    for one, at, held in found:
        by_key.setdefault((one, at), set()).add(str(held))
    assert set(keys) == {key for key, values in by_key.items() if len(values) == 1}


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_in_the_file_changes_nothing(found: list[tuple[int, int, float]], random: Random) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)

    def taken(these: list[tuple[int, int, float]]) -> list[tuple[int, int, str]]:
        series, time, value = (np.array(column) for column in zip(*these, strict=True))
        lines = np.arange(len(these), dtype=np.int64)
        result = gate_sequence(Verdicts(len(these)), series, time, np.ones(len(these)), compared=[value], lines=lines)
        return [(int(series[row]), int(time[row]), str(value[row])) for row in result.order]

    assert taken(found) == taken(shuffled)


@given(st.lists(st.datetimes(min_value=datetime(1990, 1, 1)), min_size=1, max_size=5))
def test_stamps_in_bulk_and_one_by_one_agree(moments: list[datetime]) -> None:
    words = [f"{moment.isoformat()}Z" for moment in moments]
    fast = instants(pa.chunked_array([pa.array(words)]))
    slow = instants(pa.chunked_array([pa.array([*words, "never"])]))
    assert fast.us.tolist() == slow.us[:-1].tolist() == [parse_instant(word) for word in words]
    assert (fast.reasons, slow.reasons) == ({}, {len(words): "not a time"})
    assert slow.us[-1] == NO_TIME
