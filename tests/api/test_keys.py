"""Keys and who may administer: hashes only, scopes, revocation, quotas, and no trust in what merely looks local."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from seeded import NOW
from starlette.websockets import WebSocketDisconnect

from api.app import create_app
from api.middleware.keys import KeyRing, Scope
from api.middleware.limits import Limits, RateLimiter, Verdict
from indexer.config import Settings
from indexer.errors import ConfigError, InputError, NotFoundError
from indexer.store.db import Store

RUNS = "/v1/admin/runs"
HOME = ("127.0.0.1", 5000)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys.json")


@pytest.fixture
def remote(store: Store, tmp_path: Path, ring: KeyRing) -> Iterator[TestClient]:
    """A client from another machine."""
    app = create_app(store, settings=Settings(data_dir=tmp_path), clock=lambda: NOW)
    yield TestClient(app, client=("198.51.100.7", 5000))


def near(store: Store, tmp_path: Path, **headers: str) -> TestClient:
    app = create_app(store, settings=Settings(data_dir=tmp_path), clock=lambda: NOW)
    return TestClient(app, base_url="http://127.0.0.1:8000", client=HOME, headers=headers)


def test_a_key_is_found_by_its_text_and_kept_as_a_hash(ring: KeyRing) -> None:
    key, text = ring.create("sheet", (Scope.READ,), now=NOW)
    assert ring.find(text, now=NOW) == key
    assert text.startswith(f"deai_{key.prefix}_")
    kept = ring.path.read_text()
    assert text.rsplit("_", 1)[1] not in kept
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600
    for wrong in (text[:-1], text[:-1] + "x" * 2, "", "deai__", text.replace(key.prefix, "0" * 12), "é" * 20):
        assert ring.find(wrong, now=NOW) is None


def test_keys_expire_and_are_revoked_without_a_restart(ring: KeyRing) -> None:
    key, text = ring.create("short", (Scope.ADMIN,), now=NOW, expires_at=NOW + timedelta(days=1))
    assert ring.find(text, now=NOW + timedelta(hours=23))
    assert ring.find(text, now=NOW + timedelta(hours=25)) is None
    KeyRing(ring.path).revoke(key.prefix, now=NOW)
    assert ring.find(text, now=NOW) is None
    assert [one.revoked_at for one in ring.all()] == [NOW.isoformat()]


def test_mistakes_are_named(ring: KeyRing) -> None:
    key, _ = ring.create("a", (Scope.READ,), now=NOW)
    with pytest.raises(NotFoundError, match=f'No key "{key.prefix[:-1]}". Did you mean "{key.prefix}"'):
        ring.revoke(key.prefix[:-1], now=NOW)
    with pytest.raises(InputError, match="needs a name and at least one scope of embed, read, admin"):
        ring.create(" ", (Scope.READ,), now=NOW)
    with pytest.raises(InputError, match="would have expired already"):
        ring.create("b", (Scope.READ,), now=NOW, expires_at=NOW)
    ring.path.write_text("{}broken")
    with pytest.raises(ConfigError, match="is not a file of keys"):
        ring.all()


def test_from_elsewhere_admin_needs_a_key_with_the_scope(remote: TestClient, ring: KeyRing) -> None:
    refused = remote.get(RUNS)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    assert refused.headers["www-authenticate"] == 'Bearer realm="deai"'
    assert "deai keys create NAME --scope admin" in refused.json()["detail"]
    reader, read_text = ring.create("reader", (Scope.READ,), now=NOW)
    forbidden = remote.get(RUNS, headers={"x-api-key": read_text})
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
    assert forbidden.json()["detail"] == f"The key {reader.prefix} lacks the scope admin; it has read"
    admin, text = ring.create("operator", (Scope.ADMIN,), now=NOW)
    answer = remote.get(RUNS, headers={"authorization": f"Bearer {text}"})
    assert answer.json()["data"][0]["kind"] == "test"
    assert remote.delete("/v1/admin/cache", headers={"x-api-key": text}).json()["by"] == admin.prefix
    assert remote.get(RUNS, headers={"x-api-key": text + "x"}).status_code == 401
    ring.revoke(admin.prefix, now=NOW)
    assert remote.get(RUNS, headers={"x-api-key": text}).status_code == 401


def test_reads_need_no_key(remote: TestClient) -> None:
    assert remote.get("/v1/indices/deai/latest").status_code == 200


def test_nobody_is_the_owner_by_an_address(store: Store, tmp_path: Path) -> None:
    for headers in (
        {},
        {"origin": "http://127.0.0.1:8000"},
        {"x-forwarded-for": "127.0.0.1"},
        {"host": "evil.example"},
    ):
        assert near(store, tmp_path, **headers).get(RUNS).status_code == 401
        assert near(store, tmp_path, **headers).delete("/v1/admin/cache").status_code == 401


def test_the_owner_is_who_can_read_the_token(remote: TestClient, ring: KeyRing) -> None:
    assert remote.get(RUNS, headers={"x-api-key": "deai_owner_x"}).status_code == 401
    ring.make_owner()
    text = ring.owner_path.read_text()
    ring.make_owner()
    assert (ring.owner_path.read_text(), stat.S_IMODE(ring.owner_path.stat().st_mode)) == (text, 0o600)
    assert [path.name for path in ring.path.parent.iterdir()] == ["owner.token"]
    assert remote.delete("/v1/admin/cache", headers={"x-api-key": text}).json()["by"] == "owner"
    for wrong in (text[:-1], f"{text}x", "deai_owner_", ""):
        assert remote.get(RUNS, headers={"x-api-key": wrong}).status_code == 401


def test_a_link_makes_one_browser_the_owners_once(store: Store, tmp_path: Path, ring: KeyRing) -> None:
    app = create_app(store, settings=Settings(data_dir=tmp_path, read_keys=True), clock=lambda: NOW)
    first, second = (TestClient(app, client=("198.51.100.7", 1), follow_redirects=False) for _ in range(2))
    void, secret = ring.new_link(), ring.new_link()
    assert first.get(f"/owner?link={void}").status_code == 401
    opened = first.get(f"/owner?link={secret}")
    assert (opened.status_code, opened.headers["location"], opened.headers["cache-control"]) == (303, "/", "no-store")
    assert "HttpOnly; Max-Age=2592000; Path=/; SameSite=lax" in opened.headers["set-cookie"]
    assert [path.status_code for path in (first.get(RUNS), first.get("/files"), first.get("/"))] == [200] * 3
    for origin in ("https://evil.example", "null"):
        assert first.get(RUNS, headers={"origin": origin}).status_code == 401
        assert first.post("/files/explain?name=x", headers={"origin": origin}).status_code == 401
    assert second.get(f"/owner?link={secret}").status_code == 401
    late = ring.new_link()
    os.utime(tmp_path / "owner.link", (NOW.timestamp() - 3601,) * 2)
    assert second.get(f"/owner?link={late}").status_code == 401
    ring.owner_path.unlink()  # taken back: another token is made at the next start
    ring.make_owner()
    assert first.get(RUNS).status_code == 401


def test_only_names_of_its_own_are_answered(store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, allowed_hosts="index.example, [::1]")  # type: ignore[arg-type]  # split
    client = TestClient(create_app(store, settings=settings, clock=lambda: NOW))
    hosts = {
        "index.example": 200,
        "INDEX.example:8000": 200,
        "[::1]:80": 200,
        "evil.example": 400,
        "[bad": 400,
        "": 400,
    }
    for host, status in hosts.items():
        assert client.get("/v1/indices", headers={"host": host}).status_code == status, host
    assert client.get("/v1/indices", headers={"host": "127.0.0.1"}).json()["code"] == "bad_request"
    assert client.get("/healthz", headers={"host": "127.0.0.1"}).status_code == 200
    below = create_app(store, settings=settings.model_copy(update={"root_path": "/deai"}), clock=lambda: NOW)
    assert TestClient(below).get("/deai/healthz", headers={"host": "127.0.0.1"}).status_code == 200
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/v1/indices/deai/ws"):
        pass


def test_the_key_of_the_settings_works(store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, admin_key="a long enough secret")  # type: ignore[arg-type]  # pydantic makes it secret
    client = TestClient(create_app(store, settings=settings, clock=lambda: NOW), client=("198.51.100.7", 1))
    assert client.get(RUNS, headers={"x-api-key": "a long enough secret"}).status_code == 200
    assert client.get(RUNS, headers={"x-api-key": "another"}).status_code == 401


def test_a_key_has_a_quota_of_its_own(ring: KeyRing) -> None:
    limiter = RateLimiter(Limits(requests=5), keys=ring, clock=lambda: NOW, monotonic=lambda: 0.0)
    _, text = ring.create("small", (Scope.READ,), now=NOW, requests_per_minute=2)

    def asked(client: str, *headers: tuple[bytes, bytes], query: str = "") -> Verdict:
        address = {"query_string": query.encode(), "path": "/", "server": ("h", 80), "scheme": "http"}
        return limiter.judge({"type": "http", "client": (client, 1), "headers": list(headers), **address})

    ways = [
        asked("127.0.0.1", (b"authorization", f"bearer {text}".encode())),
        asked("198.51.100.7", query=f"last=5&api_key={text}"),
        asked("198.51.100.8", (b"x-api-key", text.encode())),
        asked("198.51.100.8", (b"authorization", f"BEARER  {text}".encode())),
    ]
    assert [verdict.allowed for verdict in ways] == [True, True, False, False]
    assert {dict(verdict.headers)[b"ratelimit-policy"] for verdict in ways} == {b'"default";q=2;w=60'}
    assert asked("127.0.0.1").allowed
    assert [asked("198.51.100.7").allowed for _ in range(6)] == [True] * 5 + [False]


def test_tokens_come_back_evenly_and_clients_are_forgotten() -> None:
    now = [0.0]
    limiter = RateLimiter(Limits(requests=60, window_s=60, clients=3), monotonic=lambda: now[0])
    for _ in range(60):
        assert limiter.take("a").allowed
    refused = limiter.take("a")
    assert (refused.allowed, refused.retry_after_s) == (False, 1)
    now[0] = 2.5
    assert [limiter.take("a").allowed for _ in range(3)] == [True, True, False]
    for client in "bcd":
        limiter.take(client)
    assert list(limiter.buckets) == ["b", "c", "d"]


def test_the_file_of_keys_is_plain_json(ring: KeyRing) -> None:
    ring.create("one", (Scope.READ, Scope.ADMIN), now=NOW)
    (row,) = json.loads(ring.path.read_text())
    assert row["scopes"] == ["read", "admin"]
    assert len(row["hash"]) == 64
