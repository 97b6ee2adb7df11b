"""Histories in memory: cut to the same answers as the store gives, dropped when data changes; rows from columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from seeded import HOURS, NOW, START, publish

import api.answers.histories
from api.answers.encode import as_rows, to_json
from api.answers.histories import Histories
from api.app import create_app
from indexer.errors import NotFoundError
from indexer.store.db import Store
from indexer.times import DAY_US, HOUR_US, iso

INSTANTS = st.integers(-2, HOURS + 3).map(lambda hour: iso(START + hour * HOUR_US))
COUNTS = st.integers(1, HOURS + 10).map(lambda count: str(min(count, 10_000)))
QUERIES = st.fixed_dictionaries(
    {"interval": st.sampled_from(["1h", "1d", "5m"])},
    optional={
        "start": INSTANTS,
        "end": INSTANTS,
        "limit": COUNTS,
        "last": COUNTS,
        "shape": st.sampled_from(["rows", "columns"]),
        "format": st.sampled_from(["json", "csv"]),
        "decimals": st.just("string"),
    },
)


@pytest.fixture(scope="module")
def keeping(store: Store) -> Iterator[TestClient]:
    """The API with every history of deai in memory, and no answer kept."""
    app = create_app(store, clock=lambda: NOW)
    app.state.services.refresh()
    app.state.services.hot.keep = lambda slot: None  # type: ignore[method-assign]
    for interval in ("1h", "1d", "5m"):
        for _ in range(2):
            TestClient(app).get(f"/v1/indices/deai/levels?interval={interval}")
    yield TestClient(app)


@settings(max_examples=60)
@given(query=QUERIES)
def test_a_page_cut_from_memory_is_the_page_read_from_the_store(
    keeping: TestClient, client: TestClient, query: dict[str, str]
) -> None:
    cut, read = (one.get("/v1/indices/deai/levels", params=query) for one in (keeping, client))
    assert cut.status_code == read.status_code
    assert cut.headers.get("link") == read.headers.get("link")
    if read.is_success:
        assert cut.content == read.content
        assert cut.headers["etag"] == read.headers["etag"]


def test_pages_from_memory_follow_each_other_to_the_end(keeping: TestClient) -> None:
    address, times = "/v1/indices/deai/levels?interval=1h&limit=1000", []
    while address:
        page = keeping.get(address).json()
        times += page["data"]
        address = page["next_url"]
    assert len(times) == HOURS + 1 == len({row["time"] for row in times})


def test_the_first_question_reads_its_page_the_second_the_history(own: Store) -> None:
    version: list[str | None] = ["1"]
    histories = Histories(own, lambda: version[0])
    assert histories.whole("deai", DAY_US) is None
    whole = histories.whole("deai", DAY_US)
    assert whole is not None
    assert len(whole) == HOURS // 24 + 1
    assert histories.whole("deai", DAY_US) is whole
    publish(own, 777.0)
    version[0] = "2"
    assert histories.whole("deai", HOUR_US) is None
    fresh = histories.whole("deai", HOUR_US)
    assert fresh is not None
    assert fresh.levels[-1] == 777.0
    version[0] = None
    assert histories.whole("deai", HOUR_US) is None


def test_a_long_history_is_read_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.answers.histories, "MAX_ROWS", 100)
    histories = Histories(store, lambda: "1")
    assert [histories.whole("deai", DAY_US) for _ in range(3)] == [None] * 3


def test_only_so_many_histories_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.answers.histories, "MAX_HISTORIES", 1)
    histories = Histories(store, lambda: "1")
    for step in (DAY_US, HOUR_US, DAY_US):
        for _ in range(2):
            whole = histories.whole("deai", step)
        assert whole is not None


def test_an_index_is_known_until_data_changes(own: Store) -> None:
    histories = Histories(own, lambda: "1")
    first = histories.index("deai")
    assert histories.index("deai") is first
    with pytest.raises(NotFoundError, match=r'No index "deia"\. Did you mean "deai"'):
        histories.index("deia")


@given(
    numbers=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30),
    word=st.text(max_size=5),
)
def test_rows_from_columns_are_the_objects_one_would_write(numbers: list[float], word: str) -> None:
    instants = np.arange(len(numbers), dtype=np.int64).astype("datetime64[s]")
    words = [f"{word},{n % 3}" for n in range(len(numbers))]
    some = [None if n % 2 else {"a": [n, word]} for n in range(len(numbers))]
    columns = {"time": instants, 'a",:': np.array(numbers), "word": words, "some": some}
    written = orjson.loads(to_json({"data": as_rows(columns)}))["data"]
    plain = [orjson.loads(to_json({name: one[n] for name, one in columns.items()})) for n in range(len(numbers))]
    assert written == plain
