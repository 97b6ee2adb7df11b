"""The API and the client over PostgreSQL: every address answers with the bytes that SQLite gives for the same data."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from live_server import Live, serve
from pyarrow import feather, parquet
from seeded import HOURS, NOW, instants, publish, seed

from api.app import create_app
from indexer import Client
from indexer.config import Settings
from indexer.errors import NotFoundError
from indexer.store.db import Store, open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
from postgres_server import new_database, own_server

pytestmark = pytest.mark.postgres
BELOW = "/v1/indices/deai"
ADDRESSES = (
    "/v1/indices",
    BELOW,
    f"{BELOW}/latest",
    f"{BELOW}/level.txt",
    *(f"{BELOW}/levels?{query}" for query in ("", "interval=1h&limit=500", "last=7", "as_of=2024-06-01", "limit=3")),
    f"{BELOW}/levels?interval=1h&start=2024-03-01&end=2024-03-02&format=csv",
    f"{BELOW}/levels.csv?last=5",
    f"{BELOW}/levels.parquet",
    f"{BELOW}/levels.arrow?interval=1h",
    f"{BELOW}/constituents",
    f"{BELOW}/constituents?at=2024-06-01",
    f"{BELOW}/rebalances",
    f"{BELOW}/methodology",
    f"{BELOW}/beta?benchmark=QQQ&sessions=60",
    f"{BELOW}/beta/compare?sessions=60",
    f"{BELOW}/beta/constituents?sessions=60",
    f"{BELOW}/beta/history?sessions=60",
    f"{BELOW}/events",
    f"{BELOW}/drawdowns",
    f"{BELOW}/breadth",
    f"{BELOW}/attribution?start=2024-06-01&end=2024-07-01",
    f"{BELOW}/status",
    f"{BELOW}/calendar",
    "/v1/assets",
    "/v1/assets/alp",
    "/v1/benchmarks",
    "/v1/benchmarks/QQQ/closes",
    "/v1/events",
    "/v1/quality",
    "/v1/sources",
    "/v1/announcements",
    "/v1/overrides",
    "/v1/challenges",
    "/v1/actions",
    "/charts/deai.svg?range=all",
    "/badge/deai.svg",
    "/embed/deai",
    "/v1/indices/deia",
    "/v1/indices/empty/latest",
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with own_server() as url:
        yield url


@pytest.fixture(scope="module")
def there(postgres: str) -> Iterator[Store]:
    """The seeded content in PostgreSQL."""
    opened = open_store(new_database(postgres, migrated=True))
    seed(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def served_there(there: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("postgres"))
    with serve(create_app(there, settings=settings, clock=lambda: NOW)) as running:
        yield running


def table_of(content: bytes) -> tuple[pa.Table, dict[bytes, bytes]]:
    """The table in a file and what it says of itself, but for the data version: each store has its own."""
    read = parquet.read_table if content.startswith(b"PAR1") else feather.read_table
    table = read(pa.BufferReader(content))
    about = {key: text for key, text in table.schema.metadata.items() if key != b"data_version"}
    return table.replace_schema_metadata(None), about


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_gives_what_sqlite_gives(there: Store, client: TestClient, tmp_path: Path, address: str) -> None:
    app = create_app(there, settings=Settings(data_dir=tmp_path), clock=lambda: NOW)
    here, elsewhere = client.get(address), TestClient(app).get(address)
    assert elsewhere.status_code == here.status_code
    assert elsewhere.headers["content-type"] == here.headers["content-type"]
    if "apache" in here.headers["content-type"]:
        assert table_of(elsewhere.content) == table_of(here.content)
    elif here.is_success:
        assert elsewhere.content == here.content
    else:
        assert elsewhere.json()["detail"] == here.json()["detail"]


def test_the_client_reads_the_server_and_the_database_itself(there: Store, served_there: Live) -> None:
    for where in (served_there.url, there.url):
        with Client(where) as client:
            levels = client.levels("deai", interval="1h")
            np.testing.assert_array_equal(levels.index.tz_localize(None).to_numpy().astype(np.int64), instants())
            assert client.latest("deai").level == levels["level"].iloc[-1]
            assert client.beta("deai", "QQQ", sessions=60)["beta"].item() == pytest.approx(1.5, abs=0.1)
            with pytest.raises(NotFoundError, match=r'No index "deia"\. Did you mean "deai"'):
                client.latest("deia")


def test_pages_are_cut_from_memory_there_too(served_there: Live) -> None:
    with Client(served_there.url) as client:
        pages = [client.levels("deai", interval="1h", start=f"2024-0{month}-01")["level"] for month in (1, 1, 2, 3)]
    assert [len(page) for page in pages] == [HOURS + 1 - 24 * days for days in (0, 0, 31, 60)]
    np.testing.assert_array_equal(pages[3], pages[0][24 * 60 :])


def test_a_level_written_by_another_process_is_streamed(postgres: str, tmp_path: Path) -> None:
    writer = open_store(new_database(postgres, migrated=True))
    seed(writer)
    reader = open_store(writer.url)
    app = create_app(reader, settings=Settings(data_dir=tmp_path), clock=lambda: NOW)
    with serve(app) as running, Client(running.url) as client:
        stream = client.stream("deai")
        assert next(stream).level < 1000.0
        publish(writer, 1234.5)
        assert next(islice(stream, 1)).level == 1234.5
        assert client.latest("deai").level == 1234.5
    for store in (reader, writer):
        store.close()
