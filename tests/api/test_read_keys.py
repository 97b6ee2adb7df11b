"""`DEAI_READ_KEYS`: reads need a key, kept answers included, from this machine too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from live_server import serve
from seeded import NOW
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from api.app import create_app
from api.middleware.keys import KeyRing, Scope
from indexer import Client
from indexer.config import Settings
from indexer.errors import SourceRefused
from indexer.store.db import Store

LATEST = "/v1/indices/deai/latest"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, read_keys=True)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys.json")


@pytest.fixture
def remote(store: Store, settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(store, settings=settings, clock=lambda: NOW), client=("198.51.100.7", 5000)) as client:
        yield client  # with its watcher, so that answers are kept


def test_without_a_key_nothing_is_read(remote: TestClient) -> None:
    for path in (LATEST, "/v1/indices", "/charts/deai.svg", "/badge/deai.svg", "/embed/deai", "/", "/no/such/thing"):
        refused = remote.get(path)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized"), path
        assert refused.headers["www-authenticate"] == 'Bearer realm="deai"'
        assert refused.headers["cache-control"] == "no-store"
    assert remote.get(LATEST).json()["detail"] == "Reads need a key here: `deai keys create NAME` makes one"


def test_a_key_opens_reads_by_header_and_by_address(remote: TestClient, ring: KeyRing) -> None:
    reader, text = ring.create("reader", (Scope.READ,), now=NOW)
    _, admin = ring.create("admin", (Scope.ADMIN,), now=NOW)
    for _ in range(3):  # the second time from the kept answers
        assert remote.get(LATEST, headers={"authorization": f"Bearer {text}"}).status_code == 200
        assert remote.get(LATEST, headers={"x-api-key": admin}).status_code == 200
        assert remote.get(f"{LATEST}?api_key={text}").status_code == 200
        assert remote.get(LATEST).status_code == 401
    ring.revoke(reader.prefix, now=NOW)
    refused = remote.get(LATEST, headers={"authorization": f"Bearer {text}"})
    assert refused.json()["detail"] == "This key is unknown, revoked or expired"


def test_caches_that_others_share_are_told_to_keep_nothing(remote: TestClient, ring: KeyRing, store: Store) -> None:
    _, text = ring.create("reader", (Scope.READ,), now=NOW)
    for _ in range(2):
        kept = remote.get(LATEST, headers={"x-api-key": text}).headers["cache-control"]
        assert kept.startswith("private")
    assert TestClient(create_app(store)).get(LATEST).headers["cache-control"].startswith("public")


def test_what_is_open_stays_open(remote: TestClient) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/problems/unauthorized"):
        assert remote.get(path).status_code == 200, path
    asked = {"origin": "https://a.example", "access-control-request-method": "GET"}
    assert remote.options(LATEST, headers=asked).status_code == 200


def test_a_key_may_stand_where_clients_of_coingecko_put_theirs(remote: TestClient, ring: KeyRing) -> None:
    _, text = ring.create("portfolio", (Scope.READ,), now=NOW)
    price = "/api/v3/simple/price?ids=deai&vs_currencies=usd"
    assert remote.get(price).status_code == 401
    assert remote.get(price, headers={"x-cg-pro-api-key": text}).status_code == 200
    assert remote.get(f"{price}&x_cg_demo_api_key={text}").status_code == 200


def test_from_this_machine_too(store: Store, settings: Settings, ring: KeyRing) -> None:
    app = create_app(store, settings=settings, clock=lambda: NOW)
    home = TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5000))
    assert home.get(LATEST).status_code == 401
    ring.make_owner()
    assert home.get(LATEST, headers={"x-api-key": ring.owner_path.read_text()}).status_code == 200


def test_below_a_path_too(store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, read_keys=True, root_path="/deai")
    client = TestClient(create_app(store, settings=settings, clock=lambda: NOW), client=("198.51.100.7", 5000))
    assert client.get(f"/deai{LATEST}").status_code == 401
    assert client.get("/deai/healthz").status_code == 200


def test_over_a_socket_with_the_client_and_by_web_socket(store: Store, settings: Settings, ring: KeyRing) -> None:
    _, text = ring.create("reader", (Scope.READ,), now=NOW)
    with serve(create_app(store, settings=settings, clock=lambda: NOW)) as running:
        with Client(running.url, key=text) as own:
            assert own.latest("deai").index == "deai"
        with Client(running.url, key=f"{text}x") as wrong, pytest.raises(SourceRefused, match="unknown, revoked"):
            wrong.latest("deai")
        address = f"ws://127.0.0.1:{running.port}/v1/indices/deai/ws"
        with connect(f"{address}?api_key={text}") as socket:
            assert "level" in str(socket.recv(timeout=10))
        with (
            connect(address) as socket,
            pytest.raises(ConnectionClosedError, match="Reads need a key here"),
        ):
            socket.recv(timeout=10)
