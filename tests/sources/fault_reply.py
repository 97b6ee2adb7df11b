"""An answer of a played provider."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

Query = dict[str, str]


@dataclass
class Reply:
    """Status and body of an answer; bodies other than JSON say their kind."""

    status: int
    body: bytes
    kind: str = "application/json"


def reply(value: object, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))
