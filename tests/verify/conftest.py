"""Worlds of other folders' tests are verified here: the played providers, the small index, the random markets."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("live", "sources", "administration", "engine"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))
