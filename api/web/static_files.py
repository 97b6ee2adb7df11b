"""The page's scripts and styles, each one answer: a script carries what it imports, a style what it takes in.

Made from the sources beside it when they are first asked for, without Node; sent compressed, asked again by ETag.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.answers.answer import Answer

FOLDER = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w.]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
UNREAD = re.compile(r"^ *//.*\n|^ +", re.MULTILINE)  # comments of whole lines, indentation
router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
def static_file(name: str) -> Response:
    """A script with all it imports, a style or a picture."""
    if name not in names():
        raise HTTPException(404)
    return Answer(content_of(name), media_type=TYPES[Path(name).suffix], cache_control="no-cache")


@cache
def names() -> frozenset[str]:
    """What may be asked for."""
    return frozenset(path.name for path in FOLDER.iterdir())


@cache
def content_of(name: str) -> bytes:
    """A file as it is sent: scripts bundled, all else as it stands."""
    return bundle(name).encode() if name.endswith(".js") else (FOLDER / name).read_bytes()


def bundle(name: str) -> str:
    """A script and the modules it imports, each in a scope of its own, those needed by others first."""
    order: dict[str, str] = {}
    _collect(name, order)
    if len(order) == 1:
        return (FOLDER / name).read_text(encoding="utf-8")
    return "".join(order.values())


def _collect(name: str, order: dict[str, str]) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    for _, other in IMPORT.findall(text):
        if other not in order:
            _collect(other, order)
    exported = EXPORT.findall(text)
    body = IMPORT.sub(lambda line: f"const {{{line[1].replace(' as ', ': ')}}} = {_variable(line[2])};\n", text)
    body = UNREAD.sub("", EXPORT.sub("", body))
    order[name] = f"const {_variable(name)} = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();\n"


def _variable(name: str) -> str:
    return f"module_{Path(name).stem}"
