"""Signing in where reads need a key: the form, the cookie and what it opens; keys that only show embeds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from browser import chromium
from fastapi.testclient import TestClient
from live_server import serve
from seeded import NOW

from api.app import create_app
from api.middleware.access import COOKIE
from api.middleware.keys import KeyRing, Scope
from indexer.config import Settings
from indexer.store.db import Store

LATEST = "/v1/indices/deai/latest"
ELSEWHERE = "index.example"
BROWSER = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys.json")


@pytest.fixture
def now() -> list[datetime]:
    return [NOW]


@pytest.fixture
def remote(store: Store, tmp_path: Path, now: list[datetime]) -> Iterator[TestClient]:
    """A browser elsewhere, over TLS, that follows no redirect by itself."""
    settings = Settings(data_dir=tmp_path, read_keys=True, admin_key="of the settings")  # type: ignore[arg-type]  # pydantic makes it secret
    app = create_app(store, settings=settings, clock=lambda: now[0])
    yield TestClient(app, base_url="https://index.example", client=("198.51.100.7", 1), follow_redirects=False)


def sign_in(remote: TestClient, key: str, *, wanted: str = "/") -> str:
    answer = remote.post("/sign-in", data={"key": key, "next": wanted})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def test_a_browser_is_led_to_the_form_and_back(remote: TestClient, ring: KeyRing) -> None:
    _, text = ring.create("reader", (Scope.READ,), now=NOW)
    refused = remote.get("/indices/deai?a=1", headers=BROWSER)
    assert (refused.status_code, refused.headers["cache-control"]) == (303, "no-store")
    form = remote.get(refused.headers["location"])
    assert (form.status_code, form.headers["cache-control"]) == (200, "no-store")
    assert 'name="next" value="/indices/deai?a=1"' in form.text
    assert sign_in(remote, f" {text} ", wanted="/indices/deai?a=1") == "/indices/deai?a=1"
    assert "Sign out" in remote.get("/", headers=BROWSER).text
    assert remote.get(LATEST).json()["level"] > 0
    assert remote.get(LATEST).headers["cache-control"].startswith("private")
    assert remote.post("/sign-out").headers["location"] == "/sign-in"
    assert remote.get(LATEST).status_code == 401
    for page in ("/", "/indices", "/assets/tao", "/events/deepseek"):
        assert remote.get(page, headers=BROWSER).status_code == 303, page


def test_the_cookie_is_guarded_and_tells_nothing(remote: TestClient, ring: KeyRing) -> None:
    _, text = ring.create("reader", (Scope.READ,), now=NOW, expires_at=NOW + timedelta(days=2))
    cookie = remote.post("/sign-in", data={"key": text}).headers["set-cookie"]
    for guard in ("HttpOnly", "Secure", "SameSite=lax", "Path=/", f"Max-Age={2 * 86_400}"):
        assert guard in cookie
    assert text[-43:] not in cookie


def test_programs_and_data_are_refused_as_before(remote: TestClient) -> None:
    for path, headers in (("/", {}), (LATEST, BROWSER), ("/embed/deai", BROWSER), ("/v1/none", BROWSER)):
        assert remote.get(path, headers=headers).status_code == 401, path


@pytest.mark.parametrize(
    ("key", "said"),
    [("", "unknown, revoked or expired"), ("deai_x", "unknown, revoked or expired"), ("<b>", "unknown, revoked")],
)
def test_a_key_that_is_not_good_is_told(remote: TestClient, key: str, said: str) -> None:
    answer = remote.post("/sign-in", data={"key": key, "next": "/indices/deai"})
    assert answer.status_code == 401
    assert said in answer.text
    assert "<b>" not in answer.text
    assert 'value="/indices/deai"' in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nb: c", "x"])
def test_it_leads_nowhere_else(remote: TestClient, ring: KeyRing, wanted: str) -> None:
    _, text = ring.create("reader", (Scope.READ,), now=NOW)
    assert sign_in(remote, text, wanted=wanted) == "/"


def test_it_ends_with_the_key_and_with_time(remote: TestClient, ring: KeyRing, now: list[datetime]) -> None:
    key, text = ring.create("reader", (Scope.READ,), now=NOW)
    sign_in(remote, text)
    value = remote.cookies[COOKIE]
    remote.cookies.clear()

    def status(cookie: str) -> int:
        return remote.get(LATEST, headers={"cookie": f"{COOKIE}={cookie}"}).status_code

    prefix, seconds, signature = value.split(".")
    assert status(value) == 200
    assert status(f"{prefix}.{int(seconds) + 1}.{signature}") == 401
    assert status(f"{prefix}.{seconds}.{'0' * 64}") == 401
    assert status(f"settings.{seconds}.{signature}") == 401
    now[0] = NOW + timedelta(days=29)
    assert status(value) == 200
    now[0] = NOW + timedelta(days=30)
    assert status(value) == 401
    now[0] = NOW
    ring.revoke(key.prefix, now=NOW)
    assert status(value) == 401


def test_the_cookie_only_reads_and_only_for_our_own_pages(remote: TestClient) -> None:
    sign_in(remote, "of the settings")
    assert remote.get(LATEST).status_code == 200
    assert remote.get("/v1/admin/runs").status_code == 401
    assert remote.get(LATEST, headers={"origin": "https://index.example"}).status_code == 200
    assert remote.get(LATEST, headers={"origin": "https://evil.example"}).status_code == 401


def test_a_key_for_embeds_shows_embeds_and_nothing_more(remote: TestClient, ring: KeyRing) -> None:
    key, text = ring.create("my site", (Scope.EMBED,), now=NOW)
    for path in (
        "/embed/deai",
        "/badge/deai.svg",
        "/badge/deai.json",
        "/charts/deai.svg",
        LATEST,
    ):
        assert remote.get(path, params={"api_key": text}).status_code == 200, path
    for path in ("/", "/v1/indices", "/v1/indices/deai/levels", "/v1/indices/deai/constituents"):
        refused = remote.get(path, params={"api_key": text})
        assert (refused.status_code, refused.json()["detail"]) == (401, f"The key {key.prefix} lacks the scope read")
    assert remote.post("/sign-in", data={"key": text}).status_code == 401
    assert f'data-key="{text}"' in remote.get("/embed/deai", params={"api_key": text}).text
    shown = remote.get("/oembed", params={"url": "/indices/deai", "api_key": text}).json()
    assert f"/embed/deai?api_key={text}" in shown["html"]
    assert shown["thumbnail_url"].endswith(f"?api_key={text}")


def test_below_a_path_the_cookie_stays_below_it(store: Store, tmp_path: Path, ring: KeyRing) -> None:
    settings = Settings(data_dir=tmp_path, read_keys=True, root_path="/deai")
    app = create_app(store, settings=settings, clock=lambda: NOW)
    remote = TestClient(app, base_url="http://index.example", client=("198.51.100.7", 1), follow_redirects=False)
    _, text = ring.create("reader", (Scope.READ,), now=NOW)
    assert remote.get("/deai/", headers=BROWSER).headers["location"] == "/deai/sign-in?next=%2Fdeai%2F"
    answer = remote.post("/deai/sign-in", data={"key": text, "next": "/elsewhere"})
    assert answer.headers["location"] == "/deai/"
    assert "Path=/deai/" in answer.headers["set-cookie"]
    assert "Secure" not in answer.headers["set-cookie"]
    assert remote.get(f"/deai{LATEST}").status_code == 200


@pytest.mark.browser
def test_where_reads_need_a_key_one_signs_in_once(store: Store, tmp_path: Path) -> None:
    """From a name that is not this machine's own, which the browser is told to find here."""
    ring = KeyRing(tmp_path / "keys.json")
    reader, text = ring.create("reader", (Scope.READ,), now=NOW)
    _, shown = ring.create("a site", (Scope.EMBED,), now=NOW)
    app = create_app(store, settings=Settings(data_dir=tmp_path, read_keys=True), clock=lambda: NOW)
    rule = f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"
    with serve(app) as running, chromium(tmp_path / "chromium", rule) as browser:
        base = f"http://{ELSEWHERE}:{running.port}"
        browser.open(f"{base}/indices/deai")
        assert browser.run("return location.pathname") == "/sign-in"
        assert browser.run("return document.activeElement.id") == "key"
        assert browser.accessibility() == []
        browser.shot("sign-in")
        enter = "document.getElementById('key').value = arguments[0]; document.querySelector('form').requestSubmit()"
        browser.run(enter, "not a key")
        browser.wait("return document.querySelector('[role=alert]')")
        browser.complaints()  # the 401 itself
        browser.run(enter, text)
        browser.wait("return document.querySelector('#rolling path.band')")
        assert browser.run("return location.pathname") == "/indices/deai"
        assert browser.run("return document.cookie") == "", "scripts cannot see it"
        assert browser.run("return document.querySelectorAll('#constituents tbody tr').length") == 4
        browser.run("document.querySelector('form[action=sign-out] button').click()")
        browser.wait("return location.pathname === '/sign-in' && document.body.dataset.ready")
        assert browser.complaints() == []
        browser.driver.get(f"{base}/embed/deai?api_key={shown}")
        browser.wait("return document.querySelector('#chart svg')")
        ring.revoke(reader.prefix, now=NOW)
        assert browser.run("return document.body.dataset.key") == shown
        assert browser.complaints() == []
        assert browser.hosts() == {f"{ELSEWHERE}:{running.port}"}
