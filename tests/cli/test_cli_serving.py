"""The processes that stay, over a real socket: they answer at once, offer the demo, and stop at once."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Running:
    """A `deai` process that serves."""

    def __init__(self, folder, *arguments):
        self.port = free_port()
        env = {
            "DEAI_DATA_DIR": str(folder),
            "PATH": os.environ["PATH"],
            "DEAI_SOURCE_BASE_URL": f"http://127.0.0.1:{free_port()}",  # nobody there: no source can be reached
        }
        command = [sys.executable, "-c", "from indexer.cli import main; main()", *arguments, "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def get(self, path, *, seconds=120.0, status=200):
        """The body once the path answers with the status."""
        until = time.monotonic() + seconds
        last = "no answer"
        while time.monotonic() < until:
            assert self.process.poll() is None, self.process.stderr.read()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                    if answer.status == status:
                        return answer.read()
            except urllib.error.HTTPError as error:
                last = str(error)
            except OSError as error:
                last = str(error)
            time.sleep(0.02)
        raise AssertionError(f"{path}: {last}")

    def stop(self, *, seconds=90):
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err


@pytest.fixture
def running():
    started = []

    def start(*arguments):
        started.append(Running(*arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def test_up_without_any_source_serves_the_empty_index_and_the_simulated_market_beside_it(tmp_path, running):
    up = running(tmp_path, "up", "--json")
    assert json.loads(up.get("/healthz"))["status"] == "ok"
    assert json.loads(up.get("/v1/indices"))["data"] == []
    beside = json.loads(up.get("/demo/v1/indices"))["data"]
    assert [(one["id"], one["simulated"]) for one in beside] == [("demo", True)]
    latest = json.loads(up.get("/demo/v1/indices/demo/latest"))
    assert latest["simulated"] is True
    assert b"imulated" in up.get("/demo/")
    code, out, _ = up.stop()
    assert code in (0, 130)
    assert "SIMULATED" in json.loads(out.splitlines()[2])["event"]


def test_a_server_with_an_open_stream_stops_and_waits_for_no_listener(tmp_path, running):
    demo = running(tmp_path, "demo")
    demo.get("/v1/indices/demo/latest")
    with socket.create_connection(("127.0.0.1", demo.port), timeout=10) as listener:
        listener.sendall(
            b"GET /v1/indices/demo/stream HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        )
        assert b"200" in listener.recv(4096)
        code, _, err = demo.stop()
        assert code in (0, 130)
        assert "Traceback" not in err


def test_serve_changes_nothing_in_the_store(tmp_path, running):
    serve = running(tmp_path, "serve")
    assert json.loads(serve.get("/v1/indices"))["data"] == []
    code, _, _ = serve.stop()
    assert code in (0, 130)


def test_a_taken_port_is_said_before_anything_else(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        program = "from indexer.cli import main; main()"
        command = [sys.executable, "-c", program, "up", "--port", port, "--import", str(tmp_path / "none.csv")]
        env = {"DEAI_DATA_DIR": str(tmp_path / "data"), "PATH": os.environ["PATH"]}
        ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 6
    assert f"port {port} at 127.0.0.1 is taken" in ended.stderr
    assert not (tmp_path / "data").exists()
