"""The light package: built of the client's own modules, installed from its file without the server, it reads one."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from generated_tools import python_tools, run
from live_server import Live

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, importlib.util, sys
import deai_client
from deai_client.errors import NotFoundError
from deai_client.models import Latest

server = ("indexer", "api", "onchain", "fastapi", "sqlalchemy", "web3", "scipy")
assert not [name for name in server if importlib.util.find_spec(name)]

async def awaiting():
    async with deai_client.AsyncClient(sys.argv[1]) as client:
        return await client.latest()

with deai_client.Client(sys.argv[1]) as client:
    latest = client.latest()
    assert isinstance(latest, Latest) and latest == asyncio.run(awaiting())
    levels = client.levels(interval="1h")
    assert levels["level"].iloc[-1] == latest.level and str(levels.index.tz) == "UTC"
    assert client.beta(sessions=60)["n"].item() == 60
    assert len(client.drawdowns(min_depth=0.2)) and next(client.stream()).level == latest.level
    try:
        client.latest("deia")
    except NotFoundError as error:
        print(error)
"""


def requirements(file: Path) -> set[str]:
    return set(tomllib.loads(file.read_text("utf-8"))["project"]["dependencies"])


@pytest.mark.generated
def test_the_client_alone_is_built_installed_and_reads_a_server(served: Live, tmp_path: Path) -> None:
    needs = requirements(ROOT / "packages" / "pip" / "pyproject.toml")
    assert needs < requirements(ROOT / "pyproject.toml"), "it asks for what the whole asks for, and for less"
    programs = python_tools(*sorted(needs))
    run([sys.executable, ROOT / "packages" / "build.py", tmp_path, "--only", "pip"], folder=tmp_path)
    (wheel,) = tmp_path.glob("deai_index_client-*.whl")
    python = [programs / "python"]
    run(
        [*python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", "site", wheel],
        folder=tmp_path,
    )
    program = f"import sys; sys.path.insert(0, 'site')\n{PROGRAM}"
    assert run([*python, "-I", "-W", "error", "-c", program, served.url], folder=tmp_path).startswith('No index "deia"')
