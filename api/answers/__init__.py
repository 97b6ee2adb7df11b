"""How an answer is asked for and given: parameters, models, bytes, validators, problems. Routes say what it holds."""

import tomllib
from pathlib import Path
from typing import Any

TEXTS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("texts.toml").read_text(encoding="utf-8"))
