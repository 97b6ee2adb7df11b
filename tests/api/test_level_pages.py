"""Pages of levels: what was asked for and nothing else, the same whether the history is read or remembered."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from seeded import HOURS, NOW, START

from api.answers.encode import as_rows, json_bytes
from api.app import create_app
from indexer.store.db import Store
from indexer.store.levels import read_levels
from indexer.times import DAY_US, HOUR_US, iso, parse_instant

LEVELS = "/v1/indices/deai/levels"
STEPS = {"1h": HOUR_US, "1d": DAY_US, "5m": HOUR_US // 12}
INSTANTS = st.integers(-2, HOURS + 3).map(lambda hour: iso(START + hour * HOUR_US))
COUNTS = st.integers(1, HOURS + 10).map(lambda count: min(count, 10_000))
QUERIES = st.fixed_dictionaries(
    {"interval": st.sampled_from(list(STEPS))},
    optional={"start": INSTANTS, "end": INSTANTS, "limit": COUNTS, "last": COUNTS},
)


@pytest.fixture(scope="module")
def remembering(store: Store) -> TestClient:
    """The API that knows its data version, so that it remembers daily histories, and keeps no answer."""
    app = create_app(store, clock=lambda: NOW)
    app.state.services.refresh()
    app.state.services.cache.max_bytes = 0
    return TestClient(app)


def read_csv(text: str) -> pd.DataFrame:
    """The frame as pandas reads it, every digit kept."""
    return pd.read_csv(StringIO(text))


def levels_of(store: Store) -> dict[int, float]:
    """Every level of the store by its instant, oldest first."""
    rows = read_levels(store, "deai")
    return dict(zip(rows.times_us.tolist(), rows.levels.tolist(), strict=True))


@settings(max_examples=60)
@given(query=QUERIES)
def test_a_page_has_the_levels_of_its_range(
    remembering: TestClient, client: TestClient, store: Store, query: dict[str, Any]
) -> None:
    answer = client.get(LEVELS, params=query)
    start, end = (parse_instant(query[name]) if name in query else None for name in ("start", "end"))
    if start is not None and end is not None and end < start:
        assert answer.status_code == 422
        return
    assert remembering.get(LEVELS, params=query).content == answer.content
    inside = [
        (time, level)
        for time, level in levels_of(store).items()
        if time % STEPS[query["interval"]] == 0 and (start or 0) <= time and (end is None or time < end)
    ]
    most = query.get("limit", 10_000)
    page = inside[-query["last"] :] if "last" in query else inside[:most]
    rows = answer.json()["data"]
    assert [(parse_instant(row["time"]), row["level"]) for row in rows] == page
    assert (answer.json()["next"] is not None) == ("last" not in query and len(inside) > most)


@pytest.mark.parametrize("interval", ["1h", "1d"])
def test_pages_follow_each_other_to_the_end(remembering: TestClient, store: Store, interval: str) -> None:
    address, times = f"{LEVELS}?interval={interval}&limit=250", []
    while address:
        page = remembering.get(address).json()
        times += [parse_instant(row["time"]) for row in page["data"]]
        address = page["next_url"]
    assert times == [time for time in levels_of(store) if time % STEPS[interval] == 0]


@pytest.mark.parametrize("piece", [100_000, 1_000])
def test_csv_is_whole_and_says_so_when_it_is_not(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr("api.routes.levels.PIECE", piece)  # longer histories go out in pieces of this many rows
    every = levels_of(store)
    table = read_csv(client.get(f"{LEVELS}.csv?interval=1h").text)
    assert [parse_instant(time) for time in table["time"]] == list(every)
    assert table["level"].tolist() == list(every.values())
    part = client.get(f"{LEVELS}.csv?interval=1h&start=2024-02-01&end=2024-05-01").text
    inside = [time for time in every if parse_instant("2024-02-01") <= time < parse_instant("2024-05-01")]
    assert [parse_instant(time) for time in read_csv(part)["time"]] == inside
    newest = client.get(f"{LEVELS}.csv?interval=1h&last=9000").text
    assert read_csv(newest)["level"].tolist() == list(every.values())[-9000:]
    page = client.get(f"{LEVELS}.csv?interval=1h&limit=10")
    assert (len(read_csv(page.text)), 'rel="next"' in page.headers["link"]) == (10, True)
    simulated = read_csv(client.get("/v1/indices/demo/levels.csv?interval=1h").text)
    assert (len(simulated), simulated["simulated"].all()) == (len(every), True)


@given(
    numbers=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30),
    word=st.text(max_size=5),
)
def test_rows_from_columns_are_the_objects_one_would_write(numbers: list[float], word: str) -> None:
    instants = np.arange(len(numbers), dtype=np.int64).astype("datetime64[s]")
    words = [f"{word},{n % 3}" for n in range(len(numbers))]
    some = [None if n % 2 else {"a": [n, word]} for n in range(len(numbers))]
    columns = {"time": instants, 'a",:': np.array(numbers), "word": words, "some": some}
    written = orjson.loads(json_bytes({"data": as_rows(columns)}))["data"]
    plain = [orjson.loads(json_bytes({name: one[n] for name, one in columns.items()})) for n in range(len(numbers))]
    assert written == plain


def test_candles_are_made_of_all_levels(client: TestClient, store: Store) -> None:
    hourly = read_levels(store, "deai")
    days = client.get("/v1/indices/deai/candles?shape=columns").json()["data"]
    assert days["open"] == hourly.levels[:-1:24].tolist()
    assert days["close"] == hourly.levels[24::24].tolist()
    assert days["high"] == [hourly.levels[at : at + 25].max() for at in range(0, HOURS, 24)]
    assert days["complete"] == [True] * (HOURS // 24)
    part = {"start": "2024-03-04", "end": "2024-03-11", "interval": "1w", "format": "csv"}
    frame = read_csv(client.get("/v1/indices/deai/candles", params=part).text)
    assert frame[["levels", "complete"]].values.tolist() == [[169, True]]
    inside = client.get("/v1/indices/deai/candles", params={**part, "start": "2024-03-01T05:00Z"})
    assert read_csv(inside.text).equals(frame)  # no candle cut at its begin
    assert client.get("/v1/indices/deai/candles?interval=1w&start=2024-03-05&end=2024-03-06").json()["count"] == 0
