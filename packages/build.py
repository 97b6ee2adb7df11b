"""Builds the packages of the client: a wheel for pip and a tarball for npm, in the folder that is named.

`python packages/build.py build/packages`, from anywhere; npm fetches its one tool, unless `--tools` has it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
TOP = HERE.parent
# Beside what is in packages/npm: files of the repository under the names that they have in the package.
TAKEN = {"api/web/static/widget.js": "element.js", "LICENSE": "LICENSE"}


def build_wheel(out: Path) -> None:
    """Leaves deai_index_client-….whl in the folder."""
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out.resolve()), folder=HERE / "pip")


def build_tarball(out: Path, *, tools: Path | None = None) -> None:
    """Leaves deai-index-….tgz in the folder; `tools` is a node_modules with openapi-typescript."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "npm"
        shutil.copytree(HERE / "npm", folder)
        for source, name in TAKEN.items():
            shutil.copy(TOP / source, folder / name)
        package = json.loads((folder / "package.json").read_text("utf-8"))
        package["version"] = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]["version"]
        (folder / "package.json").write_text(json.dumps(package, indent=2), encoding="utf-8")
        (folder / "openapi.json").write_text(json.dumps(description(Path(temporary))), encoding="utf-8")
        if tools is None:
            _run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", folder=folder)
        else:
            (folder / "node_modules").symlink_to(tools.resolve())
        _run("npm", "run", "--silent", "types", folder=folder)
        _run("npm", "pack", "--silent", "--pack-destination", str(out.resolve()), folder=folder)


def description(folder: Path) -> dict[str, object]:
    """The OpenAPI of this program, over an empty store in the folder."""
    sys.path.insert(0, str(TOP))
    from api.app import create_app
    from indexer.config import Settings
    from indexer.store.db import open_store

    with closing(open_store(f"sqlite:///{folder / 'deai.sqlite'}")) as store:
        store.migrate()
        return create_app(store, settings=Settings(data_dir=folder)).openapi()


def _run(*words: str, folder: Path) -> None:
    subprocess.run(words, cwd=folder, check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=["pip", "npm"])
    parser.add_argument("--tools", type=Path, help="a node_modules folder with openapi-typescript")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.only != "npm":
        build_wheel(asked.out)
    if asked.only != "pip":
        build_tarball(asked.out, tools=asked.tools)
