"""Data frame libraries read our addresses as they are: pandas, polars and pyarrow over a real socket."""

from __future__ import annotations

import io
import urllib.request

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pytest
from live_server import Live
from seeded import HOURS

CSV = "/v1/indices/deai/levels.csv?interval=1h"


def test_pandas_reads_csv_json_and_parquet(live: Live) -> None:
    table = pd.read_csv(f"{live.url}{CSV}", parse_dates=["time"])
    assert len(table) == HOURS + 1
    assert str(table["time"].dtype) == "datetime64[us, UTC]"
    assert table["level"].dtype == "float64"
    file = pd.read_parquet(f"{live.url}/v1/indices/deai/levels.parquet?interval=1h")
    assert (file["level"] == table["level"]).all()
    assert (file["time"] == table["time"]).all()
    with urllib.request.urlopen(f"{live.url}/v1/indices/deai/levels?interval=1h") as answer:
        rows = pd.DataFrame(pd.read_json(io.StringIO(answer.read().decode()), typ="series")["data"])
    assert (rows["level"] == table["level"]).all()


def test_polars_reads_csv_and_parquet_by_range(live: Live) -> None:
    table = pl.read_csv(f"{live.url}{CSV}", try_parse_dates=True)
    assert table.height == HOURS + 1
    file = pl.read_parquet(f"{live.url}/v1/indices/deai/levels.parquet?interval=1h")
    assert file["level"].to_list() == table["level"].to_list()
    assert file.schema["time"] == pl.Datetime("us", "UTC")
    lazy = pl.scan_parquet(f"{live.url}/v1/indices/deai/levels.parquet?interval=1h")
    assert lazy.select(pl.col("level").max()).collect().item() == table["level"].max()
    arrow = pl.read_ipc(io.BytesIO(urllib.request.urlopen(f"{live.url}/v1/indices/deai/levels.arrow").read()))
    assert arrow.height == HOURS // 24 + 1


def test_pyarrow_reads_csv_and_arrow(live: Live) -> None:
    with urllib.request.urlopen(f"{live.url}/v1/indices/demo/levels.arrow?interval=1h") as answer:
        table = pa.ipc.open_file(answer.read()).read_all()
    assert table.schema.metadata[b"simulated"] == b"true"
    with urllib.request.urlopen(f"{live.url}{CSV}") as answer:
        text = pyarrow.csv.read_csv(answer)
    assert text.schema.field("time").type == pa.timestamp("s", tz="UTC")
    assert text.num_rows == table.num_rows


def test_a_sheet_finds_what_it_needs(live: Live) -> None:
    """IMPORTDATA, WEBSERVICE and Power Query: no header can be sent, so the address alone must do."""
    with urllib.request.urlopen(f"{live.url}/v1/indices/deai/levels.csv?last=90") as answer:
        assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
        assert int(answer.headers["content-length"]) > 0
        lines = answer.read().decode("utf-8").split("\r\n")
    assert lines[0] == "time,level,status,carried_weight,perpetual_weight,constituents"
    assert len(lines) == 92
    assert lines[-2].startswith("2025-02-04T00:00:00Z,")
    cell = urllib.request.urlopen(f"{live.url}/v1/indices/deai/level.txt").read().decode()
    assert float(cell) > 0
    assert len(cell) < 32_767
    for path in ("/v1/indices/deai/levels.csv?last=90", "/v1/indices/deai/level.txt"):
        assert len(f"{live.url}{path}") < 2_048


@pytest.mark.parametrize("path", [CSV, "/v1/indices/deai/levels.parquet", "/v1/indices/deai/levels.arrow"])
def test_a_range_request_gets_206(live: Live, path: str) -> None:
    asked = urllib.request.Request(f"{live.url}{path}", headers={"Range": "bytes=0-0"})
    with urllib.request.urlopen(asked) as answer:
        assert answer.status == 206
        assert answer.headers["content-range"].startswith("bytes 0-0/")
        assert len(answer.read()) == 1
