"""The modules of the package: those of indexer/client and what they stand on, under the name `deai_client`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULES = {
    **{f"indexer.client.{name}": name for name in ("asking", "blocking", "frames", "models", "reading")},
    **{f"indexer.{name}": name for name in ("arrays", "errors", "times")},
}
NAME = re.compile(rf"\b({'|'.join(map(re.escape, MODULES))}|indexer\.client(?= import))\b")
INIT = '''"""The client of a DeAI Index server."""

from deai_client.asking import Patience
from deai_client.blocking import Client
from deai_client.errors import DeaiError
from deai_client.reading import AsyncClient

__all__ = ["AsyncClient", "Client", "DeaiError", "Patience"]
'''


def renamed(text: str) -> str:
    """A module's text, which takes what it needs from this package, and nothing of chains."""
    own = NAME.sub(lambda place: f"deai_client.{MODULES.get(place[1], '')}".rstrip("."), text)
    return re.sub(r"^from onchain\..*\n", "", own, flags=re.MULTILINE)


class CustomBuildHook(BuildHookInterface[Any]):
    """Writes the renamed modules beside the wheel and has them taken into it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        top, folder = Path(self.root).parents[1], Path(self.directory) / "deai_client"
        folder.mkdir(parents=True, exist_ok=True)
        files = {"__init__.py": INIT, "py.typed": ""}
        files["units.toml"] = (top / "indexer" / "client" / "units.toml").read_text("utf-8")
        for path, name in MODULES.items():
            files[f"{name}.py"] = renamed((top / f"{path.replace('.', '/')}.py").read_text("utf-8"))
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        build_data["force_include"] |= {str(folder): "deai_client", str(top / "LICENSE"): "deai_client/LICENSE"}
