"""Behind the real nginx: as documented, and as people write it first. Nobody becomes the owner by it."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from live_server import serve
from seeded import NOW
from websockets.sync.client import connect

from api.app import create_app
from api.middleware.keys import KeyRing, Scope
from api.middleware.limits import Limits
from indexer.client.browser import examine_url
from indexer.config import Settings
from indexer.store.db import Store

RUNS, LATEST = "/v1/admin/runs", "/v1/indices/deai/latest"
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
DOCUMENTED = re.findall(r"```nginx\n(.*?)```", OPERATIONS.read_text(encoding="utf-8"), re.DOTALL)[0]
NAIVE = "server { listen 80; location / { proxy_pass http://127.0.0.1:8000; } }"
WITH_HOST = NAIVE.replace("location / {", "location / { proxy_set_header Host $host;")
CONF = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {server}
}}
"""


@contextmanager
def nginx(folder: Path, server: str, *, upstream: int) -> Iterator[int]:
    """The real nginx before a server of ours; the port it listens on. Skips loudly where it is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("no nginx on this machine: apt-get install nginx-light")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = server.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}").replace("listen 80", f"listen 127.0.0.1:{port}")
    conf = folder / f"nginx-{port}.conf"
    conf.write_text(CONF.format(folder=folder, server=server))
    with subprocess.Popen([program, "-p", folder, "-c", conf], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(10_000):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
            yield port
        finally:
            process.terminate()


def ask(port: int, path: str, *, source: str = "127.0.0.1", method: str = "GET", **headers: str) -> int:
    """The status of one request from an address of this machine."""
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(source, 0))) as connection:
        connection.request(method, path, headers=sent)
        with connection.getresponse() as answer:
            answer.read()
            return answer.status


@pytest.mark.parametrize("server", [NAIVE, WITH_HOST, DOCUMENTED], ids=["naive", "with host", "documented"])
def test_nobody_is_the_owner_by_a_proxy(store: Store, tmp_path: Path, server: str) -> None:
    settings = Settings(data_dir=tmp_path, read_keys=True, admin_key="secret")  # type: ignore[arg-type]  # made secret
    KeyRing(tmp_path / "keys.json").make_owner()
    with (
        serve(create_app(store, settings=settings, clock=lambda: NOW)) as running,
        nginx(tmp_path, server, upstream=running.port) as port,
    ):
        for headers in ({}, {"Host": "127.0.0.1"}, {"X_Forwarded_For": "127.0.0.1"}, {"Origin": "http://127.0.0.1"}):
            assert ask(port, RUNS, **headers) == 401
            assert ask(port, LATEST, **headers) == 401
            assert ask(port, "/v1/admin/cache", method="DELETE", **headers) == 401
        token = (tmp_path / "owner.token").read_text()
        assert ask(port, RUNS, Authorization=f"Bearer {token}") == 200


def test_as_documented_each_visitor_is_one_client(store: Store, tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path,
        trusted_proxies="127.0.0.1",  # type: ignore[arg-type]  # split
        allowed_hosts="index.example.org",  # type: ignore[arg-type]  # split
    )
    _, key = KeyRing(tmp_path / "keys.json").create("sheet", (Scope.READ,), now=NOW)
    app = create_app(store, settings=settings, clock=lambda: NOW, limits=Limits(requests=3))
    host = "index.example.org"
    with serve(app) as running, nginx(tmp_path, DOCUMENTED, upstream=running.port) as port:
        assert ask(port, LATEST, Host="evil.example") == 400
        asked = [ask(port, LATEST, source="127.0.0.2", Host=host, X_Forwarded_For=f"1.2.3.{n}") for n in range(5)]
        assert asked == [200, 200, 200, 429, 429]
        assert ask(port, LATEST, source="127.0.0.3", Host=host) == 200
        assert ask(port, f"{LATEST}?api_key={key}", source="127.0.0.2", Host=host) == 200
        line = socket.create_connection(("127.0.0.1", port))
        with connect(f"ws://{host}/v1/indices/deai/ws", sock=line) as frames:
            assert "level" in str(frames.recv(timeout=10))
        with closing(http.client.HTTPConnection("127.0.0.1", port, source_address=("127.0.0.4", 0))) as listener:
            listener.request("GET", "/v1/indices/deai/stream", headers={"Host": host})
            with listener.getresponse() as events:
                assert events.readline() == b"retry: 5000\n"  # not held back by a buffer


BELOW = "server { listen 80; location /deai/ { proxy_pass http://127.0.0.1:8000; } }"
# Takes the path away, adds a header that is there already, and lets no preflight through.
HARMFUL = BELOW.replace("8000;", "8000/;").replace(
    "{ proxy_pass",
    "{ if ($request_method = OPTIONS) { return 405; } add_header Access-Control-Allow-Origin *; proxy_pass",
)


def test_the_doctor_says_what_a_page_of_another_site_stumbles_on(store: Store, tmp_path: Path) -> None:
    def failing(url: str) -> dict[str, str]:
        checks = examine_url(url, origin="https://pro.openbb.co")
        return {check.name: check.detail for check in checks if not check.holds}

    below = create_app(store, settings=Settings(data_dir=tmp_path, root_path="/deai"), clock=lambda: NOW)
    with serve(below) as running, nginx(tmp_path, BELOW, upstream=running.port) as port:
        assert failing(f"http://127.0.0.1:{port}/deai/") == {}
    with socket.socket() as deaf:  # a port of ours on which nothing listens: nothing else is asked
        deaf.bind(("127.0.0.1", 0))
        assert list(failing(f"http://127.0.0.1:{deaf.getsockname()[1]}")) == ["reached"]
    plain = create_app(store, settings=Settings(data_dir=tmp_path), clock=lambda: NOW)
    with serve(plain) as running, nginx(tmp_path, HARMFUL, upstream=running.port) as port:
        trouble = failing(f"http://127.0.0.1:{port}/deai")
    assert list(trouble) == ["CORS", "preflight", "sub-path"]
    assert "twice" in trouble["CORS"]
    assert "405" in trouble["preflight"]
    assert "DEAI_ROOT_PATH=/deai" in trouble["sub-path"]
