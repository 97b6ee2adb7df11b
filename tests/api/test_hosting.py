"""What compose.yaml starts, as processes from the same settings: PostgreSQL, a scheduler, two servers, a proxy."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml
from seeded import seed
from test_proxy import DOCUMENTED, nginx

from indexer.config import PREFIX, Settings
from indexer.store.db import open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
from postgres_server import new_database, own_server

pytestmark = [pytest.mark.postgres, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
NAME = "index.example.org"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]


def settings_of(service: str) -> dict[str, str]:
    """A service's settings with what its operator is asked for."""
    asked = {"DOMAIN": NAME, "DB_PASSWORD": "secret"}
    return {
        name: re.sub(r"\$\{(\w+)[^}]*\}", lambda match: asked[match[1]], text)
        for name, text in SERVICES[service]["environment"].items()
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_the_container_is_closed_and_knows_every_setting() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for service in ("scheduler", "api"):
        made = SERVICES[service]
        assert (made["read_only"], made["cap_drop"], made["restart"]) == (True, ["ALL"], "unless-stopped")
        assert settings_of(service).keys() <= known
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "\nUSER deai\n" in dockerfile and "HEALTHCHECK" in dockerfile and "--require-hashes" in dockerfile
    assert set(re.findall(r"DEAI_\w+", dockerfile)) <= known


def test_the_topology_works_as_processes(tmp_path: Path) -> None:
    with own_server() as server, ExitStack() as ends:
        url = new_database(server, migrated=True)
        store = open_store(url)
        seed(store)
        store.close()
        place = {"DEAI_DATABASE_URL": url, "DEAI_DATA_DIR": str(tmp_path), "DEAI_SOURCES": "none"}
        env = {**os.environ, **settings_of("api"), **place, "DEAI_HEAD_FILE": str(tmp_path / "deai.head")}
        env["DEAI_TRUSTED_PROXIES"] = "127.0.0.1"

        def start(command: list[str], **more: str) -> subprocess.Popen[str]:
            program = [sys.executable, "-c", "from indexer.cli import main; main()", *command]
            process = subprocess.Popen(program, env=env | more, stdout=subprocess.PIPE, text=True)
            ends.callback(process.communicate)
            ends.callback(process.kill)
            return process

        ports = [free_port() for _ in range(SERVICES["api"]["deploy"]["replicas"])]
        processes = [start(SERVICES["scheduler"]["command"], DEAI_ONCHAIN="false")]
        processes += [start(SERVICES["api"]["command"], DEAI_PORT=str(port)) for port in ports]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline()  # says where it is; from here on it answers or is about to
        upstream = "upstream api { " + " ".join(f"server 127.0.0.1:{port};" for port in ports) + " }\n"
        conf = upstream + DOCUMENTED.replace("127.0.0.1:8000", "api")
        with (
            nginx(tmp_path, conf, upstream=0) as port,
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers={"Host": NAME}, transport=httpx.HTTPTransport(retries=10)
            ) as http,
        ):
            levels = set()
            for _ in range(40):
                answer = http.get("/v1/indices/deai/latest")
                if answer.status_code == 200:
                    levels.add(answer.json()["level"])
            assert len(levels) == 1
            assert http.get("/readyz").json()["store"] == "postgresql"
            assert http.get("/v1/admin/runs").status_code == 401
            processes[1].kill()
            assert [http.get("/v1/indices/deai/latest").status_code for _ in range(6)] == [200] * 6
