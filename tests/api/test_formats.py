"""Tables and files: CSV rules, Parquet and Arrow with Range, one number for a cell."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from api.answers.answer import wanted_span
from api.answers.encode import rows_to_csv, to_csv

BASE = "/v1/indices/demo"


def test_csv_follows_rfc_4180() -> None:
    columns = {
        "time": ["2025-01-01T00:00:00Z"] * 4,
        "value": [1.5, float("nan"), None, float("inf")],
        "name": ["=1+1", 'a "quoted", cell', "-5", "plain"],
        "open": [True, False, True, False],
    }
    lines = to_csv(columns, text=["name"]).decode().split("\r\n")
    assert lines == [
        "time,value,name,open",
        "2025-01-01T00:00:00Z,1.5,'=1+1,true",
        '2025-01-01T00:00:00Z,,"a ""quoted"", cell",false',
        "2025-01-01T00:00:00Z,,'-5,true",
        "2025-01-01T00:00:00Z,,plain,false",
        "",
    ]


def test_negative_numbers_are_not_guarded() -> None:
    assert to_csv({"change": [-0.25]}) == b"change\r\n-0.25\r\n"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_csv_keeps_every_digit(values: list[float]) -> None:
    lines = to_csv({"value": values}).decode().split("\r\n")[1:-1]
    assert [float(line) for line in lines] == values


def test_level_txt_is_a_bare_number(client: TestClient) -> None:
    answer = client.get(f"{BASE}/level.txt")
    assert float(answer.text) == client.get(f"{BASE}/latest").json()["level"]
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-simulated"] == "true"
    assert client.get("/v1/indices/empty/level.txt").status_code == 409


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_files_hold_all_levels_with_their_evidence(client: TestClient, kind: str) -> None:
    answer = client.get(f"{BASE}/levels.{kind}?interval=1h")
    source = io.BytesIO(answer.content)
    table = pyarrow.parquet.read_table(source) if kind == "parquet" else pyarrow.feather.read_table(source)
    assert table.schema.field("time").type == pa.timestamp("us", tz="UTC")
    about = {key.decode(): value.decode() for key, value in table.schema.metadata.items() if key != b"ARROW:schema"}
    assert (about["index"], about["simulated"], about["unit"]) == ("demo", "true", "index points")
    rows = client.get(f"{BASE}/levels?interval=1h&shape=columns").json()["data"]
    assert table.column("level").to_pylist() == rows["level"]
    assert table.column("status").to_pylist() == rows["status"]
    assert "attachment" in answer.headers["content-disposition"]


def test_a_file_is_served_in_parts(client: TestClient) -> None:
    whole = client.get(f"{BASE}/levels.parquet")
    part = client.get(f"{BASE}/levels.parquet", headers={"range": "bytes=4-99"})
    assert part.status_code == 206
    assert part.content == whole.content[4:100]
    assert part.headers["content-range"] == f"bytes 4-99/{len(whole.content)}"
    assert part.headers["etag"] == whole.headers["etag"]
    unchanged = client.get(f"{BASE}/levels.parquet", headers={"if-none-match": whole.headers["etag"]})
    assert unchanged.status_code == 304
    beyond = client.get(f"{BASE}/levels.parquet", headers={"range": "bytes=99999999-"})
    assert beyond.status_code == 416
    assert beyond.json()["code"] == "range_not_satisfiable"
    assert beyond.headers["content-range"] == f"bytes */{len(whole.content)}"
    assert client.get(f"{BASE}/levels.parquet", headers={"range": "pages=1-2"}).content == whole.content
    other = {"range": "bytes=0-3", "if-range": '"other"'}
    assert client.get(f"{BASE}/levels.parquet", headers=other).status_code == 200


def test_text_is_served_in_parts_too(client: TestClient) -> None:
    address = f"{BASE}/levels.csv"
    whole = client.get(address, headers={"accept-encoding": "identity"})
    part = client.get(address, headers={"range": "bytes=0-9", "accept-encoding": "gzip"})
    assert part.status_code == 206
    assert part.content == whole.content[:10]
    assert "content-encoding" not in part.headers
    assert part.headers["content-range"] == f"bytes 0-9/{len(whole.content)}"
    assert client.get(address, headers={"range": "bytes=-5"}).content == whole.content[-5:]
    beyond = client.get(address, headers={"range": "bytes=9999999-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")
    head = client.head(address, headers={"accept-encoding": "identity"})
    assert int(head.headers["content-length"]) == len(whole.content)
    assert head.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"bytes=0-0", (0, 0)),
        (b"bytes=5-", (5, 99)),
        (b"bytes=90-500", (90, 99)),
        (b"bytes=-10", (90, 99)),
        (b"bytes=-500", (0, 99)),
        (b"bytes=100-", False),
        (b"bytes=-0", False),
        (b"bytes=5-2", None),
        (b"bytes=-", None),
        (b"bytes=0-1,5-6", None),
        (b"items=0-1", None),
        (b"", None),
    ],
)
def test_ranges(header: bytes, expected: object) -> None:
    assert wanted_span(header, size=100) == expected


def test_no_json_anywhere_holds_nan(client: TestClient) -> None:
    for path in ("", "/latest", "/levels", "/constituents", "/rebalances", "/beta", "/beta/history?sessions=60"):
        text = client.get(BASE + path).text

        def refuse(word: str) -> float:
            raise AssertionError(word)

        json.loads(text, parse_constant=refuse)


def test_constituents_and_closes_are_tables_too(client: TestClient) -> None:
    for way in ({"params": {"format": "csv"}}, {"headers": {"accept": "text/csv"}}):
        answer = client.get("/v1/indices/demo/constituents", **way)  # type: ignore[arg-type]  # either way
        assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
        assert (answer.headers["x-count"], answer.headers["x-simulated"]) == ("4", "true")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        wanted = client.get("/v1/indices/demo/constituents").json()["data"]
        assert [float(row["weight"]) for row in rows] == [one["weight"] for one in wanted]
        assert [row["rate_at"] for row in rows] == [one["rate_at"] for one in wanted]
        assert rows[0]["supply_block"] == ""
    assert client.get("/v1/indices/demo/constituents.csv").content == answer.content
    assert rows_to_csv([], ["a", "b"]) == b"a,b\r\n"
    closes = client.get("/v1/benchmarks/QQQ/closes?format=csv&start=2024-06-01&end=2024-07-01")
    assert client.get("/v1/benchmarks/QQQ/closes.csv?start=2024-06-01&end=2024-07-01").content == closes.content
    found = list(csv.DictReader(io.StringIO(closes.text)))
    assert len(found) == int(closes.headers["x-count"]) > 15
    assert float(found[0]["close"]) > 0


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_file_is_not_a_format_of_a_table(client: TestClient, kind: str) -> None:
    said = client.get(f"/v1/indices/deai/levels?format={kind}").json()["detail"]
    assert f"{kind} is a file of its own: /v1/indices/<id>/levels.{kind}" in said
