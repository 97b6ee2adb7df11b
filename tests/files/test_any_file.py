"""Known bars written as files are, in any dialect, order and with junk: read back equal, or refused by line."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from import_samples import NOW

from indexer.errors import ImportFileError
from indexer.files.containers import tables_of
from indexer.files.layouts import column_words
from indexer.files.manifest import parse_manifest
from indexer.files.recognising import recognise
from indexer.files.rows import gated
from indexer.files.text import blocks
from indexer.registry import load_registry
from indexer.times import HOUR_US, to_us

REGISTRY = load_registry()
START = datetime(2025, 1, 27, tzinfo=UTC)
JUNK = ("x", "1,2,3,4,5,6,7,8,9", "2025-13-45T99:00Z,5,1", "\0", 'open"quote,1,1', ",,", "NaN,NaN,NaN")
MANIFEST = """
kind = "tokens"
interval = "1h"
stamp = "bar_open"
[columns]
time = "time"
close = "close"
[constants]
symbol = "NEAR"
venue = "binance"
source = "test"
quote = "USD"
"""
EPOCHS = {"s": 1_000_000, "ms": 1_000, "us": 1}


@dataclass(frozen=True)
class Dialect:
    """How a file is written."""

    delimiter: str
    quoted: bool
    end: str
    encoding: str
    stamp: str
    decimal: str
    group: str


dialects = st.builds(
    Dialect,
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    quoted=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "latin-1"]),
    stamp=st.sampled_from(["iso", "offset", "utc", "space", "s", "ms", "us", "float", "compact"]),
    decimal=st.sampled_from([".", ","]),
    group=st.sampled_from(["", ",", " ", "'"]),
)
closes = st.lists(st.integers(100_000, 999_999), min_size=3, max_size=12).map(lambda v: [one / 100 for one in v])


def _stamp(at: datetime, how: str) -> str:
    us = to_us(at)
    if how in EPOCHS:
        return str(us // EPOCHS[how])
    return {
        "iso": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "offset": (at + timedelta(hours=2)).strftime("%Y-%m-%d %H:%M:%S+02:00"),
        "utc": at.strftime("%Y-%m-%d %H:%M:%S.000 UTC"),
        "space": at.strftime("%Y-%m-%d %H:%M:%S"),
        "float": f"{us / 1e6:.1f}",
        "compact": at.strftime("%Y%m%d%H%M"),
    }[how]


def _number(value: float, dialect: Dialect) -> str:
    text = f"{value:,.2f}"
    if dialect.group != ",":
        text = text.replace(",", dialect.group)
    return text.translate(str.maketrans(",.", ".,")) if dialect.decimal == "," else text


def _row(cells: Sequence[str], dialect: Dialect) -> str:
    must = any(dialect.delimiter in cell for cell in cells)
    return dialect.delimiter.join(f'"{cell}"' if dialect.quoted or must else cell for cell in cells)


@settings(max_examples=150, deadline=None)
@given(closes, dialects, st.randoms(use_true_random=False), st.lists(st.sampled_from(JUNK), max_size=3))
def test_bars_come_back_equal_or_are_refused_by_line(
    values: list[float], dialect: Dialect, random: object, junk: list[str]
) -> None:
    bars = {START + timedelta(hours=2 * n if n > 1 else n): close for n, close in enumerate(values)}
    rows = [(_row([_stamp(at, dialect.stamp), _number(close, dialect)], dialect), at) for at, close in bars.items()]
    lines: list[tuple[str, datetime | None]] = [*rows, *((one, None) for one in junk)]
    random.shuffle(lines)  # type: ignore[attr-defined]
    text = dialect.end.join([_row(["time", "close"], dialect), *(line for line, _ in lines)]) + dialect.end
    manifest = parse_manifest(MANIFEST, name="prices.toml")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prices.csv"
        path.write_bytes(text.encode(dialect.encoding))
        try:
            [table] = tables_of(path)
            [result] = gated(table, manifest, registry=REGISTRY, now_us=to_us(NOW))
        except ImportFileError as error:
            assert "prices.csv" in str(error)
            return
    expected = {to_us(at) + HOUR_US: close for at, close in bars.items()}
    taken = dict(zip(result.time_us[result.order].tolist(), result.numbers["close"].values[result.order], strict=True))
    assert taken.items() <= expected.items()
    refused = {line for line, _ in result.rejects}
    for number, (_, at) in enumerate(lines, start=2):
        assert number in refused or (at is not None and to_us(at) + HOUR_US in taken)
    if not junk:
        assert taken == expected


ROLES = ("time", "open", "high", "low", "close", "volume")
TIMES = tuple(word for word in column_words()["time"] if word and word not in column_words()["clock"])
headers = st.fixed_dictionaries(
    {role: st.sampled_from(TIMES if role == "time" else column_words()[role]) for role in ROLES}
    | {"note": st.sampled_from(["note", "x", "1"])}
)


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    headers,
    st.permutations([*ROLES, "note"]),
    dialects,
    st.sampled_from([str.lower, str.upper, str.title]),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
)
def test_a_table_is_recognised_whatever_its_columns_order_and_words(
    words: dict[str, str], order: list[str], dialect: Dialect, case: Callable[[str], str], encoding: str
) -> None:
    bars = {START + timedelta(hours=n): 5 + n / 100 for n in range(8)}
    shapes = {"open": 0.01, "high": 0.2, "low": -0.2, "close": 0.0}
    lines = [[case(words[role]) for role in order]]
    for at, close in bars.items():
        numbers = {role: _number(close + more, dialect) for role, more in shapes.items()}
        row = {"time": _stamp(at, dialect.stamp), "volume": "10", "note": "a b", **numbers}
        lines.append([row[role] for role in order])
    text = dialect.end.join(_row(cells, dialect) for cells in lines) + dialect.end
    options = {"symbol": "NEAR", "venue": "binance", "quote": "USDT", "timezone": "UTC"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.csv"
        path.write_bytes(text.encode(encoding if _fits(text, encoding) else "utf-8"))
        [table] = tables_of(path)
        recognised = recognise(table, REGISTRY, options)
        assert recognised is not None and recognised.manifest is not None, (text, recognised)
        [result] = gated(table, recognised.manifest, registry=REGISTRY, now_us=to_us(NOW))
    taken = dict(zip(result.time_us[result.order].tolist(), result.numbers["close"].values[result.order], strict=True))
    assert taken == {to_us(at) + HOUR_US: close for at, close in bars.items()}


def _fits(text: str, encoding: str) -> bool:
    try:
        return bool(text.encode(encoding))
    except UnicodeEncodeError:
        return False


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_parts_of_a_long_file_in_any_order_give_each_bar_once(random: object, repeated: int) -> None:
    bars = {START + timedelta(hours=n): 5 + n / 100 for n in range(40)}
    rows = [f"{at:%Y-%m-%dT%H:%M:%SZ},{close:.2f}" for at, close in bars.items()]
    random.shuffle(rows)  # type: ignore[attr-defined]
    rows += rows[:repeated]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setitem(blocks.__kwdefaults__, "size", 120)
        path = Path(folder) / "prices.csv"
        path.write_text("\n".join(["time,close", *rows]) + "\n")
        [table] = tables_of(path)
        parts = list(gated(table, parse_manifest(MANIFEST, name="m"), registry=REGISTRY, now_us=to_us(NOW)))
    assert len(parts) > 4
    taken = [(int(part.time_us[row]), float(part.numbers["close"].values[row])) for part in parts for row in part.order]
    assert sorted(taken) == [(to_us(at) + HOUR_US, close) for at, close in bars.items()]
    assert sum(len(part.rejects) + part.duplicates for part in parts) == repeated


def test_a_last_row_that_is_now_is_judged_with_the_others_wherever_a_part_ends(tmp_path: Path) -> None:
    path, rows = tmp_path / "prices.csv", [f"{START + timedelta(hours=n):%Y-%m-%dT%H:%M:%SZ},5" for n in range(40)]
    path.write_text("\n".join(["time,close", *rows, f"{rows[-1][:13]}:51:07Z,5"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(blocks.__kwdefaults__, "size", path.stat().st_size - 10)
        [table] = tables_of(path)
        parts = list(gated(table, parse_manifest(MANIFEST, name="m"), registry=REGISTRY, now_us=to_us(NOW)))
    assert [part.rejects[-1][0] for part in parts if part.rejects] == [42]
